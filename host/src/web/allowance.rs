//! The time and memory that one request may use until it is answered.
//!
//! Memory is reserved before it is allocated: for the inflated body, the converted text, the
//! decoded values, the results of a batch, and the encoded and compressed response. The first 64
//! KiB of a call are free. All of it is returned when the response is ready; the connection's
//! share then covers the response.
//!
//! An exhausted budget gives 503, and a reservation that could never fit gives 413. If only the
//! response does not fit, the call was executed and gets fault -32002.

use super::response::Response;
use crate::cancellation::Cancellation;
use crate::memory::{Claim, Memory};
use crate::request::Request;
use crate::xmlrpc::{Resources, Stop};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a reservation failed.
#[derive(Clone, Copy)]
enum Refused {
    /// Others use the memory.
    ForNow,
    /// There is less, even when no others use it.
    Forever,
}

/// Memory of a decoded call that waits for its turn. It is returned on drop.
pub(super) struct Kept {
    memory: Arc<dyn Memory>,
    bytes: usize,
}

impl Kept {
    /// Reserves so much.
    ///
    /// # Errors
    /// Others use the memory; gives the response.
    pub(super) fn take(memory: &Arc<dyn Memory>, bytes: usize) -> Result<Self, Response> {
        if !memory.take(bytes) {
            return Err(Response::crowded());
        }
        Ok(Self { memory: Arc::clone(memory), bytes })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.memory.give_back(self.bytes);
    }
}

/// One request's deadline and its share of the memory budget, which is returned on drop.
pub(super) struct Allowance<'a> {
    claim: Claim<'a>,
    /// What the last reservation that failed is answered with.
    refused: Cell<Option<Refused>>,
    body_bytes: usize,
    deadline: Instant,
    cancellation: &'a Cancellation,
}

impl<'a> Allowance<'a> {
    pub(super) fn new(request: &'a Request, call_max: Duration, memory: &'a dyn Memory) -> Self {
        Self {
            claim: Claim::new(memory),
            refused: Cell::new(None),
            body_bytes: request.body.capacity(),
            deadline: request.arrived + call_max,
            cancellation: &request.cancellation,
        }
    }

    /// The response to a request that could not be read because a reservation failed.
    pub(super) fn refused(&self) -> Option<Response> {
        Some(match self.refused.get()? {
            Refused::ForNow => Response::crowded(),
            Refused::Forever => {
                let why = "Request too large: reading it takes more memory than all requests may \
                           use (bodies_bytes_max).";
                Response::text(413, why)
            }
        })
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
        // Asked now: what the request uses is given back before the refusal is answered. The
        // connection holds the memory for the body.
        let is_possible = self.claim.is_possible(bytes, self.body_bytes);
        self.refused.set(Some(if is_possible { Refused::ForNow } else { Refused::Forever }));
        Err(Stop::Crowded)
    }

    fn give_back(&self, bytes: usize) {
        self.claim.give_back(bytes);
    }
}
