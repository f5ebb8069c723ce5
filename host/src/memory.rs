//! The memory budget that all calls share. Must not know what the memory is for.

use std::cell::Cell;

/// A budget for bodies, documents and values, shared by all connections and calls.
pub trait Memory: Send + Sync {
    /// Reserves bytes. Returns `false` and changes nothing when too few are left.
    fn take(&self, bytes: usize) -> bool;

    /// Returns reserved bytes.
    fn give_back(&self, bytes: usize);

    /// The size of the budget.
    fn bytes_max(&self) -> usize;
}

/// A budget without a limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

impl Memory for Unlimited {
    fn take(&self, _: usize) -> bool {
        true
    }

    fn give_back(&self, _: usize) {}

    fn bytes_max(&self) -> usize {
        usize::MAX
    }
}

/// The first bytes of each call are free: small calls are served whatever large ones use, and pay
/// nothing for counting.
const FREE_BYTES: usize = 64 << 10;
/// Beyond that, memory is reserved in steps, so that few reservations touch the shared counter.
const STEP_BYTES: usize = 64 << 10;

/// One call's share of the budget, returned on drop.
pub struct Claim<'a> {
    memory: &'a dyn Memory,
    /// What the call has asked for.
    used: Cell<usize>,
    /// The bytes reserved for them.
    taken: Cell<usize>,
}

impl<'a> Claim<'a> {
    /// Nothing of it yet.
    pub const fn new(memory: &'a dyn Memory) -> Self {
        Self { memory, used: Cell::new(0), taken: Cell::new(0) }
    }

    /// Uses more bytes. Returns `false` and changes nothing when too few are left.
    pub fn take(&self, bytes: usize) -> bool {
        let used = self.used.get().saturating_add(bytes);
        let missing = counted(used).saturating_sub(self.taken.get());
        if missing > 0 {
            if !self.memory.take(missing) {
                return false;
            }
            self.taken.set(self.taken.get() + missing);
        }
        self.used.set(used);
        true
    }

    /// Uses fewer bytes.
    pub fn give_back(&self, bytes: usize) {
        let used = self.used.get().saturating_sub(bytes);
        self.used.set(used);
        let surplus = self.taken.get().saturating_sub(counted(used));
        if surplus > 0 {
            self.taken.set(self.taken.get() - surplus);
            self.memory.give_back(surplus);
        }
    }

    /// Whether the budget, unused by others, could hold `more` bytes for this call and `besides`.
    pub fn is_possible(&self, more: usize, besides: usize) -> bool {
        let wanted = self.used.get().saturating_add(more).saturating_add(besides);
        wanted.saturating_sub(FREE_BYTES) <= self.memory.bytes_max()
    }
}

/// The bytes to reserve for a call that uses `used`.
const fn counted(used: usize) -> usize {
    let bytes = used.saturating_sub(FREE_BYTES);
    match bytes.checked_next_multiple_of(STEP_BYTES) {
        Some(bytes) => bytes,
        None => bytes,
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let taken = self.taken.take();
        if taken > 0 {
            self.memory.give_back(taken);
        }
    }
}

/// A budget for tests.
#[cfg(test)]
pub(crate) struct Little {
    taken: std::sync::atomic::AtomicUsize,
    bytes_max: usize,
}

#[cfg(test)]
impl Little {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { taken: 0.into(), bytes_max }
    }

    /// The bytes that are reserved.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[cfg(test)]
impl Memory for Little {
    fn take(&self, bytes: usize) -> bool {
        use std::sync::atomic::Ordering::Relaxed;
        let fits = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= self.bytes_max);
        self.taken.fetch_update(Relaxed, Relaxed, fits).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        let before = self.taken.fetch_sub(bytes, std::sync::atomic::Ordering::Relaxed);
        assert!(before >= bytes, "{bytes} of {before}");
    }

    fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_take_steps_past_what_is_free_and_give_all_back() {
        let memory = Little::new(4 * STEP_BYTES);
        let (one, two) = (Claim::new(&memory), Claim::new(&memory));
        assert!(one.take(FREE_BYTES) && two.take(FREE_BYTES));
        assert_eq!(memory.taken(), 0);
        assert!(one.take(1));
        assert_eq!(memory.taken(), STEP_BYTES);
        assert!(one.take(STEP_BYTES - 1));
        assert_eq!(memory.taken(), STEP_BYTES);
        assert!(one.take(STEP_BYTES) && two.take(2 * STEP_BYTES));
        assert!(!two.take(1) && !one.take(usize::MAX));
        assert!(two.is_possible(2 * STEP_BYTES, 0) && !two.is_possible(2 * STEP_BYTES, 1));
        one.give_back(1);
        assert_eq!(memory.taken(), 4 * STEP_BYTES);
        one.give_back(STEP_BYTES - 1);
        assert_eq!(memory.taken(), 3 * STEP_BYTES);
        assert!(two.take(STEP_BYTES));
        drop(two);
        assert_eq!(memory.taken(), STEP_BYTES);
        one.give_back(usize::MAX);
        assert_eq!(memory.taken(), 0);
        assert!(one.take(FREE_BYTES + 1));
        drop(one);
        assert_eq!(memory.taken(), 0);
    }
}
