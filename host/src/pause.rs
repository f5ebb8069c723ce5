//! A pause that calls wait for, without a thread each. Must not know why there is one.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A time that calls wait for. All clones are of the same one.
#[derive(Clone)]
pub struct Pause(Arc<Mutex<Option<Vec<Waiter>>>>);

/// Goes on with a call.
type Waiter = Box<dyn FnOnce(Resumed) + Send>;

/// Why a call that waited goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// The pause is over: look again.
    Over,
    /// It cannot wait: too many wait already.
    Refused,
}

impl Pause {
    /// One that has begun.
    pub fn begin() -> Self {
        Self(Arc::new(Mutex::new(Some(Vec::new()))))
    }

    /// A pause that is over: a caller that gets it looks again at once.
    pub fn over() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }

    /// Ends it: all who wait go on.
    pub fn end(&self) {
        for waiter in self.lock().take().into_iter().flatten() {
            waiter(Resumed::Over);
        }
    }

    /// Has `waiter` run once the pause is over: at once when it is, or when `waiters_max` wait
    /// already.
    pub fn then(&self, waiters_max: usize, waiter: impl FnOnce(Resumed) + Send + 'static) {
        let mut waiting = self.lock();
        let resumed = match &mut *waiting {
            None => Resumed::Over,
            Some(waiters) if waiters.len() >= waiters_max => Resumed::Refused,
            Some(waiters) => return waiters.push(Box::new(waiter)),
        };
        drop(waiting);
        waiter(resumed);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Waiter>>> {
        // Nothing panics under the lock, so a poisoned list is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pause").field("waiting", &self.lock().as_ref().map(Vec::len)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_wait_go_on_in_order_and_those_who_may_not_at_once() {
        let pause = Pause::begin();
        let told = Arc::new(Mutex::new(Vec::new()));
        let wait = |number| {
            let told = Arc::clone(&told);
            pause.then(2, move |resumed| told.lock().unwrap().push((number, resumed)));
        };
        (1..=3).for_each(wait);
        assert_eq!(*told.lock().unwrap(), [(3, Resumed::Refused)]);
        pause.end();
        wait(4);
        let rest = [(1, Resumed::Over), (2, Resumed::Over), (4, Resumed::Over)];
        assert_eq!(told.lock().unwrap()[1..], rest);
    }
}
