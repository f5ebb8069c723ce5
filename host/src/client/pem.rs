//! Certificates and keys in PEM form, read and checked when a client is built.

use super::error::Error;
use openssl::pkey::PKey;
use openssl::x509::X509;
use std::fs;
use std::path::Path;
use ureq::tls::{Certificate, PrivateKey};

/// Certificates or a key, and what messages call them; an unreadable file is reported when the
/// client is built.
pub(super) struct Pem {
    name: String,
    text: Result<Vec<u8>, std::io::Error>,
}

impl Pem {
    pub(super) fn file(file: &Path) -> Self {
        Self { name: file.display().to_string(), text: fs::read(file) }
    }

    pub(super) fn given(name: &str, text: Vec<u8>) -> Self {
        Self { name: name.to_owned(), text: Ok(text) }
    }

    fn text(&self) -> Result<&[u8], Error> {
        let Self { name, text } = self;
        text.as_deref().map_err(|error| Error::Credentials(format!("cannot read {name}: {error}")))
    }

    pub(super) fn certificates(&self) -> Result<Vec<Certificate<'static>>, Error> {
        let certificates = X509::stack_from_pem(self.text()?).unwrap_or_default();
        let certificates: Vec<_> = certificates
            .iter()
            .filter_map(|certificate| certificate.to_der().ok())
            .map(|der| Certificate::from_der(&der).to_owned())
            .collect();
        if certificates.is_empty() {
            return Err(Error::Credentials(format!(
                "{} holds no certificate in PEM form",
                self.name
            )));
        }
        Ok(certificates)
    }

    /// The key in PKCS #8, the one form that the TLS library takes.
    pub(super) fn key(&self) -> Result<PrivateKey<'static>, Error> {
        let bad = || {
            Error::Credentials(format!(
                "{} holds no unencrypted private key in PEM form",
                self.name
            ))
        };
        // Without the callback, OpenSSL would ask for an encrypted key's password on the terminal.
        let pem = PKey::private_key_from_pem_callback(self.text()?, |_| Ok(0))
            .and_then(|key| key.private_key_to_pem_pkcs8())
            .map_err(|_| bad())?;
        PrivateKey::from_pem(&pem).map_err(|_| bad())
    }
}
