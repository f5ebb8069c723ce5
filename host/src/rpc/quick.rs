//! Whether a method that promises to be quick is.

use crate::registry::Method;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use std::time::{Duration, Instant};

/// A call that takes longer, with writing its answer, was not quick.
const QUICK_MAX: Duration = Duration::from_millis(1);

/// Looks at the time that one call takes.
pub(super) struct Watch {
    begun: Instant,
    before: Option<Usage>,
}

impl Watch {
    pub(super) fn start() -> Self {
        Self { before: usage(), begun: Instant::now() }
    }

    /// The call is done. If it took too long, its method is not taken for quick any more.
    pub(super) fn stop(&self, method: &Method) {
        let taken = self.begun.elapsed();
        if taken <= QUICK_MAX || !self.was_its_own() || !method.promise.break_for_good() {
            return;
        }
        log::warn!(
            "method {} is flagged quick and took {} microseconds: the workers answer it from now on",
            method.info.name,
            taken.as_micros()
        );
    }

    /// Whether the time was the call's: it computed for so long, or it waited. On a busy machine a thread may also stand
    /// still because others run, which no method can help.
    fn was_its_own(&self) -> bool {
        let (Some(before), Some(after)) = (&self.before, usage()) else { return true };
        let computed = |usage: &Usage| (usage.user_time() + usage.system_time()).num_microseconds();
        let computed = computed(&after).saturating_sub(computed(before));
        after.voluntary_context_switches() > before.voluntary_context_switches()
            || u128::try_from(computed).is_ok_and(|computed| computed > QUICK_MAX.as_micros())
    }
}

fn usage() -> Option<Usage> {
    getrusage(UsageWho::RUSAGE_THREAD).ok()
}
