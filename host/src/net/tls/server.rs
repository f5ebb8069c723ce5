//! The TLS contexts in use, and how they are replaced.
//!
//! - When client requirements change, the acceptor is built again and saved sessions are lost.
//!   OpenSSL does not verify a client's certificate again when it resumes a session.
//! - Connections of the old acceptor close once they are idle. Nothing else would end the access
//!   of a client whose certificate was revoked.
//! - The acceptor is also built again each day, so a stolen ticket key opens no older traffic.
//!   That closes no connection and reads no files: the process may no longer be able to read them.

use super::context::{self, Hosts};
use super::identity::Identity;
use super::name::ClientName;
use super::peer::{self, Clients};
use super::settings::Settings;
use super::stamps::Stamps;
use crate::net::error::Error;
use arc_swap::ArcSwap;
use openssl::ssl::{SslAcceptor, SslRef};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long one key encrypts tickets. A stolen key reads no connection that was resumed before.
const TICKET_KEYS_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// What listeners shake hands with at this moment.
pub struct Tls {
    current: ArcSwap<Context>,
    state: Mutex<State>,
    /// Tells the reactors that some of their connections are outdated.
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

/// What handshakes are made with. Its certificates change; what it asks of clients, and its
/// sessions, do not.
pub(in crate::net) struct Context {
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

pub(super) struct State {
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
        Self {
            current: ArcSwap::from_pointee(context),
            state: Mutex::new(state),
            tell: OnceLock::new(),
        }
    }

    /// Has this called whenever contexts become outdated. The first who asks is told.
    pub(in crate::net) fn on_outdated(&self, tell: impl Fn() + Send + Sync + 'static) {
        self.tell.get_or_init(|| Box::new(tell));
    }

    /// From now on shakes hands with this.
    pub fn replace(&self, ready: Ready) {
        self.take(&mut self.lock(), ready);
    }

    /// What to shake hands with now.
    pub(in crate::net) fn context(&self) -> Arc<Context> {
        self.current.load_full()
    }

    /// Reads the files when they have changed since they were read and rest since the `last` look:
    /// certificate and key come one after the other. What they look like now is for the next look.
    pub(super) fn look(&self, last: Option<Stamps>) -> Stamps {
        let mut state = self.lock();
        let now = Stamps::of(&state.settings);
        if now != state.seen && last.as_ref() == Some(&now) {
            match Ready::new(state.settings.clone()) {
                Ok(ready) => {
                    self.take(&mut state, ready);
                    log::info!(
                        "the certificates have changed, and new handshakes get the new ones"
                    );
                }
                Err(error) => {
                    // One line for each change.
                    state.seen = now.clone();
                    log::error!("new certificates: {error}; those before stay in use");
                }
            }
        } else if state.has_old_keys()
            && let Err(error) = self.renew(&mut state)
        {
            log::error!("no new keys for session tickets: {error}; those before stay in use");
        }
        now
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

    /// The same certificates with new keys for tickets. The files may be out of this server's reach
    /// by now.
    pub(super) fn renew(&self, state: &mut State) -> Result<(), Error> {
        // Also when it fails: the next try is not at the next look.
        state.keyed = Instant::now();
        let is_outdated = Arc::clone(&self.current.load().is_outdated);
        self.current.store(Arc::new(Context { is_outdated, ..state.material.context()? }));
        Ok(())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
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
        let identities =
            settings.certificates.iter().map(Identity::read).collect::<Result<Vec<_>, _>>()?;
        for (files, identity) in settings.certificates.iter().zip(&identities) {
            if let Some(complaint) = identity.complaint() {
                log::warn!(
                    "the certificate {} {complaint}; it is served all the same",
                    files.cert.display()
                );
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
    pub(in crate::net) const fn acceptor(&self) -> &SslAcceptor {
        &self.acceptor
    }

    /// Whether something else is asked of clients by now: who was let in might not be, or under
    /// another name.
    pub(in crate::net) fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Acquire)
    }

    /// The client's name after a handshake: from its verified certificate, or `None` without one.
    ///
    /// # Errors
    /// A certificate that does not name anybody now. A handshake lets it through only when it
    /// resumes a session that began before the certificate expired.
    pub(in crate::net) fn caller_name(&self, ssl: &SslRef) -> Result<String, &'static str> {
        self.client_name.map_or_else(|| Ok(String::new()), |kind| peer::caller_name(ssl, kind))
    }
}
