//! The part of the options that is for TLS.

use super::error::Error;
use super::options::Options;
use crate::net::Bind;
use crate::net::tls::{Ready, Settings, development_certificate};

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
            "https on {address} needs a certificate: give --cert and --key (one is made for \
             loopback addresses only)"
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
            let files = development_certificate(&options.state_dir()).map_err(Error::Net)?;
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
            "client_ca = {} names nobody, because there is no https listener: add one, or remove \
             client_ca",
            clients.ca.display()
        );
    }
}
