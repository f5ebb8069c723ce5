//! The state that all connections share: the limits, and the ways to a response.

use crate::limits::Limits;
use crate::net::body_budget::{Budget, Share};
use crate::net::handler::Handler;
use crate::net::http1::reply::Reply;
use crate::net::relay::carriers::Relay;
use crate::net::seldom::Seldom;
use crate::net::workers::call::Call;
use crate::net::workers::direct::Direct;
use crate::net::workers::pool::Pool;
use crate::net::workers::ticket::Ticket;
use crate::request::Request;
use crate::web::Begun;
use smol_str::{SmolStr, SmolStrBuilder, format_smolstr};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Whatever answers, and within which limits.
pub(crate) struct Service {
    limits: Limits,
    handler: Arc<dyn Handler>,
    pool: Pool,
    relay: Relay,
    /// Whether calls go straight to the pool.
    has_direct_lane: bool,
    is_draining: AtomicBool,
    ids: Ids,
    budget: Arc<Budget>,
    slow_clients: Seldom,
    refused_certificates: Seldom,
}

/// What has become of a request.
pub(crate) enum Submitted {
    Answered(Reply),
    /// Its answer will come.
    Running(Arc<Call>),
}

impl Service {
    pub(crate) fn new(
        limits: Limits,
        budget: Arc<Budget>,
        handler: Arc<dyn Handler>,
        pool: Pool,
        relay: Relay,
        has_direct_lane: bool,
    ) -> Self {
        Self {
            limits,
            budget,
            handler,
            pool,
            relay,
            has_direct_lane,
            is_draining: AtomicBool::new(false),
            ids: Ids::new(),
            slow_clients: Seldom::default(),
            refused_certificates: Seldom::default(),
        }
    }

    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn handler(&self) -> &dyn Handler {
        &*self.handler
    }

    pub(crate) const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Has a request answered: a call here and now if it is quick, else by the pool; and everything
    /// else through tiny_http. `ticket` is for an answer that is not there at once.
    pub(crate) fn submit(&self, request: Request, ticket: impl FnOnce() -> Ticket) -> Submitted {
        let cancellation = request.cancellation.clone();
        let call = || Arc::new(Call::new(cancellation));
        if !self.has_direct_lane || request.head.method != "POST" {
            let (call, deadline) = (call(), request.arrived + self.limits.call_max());
            self.relay.submit(request, Arc::clone(&call), ticket(), deadline);
            return Submitted::Running(call);
        }
        match self.handler.begin(request) {
            Begun::Answered(response) => Submitted::Answered(response.into()),
            Begun::Unfinished(work) => {
                let call = call();
                self.pool.submit(Box::new(Direct {
                    work,
                    call: Arc::clone(&call),
                    ticket: ticket(),
                }));
                Submitted::Running(call)
            }
        }
    }

    /// A connection's share of the memory for bodies.
    pub(crate) fn share(&self, address: Option<IpAddr>) -> Share {
        self.budget.share(address)
    }

    /// Log lines about clients that do not take their responses.
    pub(crate) const fn slow_clients(&self) -> &Seldom {
        &self.slow_clients
    }

    /// Log lines about clients whose certificate is refused when they resume a session.
    pub(crate) const fn refused_certificates(&self) -> &Seldom {
        &self.refused_certificates
    }

    /// From now on connections end with their answers.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// A new request's number and name.
    pub(crate) fn name_request(&self) -> (u64, SmolStr) {
        self.ids.next()
    }
}

/// Names requests: unique in this process, and unlike those of the process before.
struct Ids {
    /// What the ids of this process begin with.
    process: SmolStr,
    next: AtomicU64,
}

impl Ids {
    fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let process = format_smolstr!("{:x}-", since_epoch.as_secs());
        Self { process, next: AtomicU64::new(1) }
    }

    fn next(&self) -> (u64, SmolStr) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = SmolStrBuilder::new();
        id.push_str(&self.process);
        id.push_str(itoa::Buffer::new().format(number));
        (number, id.finish())
    }
}
