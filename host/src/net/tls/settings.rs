//! Which files TLS is made from, and who must have a certificate. Must not read the files.

use crate::settings::settings;
use serde::Deserialize;
use std::path::{Path, PathBuf};

settings! {
    /// Where a certificate is.
    #[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
    #[serde(deny_unknown_fields)]
    pub struct CertificateFiles {
        /// PEM, with the certificates of its issuers behind it.
        cert: PathBuf => shown("\"tls/other.pem\"");
        /// Its private key, PEM.
        key: PathBuf => shown("\"tls/other.key\"");
        /// For an encrypted key: its passphrase, in the first line.
        key_passphrase_file: Option<PathBuf> => shown("\"tls/other.passphrase\"");
    }
}

/// Gives `settings!` the settings of clients' certificates. A new one needs only its entry here and
/// the code that uses it.
macro_rules! client_keys {
    ({ $($struct:tt)* } { $($before:tt)* } { $($after:tt)* } $($rest:tt)*) => {
        $crate::settings::settings! { $($struct)* { $($before)*
            /// Whether clients need one: required or optional. With client_ca only, and so are the
            /// next two.
            client_auth: Option<$crate::net::tls::settings::ClientAuthMode> = None =>
                reloaded(),
                shown("\"required\"");
            /// The certificates that the authorities revoked, PEM.
            client_crl: Option<PathBuf> = None => reloaded(), example("\"tls/crl.pem\"");
            /// What in a certificate is the caller's name: cn, dns, email or uri.
            client_name: Option<$crate::net::tls::name::ClientName> = None =>
                reloaded(),
                shown("\"cn\"");
        $($after)* } $($rest)* }
    };
}
pub(crate) use client_keys;

client_keys! {
    {
        /// How a client's certificate is judged, as the operator chooses it.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct ClientKeys
    } {} {}
}

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuthMode {
    /// A client without one is refused in the handshake.
    #[default]
    Required,
    /// A client without one has no name.
    Optional,
}

/// Which certificates of clients are believed, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// The authorities that issue them, PEM, up to their roots.
    pub ca: PathBuf,
    /// Further settings.
    pub keys: ClientKeys,
}

impl ClientAuth {
    /// Whether a client without a certificate is refused.
    pub fn is_required(&self) -> bool {
        self.keys.client_auth.unwrap_or_default() == ClientAuthMode::Required
    }
}

/// Where all that is needed for TLS is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// At least one. The first is for clients that name no host, or one that no other is for.
    pub certificates: Vec<CertificateFiles>,
    /// How clients show who they are, if they are asked.
    pub clients: Option<ClientAuth>,
}

/// All files that these name.
pub fn files<'a>(
    certificates: &'a [CertificateFiles],
    clients: Option<&'a ClientAuth>,
) -> impl Iterator<Item = &'a Path> {
    let certificates = certificates.iter().flat_map(|files| {
        [Some(&files.cert), Some(&files.key), files.key_passphrase_file.as_ref()]
    });
    let clients = clients
        .into_iter()
        .flat_map(|clients| [Some(&clients.ca), clients.keys.client_crl.as_ref()]);
    certificates.chain(clients).flatten().map(AsRef::as_ref)
}
