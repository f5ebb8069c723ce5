//! Counts allocations while documents are decoded: they must grow linearly, and be reserved first.
//! Allocations are deterministic, so nothing here depends on time. `make bench-linear` times the
//! same documents; CI does not run it, because times vary.

use super::constructs::{CONSTRUCTS, for_xml_rs};
use super::memory::{Used, used};
use crate::xmlrpc::{DecodeLimits, Resources, Stop, Store, decode_call_in};
use std::cell::Cell;
use std::thread;

/// Counts reservations.
#[derive(Default)]
struct Reserved {
    now: Cell<usize>,
    most: Cell<usize>,
}

impl Resources for Reserved {
    fn check(&self) -> Result<(), Stop> {
        Ok(())
    }

    fn take(&self, bytes: usize) -> Result<(), Stop> {
        self.now.set(self.now.get() + bytes);
        self.most.set(self.most.get().max(self.now.get()));
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.now.set(self.now.get().checked_sub(bytes).unwrap());
    }
}

/// Decodes on a new thread, which keeps no memory from earlier documents. Returns the allocations
/// and the most bytes reserved at a time.
fn read(document: &[u8]) -> (Used, usize) {
    let read = || {
        let reserved = Reserved::default();
        let used = used(|| {
            Store::with(|store| {
                // Documents that are refused count too.
                let _ = decode_call_in(document, &DecodeLimits::default(), store, &reserved);
            });
        });
        (used, reserved.most.get())
    };
    thread::scope(|scope| scope.spawn(read).join().unwrap())
}

/// xml-rs allocates whenever it copies, so superlinear work shows as superlinear allocation.
#[test]
fn allocations_grow_linearly_with_the_document() {
    /// Pieces in the shortest of three documents.
    const PIECES: usize = 512;
    let mut failed = Vec::new();
    for (name, document) in CONSTRUCTS {
        for exact in [false, true] {
            let [one, two, four] = [1, 2, 4].map(|times| {
                let document = document(PIECES * times);
                let document = if exact { for_xml_rs(&document) } else { document };
                let (used, _) = read(&document);
                [used.count, used.bytes, used.peak]
            });
            for (what, slack, [one, two, four]) in [
                ("allocations", 100, [one[0], two[0], four[0]]),
                ("bytes in all", 64 << 10, [one[1], two[1], four[1]]),
                ("bytes at a time", 64 << 10, [one[2], two[2], four[2]]),
            ] {
                // Twice the pieces add twice as much, give or take lists that double.
                let (first, second) = (two.saturating_sub(one), four.saturating_sub(two));
                if second > 3 * first + slack {
                    failed
                        .push(format!("{name}, by xml-rs: {exact}: {what}: {one}, {two}, {four}"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "\n{}\n", failed.join("\n"));
}

/// Reservations cover allocations, and do not exceed them by much.
#[test]
fn reservations_cover_allocations() {
    const PIECES: usize = 10_000;
    let mut failed = Vec::new();
    for (name, document) in CONSTRUCTS {
        for exact in [false, true] {
            let document = document(PIECES);
            let document = if exact { for_xml_rs(&document) } else { document };
            // Small buffers, and the memory that a thread keeps for the fast decoder.
            let free = if exact { 96 << 10 } else { 320 << 10 };
            let (Used { peak: used, .. }, reserved) = read(&document);
            let length = document.len();
            let is_enough = used <= reserved + free;
            // Text that looks like declarations is reserved for as if it were some.
            let words = document.windows(5).filter(|word| word == b"xmlns").count();
            let is_too_much = reserved > 4 * used + 8 * length + 256 * words + free;
            if !is_enough || is_too_much {
                failed.push(format!(
                    "{name}, by xml-rs: {exact}: {length} bytes allocate {used} and reserve \
                     {reserved}"
                ));
            }
        }
    }
    assert!(failed.is_empty(), "\n{}\n", failed.join("\n"));
}
