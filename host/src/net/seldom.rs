//! Log lines that many connections could cause at once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// From one such line to the next.
const WAIT: Duration = Duration::from_secs(10);

/// Allows one line of a kind per [`WAIT`].
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether a line may be logged now. If so, further ones may not for a while.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= WAIT);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_allowed_at_a_time() {
        let (seldom, now) = (Seldom::default(), Instant::now());
        assert!(seldom.allows(now));
        assert!(!seldom.allows(now) && !seldom.allows(now + WAIT / 2));
        assert!(seldom.allows(now + WAIT) && !seldom.allows(now + WAIT));
    }
}
