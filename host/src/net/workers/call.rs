//! One call between the gate and the workers, and whether a client still waits for it. Knows no
//! sockets.

use super::job_id::JobId;
use crate::cancellation::Cancellation;
use crate::net::body_budget::Share;
use crate::pause::Pause;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

const WAITING: u8 = 0;
const RUNNING: u8 = 1;
const ENDED: u8 = 2;
/// Nobody waits for it, and no worker has begun it.
const ABANDONED: u8 = 3;
/// Nobody waits for it, and a worker runs it.
const STUCK: u8 = 4;

/// How far a call is.
#[derive(Debug, Default)]
pub(crate) struct Call {
    state: AtomicU8,
    /// The id of its job in the pool.
    job: AtomicU64,
    pub(crate) cancellation: Cancellation,
    /// What its worker has told its carrier to wait for: tiny_http carries only bytes.
    pause: Mutex<Option<Pause>>,
    /// What its request takes of the memory for bodies, once its connection has gone on without it.
    share: Mutex<Option<Share>>,
}

impl Call {
    /// One that has not begun, and whose client is this one.
    pub(crate) fn new(cancellation: Cancellation) -> Self {
        Self { cancellation, ..Self::default() }
    }

    /// Notes the id of the job that is queued for it.
    pub(super) fn set_job(&self, id: JobId) {
        self.job.store(id.to_bits(), Ordering::Relaxed);
    }

    /// The id of the job that was queued for it last. Before the first, it is of no job.
    pub(super) fn job(&self) -> JobId {
        JobId::from_bits(self.job.load(Ordering::Relaxed))
    }

    /// A worker takes it. `false` when nobody waits for it any more.
    pub(crate) fn begin(&self) -> bool {
        self.change(WAITING, RUNNING)
    }

    /// A worker is done with it.
    pub(crate) fn end(&self) {
        self.state.store(ENDED, Ordering::Release);
    }

    /// Its worker leaves it, because it has to wait. `false` when nobody waits for it any more: the
    /// worker is to end it then.
    pub(crate) fn leave(&self) -> bool {
        self.change(RUNNING, WAITING)
    }

    /// Says what it has to wait for.
    pub(crate) fn pause(&self, pause: Pause) {
        *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = Some(pause);
    }

    /// What it has to wait for, once.
    pub(crate) fn take_pause(&self) -> Option<Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes over its request's share of the budget, because the request is in memory until the
    /// call ends.
    pub(crate) fn keep(&self, share: Share) {
        *self.share.lock().unwrap_or_else(PoisonError::into_inner) = Some(share);
    }

    /// Nobody waits for it from now on. `true` when its worker is stuck with it.
    pub(crate) fn abandon(&self) -> bool {
        self.cancellation.cancel();
        !self.change(WAITING, ABANDONED) && self.change(RUNNING, STUCK)
    }

    /// Whether nobody waits for it.
    pub(crate) fn is_abandoned(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), ABANDONED | STUCK)
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_nobody_waits_for_is_not_begun() {
        let call = Call::default();
        assert!(!call.abandon());
        assert!(call.cancellation.is_cancelled());
        assert!(!call.begin() && call.is_abandoned());
    }

    #[test]
    fn a_call_is_stuck_from_its_abandonment_to_its_end() {
        let call = Call::default();
        assert!(call.begin());
        assert!(call.abandon());
        assert!(!call.abandon(), "once");
        call.end();
        assert!(!call.abandon());
    }

    #[test]
    fn a_call_that_is_left_can_begin_again() {
        let call = Call::default();
        assert!(call.begin() && call.leave() && call.begin());
        assert!(call.abandon());
        assert!(!call.leave(), "its worker ends it");
    }

    #[test]
    fn a_call_that_has_ended_cannot_be_stuck() {
        let call = Call::default();
        assert!(call.begin());
        call.end();
        assert!(!call.abandon());
    }
}
