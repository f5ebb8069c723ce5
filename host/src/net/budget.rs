//! Memory for bodies, over all connections: each is bounded by itself, and thousands together would not be. Knows no connections.

use crate::web::Memory;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So much of each connection does not count: small requests are served whatever the large ones take.
const FREE_BYTES: usize = 64 << 10;

/// What all connections and their calls may take together.
#[derive(Debug)]
pub struct Budget {
    taken: AtomicUsize,
    bytes_max: usize,
}

/// What one connection takes of it, until this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    taken: usize,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), bytes_max })
    }

    /// Nothing of it.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), taken: 0 }
    }
}

impl Memory for Budget {
    fn take(&self, bytes: usize) -> bool {
        let fits = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= self.bytes_max);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}

impl Share {
    /// Takes nothing from now on.
    pub(super) fn give_back(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if taken > 0 {
            self.budget.give_back(taken);
        }
    }

    /// From now on it takes so many bytes. `false`, and nothing has changed, when that is more than there are.
    #[must_use]
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        let wanted = bytes.saturating_sub(FREE_BYTES);
        if wanted > self.taken {
            if !self.budget.take(wanted - self.taken) {
                return false;
            }
        } else if wanted < self.taken {
            self.budget.give_back(self.taken - wanted);
        }
        self.taken = wanted;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_held_to_what_there_is() {
        let budget = Budget::new(100);
        let (mut one, mut two) = (budget.share(), budget.share());
        assert!(one.resize(FREE_BYTES) && two.resize(FREE_BYTES), "that is free");
        assert!(one.resize(FREE_BYTES + 60));
        assert!(!two.resize(FREE_BYTES + 41));
        assert!(two.resize(FREE_BYTES + 40));
        assert!(!one.resize(FREE_BYTES + 61) && !one.resize(usize::MAX));
        assert!(one.resize(10));
        assert!(two.resize(FREE_BYTES + 100));
        drop(two);
        assert!(one.resize(FREE_BYTES + 100));
        drop(one);
        assert_eq!(budget.taken.load(Ordering::Relaxed), 0);
    }
}
