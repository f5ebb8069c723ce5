//! Certificates: reads an operator's, or makes one for development.

use super::Error;
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{AlpnError, SslAcceptor, SslMethod, SslMode, select_next_proto};
use openssl::x509::extension::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509NameBuilder};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A certificate and its private key, both PEM, known to fit each other.
#[derive(Clone)]
pub struct Identity {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
}

/// A development certificate's life.
const DEVELOPMENT_DAYS: u32 = 365;
/// One with less left than this is made anew.
const DEVELOPMENT_DAYS_LEFT_MIN: u32 = 30;
/// Only the owner reads a key.
const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;

impl Identity {
    /// Reads a certificate and its key from PEM files.
    ///
    /// # Errors
    /// A file that cannot be read or is not PEM, or a key that is not the certificate's.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let read = |path: &Path| {
            fs::read(path).map_err(|error| Error::Tls(format!("cannot read {}: {error}", path.display())))
        };
        let identity = Self { certificate: read(certificate)?, key: read(key)? };
        let parsed = X509::from_pem(&identity.certificate).map_err(|error| {
            Error::Tls(format!("{} is no PEM certificate: {error}", certificate.display()))
        })?;
        // Without the callback, OpenSSL would ask for an encrypted key's password on the terminal.
        let private = PKey::private_key_from_pem_callback(&identity.key, |_| Ok(0)).map_err(|error| {
            Error::Tls(format!("{} is no unencrypted PEM private key: {error}", key.display()))
        })?;
        match parsed.public_key() {
            Ok(public) if public.public_eq(&private) => Ok(identity),
            _ => Err(Error::Tls(format!(
                "the key {} does not belong to the certificate {}",
                key.display(),
                certificate.display()
            ))),
        }
    }

    /// What shakes hands as this identity, by Mozilla's intermediate recommendations: TLS 1.2 and 1.3.
    pub(super) fn acceptor(&self) -> Result<SslAcceptor, Error> {
        let made = || {
            let mut chain = X509::stack_from_pem(&self.certificate)?.into_iter();
            let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
            if let Some(leaf) = chain.next() {
                builder.set_certificate(&leaf)?;
            }
            chain.try_for_each(|issuer| builder.add_extra_chain_cert(issuer))?;
            let key = PKey::private_key_from_pem_callback(&self.key, |_| Ok(0))?;
            builder.set_private_key(&key)?;
            builder.check_private_key()?;
            // Resumption needs a name when certificates of clients are asked for; and idle connections keep no buffers.
            builder.set_session_id_context(b"hotcall")?;
            builder.set_mode(SslMode::RELEASE_BUFFERS);
            builder.set_alpn_select_callback(|_, offered| {
                select_next_proto(b"\x08http/1.1", offered).ok_or(AlpnError::NOACK)
            });
            Ok(builder.build())
        };
        made().map_err(|error: ErrorStack| Error::Tls(format!("the certificate cannot be served: {error}")))
    }

    /// The self-signed certificate for loopback addresses in `state_dir`, made when there is none that still
    /// lasts. Also says where it is.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn for_development(state_dir: &Path) -> Result<(Self, PathBuf), Error> {
        let certificate = state_dir.join("dev-cert.pem");
        let key = state_dir.join("dev-key.pem");
        // Two servers that start at once must not mix one's certificate with the other's key.
        let lock = state_dir.join("dev-cert.lock");
        let _held = File::create(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| unwritable(&lock, &error))?;
        if let Ok(identity) = Self::from_files(&certificate, &key)
            && lasts(&identity.certificate)
        {
            return Ok((identity, certificate));
        }
        let made = self_signed().map_err(|error| Error::DevelopmentCertificate {
            path: certificate.clone(),
            why: format!("cannot be made: {error}"),
        })?;
        for (path, bytes, mode) in
            [(&key, &made.key, KEY_MODE), (&certificate, &made.certificate, CERTIFICATE_MODE)]
        {
            replace(path, bytes, mode).map_err(|error| unwritable(path, &error))?;
        }
        Ok((made, certificate))
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::DevelopmentCertificate {
        path: path.to_owned(),
        why: format!("cannot be written: {error}; name another directory with --state-dir"),
    }
}

fn lasts(certificate: &[u8]) -> bool {
    let limit = Asn1Time::days_from_now(DEVELOPMENT_DAYS_LEFT_MIN);
    let certificate = X509::from_pem(certificate);
    matches!((certificate, limit), (Ok(certificate), Ok(limit)) if certificate.not_after() > limit)
}

/// A leaf that is its own anchor: not a CA, so its key can sign no other name.
fn self_signed() -> Result<Identity, ErrorStack> {
    /// RFC 5280, 4.1.2.2: at most 20 octets, and positive.
    const SERIAL_BITS: i32 = 159;
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key: PKey<Private> = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "Hotcall development")?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    serial.rand(SERIAL_BITS, MsbOption::MAYBE_ZERO, false)?;
    let serial = serial.to_asn1_integer()?;
    let (from, to) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(DEVELOPMENT_DAYS)?);

    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_not_before(&from)?;
    builder.set_not_after(&to)?;
    builder.set_pubkey(&key)?;
    builder.append_extension(BasicConstraints::new().critical().build()?)?;
    builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
    builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
    let context = builder.x509v3_context(None, None);
    let identifier = SubjectKeyIdentifier::new().build(&context)?;
    let names = SubjectAlternativeName::new().dns("localhost").ip("127.0.0.1").ip("::1").build(&context)?;
    builder.append_extension(identifier)?;
    builder.append_extension(names)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok(Identity { certificate: builder.build().to_pem()?, key: key.private_key_to_pem_pkcs8()? })
}

/// Writes a file whole or not at all, never readable by more than its mode says.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        drop(fs::remove_file(&temporary));
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_development_certificate_is_made_once_and_fits_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let (first, path) = Identity::for_development(dir.path()).unwrap();
        let (second, _) = Identity::for_development(dir.path()).unwrap();
        assert_eq!(first.certificate, second.certificate);
        let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("dev-key.pem"), KEY_MODE);
        assert_eq!(path, dir.path().join("dev-cert.pem"));
        assert!(Identity::from_files(&path, &dir.path().join("dev-key.pem")).is_ok());
    }

    #[test]
    fn a_broken_development_certificate_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("dev-cert.pem"), "nonsense").unwrap();
        let (made, path) = Identity::for_development(dir.path()).unwrap();
        assert_eq!(fs::read(path).unwrap(), made.certificate);
    }

    #[test]
    fn files_that_do_not_fit_are_named() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (_, certificate) = Identity::for_development(one.path()).unwrap();
        Identity::for_development(other.path()).unwrap();
        let why = |certificate: &Path, key: PathBuf| match Identity::from_files(certificate, &key) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("accepted"),
        };
        assert!(why(&certificate, other.path().join("dev-key.pem")).contains("does not belong"));
        assert!(why(&certificate, other.path().join("none.pem")).contains("cannot read"));
        assert!(why(&certificate, certificate.clone()).contains("no unencrypted PEM private key"));
        assert!(why(&one.path().join("dev-key.pem"), certificate.clone()).contains("no PEM certificate"));
    }
}

pub struct Tls(Arc<Context>);
pub(super) struct Context(openssl::ssl::SslAcceptor);
pub(super) struct Watch;
use std::sync::Arc;
impl Tls {
    pub fn new(identity: &Identity) -> Result<Self, Error> {
        Ok(Self(Arc::new(Context(identity.acceptor()?))))
    }
    pub(super) fn context(&self) -> Arc<Context> {
        Arc::clone(&self.0)
    }
}
impl Context {
    pub(super) fn acceptor(&self) -> &SslAcceptor {
        &self.0
    }
    pub(super) fn caller_name(&self, _: &openssl::ssl::SslRef) -> Result<String, &'static str> {
        Ok(String::new())
    }
}
impl Watch {
    pub(super) fn start(_: Arc<Tls>, _: std::time::Duration) -> Result<Self, Error> {
        Ok(Self)
    }
}
