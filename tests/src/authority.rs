//! A certificate authority for tests: issues certificates to servers and clients, and revokes them.

use openssl::asn1::{Asn1Integer, Asn1Time, Asn1TimeRef, Asn1Type};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{
    CrlNumber, X509, X509CrlBuilder, X509Name, X509NameBuilder, X509RevokedBuilder,
};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// An authority, with a directory for what it issues.
pub struct Authority {
    directory: tempfile::TempDir,
    certificate: X509,
    key: PKey<Private>,
}

/// What was issued, as PEM files.
pub struct Issued {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one.
    #[expect(clippy::new_without_default, reason = "two of them are not equal")]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let name = subject("Test authority", Asn1Type::UTF8STRING);
        let (certificate, key) = make(name, |_| (), None, &Asn1Time::days_from_now(30).unwrap());
        fs::write(directory.path().join("ca.pem"), certificate.to_pem().unwrap()).unwrap();
        Self { directory, certificate, key }
    }

    /// Its own certificate's file.
    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A file beside those that it issues.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Issues a certificate to this common name, with these hosts and addresses, into `NAME.pem`
    /// and `NAME.key`, which it replaces in one step each.
    pub fn issue(&self, name: &str, common_name: &str, hosts: &[&str]) -> Issued {
        self.issue_typed(name, common_name, Asn1Type::UTF8STRING, hosts)
    }

    /// As [`Self::issue`], with these bytes as a common name of another string type.
    pub fn issue_typed(
        &self,
        name: &str,
        common_name: &str,
        kind: Asn1Type,
        hosts: &[&str],
    ) -> Issued {
        let until = Asn1Time::days_from_now(30).unwrap();
        self.issue_until(name, subject(common_name, kind), hosts, &until)
    }

    /// As [`Self::issue`], without hosts. The certificate expires after so many seconds.
    pub fn issue_for(&self, name: &str, common_name: &str, seconds: i64) -> Issued {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let until = Asn1Time::from_unix(i64::try_from(now).unwrap() + seconds).unwrap();
        self.issue_until(name, subject(common_name, Asn1Type::UTF8STRING), &[], &until)
    }

    fn issue_until(
        &self,
        name: &str,
        subject: X509Name,
        hosts: &[&str],
        until: &Asn1TimeRef,
    ) -> Issued {
        let (certificate, key) = make(
            subject,
            |names| {
                for host in hosts {
                    match host.parse::<std::net::IpAddr>() {
                        Ok(_) => names.ip(host),
                        Err(_) => names.dns(host),
                    };
                }
            },
            Some((&self.certificate, &self.key)),
            until,
        );
        let issued = Issued {
            cert: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
        };
        replace(&issued.key, &key.private_key_to_pem_pkcs8().unwrap());
        replace(&issued.cert, &certificate.to_pem().unwrap());
        issued
    }

    /// Writes what it has revoked, all of it, into `crl.pem`, and gives that path.
    pub fn revoke(&self, revoked: &[&Issued]) -> PathBuf {
        let (now, next) =
            (Asn1Time::days_from_now(0).unwrap(), Asn1Time::days_from_now(30).unwrap());
        let mut list = X509CrlBuilder::new().unwrap();
        list.set_issuer_name(self.certificate.subject_name()).unwrap();
        list.set_last_update(&now).unwrap();
        list.set_next_update(&next).unwrap();
        for issued in revoked {
            let mut entry = X509RevokedBuilder::new().unwrap();
            entry.set_serial_number(issued.certificate().serial_number()).unwrap();
            entry.set_revocation_date(&now).unwrap();
            list.add_revoked(entry.build()).unwrap();
        }
        let issuer = X509::builder().unwrap();
        let context = issuer.x509v3_context(Some(&self.certificate), None);
        list.append_extension(AuthorityKeyIdentifier::new().keyid(true).build(&context).unwrap())
            .unwrap();
        list.append_extension(
            CrlNumber::new(BigNum::from_u32(1).unwrap()).unwrap().build().unwrap(),
        )
        .unwrap();
        list.sign(&self.key, MessageDigest::sha256()).unwrap();
        let path = self.path("crl.pem");
        replace(&path, &list.build().unwrap().to_pem().unwrap());
        path
    }
}

impl Issued {
    /// The certificate, as a client sees it.
    pub fn certificate(&self) -> X509 {
        X509::from_pem(&fs::read(&self.cert).unwrap()).unwrap()
    }
}

fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::set_permissions(&new, Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, path).unwrap();
}

fn serial() -> Asn1Integer {
    let mut number = BigNum::new().unwrap();
    number.rand(64, MsbOption::MAYBE_ZERO, false).unwrap();
    number.to_asn1_integer().unwrap()
}

fn subject(common_name: &str, kind: Asn1Type) -> X509Name {
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_nid_with_type(Nid::COMMONNAME, common_name, kind).unwrap();
    name.build()
}

fn make(
    name: X509Name,
    name_it: impl FnOnce(&mut SubjectAlternativeName),
    issuer: Option<(&X509, &PKey<Private>)>,
    until: &Asn1TimeRef,
) -> (X509, PKey<Private>) {
    let key = PKey::from_ec_key(
        EcKey::generate(&EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap()).unwrap(),
    );
    let key = key.unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&serial()).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(issuer.map_or(&name, |(issuer, _)| issuer.subject_name())).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(until).unwrap();
    builder.set_pubkey(&key).unwrap();
    if issuer.is_none() {
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        let usage = KeyUsage::new().critical().key_cert_sign().crl_sign().build().unwrap();
        builder.append_extension(usage).unwrap();
        let identifier =
            SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(identifier).unwrap();
    } else {
        let mut names = SubjectAlternativeName::new();
        name_it(&mut names);
        if let Ok(names) = names.build(&builder.x509v3_context(None, None)) {
            builder.append_extension(names).unwrap();
        }
    }
    builder.sign(issuer.map_or(&key, |(_, key)| key), MessageDigest::sha256()).unwrap();
    (builder.build(), key)
}
