//! What reading a document allocates: no more than its length wants, whatever it is made of, and no more than was asked for.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a failed helper is a failed test")]

#[path = "../benches/linear/constructs.rs"]
mod constructs;

use allocation_counter::{AllocationInfo, measure};
use constructs::{CONSTRUCTS, for_xml_rs};
use hotcall::xmlrpc::{DecodeLimits, Resources, Stop, Store, decode_call_in};
use std::cell::Cell;
use std::thread;

/// What has been asked for.
#[derive(Default)]
struct Asked {
    now: Cell<usize>,
    most: Cell<usize>,
}

impl Resources for Asked {
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

/// What reading a document allocates on a thread that has kept nothing from others, and how much it has asked for at a time.
fn read(document: &[u8]) -> (AllocationInfo, usize) {
    let read = || {
        let asked = Asked::default();
        let info = measure(|| {
            Store::with(|store| {
                // Whether it is a call or refused is no matter here.
                let _ = decode_call_in(document, &DecodeLimits::default(), store, &asked);
            });
        });
        (info, asked.most.get())
    };
    thread::scope(|scope| scope.spawn(read).join().unwrap())
}

/// An allocation is work, and work that grows faster than its document allocates so too, as far as this parser is known to.
#[test]
fn what_is_allocated_grows_as_the_document_does() {
    /// Pieces in the shortest document of three, each twice as long as the one before.
    const PIECES: usize = 512;
    let mut failed = Vec::new();
    for (name, document) in CONSTRUCTS {
        for exact in [false, true] {
            let [one, two, four] = [1, 2, 4].map(|times| {
                let document = document(PIECES * times);
                let document = if exact { for_xml_rs(&document) } else { document };
                let (info, _) = read(&document);
                [info.count_total, info.bytes_total, info.bytes_max]
            });
            for (what, slack, [one, two, four]) in [
                ("allocations", 100, [one[0], two[0], four[0]]),
                ("bytes in all", 64 << 10, [one[1], two[1], four[1]]),
                ("bytes at a time", 64 << 10, [one[2], two[2], four[2]]),
            ] {
                // Twice as much is added for twice as many pieces. A list that doubles makes for some more or less.
                let (first, second) = (two.saturating_sub(one), four.saturating_sub(two));
                if second > 3 * first + slack {
                    failed.push(format!("{name}, by xml-rs: {exact}: {what}: {one}, {two}, {four}"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "\n{}\n", failed.join("\n"));
}

/// Memory is asked for before it is allocated, and not much more of it.
#[test]
fn what_is_allocated_has_been_asked_for() {
    const PIECES: usize = 10_000;
    let mut failed = Vec::new();
    for (name, document) in CONSTRUCTS {
        for exact in [false, true] {
            let document = document(PIECES);
            let document = if exact { for_xml_rs(&document) } else { document };
            // What little there may be at any time; and small lists and texts of the fast decoder, for which a thread keeps memory.
            let free = if exact { 96 << 10 } else { 320 << 10 };
            let (info, asked) = read(&document);
            let (used, length) = (info.bytes_max as usize, document.len());
            // A list that grows is there twice for a moment, as far as this allocator counts.
            let is_enough = used <= asked + asked / 2 + free;
            // What may be declarations of namespaces counts as if they were.
            let words = document.windows(5).filter(|word| word == b"xmlns").count();
            let is_too_much = asked > 4 * used + 8 * length + 256 * words + free;
            if !is_enough || is_too_much {
                failed.push(format!("{name}, by xml-rs: {exact}: {length} bytes use {used} of {asked}"));
            }
        }
    }
    assert!(failed.is_empty(), "\n{}\n", failed.join("\n"));
}
