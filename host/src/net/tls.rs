//! TLS: the certificates that listeners shake hands with, and how these change while the server runs.
//!
//! A [`Tls`] is made from [`Settings`], which are paths. What is read from them is one immutable context, and when a file
//! changes or an operator asks, another takes its place: handshakes that begin then get it, and no connection notices.
//! Files that cannot be used change nothing. Knows no sockets and no HTTP.
//!
//! `files` reads; `identity` is a certificate and its key; `peer` is what is asked of clients; `context` makes OpenSSL's side
//! of all that; `watch` looks at the
//! files.

mod context;
mod development;
mod files;
mod identity;
mod peer;
#[cfg(test)]
mod trials;
mod watch;

pub use development::development_certificate;
pub use peer::{ClientAuth, ClientName};
pub(super) use watch::Watch;

use super::Error;
use arc_swap::ArcSwap;
use identity::Identity;
use openssl::ssl::{SslAcceptor, SslRef};
use peer::Clients;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use watch::Stamps;

/// For so long tickets are made with one key. Whoever steals the key can read no connection that was resumed before.
const TICKET_KEYS_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

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

/// What listeners shake hands with at this moment.
pub struct Tls {
    current: ArcSwap<Context>,
    state: Mutex<State>,
}

/// What one handshake is made with.
pub(super) struct Context {
    acceptor: SslAcceptor,
    client_name: Option<ClientName>,
}

/// What the files were read as.
struct Material {
    identities: Vec<Identity>,
    clients: Option<Clients>,
}

struct State {
    settings: Settings,
    material: Material,
    /// What the files looked like before they were last read, whatever came of it.
    seen: Stamps,
    made: Instant,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// The file that cannot be used, and why.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let seen = Stamps::of(&settings);
        let material = Material::read(&settings)?;
        let current = ArcSwap::from_pointee(material.context()?);
        let state = State { settings, material, seen, made: Instant::now() };
        Ok(Self { current, state: Mutex::new(state) })
    }

    /// Takes these settings, and reads the files anew also where they are the same.
    ///
    /// # Errors
    /// The file that cannot be used, and why. Nothing has changed then.
    pub fn replace(&self, settings: Settings) -> Result<(), Error> {
        self.take(&mut self.lock(), settings)
    }

    /// What to shake hands with now.
    pub(super) fn context(&self) -> Arc<Context> {
        self.current.load_full()
    }

    fn take(&self, state: &mut State, settings: Settings) -> Result<(), Error> {
        state.seen = Stamps::of(&settings);
        let material = Material::read(&settings)?;
        self.current.store(material.context()?.into());
        state.settings = settings;
        state.material = material;
        state.made = Instant::now();
        Ok(())
    }

    /// The same certificates with new keys for tickets. The files may be out of this server's reach by now.
    fn renew(&self, state: &mut State) -> Result<(), Error> {
        // Also when it fails: the next try is not at the next look.
        state.made = Instant::now();
        self.current.store(state.material.context()?.into());
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_old(&self) -> bool {
        self.made.elapsed() >= TICKET_KEYS_LIFE
    }
}

impl Material {
    fn read(settings: &Settings) -> Result<Self, Error> {
        let identities = settings.certificates.iter().map(Identity::read).collect::<Result<Vec<_>, _>>()?;
        for (files, identity) in settings.certificates.iter().zip(&identities) {
            if let Some(complaint) = identity.complaint() {
                log::warn!("the certificate {} {complaint}; it is served all the same", files.cert.display());
            }
        }
        let clients = settings.clients.as_ref().map(Clients::read).transpose()?;
        Ok(Self { identities, clients })
    }

    fn context(&self) -> Result<Context, Error> {
        let acceptor = context::acceptor(&self.identities, self.clients.as_ref())
            .map_err(|error| Error::Tls(format!("the certificate cannot be served: {error}")))?;
        Ok(Context { acceptor, client_name: self.clients.as_ref().map(|clients| clients.name) })
    }
}

impl Context {
    pub(super) const fn acceptor(&self) -> &SslAcceptor {
        &self.acceptor
    }

    /// Who is at the other end after a handshake: the name in a verified certificate, or nothing for whoever showed none.
    ///
    /// # Errors
    /// A certificate that is not verified or says no name, which no handshake should have let through.
    pub(super) fn caller_name(&self, ssl: &SslRef) -> Result<String, &'static str> {
        let name = self.client_name.map_or_else(|| Some(String::new()), |kind| peer::caller_name(ssl, kind));
        name.ok_or("the client's certificate says no name")
    }
}

#[cfg(test)]
mod tests;
