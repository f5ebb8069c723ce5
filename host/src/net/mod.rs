//! The network side: sockets, TLS, HTTP framing and the one bounded worker pool.
//!
//! A **gate** stands before everything: it accepts, does TLS, enforces every limit and deadline, and vets and completes
//! each request. A few reactors do that for all connections, and never wait but for events. What is complete goes to the worker
//! pool: calls straight (the **direct lane**), and everything else through tiny_http, written anew, over a private Unix socket. Knows
//! no XML, no registry and no plugins: what answers is a [`Handler`].
//!
//! `listener` accepts, if `places` has a place, from what `unix` or it has bound or was `handed` over; a `reactor` has each
//! `connection` go on when its `stream` or its `timers` say so; `framing` tells requests apart, which `head` and `claims` vet; a
//! `request` goes to the `crew` of the `pool`, straight or by the `lane` to the `upstream`; a `call` knows who waits for it, and a
//! `reply` is what comes back. The `service` is what connections share; `pulse` shows that the threads come round.

mod budget;
mod buffer;
mod call;
mod claims;
mod connection;
mod crew;
mod framing;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod handed;
mod head;
mod lane;
mod listener;
mod places;
mod pool;
mod progress;
mod pulse;
mod reactor;
mod reply;
mod request;
mod seldom;
mod service;
mod stream;
mod timers;
pub mod tls;
mod unix;
mod upstream;

pub use budget::Budget;
pub use handed::Handed;
pub use pulse::{Pulse, Woken};
pub use unix::UnixAccess;

use crate::limits::Limits;
use crate::pause::Pause;
use crate::request::Request;
use crate::web::{Begun, Response};
use listener::{Acceptor, Listener};
use places::Places;
use pool::{Pool, Workers};
use reactor::{Message, Reactor};
use service::Service;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Descriptors that are left for plugins, logs and whatever else is not a client's connection.
const DESCRIPTORS_KEPT: usize = 64;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// HTTPS on an address; port 0 picks a free one.
    Https(SocketAddr),
    /// Plain HTTP on an address; port 0 picks a free one.
    Http(SocketAddr),
    /// Plain HTTP on a Unix socket. A stale socket file is replaced.
    Unix(PathBuf),
}

impl Bind {
    /// Whether both cannot be bound at once.
    fn clashes_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(path), Self::Unix(other)) => {
                matches!((std::path::absolute(path), std::path::absolute(other)), (Ok(path), Ok(other)) if path == other)
            }
            (Self::Https(address) | Self::Http(address), Self::Https(other) | Self::Http(other)) => {
                address == other && address.port() != 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Https(address) => write!(f, "https://{address}/RPC2"),
            Self::Http(address) => write!(f, "http://{address}/RPC2"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Whether these can be bound beside those that were handed over, as far as can be said without trying.
///
/// # Errors
/// One whose place another has, or whose path is too long.
pub fn check(binds: &[Bind], handed: &[Bind]) -> Result<(), String> {
    for (number, bind) in binds.iter().enumerate() {
        if let Bind::Unix(path) = bind {
            unix::check(path).map_err(|why| format!("cannot listen on {bind}: {why}"))?;
        }
        if let Some(other) = binds.iter().take(number).chain(handed).find(|other| other.clashes_with(bind)) {
            return Err(format!("{bind} would listen where {other} listens already: leave one of them out"));
        }
    }
    Ok(())
}

/// What answers requests.
pub trait Handler: Send + Sync {
    /// Answers one, however long it takes.
    ///
    /// # Errors
    /// It has to wait: it is to be asked again once the pause is over.
    fn respond(&self, request: &Request) -> Result<Response, Pause>;

    /// Answers one if nothing has to be waited for, else says what is to be done for its answer.
    fn begin(&self, request: Request) -> Begun;

    /// Answers a request that was not answered by its deadline, and whose id is this.
    fn overdue(&self, id: &str) -> Response;

    /// Answers a request whose response is too large for the memory that this setting leaves, and whose
    /// id is this. The request may have been executed.
    fn unsendable(&self, id: &str, setting: &str) -> Response;
}

/// How to serve.
pub struct Settings<'a> {
    /// What HTTPS listeners shake hands with.
    pub tls: Option<&'a Arc<tls::Tls>>,
    /// A directory to which only this server's user may write.
    pub private: &'a Path,
    /// How many threads may run plugins' code at a time.
    pub workers: usize,
    /// And how many of them are started as soon as they are needed. Others are when calls do not get on.
    pub workers_freely: usize,
    /// Threads that serve connections.
    pub reactors: usize,
    /// Whether calls go to the workers without passing through tiny_http.
    pub direct_lane: bool,
    /// The memory budget, which the handler uses too.
    pub budget: &'a Arc<Budget>,
    /// Every limit.
    pub limits: &'a Limits,
}

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
    /// The limit of open files leaves none for connections.
    Descriptors,
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
            Self::Descriptors => f.write_str(
                "the limit of open files leaves none for connections: raise it with ulimit -n or LimitNOFILE=",
            ),
            Self::Thread(source) => write!(f, "cannot start a thread: {source}"),
            Self::DevelopmentCertificate { path, why } => {
                write!(f, "development certificate {}: {why}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {}

/// Listening sockets that nobody serves yet: who connects waits.
pub struct Listeners(Vec<Listener>);

/// Running listeners, connections and workers.
pub struct Front {
    urls: Vec<String>,
    acceptor: Acceptor,
    reactors: Vec<Reactor>,
    service: Arc<Service>,
    lane: lane::Threads,
    workers: Workers,
    _certificates: Option<tls::Watch>,
}

/// Binds these and takes those that were handed over. Starts no thread. Unix sockets that are bound here get this mode and owner.
///
/// # Errors
/// The first address that cannot be bound.
pub fn bind(binds: &[Bind], handed: Vec<Handed>, unix: UnixAccess) -> Result<Listeners, Error> {
    let mut listeners = binds.iter().map(|bind| Listener::bind(bind, unix)).collect::<Result<Vec<_>, _>>()?;
    listeners.extend(handed.into_iter().map(Listener::take));
    Ok(Listeners(listeners))
}

/// Serves listeners.
///
/// # Errors
/// One of them needs a certificate that is not there, or a thread cannot be started.
pub fn start(
    Listeners(listeners): Listeners,
    settings: &Settings<'_>,
    handler: Arc<dyn Handler>,
) -> Result<Front, Error> {
    /// Beside the direct lane, tiny_http has little to do.
    const CARRIERS: usize = 2;
    let Settings { tls, private, workers, workers_freely, reactors, direct_lane, budget, limits } = *settings;
    let workers = workers.max(1);
    if let Some(listener) = listeners.iter().find(|listener| tls.is_none() && listener.needs_tls()) {
        return Err(Error::Tls(format!("{} needs a certificate: give --cert and --key", listener.url())));
    }
    let urls = listeners.iter().map(|listener| listener.url().to_owned()).collect();
    let pool = Pool::start([workers_freely, workers], limits, Arc::clone(&handler))?;
    let crew = pool.workers();
    let carriers = if direct_lane { CARRIERS } else { workers };
    let (way_in, lane) = lane::start(private, carriers, limits, &pool)?;
    let service =
        Arc::new(Service::new(limits.clone(), Arc::clone(budget), handler, pool, way_in, direct_lane));
    let start = |number| Reactor::start(number, Arc::clone(&service)).map_err(Error::Thread);
    let reactors = (0..reactors.max(1)).map(start).collect::<Result<Vec<_>, _>>()?;
    let certificates =
        tls.map(|tls| tls::Watch::start(Arc::clone(tls), limits.certificate_rescan())).transpose()?;
    let descriptors = descriptors();
    if descriptors == 0 {
        return Err(Error::Descriptors);
    }
    if descriptors < limits.connections_max {
        log::warn!(
            "the limit of open files leaves {descriptors} connections of connections_max, which is {}: raise it with ulimit -n or LimitNOFILE=",
            limits.connections_max
        );
    }
    let places = Arc::new(Places::new(limits, descriptors));
    let inboxes: Vec<_> = reactors.iter().map(|reactor| Arc::clone(&reactor.inbox)).collect();
    if let Some(tls) = tls {
        let inboxes = inboxes.clone();
        tls.on_outdated(move || inboxes.iter().for_each(|inbox| inbox.push(Message::Reassess)));
    }
    let acceptor = Acceptor::start(listeners, tls.cloned(), places, inboxes, Arc::clone(&service))
        .map_err(Error::Thread)?;
    Ok(Front { urls, acceptor, reactors, service, lane, workers: crew, _certificates: certificates })
}

impl Front {
    /// Where each listener is reached, in the order of the binds.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// What shows whether it is alive.
    pub fn pulse(&self) -> Pulse {
        let reactors = self.reactors.iter().map(|reactor| reactor.inbox.turns());
        Pulse::new(reactors.chain([self.acceptor.turns()]))
    }

    /// Answers what has come, takes no more, and ends. `false` when calls were still running at the deadline.
    pub fn drain(self, deadline: Instant) -> bool {
        self.acceptor.stop();
        self.service.drain();
        for reactor in &self.reactors {
            reactor.inbox.push(Message::Drain(deadline));
        }
        let mut are_answered = true;
        for reactor in self.reactors {
            are_answered &= reactor.join();
        }
        // With the service goes the way into the lane, and with the lane that into the pool.
        drop(self.service);
        let is_lane_done = self.lane.stop(deadline);
        self.workers.join(deadline) && is_lane_done && are_answered
    }
}

/// Waits for threads that are about to end. `false` when some had not at the deadline.
fn join_all(threads: Vec<JoinHandle<()>>, deadline: Instant) -> bool {
    /// How often they are asked whether they have ended.
    const POLL: Duration = Duration::from_millis(5);
    while threads.iter().any(|thread| !thread.is_finished()) {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(POLL);
    }
    threads.into_iter().all(|thread| thread.join().is_ok())
}

/// How many descriptors connections may have.
fn descriptors() -> usize {
    use rustix::process::{Resource, getrlimit};
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    limit.saturating_sub(open + DESCRIPTORS_KEPT)
}
