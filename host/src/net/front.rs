//! Starts and drains the network side: listeners, reactors, workers and the relay.

use super::bind::Bind;
use super::conn::connection_limits::ConnectionLimits;
use super::conn::heartbeat::Heartbeat;
use super::conn::reactor::{Message, Reactor};
use super::conn::service::Service;
use super::error::Error;
use super::handler::Handler;
use super::listen::acceptor::{Acceptor, Listener};
use super::listen::inherited::InheritedSocket;
use super::relay::carriers;
use super::tls;
use super::unix::UnixAccess;
use super::workers::pool::{Count, Pool, Workers};
use crate::limits::Limits;
use crate::net::body_budget::Budget;
use crate::queue::{Key, Rules};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Descriptors that are left for plugins, logs and whatever else is not a client's connection.
const DESCRIPTORS_KEPT: usize = 64;

/// How to serve.
pub struct Settings<'a> {
    /// What HTTPS listeners shake hands with.
    pub tls: Option<&'a Arc<tls::Tls>>,
    /// A directory to which only this server's user may write.
    pub private: &'a Path,
    /// How many threads may run one plugin's code at a time.
    pub workers: usize,
    /// And how many of them are started as soon as they are needed. Others are when calls do not
    /// get on.
    pub workers_freely: usize,
    /// How queues share the workers, where they differ from the default.
    pub queues: HashMap<Key, Rules>,
    /// Threads that serve connections.
    pub reactors: usize,
    /// Whether calls go to the workers without passing through tiny_http.
    pub direct_lane: bool,
    /// The memory budget, which the handler uses too.
    pub budget: &'a Arc<Budget>,
    /// Every limit.
    pub limits: &'a Limits,
}

/// Listening sockets that nobody serves yet: who connects waits.
pub struct Listeners(Vec<Listener>);

/// Running listeners, connections and workers.
pub struct Front {
    urls: Vec<String>,
    acceptor: Acceptor,
    reactors: Vec<Reactor>,
    service: Arc<Service>,
    relay: carriers::Threads,
    workers: Workers,
    _certificates: Option<tls::Watch>,
}

/// Binds these and takes those that were handed over. Starts no thread. Unix sockets that are bound
/// here get this mode and owner.
///
/// # Errors
/// The first address that cannot be bound.
pub fn bind(
    binds: &[Bind],
    inherited: Vec<InheritedSocket>,
    unix: UnixAccess,
) -> Result<Listeners, Error> {
    let mut listeners =
        binds.iter().map(|bind| Listener::bind(bind, unix)).collect::<Result<Vec<_>, _>>()?;
    listeners.extend(inherited.into_iter().map(Listener::take));
    Ok(Listeners(listeners))
}

/// Serves listeners.
///
/// # Errors
/// One of them needs a certificate that is not there, or a thread cannot be started.
pub fn start(
    Listeners(listeners): Listeners,
    settings: Settings<'_>,
    handler: Arc<dyn Handler>,
) -> Result<Front, Error> {
    /// Beside the direct lane, tiny_http has little to do.
    const CARRIERS: usize = 2;
    let Settings { tls, private, reactors, direct_lane, budget, limits, queues, .. } = settings;
    let reactors = reactors.max(1);
    let workers = settings.workers.max(1);
    if let Some(listener) = listeners.iter().find(|listener| tls.is_none() && listener.needs_tls())
    {
        return Err(Error::Tls(format!(
            "{} needs a certificate: give --cert and --key",
            listener.url()
        )));
    }
    let urls = listeners.iter().map(|listener| listener.url().to_owned()).collect();
    let count = Count { workers, freely: settings.workers_freely, decoders: reactors };
    let pool = Pool::start(count, limits)?;
    pool.set_rules(queues);
    let threads = pool.workers();
    let carriers = if direct_lane { CARRIERS } else { workers };
    let (relay, relay_threads) =
        carriers::start(private, carriers, limits, &pool, Arc::clone(&handler))?;
    let service = Arc::new(Service::new(
        limits.clone(),
        Arc::clone(budget),
        handler,
        pool,
        relay,
        direct_lane,
    ));
    let start = |number| Reactor::start(number, Arc::clone(&service)).map_err(Error::Thread);
    let reactors = (0..reactors).map(start).collect::<Result<Vec<_>, _>>()?;
    let certificates = tls
        .map(|tls| tls::Watch::start(Arc::clone(tls), limits.certificate_rescan()))
        .transpose()?;
    let descriptors = descriptors();
    if descriptors == 0 {
        return Err(Error::Descriptors);
    }
    if descriptors < limits.connections_max {
        log::warn!(
            "the limit of open files leaves {descriptors} connections of connections_max, which is \
             {}: raise it with ulimit -n or LimitNOFILE=",
            limits.connections_max
        );
    }
    let slots = Arc::new(ConnectionLimits::new(limits, descriptors));
    let inboxes: Vec<_> = reactors.iter().map(|reactor| Arc::clone(&reactor.inbox)).collect();
    if let Some(tls) = tls {
        let inboxes = inboxes.clone();
        tls.on_outdated(move || inboxes.iter().for_each(|inbox| inbox.push(Message::Reassess)));
    }
    let acceptor = Acceptor::start(listeners, tls.cloned(), slots, inboxes, Arc::clone(&service))
        .map_err(Error::Thread)?;
    Ok(Front {
        urls,
        acceptor,
        reactors,
        service,
        relay: relay_threads,
        workers: threads,
        _certificates: certificates,
    })
}

impl Front {
    /// Where each listener is reached, in the order of the binds.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Holds queues to these rules from now on, and calls that wait too.
    pub fn set_queues(&self, rules: HashMap<Key, Rules>) {
        self.service.pool().set_rules(rules);
    }

    /// What shows whether it is alive.
    pub fn heartbeat(&self) -> Heartbeat {
        let reactors = self.reactors.iter().map(|reactor| reactor.inbox.beat());
        Heartbeat::new(reactors.chain([self.acceptor.beat()]))
    }

    /// Answers what has come, takes no more, and ends. `false` when calls were still running at the
    /// deadline.
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
        // With the service goes the way into the relay, and with the relay that into the pool.
        drop(self.service);
        let is_relay_done = self.relay.stop(deadline);
        self.workers.join(deadline) && is_relay_done && are_answered
    }
}

/// How many descriptors connections may have.
fn descriptors() -> usize {
    use rustix::process::{Resource, getrlimit};
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    limit.saturating_sub(open + DESCRIPTORS_KEPT)
}
