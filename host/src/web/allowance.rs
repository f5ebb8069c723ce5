//! The time and memory that one request may use until it is answered.

use super::{Cancellation, Request, Response};
use crate::registry::{Claim, Memory};
use crate::xmlrpc::{Resources, Stop};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// One request's deadline and its share of the memory budget, which is returned on drop.
pub(super) struct Allowance<'a> {
    claim: Claim<'a>,
    /// The last reservation that failed.
    missing: Cell<Option<usize>>,
    body_bytes: usize,
    deadline: Instant,
    cancellation: &'a Cancellation,
}

impl<'a> Allowance<'a> {
    pub(super) fn new(request: &'a Request, call_max: Duration, memory: &'a dyn Memory) -> Self {
        Self {
            claim: Claim::new(memory),
            missing: Cell::new(None),
            body_bytes: request.body.capacity(),
            deadline: request.arrived + call_max,
            cancellation: &request.cancellation,
        }
    }

    /// Whether a reservation failed.
    pub(super) const fn is_crowded(&self) -> bool {
        self.missing.get().is_some()
    }

    /// The response to a request that could not be read because a reservation failed.
    pub(super) fn crowded(&self) -> Response {
        // The connection holds the memory for the body.
        if self.claim.is_possible(self.missing.get().unwrap_or_default(), self.body_bytes) {
            return Response::crowded();
        }
        let why =
            "Request too large: reading it takes more memory than all requests may use (bodies_bytes_max).";
        Response::text(413, why)
    }
}

impl Resources for Allowance<'_> {
    fn check(&self) -> Result<(), Stop> {
        let is_late = self.cancellation.is_cancelled() || Instant::now() >= self.deadline;
        if is_late { Err(Stop::Late) } else { Ok(()) }
    }

    fn take(&self, bytes: usize) -> Result<(), Stop> {
        if self.claim.take(bytes) {
            return Ok(());
        }
        self.missing.set(Some(bytes));
        Err(Stop::Crowded)
    }

    fn give_back(&self, bytes: usize) {
        self.claim.give_back(bytes);
    }
}
