//! The network side: sockets, TLS, HTTP framing and the one bounded worker pool.
//!
//! A **gate** stands before tiny_http: it accepts, does TLS, enforces every limit and deadline, and vets and completes
//! each request before tiny_http sees it, written anew, over a private Unix socket. tiny_http's requests feed the
//! worker pool. When too many wait the answer is 503 at once. Knows no XML, no registry and no plugins: what answers is
//! a function.
//!
//! `listener` accepts; `connection` is the gate; `inbound` reads requests from a `stream`, `head` and `claims` vet them;
//! `upstream` leads to tiny_http and `workers` from it to the handler.

mod claims;
mod connection;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod head;
mod inbound;
mod listener;
mod stream;
pub mod tls;
mod upstream;
mod workers;

pub use listener::Bind;

use crate::limits::Limits;
use crate::web::{Request, Response};
use connection::Gate;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use upstream::Upstream;
use workers::Workers;

/// What answers a request.
pub type Handler = dyn Fn(&Request) -> Response + Send + Sync;

/// Why a listener could not serve.
#[derive(Debug)]
pub enum Error {
    /// The address or path could not be bound.
    Bind {
        /// What was to be bound.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificate or key cannot be used.
    Tls(String),
    /// A thread could not be started.
    Thread(std::io::Error),
    /// The development certificate could not be read or written.
    DevelopmentCertificate {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { what, source } => {
                let remedy = match source.kind() {
                    std::io::ErrorKind::AddrInUse => "end what listens there, or name another",
                    std::io::ErrorKind::PermissionDenied => "this user may not; name another",
                    _ => "name another",
                };
                write!(f, "cannot listen on {what}: {source}; {remedy}")
            }
            Self::Tls(why) => f.write_str(why),
            Self::Thread(source) => write!(f, "cannot start a thread: {source}"),
            Self::DevelopmentCertificate { path, why } => {
                write!(f, "development certificate {}: {why}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {}

/// Running listeners, connections and workers.
pub struct Front {
    urls: Vec<String>,
    gate: Arc<Gate>,
    accepting: Vec<JoinHandle<()>>,
    workers: Workers,
    _certificates: Option<tls::Watch>,
}

/// Binds all listeners, then serves them. Nothing is served when one of them cannot be.
///
/// `private` is a directory to which only this server's user may write.
///
/// # Errors
/// The first address that cannot be bound, or the certificate that cannot be used.
pub fn start(
    binds: &[Bind],
    tls: Option<&Arc<tls::Tls>>,
    private: &Path,
    workers: usize,
    limits: &Limits,
    handler: Arc<Handler>,
) -> Result<Front, Error> {
    let workers = workers.max(1);
    let listeners =
        binds.iter().map(|bind| listener::Listener::bind(bind, tls)).collect::<Result<Vec<_>, _>>()?;
    let urls = listeners.iter().map(|listener| listener.url().to_owned()).collect();
    let (upstream, server) = Upstream::start(private, workers, limits.queue_len_max)?;
    let workers = workers::start(server, workers, limits, &handler)?;
    let gate = Arc::new(Gate::new(upstream, limits.clone()));
    let certificates =
        tls.map(|tls| tls::Watch::start(Arc::clone(tls), limits.certificate_rescan())).transpose()?;
    let accepting = listeners.into_iter().map(|listener| listener::serve(listener, Arc::clone(&gate)));
    let accepting = accepting.collect::<Result<_, _>>()?;
    Ok(Front { urls, accepting, gate, workers, _certificates: certificates })
}

impl Front {
    /// Where each listener is reached, in the order of the binds.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Answers what has come, takes no more, and ends. `false` when calls were still running at the deadline.
    pub fn drain(self, deadline: Instant) -> bool {
        let drained = self.gate.drain(deadline);
        let joined = self.accepting.into_iter().all(|thread| thread.join().is_ok());
        self.workers.stop(deadline) && drained && joined
    }
}
