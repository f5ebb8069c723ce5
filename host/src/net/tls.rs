//! TLS: the certificates that listeners shake hands with, and how these change while the server runs.
//!
//! A [`Tls`] is made from [`Settings`], which are paths. When a file changes or an operator asks, all are read anew, and what
//! they have takes the old one's place in one step: handshakes that begin then get it, and no connection notices. Files that
//! cannot be used change nothing. Sessions and connections outlive new certificates of the server's, and end when anything changes that
//! is asked of clients. Knows no sockets and no HTTP.
//!
//! `files` reads; `identity` is a certificate and its key; `peer` is what is asked of clients, and `name`
//! reads their names; `context` makes OpenSSL's side of all that; `watch` looks at the files.

mod context;
mod development;
mod files;
mod identity;
mod name;
mod peer;
#[cfg(test)]
mod trials;
mod watch;

pub use development::development_certificate;
pub use name::ClientName;
pub use peer::ClientAuth;
pub(super) use watch::Watch;

use super::Error;
use arc_swap::ArcSwap;
use context::Hosts;
use identity::Identity;
use openssl::ssl::{SslAcceptor, SslRef};
use peer::Clients;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use watch::Stamps;

/// Most bytes that one record carries (RFC 8446, section 5.1).
pub(super) const RECORD_BYTES_MAX: usize = 16 << 10;
/// Most bytes that encryption adds to them: a header, and 256 (RFC 8446, section 5.2). The ciphers that are left of TLS 1.2 add less.
pub(super) const RECORD_ADDED_BYTES_MAX: usize = 5 + 256;
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

/// All files that these name.
pub fn files<'a>(
    certificates: &'a [CertificateFiles],
    clients: Option<&'a ClientAuth>,
) -> impl Iterator<Item = &'a Path> {
    let certificates = certificates
        .iter()
        .flat_map(|files| [Some(&files.cert), Some(&files.key), files.key_passphrase_file.as_ref()]);
    let clients = clients.into_iter().flat_map(|clients| [Some(&clients.ca), clients.crl.as_ref()]);
    certificates.chain(clients).flatten().map(AsRef::as_ref)
}

/// What listeners shake hands with at this moment.
pub struct Tls {
    current: ArcSwap<Context>,
    state: Mutex<State>,
    /// Tells whoever has connections that some of them are outdated.
    tell: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// Settings whose files were read and can be used: nothing of what is still to do can fail.
pub struct Ready {
    settings: Settings,
    /// What the files looked like before they were read.
    seen: Stamps,
    material: Material,
    context: Context,
}

/// What handshakes are made with. Its certificates change; what it asks of clients, and its sessions, do not.
pub(super) struct Context {
    acceptor: SslAcceptor,
    hosts: Arc<ArcSwap<Hosts>>,
    client_name: Option<ClientName>,
    /// Something else is asked of clients by now. One for all contexts that ask the same.
    is_outdated: Arc<AtomicBool>,
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
    /// When the keys for tickets were made, or were to be.
    keyed: Instant,
}

impl Ready {
    /// Reads the files.
    ///
    /// # Errors
    /// The file that cannot be used, and why.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let seen = Stamps::of(&settings);
        let material = Material::read(&settings)?;
        let context = material.context()?;
        Ok(Self { settings, seen, material, context })
    }
}

impl Tls {
    /// Shakes hands with this.
    pub fn new(ready: Ready) -> Self {
        let Ready { settings, seen, material, context } = ready;
        let state = State { settings, material, seen, keyed: Instant::now() };
        Self { current: ArcSwap::from_pointee(context), state: Mutex::new(state), tell: OnceLock::new() }
    }

    /// Has this called whenever contexts become outdated. The first who asks is told.
    pub(super) fn on_outdated(&self, tell: impl Fn() + Send + Sync + 'static) {
        self.tell.get_or_init(|| Box::new(tell));
    }

    /// From now on shakes hands with this.
    pub fn replace(&self, ready: Ready) {
        self.take(&mut self.lock(), ready);
    }

    /// What to shake hands with now.
    pub(super) fn context(&self) -> Arc<Context> {
        self.current.load_full()
    }

    fn take(&self, state: &mut State, ready: Ready) {
        let Ready { settings, seen, material, context } = ready;
        if state.material.clients == material.clients {
            // Sessions go on: what their clients have proven is what would be asked of them now.
            self.current.load().hosts.store(context.hosts.load_full());
        } else {
            let before = self.current.swap(Arc::new(context));
            before.is_outdated.store(true, Ordering::Release);
            state.keyed = Instant::now();
            if let Some(tell) = self.tell.get() {
                tell();
            }
        }
        state.settings = settings;
        state.seen = seen;
        state.material = material;
    }

    /// The same certificates with new keys for tickets. The files may be out of this server's reach by now.
    fn renew(&self, state: &mut State) -> Result<(), Error> {
        // Also when it fails: the next try is not at the next look.
        state.keyed = Instant::now();
        let is_outdated = Arc::clone(&self.current.load().is_outdated);
        self.current.store(Arc::new(Context { is_outdated, ..state.material.context()? }));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_old_keys(&self) -> bool {
        self.keyed.elapsed() >= TICKET_KEYS_LIFE
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
        let clients = self.clients.as_ref();
        let made = Hosts::new(&self.identities, clients).and_then(|hosts| {
            let hosts = Arc::new(ArcSwap::from_pointee(hosts));
            let acceptor = context::acceptor(clients, Arc::clone(&hosts))?;
            let client_name = clients.map(|clients| clients.name);
            Ok(Context { acceptor, hosts, client_name, is_outdated: Arc::default() })
        });
        made.map_err(|error| Error::Tls(format!("the certificate cannot be served: {error}")))
    }
}

impl Context {
    pub(super) const fn acceptor(&self) -> &SslAcceptor {
        &self.acceptor
    }

    /// Whether something else is asked of clients by now: who was let in might not be, or under another name.
    pub(super) fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Acquire)
    }

    /// Who is at the other end after a handshake: the name in a verified certificate, or nothing for whoever showed none.
    ///
    /// # Errors
    /// A certificate that does not name anybody now. A handshake lets it through only when it resumes a session that began
    /// before the certificate expired.
    pub(super) fn caller_name(&self, ssl: &SslRef) -> Result<String, &'static str> {
        self.client_name.map_or_else(|| Ok(String::new()), |kind| peer::caller_name(ssl, kind))
    }
}

#[cfg(test)]
mod tests;
