//! Calls of methods that promise to be quick, and whether they are.
//!
//! A call's own time is all but the time in which its thread waited for a processor. Processor time
//! would not do, because a method that sleeps holds up the reactor too.
//!
//! Two moderate overruns close together are needed, because a virtual machine can lose its
//! processors for milliseconds and no clock in it shows that. On one such machine, a method of
//! nanoseconds seemed to take up to 8 ms, about once in tens of thousands of calls.

use super::concurrency::Concurrency;
use super::invocation::Invocation;
use super::single::{check_answered, counted};
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
    /// None if the method makes no promise or broke it, may not be called, or is being replaced,
    /// and if the call is late. The workers' path answers those.
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
        let watch = Watch::start();
        if watch.begun >= invocation.context.deadline {
            return None;
        }
        Some(Self { found, invocation, concurrency, watch, _inside: inside.flatten() })
    }

    /// Makes the call. The result may be in this arena.
    ///
    /// # Errors
    /// Those of the method, and of the limits of calls.
    #[inline]
    pub fn answer<'b>(&'b self, arena: &'b Arena) -> Result<Answer<'b>, Fault> {
        let Invocation { params, context, .. } = *self.invocation;
        counted(self.found, params, arena, context, self.concurrency)
    }

    /// The answer is written. If all that took too long, the method may not be taken for quick
    /// any more.
    ///
    /// # Errors
    /// The call's deadline has passed, and this is the answer.
    #[inline]
    pub fn end(self) -> Result<(), Fault> {
        let ended = Instant::now();
        self.watch.stop(self.found, ended);
        check_answered(self.invocation.context, ended)
    }
}

/// Looks at the time that one call takes.
struct Watch {
    begun: Instant,
    /// How long the thread had waited for a processor by then.
    waited: Option<Duration>,
}

impl Watch {
    #[inline]
    fn start() -> Self {
        let now = Instant::now();
        let looked = Waits::with(|waits| waits.shortly_before(now));
        looked.map_or(Self { begun: now, waited: None }, |(waited, begun)| Self {
            begun,
            waited: Some(waited),
        })
    }

    /// The call has ended. If it took too long, its method may not be taken for quick any more.
    #[inline]
    fn stop(&self, method: &Method, ended: Instant) {
        if ended <= self.begun + QUICK_MAX {
            method.promise.keep();
        } else {
            self.judge(method, ended.saturating_duration_since(self.begun));
        }
    }

    #[cold]
    fn judge(&self, method: &Method, taken: Duration) {
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

    /// How long the thread stood still because others ran, which no method can help. That may
    /// include [`QUICK_MAX`] before the call.
    fn waits_within(&self) -> Duration {
        let now = Waits::with(|waits| waits.now(Instant::now()));
        now.zip(self.waited).map_or(Duration::ZERO, |(now, before)| now.saturating_sub(before))
    }
}

/// Counts a call of so much time of its own. `true` when its method cannot be taken for quick any
/// more.
fn is_broken_by(promise: &Promise, own: Duration) -> bool {
    if own <= QUICK_MAX {
        promise.keep();
        return false;
    }
    own > SLOW_MAX || promise.doubt()
}

/// What Linux tells of how long this thread has waited for a processor:
/// `/proc/thread-self/schedstat`.
///
/// A slow call cannot be judged without what was read before it. Reading takes longer than a quick
/// call, so a thread reads once in [`QUICK_MAX`] at most, and only when it makes such calls.
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

    /// The wait so far, read at most [`QUICK_MAX`] before `now`, and the moment at which a call
    /// begins. That is `now`, but comes after the reading if one is needed, because others may run
    /// while the thread reads.
    #[inline]
    fn shortly_before(&mut self, now: Instant) -> Option<(Duration, Instant)> {
        match self.read {
            Some((read, waited)) if now.saturating_duration_since(read) <= QUICK_MAX => {
                Some((waited, now))
            }
            _ => Some((self.now(now)?, Instant::now())),
        }
    }

    /// `moment` is now.
    #[cold]
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

    #[test]
    fn two_calls_within_a_hundred_break_the_promise_and_a_much_longer_one_alone() {
        const MORE: Duration = Duration::from_nanos(1);
        let promise = Promise::new(true);
        let call = |own| is_broken_by(&promise, own);
        assert!(!call(QUICK_MAX + MORE));
        assert!((0..100).all(|_| !call(QUICK_MAX)));
        assert!(!call(SLOW_MAX), "the one before is forgotten");
        assert!((0..99).all(|_| !call(QUICK_MAX)));
        assert!(call(QUICK_MAX + MORE));
        assert!(is_broken_by(&Promise::new(true), SLOW_MAX + MORE));
    }
}
