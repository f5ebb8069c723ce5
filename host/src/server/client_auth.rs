//! What of the config file is for certificates, the server's and its clients'.

use super::error::Error;
use crate::config::{CertificateKeys, ClientAuthName, ClientNameName, Config};
use crate::net::tls::{CertificateFiles, ClientAuth, ClientName};

impl From<CertificateKeys> for CertificateFiles {
    fn from(keys: CertificateKeys) -> Self {
        let CertificateKeys { cert, key, key_passphrase_file } = keys;
        Self { cert, key, key_passphrase_file }
    }
}

/// What `client_ca` and the keys beside it say.
pub(super) fn client_auth(config: &Config) -> Result<Option<ClientAuth>, Error> {
    let Some(ca) = config.client_ca.clone() else {
        let keys = [
            ("client_auth", config.client_auth.is_some()),
            ("client_crl", config.client_crl.is_some()),
            ("client_name", config.client_name.is_some()),
        ];
        return match keys.into_iter().find(|(_, is_given)| *is_given) {
            Some((key, _)) => Err(Error::Options(format!("{key} says nothing without client_ca: give both"))),
            None => Ok(None),
        };
    };
    let name = match config.client_name.unwrap_or(ClientNameName::Cn) {
        ClientNameName::Cn => ClientName::Cn,
        ClientNameName::Dns => ClientName::Dns,
        ClientNameName::Email => ClientName::Email,
        ClientNameName::Uri => ClientName::Uri,
    };
    let is_required = config.client_auth != Some(ClientAuthName::Optional);
    Ok(Some(ClientAuth { ca, is_required, crl: config.client_crl.clone(), name }))
}
