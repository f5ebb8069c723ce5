//! Which files TLS is made from. Must not read them.

use super::peer::ClientAuth;
use std::path::{Path, PathBuf};

/// Where a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and then those of its issuers, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// What has the key's passphrase in its first line, if it is encrypted.
    pub key_passphrase_file: Option<PathBuf>,
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
    let clients = clients.into_iter().flat_map(|clients| [Some(&clients.ca), clients.crl.as_ref()]);
    certificates.chain(clients).flatten().map(AsRef::as_ref)
}
