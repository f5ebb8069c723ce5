//! What of the options is for TLS.

use super::{Error, Options};
use crate::config::{CertificateKeys, ClientAuthName, ClientNameName, Config};
use crate::net::Bind;
use crate::net::tls::{CertificateFiles, ClientAuth, ClientName, Ready, Settings, development_certificate};

/// Which certificates HTTPS listeners show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// There is no such listener.
    Unneeded,
    /// Those that the operator names.
    Files,
    /// The one that is made for loopback addresses.
    Development,
}

impl From<CertificateKeys> for CertificateFiles {
    fn from(keys: CertificateKeys) -> Self {
        let CertificateKeys { cert, key, key_passphrase_file } = keys;
        Self { cert, key, key_passphrase_file }
    }
}

/// What `client_ca` and the keys beside it say.
pub(super) fn clients(config: &Config) -> Result<Option<ClientAuth>, Error> {
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

/// Where the certificates come from.
pub(super) fn source(options: &Options) -> Result<Source, Error> {
    let https = |bind: &Bind| match bind {
        Bind::Https(address) => Some(*address),
        Bind::Http(_) | Bind::Unix(_) => None,
    };
    let mut addresses = options.listeners().filter_map(https).peekable();
    if addresses.peek().is_none() {
        return Ok(Source::Unneeded);
    }
    if !options.certificates.is_empty() {
        return Ok(Source::Files);
    }
    match addresses.find(|address| !address.ip().is_loopback()) {
        Some(address) => Err(Error::Options(format!(
            "https on {address} needs a certificate: give --cert and --key (one is made for loopback addresses only)"
        ))),
        None => Ok(Source::Development),
    }
}

/// What the HTTPS listeners need, when there are any, read from its files.
pub(super) fn ready(options: &Options) -> Result<Option<Ready>, Error> {
    let certificates = match source(options)? {
        Source::Unneeded => {
            warn_of_clients_nobody_asks(options);
            return Ok(None);
        }
        Source::Files => options.certificates.clone(),
        Source::Development => {
            let files = development_certificate(&options.state_dir).map_err(Error::Net)?;
            log::info!("self-signed certificate for development: {}", files.cert.display());
            vec![files]
        }
    };
    let settings = Settings { certificates, clients: options.clients.clone() };
    Ready::new(settings).map(Some).map_err(Error::Net)
}

/// Reads all files but those that a start would make.
pub(super) fn check(options: &Options) -> Result<(), Error> {
    let checked = match (source(options)?, options.clients.clone()) {
        (Source::Unneeded, _) => {
            warn_of_clients_nobody_asks(options);
            Ok(())
        }
        (Source::Development, None) => Ok(()),
        (Source::Development, Some(clients)) => clients.check(),
        (Source::Files, clients) => {
            Ready::new(Settings { certificates: options.certificates.clone(), clients }).map(drop)
        }
    };
    checked.map_err(Error::Net)
}

/// Only handshakes ask for certificates.
fn warn_of_clients_nobody_asks(options: &Options) {
    if let Some(clients) = &options.clients {
        log::warn!(
            "client_ca = {} names nobody, because there is no https listener: add one, or remove client_ca",
            clients.ca.display()
        );
    }
}
