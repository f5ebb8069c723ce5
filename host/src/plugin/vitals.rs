//! What is counted of one generation's calls, and when it has panicked so often that it is taken out of service.
//!
//! Every call passes here, on any thread. One that ends with a result reads two atomics and adds to a third, which all
//! threads share; a fault adds to one more. Only a panic takes a lock.

use crate::limits::Limits;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One generation's counters. They outlive it in the status, which does not keep it alive.
#[derive(Debug)]
pub(super) struct Vitals {
    calls: AtomicU64,
    faults: AtomicU64,
    /// Panics since the last call that ended in order. Written by such a call only when it is not zero.
    panics_in_row: AtomicU32,
    /// When those panics were: at most `panics_max`.
    panics: Mutex<VecDeque<Instant>>,
    is_poisoned: AtomicBool,
    panics_max: u32,
    window: Duration,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With a result.
    Result,
    /// With a fault: the plugin works, and says no.
    Fault,
    /// With a panic.
    Panic,
}

impl Vitals {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            panics_in_row: AtomicU32::new(0),
            panics: Mutex::default(),
            is_poisoned: AtomicBool::new(false),
            panics_max: limits.panics_max.max(1),
            window: Duration::from_millis(limits.panics_ms_max),
        }
    }

    /// Whether it is out of service: no call enters it any more.
    #[inline]
    pub(super) fn is_poisoned(&self) -> bool {
        self.is_poisoned.load(Ordering::Relaxed)
    }

    /// Calls that entered the plugin and came back.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Those of them that ended with a fault or a panic.
    pub(super) fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// Panics in a row that take a generation out of service.
    pub(super) const fn panics_max(&self) -> u32 {
        self.panics_max
    }

    /// Counts a call. True for the one panic that takes the generation out of service.
    #[inline]
    pub(super) fn ended(&self, outcome: Outcome) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if outcome != Outcome::Result {
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
        if outcome == Outcome::Panic {
            return self.panicked(Instant::now());
        }
        if self.panics_in_row.load(Ordering::Relaxed) != 0 {
            self.panics_in_row.store(0, Ordering::Relaxed);
        }
        false
    }

    fn panicked(&self, now: Instant) -> bool {
        // Only numbers and moments change under the lock, so what a panic leaves there is whole.
        let mut panics = self.panics.lock().unwrap_or_else(PoisonError::into_inner);
        if self.panics_in_row.load(Ordering::Relaxed) == 0 {
            panics.clear();
        }
        panics.push_back(now);
        panics.retain(|panic| now.saturating_duration_since(*panic) <= self.window);
        let in_row = u32::try_from(panics.len()).unwrap_or(u32::MAX);
        self.panics_in_row.store(in_row, Ordering::Relaxed);
        if in_row < self.panics_max {
            return false;
        }
        panics.pop_front();
        !self.is_poisoned.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vitals(panics_max: u32) -> Vitals {
        Vitals::new(&Limits { panics_max, panics_ms_max: 60_000, ..Limits::default() })
    }

    #[test]
    fn so_many_panics_in_a_row_and_not_one_less() {
        let vitals = vitals(3);
        let outcomes = [Outcome::Panic, Outcome::Panic, Outcome::Result, Outcome::Panic, Outcome::Panic];
        for outcome in outcomes.into_iter().chain([Outcome::Fault, Outcome::Panic, Outcome::Panic]) {
            assert!(!vitals.ended(outcome) && !vitals.is_poisoned(), "{outcome:?}");
        }
        assert!(vitals.ended(Outcome::Panic) && vitals.is_poisoned());
        assert!(!vitals.ended(Outcome::Panic), "it is said once");
        assert_eq!((vitals.calls(), vitals.faults()), (10, 9));
    }

    #[test]
    fn panics_further_apart_than_the_window_do_not_add_up() {
        let (vitals, start) = (vitals(2), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        assert!(!vitals.panicked(start));
        assert!(!vitals.panicked(after(60_001)));
        assert!(!vitals.panicked(after(120_002)));
        assert!(vitals.panicked(after(120_003)));
    }

    #[test]
    fn nothing_grows_without_end() {
        let vitals = vitals(2);
        for _ in 0..100 {
            vitals.ended(Outcome::Panic);
        }
        assert!(vitals.panics.lock().unwrap().len() <= 2);
    }
}
