//! The network side: sockets, TLS, HTTP framing and the one bounded worker pool.
//!
//! tiny_http reads requests; each becomes a [`Request`] in the pool's queue, and a worker answers it. When the
//! queue is full the answer is 503 at once. Knows no XML, no registry and no plugins: what answers is a function.
//!
//! tiny_http does the TLS handshake on its accept thread and has no timeouts, so these listeners are for
//! trusted clients: see "Known problems" in the crate's documentation.

mod body;
mod listener;
pub mod tls;
mod workers;

pub use listener::Bind;

use crate::limits::Limits;
use crate::web::{Request, Response};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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
                write!(f, "cannot listen on {what}: {source}; free the address or name another")
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

/// Running listeners and their workers.
pub struct Front {
    urls: Vec<String>,
    draining: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Binds all listeners, then serves them. Nothing is served when one of them cannot be.
///
/// # Errors
/// The first address that cannot be bound, or the certificate that cannot be used.
pub fn start(
    binds: &[Bind],
    identity: Option<&tls::Identity>,
    workers: usize,
    limits: &Limits,
    handler: Arc<Handler>,
) -> Result<Front, Error> {
    let listeners =
        binds.iter().map(|bind| listener::Listener::bind(bind, identity)).collect::<Result<Vec<_>, _>>()?;
    let urls = listeners.iter().map(|listener| listener.url().to_owned()).collect();
    let draining = Arc::new(AtomicBool::new(false));
    let (queue, mut threads) = workers::start(workers, limits, &handler)?;
    for listener in listeners {
        threads.push(listener::serve(listener, queue.clone(), draining.clone())?);
    }
    Ok(Front { urls, draining, threads })
}

impl Front {
    /// Where each listener is reached, in the order of the binds.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Answers what has been accepted, takes no more, and ends. `false` when calls were still running at the
    /// deadline.
    pub fn drain(self, deadline: Instant) -> bool {
        /// How often the threads are asked whether they have ended.
        const POLL: Duration = Duration::from_millis(5);
        self.draining.store(true, Ordering::Release);
        while self.threads.iter().any(|thread| !thread.is_finished()) {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(POLL);
        }
        self.threads.into_iter().all(|thread| thread.join().is_ok())
    }
}
