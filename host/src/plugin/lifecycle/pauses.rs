//! The pauses of calls that wait for a replacement. Must not know what they wait for.

use crate::pause::Pause;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The pauses of this moment. Those that last too long are ended by another thread than the loader,
/// which may be held up by a plugin's code.
#[derive(Default)]
pub(crate) struct Pauses(Mutex<Vec<(Instant, Pause)>>);

impl Pauses {
    pub(crate) fn add(&self, until: Instant, pause: Pause) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((until, pause));
    }

    /// Has those look again who have waited for too long.
    pub(crate) fn end_overdue(&self) {
        let now = Instant::now();
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let overdue: Vec<_> = pauses.extract_if(.., |(until, _)| *until <= now).collect();
        drop(pauses);
        overdue.iter().for_each(|(_, pause)| pause.end());
    }
}
