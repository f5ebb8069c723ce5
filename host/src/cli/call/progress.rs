//! Shows the progress of many calls.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};

/// Fewer calls than this are made before anybody asks how far they are.
const SHOWN_CALLS_MIN: usize = 1_000;

/// A bar on standard error, if that is a terminal and the calls are many.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(calls: usize) -> Self {
        if calls < SHOWN_CALLS_MIN || !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let total = u64::try_from(calls).unwrap_or(u64::MAX);
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        // A template that is wrong leaves the style that is there.
        if let Ok(style) =
            ProgressStyle::with_template("{wide_bar} {pos}/{len} calls, {per_sec}, {eta} left")
        {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// So many calls more are done.
    pub(super) fn add(&self, calls: usize) {
        self.0.inc(u64::try_from(calls).unwrap_or(u64::MAX));
    }

    /// Writes something else, which may go to the same terminal.
    pub(super) fn aside<R>(&self, write: impl FnOnce() -> R) -> R {
        self.0.suspend(write)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
