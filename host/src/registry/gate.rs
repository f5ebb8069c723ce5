//! A gate before an instance that may have to end before its successor begins.
//!
//! A call **enters** before it invokes and leaves afterwards, so that the owner knows when no call
//! runs. A closed gate gives the caller a [`Pause`]. Nothing was executed, and after the pause the
//! caller starts again with the current snapshot. So a stale snapshot never leads to an instance
//! that has ended.
//!
//! - A batch enters all its gates before its first entry, or none.
//! - Calls of other plugins may hold snapshots for long. They do not delay the drain, because only
//!   callers inside the gate count.
//! - Plugins that are not replaced exclusively have no gate. Their calls pay for one check of an
//!   `Option`.

use crate::pause::Pause;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Counts the calls of one instance and can be closed.
pub struct Gate {
    state: Mutex<State>,
    /// Runs each time the last call leaves a closed gate, on the thread of that call.
    on_drained: Box<dyn Fn() + Send + Sync>,
}

struct State {
    inside: usize,
    closed: Option<Closed>,
}

struct Closed {
    pause: Pause,
    /// From this moment on calls do not wait any more. None: they never wait for long.
    until: Option<Instant>,
}

/// A call that has entered, until this is dropped.
#[derive(Debug)]
pub struct Inside(Arc<Gate>);

impl Gate {
    /// An open gate.
    pub fn new(on_drained: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        let state = Mutex::new(State { inside: 0, closed: None });
        Arc::new(Self { state, on_drained: Box::new(on_drained) })
    }

    /// Lets a call in. `None` when the gate has been closed for too long: invoking the
    /// instance is then a fault.
    ///
    /// # Errors
    /// The gate is closed: nothing may be invoked before the pause is over.
    pub fn enter(self: &Arc<Self>) -> Result<Option<Inside>, Pause> {
        let mut state = self.lock();
        match &state.closed {
            None => {
                state.inside += 1;
                Ok(Some(Inside(Arc::clone(self))))
            }
            Some(Closed { until: Some(until), .. }) if *until <= Instant::now() => Ok(None),
            Some(Closed { pause, .. }) => Err(pause.clone()),
        }
    }

    /// Counts a caller that has entered once more. `None` when the gate is closed and nobody is
    /// inside.
    pub fn hold(self: &Arc<Self>) -> Option<Inside> {
        let mut state = self.lock();
        if state.is_drained() {
            return None;
        }
        state.inside += 1;
        Some(Inside(Arc::clone(self)))
    }

    /// Lets no further call in. Those that come get this pause, until the given moment.
    pub fn close(&self, pause: Pause, until: Option<Instant>) {
        let mut state = self.lock();
        state.closed = Some(Closed { pause, until });
        if state.is_drained() {
            drop(state);
            (self.on_drained)();
        }
    }

    /// Lets calls in again.
    pub fn reopen(&self) {
        self.lock().closed = None;
    }

    /// Whether it is closed and no call is inside. This stays so until it is reopened.
    pub fn is_drained(&self) -> bool {
        self.lock().is_drained()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock, so a poisoned state is right.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn is_drained(&self) -> bool {
        self.inside == 0 && self.closed.is_some()
    }
}

impl Inside {
    /// Whether this call entered that gate.
    pub fn is_of(&self, gate: &Arc<Gate>) -> bool {
        Arc::ptr_eq(&self.0, gate)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.inside -= 1;
        if state.is_drained() {
            drop(state);
            (self.0.on_drained)();
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Gate")
            .field("inside", &state.inside)
            .field("is_closed", &state.closed.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn gate() -> (Arc<Gate>, Arc<AtomicUsize>) {
        let drained = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&drained);
        let on_drained = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        (Gate::new(on_drained), drained)
    }

    fn later() -> Option<Instant> {
        Some(Instant::now() + Duration::from_secs(600))
    }

    #[test]
    fn a_closed_gate_is_drained_once_the_last_call_has_left() {
        let (gate, drained) = gate();
        let (first, second) = (gate.enter().unwrap(), gate.enter().unwrap());
        gate.close(Pause::begin(), later());
        assert!(gate.enter().is_err());
        drop(first);
        assert!(!gate.is_drained());
        let held = gate.hold().expect("somebody is inside");
        drop(second);
        assert_eq!(drained.load(Ordering::Relaxed), 0);
        drop(held);
        assert!(gate.is_drained() && gate.hold().is_none());
        assert_eq!(drained.load(Ordering::Relaxed), 1);
        gate.reopen();
        assert!(gate.enter().unwrap().is_some());
    }

    #[test]
    fn an_empty_gate_is_drained_as_soon_as_it_is_closed() {
        let (gate, drained) = gate();
        drop(gate.enter().unwrap());
        assert_eq!(drained.load(Ordering::Relaxed), 0);
        gate.close(Pause::over(), None);
        assert_eq!(drained.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn calls_wait_no_longer_than_until_the_given_moment() {
        let (gate, _) = gate();
        gate.close(Pause::begin(), Some(Instant::now()));
        assert!(gate.enter().unwrap().is_none());
        gate.close(Pause::over(), None);
        assert!(gate.enter().is_err(), "and look again for as long as there is something to see");
    }
}
