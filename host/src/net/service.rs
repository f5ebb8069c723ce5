//! What all connections share: the limits, and the ways to an answer.

use super::Handler;
use super::budget::{Budget, Exceeded, Share};
use super::call::{Call, Ticket};
use super::lane::Lane;
use super::pool::Pool;
use super::reply::Reply;
use super::seldom::Seldom;
use crate::limits::Limits;
use crate::request::Request;
use crate::web::{Begun, Response};
use smol_str::{SmolStr, format_smolstr};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Whatever answers, and within which limits.
pub(super) struct Service {
    limits: Limits,
    handler: Arc<dyn Handler>,
    pool: Pool,
    lane: Lane,
    /// Whether calls go straight to the pool.
    has_direct_lane: bool,
    is_draining: AtomicBool,
    ids: Ids,
    budget: Arc<Budget>,
    slow_clients: Seldom,
}

/// What has become of a request.
pub(super) enum Submitted {
    Answered(Reply),
    /// Its answer will come.
    Running(Arc<Call>),
}

impl Service {
    pub(super) fn new(
        limits: Limits,
        budget: Arc<Budget>,
        handler: Arc<dyn Handler>,
        pool: Pool,
        lane: Lane,
        has_direct_lane: bool,
    ) -> Self {
        Self {
            limits,
            budget,
            handler,
            pool,
            lane,
            has_direct_lane,
            is_draining: AtomicBool::new(false),
            ids: Ids::new(),
            slow_clients: Seldom::default(),
        }
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn handler(&self) -> &dyn Handler {
        &*self.handler
    }

    pub(super) const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Has a request answered: a call here and now if it is quick, else by the pool; and everything else through tiny_http.
    /// `ticket` is for an answer that is not there at once.
    pub(super) fn submit(&self, request: Request, ticket: impl FnOnce() -> Ticket) -> Submitted {
        let cancellation = request.cancellation.clone();
        let call = || Arc::new(Call::new(cancellation));
        if !self.has_direct_lane || request.head.method != "POST" {
            let (call, deadline) = (call(), request.arrived + self.limits.call_max());
            self.lane.submit(request, Arc::clone(&call), ticket(), deadline);
            return Submitted::Running(call);
        }
        match self.handler.begin(request) {
            Begun::Answered(response) => Submitted::Answered(response.into()),
            Begun::Unfinished(work) => {
                let call = call();
                self.pool.submit(work, Arc::clone(&call), ticket());
                Submitted::Running(call)
            }
        }
    }

    /// A connection's share of the memory for bodies.
    pub(super) fn share(&self, address: Option<IpAddr>) -> Share {
        self.budget.share(address)
    }

    /// Log lines about clients that do not take their responses.
    pub(super) const fn slow_clients(&self) -> &Seldom {
        &self.slow_clients
    }

    /// From now on connections end with their answers.
    pub(super) fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// A new request's number and name.
    pub(super) fn name_request(&self) -> (u64, SmolStr) {
        self.ids.next()
    }
}

/// What is answered at once when as many calls wait as may.
pub(super) fn overload() -> Response {
    let why = "Overloaded: all workers are busy and the queue is full. Try again in a moment.";
    Response::text(503, why).with_header("Retry-After", "1")
}

/// What is answered when as many calls wait for a plugin that is being replaced as may.
pub(super) fn waiting() -> Response {
    let why = "Overloaded: too many calls wait for a plugin that is being replaced. Try again in a moment.";
    Response::text(503, why).with_header("Retry-After", "1")
}

/// The response to a request whose body exceeds a limit of the memory for bodies.
pub(super) fn crowded(exceeded: Exceeded) -> Response {
    match exceeded {
        Exceeded::All => Response::crowded(),
        Exceeded::Address => {
            let why = "Overloaded: other large requests and responses of your address take its share of \
                       the memory for them (bodies_per_address_percent_max). Try again once they are done.";
            Response::text(503, why).with_header("Retry-After", "1")
        }
    }
}

/// What is answered when the requirements for clients changed while this one shook hands.
pub(super) fn outdated() -> Response {
    let why = "Unavailable: what is asked of clients changed during the TLS handshake. Connect again.";
    Response::text(503, why).with_header("Retry-After", "1")
}

/// What is answered when something within has failed.
pub(super) fn broken(id: &str) -> Response {
    log::error!("request {id}: no answer from within");
    let why = format!("Overloaded: the request could not be answered; the server's log has it under {id}.");
    Response::text(503, why).with_header("Retry-After", "1")
}

/// Names requests: unique in this process, and unlike those of the process before.
struct Ids {
    process: u64,
    next: AtomicU64,
}

impl Ids {
    fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { process: since_epoch.as_secs(), next: AtomicU64::new(1) }
    }

    fn next(&self) -> (u64, SmolStr) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number, format_smolstr!("{:x}-{number}", self.process))
    }
}
