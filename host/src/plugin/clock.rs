//! Moments and waits.

use std::time::{Duration, Instant};

/// A moment so far that a longer wait means the same; clocks cannot add without end.
const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);

/// `after` a moment, or very far from it when the configured time is longer than a clock can tell.
pub(crate) fn later(moment: Instant, after: Duration) -> Instant {
    moment + after.min(FAR)
}
