//! The allocator of the program: the C library's, except that it keeps large free blocks for a
//! while.
//!
//! The C library maps each large block and unmaps it when it is freed. Each call with a large
//! document would therefore touch hundreds of fresh pages, which the kernel has to find and clear.
//! Here freed blocks are used again. The thread in `allocator` calls [`Blocks::look`] each second,
//! which returns blocks that were idle for two to three seconds. Without that thread none is kept.
//!
//! An allocation gets the smallest free block that is large enough and not much too large. Its
//! owner may grow into the rest, so a growing buffer is seldom copied. The rest counts as kept.
//! Together the blocks never take more than their owners asked for plus `KEPT_BYTES_MAX`.
//!
//! Must not know what the memory is for.
#![allow(unsafe_code, reason = "an allocator is one by an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Blocks of this size or more are kept. The C library maps them one by one.
pub(super) const LARGE_BYTES_MIN: usize = 512 << 10;
/// Free blocks and unused room together. Enough for a call whose request and response have 16 MiB.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// A block has room for so many times what its owner asks for at most.
const ROOM_TIMES_MAX: usize = 4;
/// Free blocks.
const BLOCKS_MAX: usize = 64;
/// A block that is still free after so many looks is returned at the next one.
const IDLE_LOOKS_MAX: u8 = 2;

/// The program's global allocator.
///
/// Only a binary may install it. `hotcall` does; programs that use the library keep their own.
pub struct Allocator;

/// The blocks of this process.
pub(super) static BLOCKS: Blocks = Blocks::new();

/// Large blocks that are free, or that have more room than their owners use.
pub(super) struct Blocks(Mutex<Kept>);

struct Kept {
    /// Whether a thread calls [`Blocks::look`].
    is_on: bool,
    /// Free blocks, in no order.
    free: [Option<Block>; BLOCKS_MAX],
    free_bytes: usize,
    /// Room in blocks that their owners do not use.
    unused_bytes: usize,
}

struct Block {
    memory: NonNull<u8>,
    bytes: usize,
    /// Looks since it was freed.
    looks: u8,
}

// SAFETY: a free block belongs to the list that it is in, and to no thread.
unsafe impl Send for Block {}

impl Block {
    /// Whether so many bytes fit in it and use enough of it. The rest is nobody's until the owner
    /// frees them.
    const fn fits(&self, bytes: usize) -> bool {
        self.bytes / ROOM_TIMES_MAX <= bytes && bytes <= self.bytes
    }

    /// Returns it to the system.
    fn release(self) {
        // SAFETY: it came from the C library, and nobody uses it.
        unsafe { libc::free(self.memory.as_ptr().cast()) };
    }
}

impl Kept {
    fn take(&mut self, bytes: usize) -> Option<Block> {
        let fitting = self
            .free
            .iter_mut()
            .filter(|slot| slot.as_ref().is_some_and(|block| block.fits(bytes)));
        let smallest = fitting.min_by_key(|slot| slot.as_ref().map(|block| block.bytes))?;
        let block = smallest.take()?;
        self.free_bytes -= block.bytes;
        Some(block)
    }

    /// Keeps a block, or gives it back to its caller.
    fn put(&mut self, block: Block) -> Option<Block> {
        let all = self.free_bytes + self.unused_bytes + block.bytes;
        if !self.is_on || all > KEPT_BYTES_MAX {
            return Some(block);
        }
        let Some(slot) = self.free.iter_mut().find(|slot| slot.is_none()) else {
            return Some(block);
        };
        self.free_bytes += block.bytes;
        *slot = Some(block);
        None
    }

    /// Notes that the owner of a block asks for another size within its room. `false`: it may not,
    /// because too much is kept.
    fn resize(&mut self, before: usize, after: usize) -> bool {
        let unused = (self.unused_bytes + before).saturating_sub(after);
        if after < before && (!self.is_on || self.free_bytes + unused > KEPT_BYTES_MAX) {
            return false;
        }
        self.unused_bytes = unused;
        true
    }

    fn idle(&mut self) -> Option<Block> {
        let is_idle = |block: &Block| block.looks >= IDLE_LOOKS_MAX;
        let block = self.free.iter_mut().find_map(|slot| slot.take_if(|block| is_idle(block)))?;
        self.free_bytes -= block.bytes;
        Some(block)
    }
}

impl Blocks {
    const fn new() -> Self {
        Self(Mutex::new(Kept {
            is_on: false,
            free: [const { None }; BLOCKS_MAX],
            free_bytes: 0,
            unused_bytes: 0,
        }))
    }

    /// Keeps free blocks from now on. The caller promises to [`look`](Self::look) now and then.
    pub(super) fn keep(&self) {
        self.lock().is_on = true;
    }

    /// Stops keeping blocks, and returns those that are kept.
    pub(super) fn keep_none(&self) {
        self.lock().is_on = false;
        for _ in 0..=IDLE_LOOKS_MAX {
            self.look();
        }
    }

    /// Returns idle blocks to the system. Returns the bytes of those that are still kept.
    pub(super) fn look(&self) -> usize {
        // Calls wait for the lock, and unmapping takes long.
        loop {
            let idle = self.lock().idle();
            match idle {
                Some(block) => block.release(),
                None => break,
            }
        }
        let mut kept = self.lock();
        kept.free.iter_mut().flatten().for_each(|block| block.looks += 1);
        kept.free_bytes
    }

    /// Memory for `bytes`, not initialised; null when there is none.
    fn alloc(&self, bytes: usize) -> *mut u8 {
        self.take(bytes).unwrap_or_else(|| {
            // SAFETY: it may be called with any size.
            let memory = unsafe { libc::malloc(bytes) };
            self.counted(memory.cast(), bytes)
        })
    }

    /// As [`alloc`](Self::alloc), with zeros in it.
    fn alloc_zeroed(&self, bytes: usize) -> *mut u8 {
        let Some(memory) = self.take(bytes) else {
            // SAFETY: it may be called with any size.
            let memory = unsafe { libc::calloc(1, bytes) };
            return self.counted(memory.cast(), bytes);
        };
        // SAFETY: it has room for so many bytes, and nobody else uses it.
        unsafe { memory.write_bytes(0, bytes) };
        memory
    }

    /// Takes back what was given for `bytes`.
    ///
    /// # Safety
    /// This gave it, nobody uses it any more, and its owner asked for so many bytes.
    unsafe fn dealloc(&self, memory: *mut u8, bytes: usize) {
        let Some(address) = NonNull::new(memory) else { return };
        // SAFETY: passed on from this function's own contract.
        let room = unsafe { room(memory) };
        let mut kept = self.lock();
        kept.unused_bytes -= room - bytes;
        let rest = kept.put(Block { memory: address, bytes: room, looks: 0 });
        // Calls wait for the lock, and unmapping takes long.
        drop(kept);
        rest.into_iter().for_each(Block::release);
    }

    /// Memory for `after` bytes with what was in the memory for `before`; null when there is none.
    ///
    /// # Safety
    /// This gave the memory, and its owner asked for `before` bytes.
    unsafe fn realloc(&self, memory: *mut u8, before: usize, after: usize) -> *mut u8 {
        // SAFETY: passed on from this function's own contract.
        let room = unsafe { room(memory) };
        // Shrinking by much is meant to free memory.
        if (room / 2..=room).contains(&after) && self.lock().resize(before, after) {
            return memory;
        }
        if let Some(larger) = self.take(after) {
            // SAFETY: both have room for so many bytes, and they are two blocks.
            unsafe { larger.copy_from_nonoverlapping(memory, before.min(after)) };
            // SAFETY: passed on from this function's own contract; what was in it is copied.
            unsafe { self.dealloc(memory, before) };
            return larger;
        }
        // The C library moves pages instead of copying them.
        // SAFETY: it came from the C library.
        let moved: *mut u8 = unsafe { libc::realloc(memory.cast(), after) }.cast();
        if !moved.is_null() {
            self.lock().unused_bytes -= room - before;
        }
        self.counted(moved, after)
    }

    /// A free block that is large enough.
    fn take(&self, bytes: usize) -> Option<*mut u8> {
        let mut kept = self.lock();
        let block = kept.take(bytes)?;
        kept.unused_bytes += block.bytes - bytes;
        Some(block.memory.as_ptr())
    }

    /// Counts the room behind the bytes that were asked for.
    fn counted(&self, memory: *mut u8, bytes: usize) -> *mut u8 {
        if !memory.is_null() {
            // SAFETY: the C library has just given it.
            let room = unsafe { room(memory) };
            self.lock().unused_bytes += room - bytes;
        }
        memory
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes that a block has room for, which are at least those that were asked for.
///
/// # Safety
/// It came from the C library and is not free.
unsafe fn room(memory: *mut u8) -> usize {
    // SAFETY: passed on from this function's own contract.
    unsafe { libc::malloc_usable_size(memory.cast()) }
}

/// Whether the blocks of this layout are kept. The C library aligns all memory for any scalar.
const fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE_BYTES_MIN && layout.align() <= align_of::<libc::max_align_t>()
}

// SAFETY: memory comes from the system's allocator or from the C library, which keep the contract,
// or is a free block that has room for the layout. By its layout, each block goes back to where it
// came from. Nothing here allocates or unwinds.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            return BLOCKS.alloc(layout.size());
        }
        // SAFETY: passed on from this function's own contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            return BLOCKS.alloc_zeroed(layout.size());
        }
        // SAFETY: passed on from this function's own contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if is_large(layout) {
            // SAFETY: passed on from this function's own contract.
            return unsafe { BLOCKS.dealloc(memory, layout.size()) };
        }
        // SAFETY: passed on from this function's own contract.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: passed on from this function's own contract.
        let wanted = unsafe { Layout::from_size_align_unchecked(bytes, layout.align()) };
        match (is_large(layout), is_large(wanted)) {
            // SAFETY: passed on from this function's own contract.
            (true, true) => unsafe { BLOCKS.realloc(memory, layout.size(), bytes) },
            // SAFETY: passed on from this function's own contract.
            (false, false) => unsafe { System.realloc(memory, layout, bytes) },
            _ => {
                // SAFETY: passed on from this function's own contract.
                let moved = unsafe { self.alloc(wanted) };
                if !moved.is_null() {
                    let both = layout.size().min(bytes);
                    // SAFETY: both have room for so many bytes, and they are two blocks.
                    unsafe { moved.copy_from_nonoverlapping(memory, both) };
                    // SAFETY: passed on from this function's own contract.
                    unsafe { self.dealloc(memory, layout) };
                }
                moved
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: usize = LARGE_BYTES_MIN;
    const LARGE: usize = 2 * SMALL;

    fn blocks() -> Blocks {
        let blocks = Blocks::new();
        blocks.keep();
        blocks
    }

    /// Free bytes, and unused ones but for those that round a size up to whole pages.
    fn held(blocks: &Blocks) -> (usize, usize) {
        let kept = blocks.lock();
        let whole = |bytes: usize| bytes / LARGE_BYTES_MIN * LARGE_BYTES_MIN;
        (whole(kept.free_bytes), whole(kept.unused_bytes))
    }

    fn free(blocks: &Blocks, memory: *mut u8, bytes: usize) {
        // SAFETY: each test frees what it was given, once.
        unsafe { blocks.dealloc(memory, bytes) };
    }

    fn resize(blocks: &Blocks, memory: *mut u8, before: usize, after: usize) -> *mut u8 {
        // SAFETY: each test names the size that it asked for.
        unsafe { blocks.realloc(memory, before, after) }
    }

    #[test]
    fn a_free_block_is_used_again_where_it_fits() {
        let blocks = blocks();
        let (small, large) = (blocks.alloc(SMALL), blocks.alloc(LARGE));
        assert_eq!(held(&blocks), (0, 0));
        free(&blocks, large, LARGE);
        free(&blocks, small, SMALL);
        assert_eq!(held(&blocks), (SMALL + LARGE, 0));
        assert_eq!(blocks.alloc(SMALL), small, "the smallest that is large enough");
        assert_eq!(blocks.alloc(SMALL), large);
        assert_eq!(held(&blocks), (0, LARGE - SMALL));
        let third = blocks.alloc(SMALL);
        assert!(third != small && third != large);
        free(&blocks, large, SMALL);
        assert_eq!(held(&blocks), (LARGE, 0));
        free(&blocks, small, SMALL);
        free(&blocks, third, SMALL);
        blocks.keep_none();
        assert_eq!(held(&blocks), (0, 0));
    }

    #[test]
    fn a_block_grows_in_place_and_into_free_ones_and_keeps_its_bytes() {
        let blocks = blocks();
        let large = blocks.alloc(LARGE);
        free(&blocks, large, LARGE);
        let memory = blocks.alloc_zeroed(SMALL);
        assert_eq!(memory, large);
        // SAFETY: it has so many bytes.
        let bytes = unsafe { std::slice::from_raw_parts_mut(memory, SMALL) };
        assert!(bytes.iter().all(|byte| *byte == 0));
        bytes.fill(7);
        assert_eq!(resize(&blocks, memory, SMALL, LARGE), large);
        assert_eq!(held(&blocks), (0, 0));
        let larger = blocks.alloc(2 * LARGE);
        free(&blocks, larger, 2 * LARGE);
        let grown = resize(&blocks, large, LARGE, LARGE + SMALL);
        assert_eq!(grown, larger);
        assert_eq!(held(&blocks), (LARGE, LARGE - SMALL));
        let grown = resize(&blocks, grown, LARGE + SMALL, 3 * LARGE);
        // SAFETY: it has more bytes.
        let bytes = unsafe { std::slice::from_raw_parts(grown, SMALL) };
        assert!(bytes.iter().all(|byte| *byte == 7));
        assert_eq!(held(&blocks), (LARGE, 0));
        let shrunk = resize(&blocks, grown, 3 * LARGE, LARGE / 2);
        assert_eq!(shrunk, large, "it takes the free one, and gives its own back");
        free(&blocks, shrunk, LARGE / 2);
        assert_eq!(held(&blocks), (4 * LARGE, 0));
        blocks.keep_none();
    }

    #[test]
    fn what_is_kept_is_bounded_and_goes_when_it_is_idle() {
        let blocks = blocks();
        let many: Vec<_> = (0..=KEPT_BYTES_MAX / LARGE).map(|_| blocks.alloc(LARGE)).collect();
        many.iter().for_each(|memory| free(&blocks, *memory, LARGE));
        let (free_bytes, _) = held(&blocks);
        let full = KEPT_BYTES_MAX - 2 * LARGE..=KEPT_BYTES_MAX;
        assert!(full.contains(&free_bytes), "{free_bytes}");
        assert!(blocks.look() > 0 && blocks.look() > 0);
        let used = blocks.alloc(LARGE);
        free(&blocks, used, LARGE);
        assert!(blocks.look() <= LARGE + 4096, "only what was used is left");
        let few = blocks.alloc(SMALL);
        assert_eq!((few, held(&blocks)), (used, (0, LARGE - SMALL)));
        free(&blocks, few, SMALL);
        blocks.keep_none();
        let none = blocks.alloc(SMALL);
        free(&blocks, none, SMALL);
        assert_eq!(held(&blocks), (0, 0));
        // Nothing looks after room any more, so shrinking gives it back.
        let shrunk = blocks.alloc(4 * LARGE);
        let shrunk = resize(&blocks, shrunk, 4 * LARGE, 3 * LARGE);
        assert_eq!(held(&blocks), (0, 0));
        free(&blocks, shrunk, 3 * LARGE);
    }

    #[test]
    fn a_small_owner_does_not_hold_a_much_larger_block() {
        let blocks = blocks();
        let bytes = 2 * ROOM_TIMES_MAX * SMALL;
        let large = blocks.alloc(bytes);
        free(&blocks, large, bytes);
        let small = blocks.alloc(SMALL);
        assert!(small != large);
        assert_eq!(held(&blocks), (bytes, 0));
        free(&blocks, small, SMALL);
        blocks.keep_none();
    }
}
