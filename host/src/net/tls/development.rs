//! The self-signed certificate for loopback addresses. It lets a server start without any
//! preparation.

use super::identity::Identity;
use super::settings::CertificateFiles;
use crate::net::error::Error;
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509NameBuilder, X509Ref};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Its life.
const DAYS: u32 = 365;
/// A certificate that expires sooner is replaced.
const DAYS_LEFT_MIN: u32 = 30;
/// Only the owner reads a key.
const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;

/// Where it is, in `state_dir`. It is made when there is none that still lasts.
///
/// # Errors
/// The file that could not be written.
pub fn development_certificate(state_dir: &Path) -> Result<CertificateFiles, Error> {
    let files = CertificateFiles {
        cert: state_dir.join("dev-cert.pem"),
        key: state_dir.join("dev-key.pem"),
        key_passphrase_file: None,
    };
    // Two servers that start at once must not mix one's certificate with the other's key.
    let lock = state_dir.join("dev-cert.lock");
    let _held = File::create(&lock)
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|error| unwritable(&lock, &error))?;
    if Identity::read(&files).is_ok_and(|identity| lasts(&identity.leaf)) {
        return Ok(files);
    }
    let (certificate, key) = self_signed().map_err(|error| Error::DevelopmentCertificate {
        path: files.cert.clone(),
        why: format!("cannot be made: {error}"),
    })?;
    for (path, bytes, mode) in
        [(&files.key, &key, KEY_MODE), (&files.cert, &certificate, CERTIFICATE_MODE)]
    {
        replace(path, bytes, mode).map_err(|error| unwritable(path, &error))?;
    }
    Ok(files)
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::DevelopmentCertificate {
        path: path.to_owned(),
        why: format!("cannot be written: {error}; name another directory with --state-dir"),
    }
}

fn lasts(certificate: &X509Ref) -> bool {
    Asn1Time::days_from_now(DAYS_LEFT_MIN).is_ok_and(|limit| certificate.not_after() > limit)
}

/// A leaf that is its own anchor, and its key, both PEM. It is no CA, so its key can sign no other
/// name.
fn self_signed() -> Result<(Vec<u8>, Vec<u8>), ErrorStack> {
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
    let (from, to) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(DAYS)?);

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
    let names =
        SubjectAlternativeName::new().dns("localhost").ip("127.0.0.1").ip("::1").build(&context)?;
    builder.append_extension(identifier)?;
    builder.append_extension(names)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok((builder.build().to_pem()?, key.private_key_to_pem_pkcs8()?))
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
    fn it_is_made_once_and_fits_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let files = development_certificate(dir.path()).unwrap();
        let first = fs::read(&files.cert).unwrap();
        assert_eq!(development_certificate(dir.path()).unwrap(), files);
        assert_eq!(fs::read(&files.cert).unwrap(), first);
        assert_eq!(fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, KEY_MODE);
        assert!(Identity::read(&files).is_ok());
    }

    #[test]
    fn a_broken_one_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("dev-cert.pem"), "nonsense").unwrap();
        assert!(Identity::read(&development_certificate(dir.path()).unwrap()).is_ok());
    }
}
