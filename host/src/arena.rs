//! The memory of one call: all that passes between host and plugin. It is freed at once when the
//! result is encoded. Must not know what is in it.
//!
//! A thread keeps its arena between calls, so that a small call allocates nothing.

use bumpalo::Bump;
use std::cell::Cell;

/// A call's memory. All that it gives is borrowed from it.
pub type Arena = Bump;

/// What a thread keeps between calls.
const KEPT_BYTES_MAX: usize = 256 << 10;

thread_local! {
    static KEPT: Cell<Option<Arena>> = const { Cell::new(None) };
}

/// Runs `work` with an empty arena. A call within a call gets an arena of its own.
#[inline]
pub fn with<R>(work: impl FnOnce(&Arena) -> R) -> R {
    let kept = KEPT.try_with(Cell::take).ok().flatten();
    let mut arena = kept.unwrap_or_default();
    arena.set_allocation_limit(None);
    let result = work(&arena);
    arena.reset();
    if arena.allocated_bytes() <= KEPT_BYTES_MAX {
        // The thread may be past its thread-locals' end: then the arena just goes.
        let _ = KEPT.try_with(|slot| slot.set(Some(arena)));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_use_and_large_use_are_apart() {
        with(|outer| {
            let text = outer.alloc_str("outer");
            with(|inner| {
                inner.alloc_slice_fill_copy(2 * KEPT_BYTES_MAX, 1u8);
            });
            assert_eq!(text, "outer");
        });
        with(|arena| assert!(arena.allocated_bytes() <= KEPT_BYTES_MAX));
    }
}
