//! Client certificates: the trusted issuers, the revoked certificates, and the name that a client
//! shows.
//!
//! A certificate without one clear name fails the handshake, so later code sees a name or no name.
//! `access` decides whether callers without a name may call. OpenSSL does not notice that a
//! certificate expired after its session began, so each handshake checks that too.

use super::files;
use super::name::{ClientName, name_of};
use super::settings::ClientAuth;
use crate::net::error::Error;
use openssl::asn1::Asn1Time;
use openssl::ssl::{SslAcceptorBuilder, SslFiletype, SslRef, SslVerifyMode};
use openssl::stack::Stack;
use openssl::x509::store::{X509Lookup, X509StoreBuilder, X509StoreBuilderRef};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Crl, X509Ref, X509StoreContextRef, X509VerifyResult};
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

const CRL_BEGIN: &str = "-----BEGIN X509 CRL-----";

impl ClientAuth {
    /// Reads the files, and no more.
    ///
    /// # Errors
    /// The file that cannot be used, and why.
    pub fn check(&self) -> Result<(), Error> {
        Clients::read(self).map(drop)
    }
}

/// What was read. Equal ones let the same clients in.
#[derive(PartialEq)]
pub(super) struct Clients {
    anchors: Vec<X509>,
    crl: Option<Vec<u8>>,
    is_required: bool,
    pub(super) name: ClientName,
}

impl Clients {
    pub(super) fn read(settings: &ClientAuth) -> Result<Self, Error> {
        let ClientAuth { ca, keys } = settings;
        let path = ca.display();
        let anchors = X509::stack_from_pem(&files::read(ca)?)
            .map_err(|error| Error::Tls(format!("{path} is no PEM certificate: {error}")))?;
        if anchors.is_empty() {
            return Err(Error::Tls(format!(
                "{path} has no PEM certificate: no client could be believed"
            )));
        }
        let crl = keys.client_crl.as_deref().map(read_crl).transpose()?;
        let (is_required, name) = (settings.is_required(), keys.client_name.unwrap_or_default());
        Ok(Self { anchors, crl, is_required, name })
    }

    /// Has handshakes ask for a certificate, verify it, and refuse one that says no name.
    pub(super) fn apply(&self, builder: &mut SslAcceptorBuilder) -> io::Result<()> {
        let mut store = X509StoreBuilder::new()?;
        let mut names = Stack::new()?;
        for anchor in &self.anchors {
            store.add_cert(anchor.clone())?;
            names.push(anchor.subject_name().to_owned()?)?;
        }
        if let Some(crl) = &self.crl {
            add_crl(&mut store, crl)?;
        }
        builder.set_verify_cert_store(store.build())?;
        builder.set_client_ca_list(names);
        let mode = if self.is_required {
            SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT
        } else {
            SslVerifyMode::PEER
        };
        let kind = self.name;
        builder.set_verify_callback(mode, move |is_valid, context| {
            is_valid && has_name(context, kind)
        });
        Ok(())
    }
}

/// The name in the certificate that a client has proven to have; empty when it has shown none.
pub(super) fn caller_name(ssl: &SslRef, kind: ClientName) -> Result<String, &'static str> {
    match ssl.peer_certificate() {
        None => Ok(String::new()),
        Some(_) if ssl.verify_result() != X509VerifyResult::OK => {
            Err("the client's certificate is not verified")
        }
        // OpenSSL looks at it in a session's first handshake only.
        Some(certificate) if has_expired(&certificate) => {
            Err("the client's certificate has expired")
        }
        Some(certificate) => {
            name_of(&certificate, kind).map_err(|_| "the client's certificate names nobody")
        }
    }
}

fn has_expired(certificate: &X509Ref) -> bool {
    Asn1Time::days_from_now(0).is_ok_and(|now| certificate.not_after() < now)
}

/// Each issuer was verified before: only the client's own certificate has a caller's name.
fn has_name(context: &mut X509StoreContextRef, kind: ClientName) -> bool {
    if context.error_depth() > 0 {
        return true;
    }
    match context.current_cert().map(|certificate| name_of(certificate, kind)) {
        Some(Ok(_)) => return true,
        Some(Err(why)) => log::debug!("a client's certificate names nobody: {why}"),
        None => {}
    }
    context.set_error(X509VerifyResult::APPLICATION_VERIFICATION);
    false
}

fn read_crl(path: &Path) -> Result<Vec<u8>, Error> {
    let shown = path.display();
    let bytes = files::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lists = text.split(CRL_BEGIN).skip(1).peekable();
    if lists.peek().is_none() {
        return Err(Error::Tls(format!("{shown} has no PEM list of revoked certificates")));
    }
    let now =
        Asn1Time::days_from_now(0).map_err(|error| Error::Tls(format!("no time: {error}")))?;
    for list in lists {
        let list = X509Crl::from_pem(format!("{CRL_BEGIN}{list}").as_bytes()).map_err(|error| {
            Error::Tls(format!("{shown} is no PEM list of revoked certificates: {error}"))
        })?;
        if list.next_update().is_some_and(|next| next < now) {
            log::warn!(
                "{shown} should have been replaced before now: certificates by its issuer are \
                 refused until it is"
            );
        }
    }
    Ok(bytes)
}

/// The binding reads lists from files only, so these bytes become one: what was checked is what is
/// used.
fn add_crl(store: &mut X509StoreBuilderRef, crl: &[u8]) -> io::Result<()> {
    let mut file = File::from(rustix::fs::memfd_create("crl", MemfdFlags::CLOEXEC)?);
    file.write_all(crl)?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    store.add_lookup(X509Lookup::file())?.load_crl_file(path, SslFiletype::PEM)?;
    store.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::trials::Made;
    use super::*;

    #[test]
    fn a_session_does_not_outlive_its_certificate() {
        assert!(has_expired(&Made::new("ann").expired().make(None).certificate));
        assert!(!has_expired(&Made::new("ann").make(None).certificate));
    }
}
