//! The counters of one generation's calls, and whether calls may enter it.
//!
//! Every call passes here, on any thread. While no panic is on record, a call that ends with a
//! result is cheap. It reads one atomic twice, looks its caller up in a table of atomics, and adds
//! to a counter that all threads share. A fault adds to one more. While a panic is on record,
//! calls take the lock of [`Breaker`].

use super::breaker::caller::Caller;
use super::breaker::{Breaker, Change, Closed, Entry};
use crate::limits::Limits;
use crate::registry::CallContext;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One generation's counters. They outlive it in the status, which does not keep it alive.
#[derive(Debug)]
pub(crate) struct Health {
    calls: AtomicU64,
    faults: AtomicU64,
    breaker: Breaker,
    panics_max: u32,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With a result.
    Result,
    /// With a fault: the plugin works, and says no.
    Fault,
    /// With a panic.
    Panic,
}

impl Health {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            breaker: Breaker::new(limits),
            panics_max: limits.panics_max.max(1),
        }
    }

    /// Whether it is out of service: only a trial call enters it now and then.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.breaker.is_open()
    }

    /// The time until the next trial call, when it is out of service.
    pub(crate) fn next_try(&self) -> Option<Duration> {
        self.breaker.next_try(Instant::now())
    }

    /// The number of callers that are refused because calls of theirs panicked.
    pub(crate) fn callers_refused(&self) -> usize {
        self.breaker.callers_refused(Instant::now())
    }

    /// Calls that entered the plugin and came back.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Those of them that ended with a fault or a panic.
    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// Callers whose panics in a row take a generation out of service.
    pub(crate) const fn panics_max(&self) -> u32 {
        self.panics_max
    }

    /// Lets a call in.
    ///
    /// # Errors
    /// It is closed to this caller or to everybody.
    #[inline]
    pub(crate) fn enter(&self, context: &CallContext) -> Result<Entry, Closed> {
        if self.breaker.is_calm() {
            return Ok(Entry::Usual);
        }
        self.breaker.enter(&Caller::of(context), Instant::now())
    }

    /// Counts a fault of a call that [`Health::ended`] counted with a result, which cannot be read.
    pub(crate) fn spoiled(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call that was let in. Returns what its end changes for later calls.
    #[inline]
    pub(crate) fn ended(
        &self,
        outcome: Outcome,
        entry: Entry,
        context: &CallContext,
    ) -> Option<Change> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if outcome != Outcome::Result {
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
        let is_panic = outcome == Outcome::Panic;
        let caller = Caller::of(context);
        if !is_panic && self.breaker.is_calm() {
            self.breaker.answered(&caller);
            return None;
        }
        self.breaker.ended(caller, entry, is_panic, Instant::now())
    }
}
