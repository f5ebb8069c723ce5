//! Callers in good standing: the plugin answered them, and no call of theirs panicked since.
//!
//! Every answer is noted here, so it takes no lock and writes only what is new: a caller is one
//! number in one place of a table. A caller whose place another one took is unknown again.

use super::caller::Caller;
use foldhash::quality::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

/// Callers in good standing that are remembered for each generation; 8 bytes each.
const KNOWN_CALLERS_MAX: usize = 1_024;

#[derive(Debug)]
pub(super) struct Known {
    /// Keyed, so that nobody can choose an address that takes another caller's place.
    hasher: RandomState,
    /// Hashes of callers, or 0.
    places: Box<[AtomicU64]>,
}

impl Known {
    pub(super) fn new() -> Self {
        let places = (0..KNOWN_CALLERS_MAX).map(|_| AtomicU64::new(0)).collect();
        Self { hasher: RandomState::default(), places }
    }

    #[inline]
    pub(super) fn add(&self, caller: &Caller) {
        let (place, hash) = self.find(caller);
        if place.load(Ordering::Relaxed) != hash {
            place.store(hash, Ordering::Relaxed);
        }
    }

    pub(super) fn contains(&self, caller: &Caller) -> bool {
        let (place, hash) = self.find(caller);
        place.load(Ordering::Relaxed) == hash
    }

    /// Forgets a caller. Returns whether it was known.
    pub(super) fn remove(&self, caller: &Caller) -> bool {
        let (place, hash) = self.find(caller);
        place.compare_exchange(hash, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.iter().all(|place| place.load(Ordering::Relaxed) == 0)
    }

    fn find(&self, caller: &Caller) -> (&AtomicU64, u64) {
        let hash = self.hasher.hash_one(caller).max(1);
        let index = usize::try_from(hash % KNOWN_CALLERS_MAX as u64).unwrap_or_default();
        #[expect(clippy::indexing_slicing, reason = "there are KNOWN_CALLERS_MAX places")]
        let place = &self.places[index];
        (place, hash)
    }
}
