//! Counts the memory that a function allocates, which no result shows.
#![allow(
    unsafe_code,
    reason = "an allocator is one by an unsafe trait; each call is passed on as it came"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, which counts for each thread.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    // None has a destructor or is made when it is first used, so none allocates.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The allocations of a function on its thread.
pub(super) struct Used {
    /// The most bytes held at a time, beyond those held before.
    pub(super) peak: usize,
    /// All bytes that were allocated, also those that were freed.
    #[cfg_attr(not(test), expect(dead_code, reason = "targets are judged by the peak"))]
    pub(super) bytes: usize,
    /// The number of allocations.
    #[cfg_attr(not(test), expect(dead_code, reason = "targets are judged by the peak"))]
    pub(super) count: usize,
}

/// Runs a function and counts its allocations.
pub(super) fn used(run: impl FnOnce()) -> Used {
    let before = HELD.get();
    PEAK.set(before);
    let (bytes, count) = (ALLOCATED.get(), ALLOCATIONS.get());
    run();
    Used {
        peak: (PEAK.get() - before).unsigned_abs(),
        bytes: ALLOCATED.get().wrapping_sub(bytes),
        count: ALLOCATIONS.get().wrapping_sub(count),
    }
}

fn count(bytes: usize, sign: isize) {
    if sign > 0 {
        let _ = ALLOCATED.try_with(|allocated| allocated.set(allocated.get().wrapping_add(bytes)));
        let _ =
            ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get().wrapping_add(1)));
    }
    let bytes = isize::try_from(bytes).unwrap_or(isize::MAX);
    // A thread that ends may free what it held after these are gone.
    let counted = HELD.try_with(|held| {
        held.set(held.get().saturating_add(sign * bytes));
        held.get()
    });
    if let Ok(held) = counted {
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held)));
    }
}

// SAFETY: every call goes to the system's allocator, which keeps the contract; counting allocates
// nothing and cannot unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: passed on from this function's own contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: passed on from this function's own contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: passed on from this function's own contract.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(bytes, 1);
        // SAFETY: passed on from this function's own contract.
        unsafe { System.realloc(memory, layout, bytes) }
    }
}
