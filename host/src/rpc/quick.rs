//! Calls of methods that promise to be quick, and whether they are.
//!
//! Two moderate overruns close together are needed, because a virtual machine can lose its
//! processors for milliseconds and no clock in it shows that. On one such machine, a method of
//! nanoseconds seemed to take up to 8 ms, about once in tens of thousands of calls. Processor time
//! does not help: `getrusage` is as old as the last tick for a running thread.

use super::concurrency::Concurrency;
use super::invocation::Invocation;
use super::single::invoke;
use crate::arena::Arena;
use crate::registry::{Answer, Inside, Method, Promise, Snapshot};
use crate::xmlrpc::Fault;
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

/// A call that takes longer, with writing its answer, was not quick.
const QUICK_MAX: Duration = Duration::from_millis(1);
/// A call that takes longer breaks the promise alone. A shorter one may be the machine's doing,
/// which on a virtual one can stand still for milliseconds unseen: it breaks the promise when
/// another of the next hundred calls is not quick either.
const SLOW_MAX: Duration = Duration::from_millis(50);

/// A call of a method that keeps its promise. What is done until its end counts as its time: the
/// call itself, and writing the answer.
pub struct QuickCall<'a> {
    found: &'a Method,
    invocation: &'a Invocation<'a>,
    concurrency: &'a Concurrency,
    watch: Watch,
    _inside: Option<Inside>,
}

impl<'a> QuickCall<'a> {
    /// None if the method makes no promise or broke it, may not be called, or is being replaced.
    #[inline]
    pub(super) fn begin(
        snapshot: &'a Snapshot,
        invocation: &'a Invocation<'a>,
        concurrency: &'a Concurrency,
    ) -> Option<Self> {
        let found = snapshot.get(invocation.method).filter(|found| found.promise.holds())?;
        if !invocation.permit.allows(invocation.method) {
            return None;
        }
        // Nothing waits here: a closed gate is for the workers' path.
        let inside = match &found.gate {
            Some(gate) => Some(gate.enter().ok()?),
            None => None,
        };
        let watch = Watch::start(&found.promise);
        Some(Self { found, invocation, concurrency, watch, _inside: inside.flatten() })
    }

    /// Makes the call. The result may be in this arena.
    ///
    /// # Errors
    /// Those of the method, and of the limits of calls.
    #[inline]
    pub fn answer<'b>(&'b self, arena: &'b Arena) -> Result<Answer<'b>, Fault> {
        let Invocation { params, context, .. } = *self.invocation;
        invoke(self.found, params, arena, context, self.concurrency)
    }

    /// The answer is written. If all that took too long, the method may not be taken for quick
    /// any more.
    #[inline]
    pub fn end(self) {
        self.watch.stop(self.found);
    }
}

/// Looks at the time that one call takes.
struct Watch {
    begun: Instant,
    /// How long the thread had waited for a processor at that time, or a little earlier. Known only
    /// for a method that was slow shortly before, because reading it takes as long as a quick call.
    waited: Option<Duration>,
}

impl Watch {
    fn start(promise: &Promise) -> Self {
        let begun = Instant::now();
        let waited = if promise.is_watched() {
            Waits::with(|waits| waits.shortly_before(begun))
        } else {
            None
        };
        Self { begun, waited }
    }

    /// The call is done. If it took too long, its method may not be taken for quick any more.
    fn stop(&self, method: &Method) {
        let taken = self.begun.elapsed();
        if taken <= QUICK_MAX {
            return method.promise.keep();
        }
        let own = taken.saturating_sub(self.waits_within());
        if is_broken_by(&method.promise, own) && method.promise.break_for_good() {
            log::warn!(
                "method {} is flagged quick and took {} microseconds: the workers answer it from \
                 now on",
                method.info.name,
                own.as_micros()
            );
        }
    }

    /// How long the thread stood still because others ran, which no method can help.
    ///
    /// If the method was not watched, all that the thread waited since the last look counts. So a
    /// call may be excused wrongly, but never blamed wrongly, and the next calls are watched.
    fn waits_within(&self) -> Duration {
        let waits = Waits::with(|waits| {
            let before = self.waited.or_else(|| waits.last()).unwrap_or_default();
            Some(waits.now(Instant::now())?.saturating_sub(before))
        });
        waits.unwrap_or_default()
    }
}

/// Judges a slow call by its own time. `true` when its method cannot be taken for quick any more.
fn is_broken_by(promise: &Promise, own: Duration) -> bool {
    if own <= QUICK_MAX {
        promise.excuse();
        return false;
    }
    own > SLOW_MAX || promise.doubt()
}

/// What Linux tells of how long this thread has waited for a processor:
/// `/proc/thread-self/schedstat`. Reading it for each call would cost more than the call does.
struct Waits {
    file: File,
    read: Option<(Instant, Duration)>,
}

impl Waits {
    /// None where Linux does not tell.
    fn with<R>(ask: impl FnOnce(&mut Self) -> Option<R>) -> Option<R> {
        thread_local! {
            static OWN: RefCell<Option<Waits>> = RefCell::new(Waits::open());
        }
        OWN.with_borrow_mut(|waits| waits.as_mut().and_then(ask))
    }

    fn open() -> Option<Self> {
        Some(Self { file: File::open("/proc/thread-self/schedstat").ok()?, read: None })
    }

    /// What was last read. Nothing before that: a thread begins without having waited.
    fn last(&self) -> Option<Duration> {
        self.read.map(|(_, waited)| waited)
    }

    /// At most [`QUICK_MAX`] before `moment`, which is now.
    fn shortly_before(&mut self, moment: Instant) -> Option<Duration> {
        match self.read {
            Some((read, waited)) if moment.saturating_duration_since(read) <= QUICK_MAX => {
                Some(waited)
            }
            _ => self.now(moment),
        }
    }

    /// `moment` is now.
    fn now(&mut self, moment: Instant) -> Option<Duration> {
        /// Three numbers of 64 bits, in decimal.
        const BYTES_MAX: usize = 64;
        let mut bytes = [0; BYTES_MAX];
        let count = self.file.read_at(&mut bytes, 0).ok()?;
        let text = std::str::from_utf8(bytes.get(..count)?).ok()?;
        let waited = Duration::from_nanos(text.split_whitespace().nth(1)?.parse().ok()?);
        self.read = Some((moment, waited));
        Some(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MORE: Duration = Duration::from_nanos(1);

    #[test]
    fn two_calls_within_a_hundred_break_the_promise_and_a_much_longer_one_alone() {
        let promise = Promise::new(true);
        let slow = |own| is_broken_by(&promise, own);
        assert!(!slow(QUICK_MAX + MORE));
        (0..100).for_each(|_| promise.keep());
        assert!(!slow(SLOW_MAX), "the one before is forgotten");
        (0..99).for_each(|_| promise.keep());
        assert!(slow(QUICK_MAX + MORE));
        assert!(is_broken_by(&Promise::new(true), SLOW_MAX + MORE));
    }

    #[test]
    fn time_that_others_took_breaks_no_promise() {
        let promise = Promise::new(true);
        assert!((0..3).all(|_| !is_broken_by(&promise, QUICK_MAX)));
        assert!(!is_broken_by(&promise, QUICK_MAX + MORE), "the first that counts");
        assert!(!is_broken_by(&promise, QUICK_MAX), "an excuse does not count");
        assert!(is_broken_by(&promise, QUICK_MAX + MORE), "nor does it forget");
    }

    #[test]
    fn the_calls_after_a_slow_one_are_watched() {
        let promise = Promise::new(true);
        assert_eq!(Watch::start(&promise).waited, None);
        let can_look = Waits::with(|waits| waits.now(Instant::now())).is_some();
        for own in [QUICK_MAX, QUICK_MAX + MORE] {
            assert!(!is_broken_by(&promise, own));
            for _ in 0..100 {
                assert_eq!(Watch::start(&promise).waited.is_some(), can_look);
                promise.keep();
            }
            assert_eq!(Watch::start(&promise).waited, None);
        }
    }

    #[test]
    fn waits_since_the_last_look_excuse_a_call_that_was_not_watched() {
        let look = || Waits::with(|waits| waits.now(Instant::now()));
        let Some(all) = look() else { return };
        // As if all waits of this thread had come after the last look.
        Waits::with(|waits| waits.read.replace((Instant::now(), Duration::ZERO)));
        let begun = Instant::now();
        assert!(Watch { begun, waited: None }.waits_within() >= all);
        let waited = look();
        let since = Watch { begun, waited }.waits_within();
        assert!(waited.is_some_and(|before| look().is_some_and(|now| since <= now - before)));
    }
}
