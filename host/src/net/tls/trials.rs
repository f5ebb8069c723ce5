//! Certificates for the tests of this folder.

use super::settings::CertificateFiles;
use openssl::asn1::{Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::symm::Cipher;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Extension, X509Name, X509NameBuilder};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What a certificate is to have.
#[derive(Clone, Default)]
pub(super) struct Made {
    common_name: Option<String>,
    hosts: Vec<String>,
    emails: Vec<String>,
    uris: Vec<String>,
    /// The subject in DER, instead of the common name.
    subject: Option<Vec<u8>>,
    /// More lists of alternative names, each in DER.
    alternatives: Vec<Vec<u8>>,
    is_expired: bool,
    is_authority: bool,
}

/// A made certificate and its key.
pub(super) struct Pair {
    pub(super) certificate: X509,
    pub(super) key: PKey<Private>,
}

impl Made {
    pub(super) fn new(common_name: &str) -> Self {
        Self { common_name: Some(common_name.to_owned()), ..Self::default() }
    }

    pub(super) fn host(mut self, name: &str) -> Self {
        self.hosts.push(name.to_owned());
        self
    }

    pub(super) fn nameless() -> Self {
        Self::default()
    }

    pub(super) fn email(mut self, address: &str) -> Self {
        self.emails.push(address.to_owned());
        self
    }

    pub(super) fn uri(mut self, uri: &str) -> Self {
        self.uris.push(uri.to_owned());
        self
    }

    pub(super) fn subject(mut self, der: Vec<u8>) -> Self {
        self.subject = Some(der);
        self
    }

    pub(super) fn alternatives(mut self, der: Vec<u8>) -> Self {
        self.alternatives.push(der);
        self
    }

    pub(super) const fn expired(mut self) -> Self {
        self.is_expired = true;
        self
    }

    pub(super) const fn authority(mut self) -> Self {
        self.is_authority = true;
        self
    }

    /// Signed by `issuer`, or by itself.
    pub(super) fn make(&self, issuer: Option<&Pair>) -> Pair {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut name = X509NameBuilder::new().unwrap();
        if let Some(common_name) = &self.common_name {
            name.append_entry_by_text("CN", common_name).unwrap();
        }
        let name = match &self.subject {
            Some(der) => X509Name::from_der(der).unwrap(),
            None => name.build(),
        };
        let mut serial = BigNum::new().unwrap();
        serial.rand(64, MsbOption::MAYBE_ZERO, false).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder
            .set_issuer_name(issuer.map_or(&name, |issuer| issuer.certificate.subject_name()))
            .unwrap();
        let (from, to) =
            if self.is_expired { (1_000_000, 2_000_000) } else { (1_000_000, 4_000_000_000) };
        builder.set_not_before(&Asn1Time::from_unix(from).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::from_unix(to).unwrap()).unwrap();
        builder.set_pubkey(&key).unwrap();
        if self.is_authority {
            builder
                .append_extension(BasicConstraints::new().critical().ca().build().unwrap())
                .unwrap();
        }
        if !(self.hosts.is_empty() && self.emails.is_empty() && self.uris.is_empty()) {
            let mut names = SubjectAlternativeName::new();
            for host in &self.hosts {
                names.dns(host);
            }
            for email in &self.emails {
                names.email(email);
            }
            for uri in &self.uris {
                names.uri(uri);
            }
            let names = names.build(&builder.x509v3_context(None, None)).unwrap();
            builder.append_extension(names).unwrap();
        }
        for der in &self.alternatives {
            let kind = Asn1Object::from_str("subjectAltName").unwrap();
            let der = Asn1OctetString::new_from_bytes(der).unwrap();
            builder
                .append_extension(X509Extension::new_from_der(&kind, false, &der).unwrap())
                .unwrap();
        }
        builder.sign(issuer.map_or(&key, |issuer| &issuer.key), MessageDigest::sha256()).unwrap();
        Pair { certificate: builder.build(), key }
    }

    /// Makes it, and writes it to `NAME.pem` and `NAME.key`.
    pub(super) fn write(&self, directory: &Path, name: &str) -> CertificateFiles {
        let made = self.make(None);
        write(&made.certificate, &made.key.private_key_to_pem_pkcs8().unwrap(), directory, name)
    }

    pub(super) fn write_encrypted(
        &self,
        directory: &Path,
        name: &str,
        passphrase: &[u8],
    ) -> CertificateFiles {
        let made = self.make(None);
        let cipher = Cipher::aes_256_cbc();
        let key = made.key.private_key_to_pem_pkcs8_passphrase(cipher, passphrase).unwrap();
        write(&made.certificate, &key, directory, name)
    }
}

fn write(certificate: &X509, key: &[u8], directory: &Path, name: &str) -> CertificateFiles {
    let files = CertificateFiles {
        cert: directory.join(format!("{name}.pem")),
        key: directory.join(format!("{name}.key")),
        key_passphrase_file: None,
    };
    fs::write(&files.cert, certificate.to_pem().unwrap()).unwrap();
    write_secret(&files.key, key);
    files
}

pub(super) fn write_secret(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
