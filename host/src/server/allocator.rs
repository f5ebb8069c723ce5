//! Returns the process's free memory to the system.
//!
//! glibc keeps freed memory for later use, in a separate arena for each busy thread. After one
//! request with a million values, a worker's arena could stay large for ever. So large blocks are
//! mapped one by one, and `large_blocks` uses the host's again. For small ones, a thread checks
//! once a second whether much more is held than the least so far, and trims if so. While trims free
//! nothing, because a plugin keeps a large state, it tries less and less often.
//!
//! Counting what requests use would not help: most of the remaining memory is the plugins', and
//! they share this heap.
#![allow(unsafe_code, reason = "calls into the C library")]

use super::large_blocks::{BLOCKS, LARGE_BYTES_MIN};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fs, io};

/// The C library keeps so much at most at the end of each of its arenas.
#[cfg(target_env = "gnu")]
const END_BYTES_MAX: usize = 1 << 20;
/// How often it is looked at what the process holds.
const LOOK: Duration = Duration::from_secs(1);
/// What it may hold beyond the least that it has held. To give memory back and to take it again
/// costs more than to keep so much.
const SLACK_BYTES: u64 = 8 << 20;
/// After so many looks at most it is tried again to give memory back of which nothing came free the
/// last time.
const PATIENCE_MAX: u32 = 64;

/// Has large memory given back. For a process that has no other thread yet. By itself glibc does so
/// only until the first piece comes free, and from then on keeps up to 64 MiB for each of its
/// arenas, of which busy threads have one each.
pub(crate) fn give_back_large_memory() {
    #[cfg(target_env = "gnu")]
    for (option, bytes) in
        [(libc::M_MMAP_THRESHOLD, LARGE_BYTES_MIN), (libc::M_TRIM_THRESHOLD, END_BYTES_MAX)]
    {
        let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
        // SAFETY: it changes a number of the allocator's, under the allocator's own lock. What it
        // says of numbers that it does not take is no loss: then all is as before.
        unsafe { libc::mallopt(option, bytes) };
    }
}

/// Has small memory given back too, as long as it lives, on a thread of its own.
pub(crate) struct Keeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// What the process holds now counts as little: it has not worked yet.
    ///
    /// # Errors
    /// A thread could not be started.
    pub(crate) fn start() -> io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let judge = Judge { least: anonymous_bytes(), ..Judge::default() };
        let thread = thread::Builder::new()
            .name("memory".into())
            .spawn(move || look_after(judge, &stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It has said why if it panicked.
            let _ = thread.join();
        }
    }
}

fn look_after(mut judge: Judge, stopped: &Receiver<()>) {
    BLOCKS.keep();
    while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        let kept = u64::try_from(BLOCKS.look()).unwrap_or(u64::MAX);
        // A system that does not tell has no other allocator to be trimmed either.
        let Some(held) = anonymous_bytes() else { continue };
        let held = held.saturating_sub(kept);
        if judge.wants_trim(held) {
            trim();
            let left = anonymous_bytes().map_or(held, |left| left.saturating_sub(kept));
            judge.trimmed(held, left);
        }
    }
    BLOCKS.keep_none();
}

/// When it is worth a try to give memory back: while there may be much, and more and more seldom
/// while nothing comes of it, as when a plugin keeps a large state.
#[derive(Default)]
struct Judge {
    /// The least that was held.
    least: Option<u64>,
    /// What was still held after the last try.
    left: u64,
    /// Looks until the next try.
    wait: u32,
    patience: u32,
}

impl Judge {
    fn wants_trim(&mut self, held: u64) -> bool {
        let least = self.least.map_or(held, |least| least.min(held));
        self.least = Some(least);
        if held < least + SLACK_BYTES {
            (self.wait, self.patience) = (0, 0);
            return false;
        }
        // What has come since may go, and where some has gone more may: a call has ended.
        if self.wait > 0 && held.abs_diff(self.left) < SLACK_BYTES {
            self.wait -= 1;
            return false;
        }
        true
    }

    fn trimmed(&mut self, before: u64, after: u64) {
        let is_worth_it = before.saturating_sub(after) >= SLACK_BYTES / 2;
        self.patience = if is_worth_it { 0 } else { (2 * self.patience + 1).min(PATIENCE_MAX) };
        self.wait = self.patience;
        self.left = after;
    }
}

/// What the process holds that no file backs.
fn anonymous_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    // In pages: all of its address space, of that in memory, and of that in files or shared.
    let mut pages = text.split_whitespace().skip(1).map_while(|word| word.parse::<u64>().ok());
    let (resident, shared) = (pages.next()?, pages.next()?);
    Some(resident.saturating_sub(shared) * u64::try_from(rustix::param::page_size()).ok()?)
}

/// Gives whole free pages back, wherever they are. Each thread's part of the heap is locked in turn
/// for as long as its own takes.
fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_little_is_held_is_left() {
        let mut judge = Judge::default();
        assert!(!judge.wants_trim(100 << 20));
        assert!(!judge.wants_trim((100 << 20) + SLACK_BYTES - 1));
        assert!(judge.wants_trim((100 << 20) + SLACK_BYTES));
    }

    #[test]
    fn what_does_not_come_free_is_asked_for_less_and_less_until_something_does() {
        let (mut judge, least, held) = (Judge::default(), 10 << 20, 200 << 20);
        assert!(!judge.wants_trim(least));
        let mut tries = Vec::new();
        for look in 0..1_000 {
            if judge.wants_trim(held) {
                judge.trimmed(held, held);
                tries.push(look);
            }
        }
        assert_eq!(tries[..6], [0, 2, 6, 14, 30, 62]);
        assert!(
            tries[6..].windows(2).all(|pair| pair[1] - pair[0] <= 1 + PATIENCE_MAX as usize),
            "{tries:?}"
        );
        // A request comes that takes much besides.
        assert!(!judge.wants_trim(held + SLACK_BYTES - 1));
        assert!(judge.wants_trim(held + SLACK_BYTES));
        judge.trimmed(held + SLACK_BYTES, held + SLACK_BYTES);
        // Its large pieces go when it ends.
        assert!(judge.wants_trim(held));
        judge.trimmed(held, held);
        // A plugin lets go of its state.
        while !judge.wants_trim(held) {}
        judge.trimmed(held, least);
        assert!(!judge.wants_trim(least));
        assert!(judge.wants_trim(held));
    }

    #[test]
    fn memory_of_many_small_values_comes_free() {
        /// Too small for the allocator to map each alone, and together too much to leave.
        const PIECES: usize = 1 << 20;
        let pieces: Vec<Box<[u8; 64]>> = (0..PIECES).map(|_| Box::new([1; 64])).collect();
        let last = Box::new([1_u8; 64]);
        let held = anonymous_bytes().unwrap();
        drop(pieces);
        trim();
        let after = anonymous_bytes().unwrap();
        drop(last);
        // Other tests take and free memory meanwhile, but none as much.
        assert!(held - after > (32 << 20), "{held} {after}");
    }
}
