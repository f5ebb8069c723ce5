//! Finds threads that a plugin left behind.
//!
//! Linux does not say which thread started another, but a new thread inherits the name of its
//! starter. So a life cycle thread has a name of its own for each generation while it runs that
//! generation's code. A thread with that name was started there, or by such a thread.
//!
//! Methods run on the server's workers, whose names belong to no plugin. The server knows its own
//! callers: each is noted when it first calls a method. Any other thread with a caller's name is a
//! **stray**, started by some method. The kernel tells when it began. When a generation ends, the
//! log names strays that began while it served.
//!
//! # Limits
//! A thread that takes another name is not seen, so finding none proves nothing. Threads with a
//! generation's name are surely its own. A stray surely belongs to some plugin. Only the time at
//! which it began tells which one, and other plugins may have served at that time too.

use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// What the loader is called otherwise.
pub(crate) const LOADER: &str = "hotcall-loader";
/// A thread on which a generation ends.
pub(crate) const ENDING: &str = "hotcall-ending";
/// The kernel keeps 15 bytes of a name: so many digits are left for the loader's number and the
/// generation's.
const LOADERS: u32 = 100;
const GENERATIONS: u64 = 100_000;

/// The names of one loader's generations. A process has one loader, but in tests.
#[derive(Clone, Copy)]
pub(crate) struct Names(u32);

/// A thread's name while it runs a generation's code. Must be dropped on the same thread, which
/// then has its own again.
pub(crate) struct Named(());

impl Names {
    pub(crate) fn new() -> Self {
        static LOADER_NEXT: AtomicU32 = AtomicU32::new(0);
        Self(LOADER_NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Has this thread bear the generation's name.
    pub(crate) fn bear(self, generation: u64) -> Named {
        rename(&self.name(generation));
        Named(())
    }

    /// How many threads bear the generation's name.
    pub(crate) fn count(self, generation: u64) -> usize {
        let name = self.name(generation);
        threads().filter_map(name_of).filter(|found| *found == name).count()
    }

    fn name(self, generation: u64) -> String {
        format!("hotcall{}g{}", self.0 % LOADERS, generation % GENERATIONS)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        rename(thread::current().name().unwrap_or_default());
    }
}

/// A moment as the kernel tells it of threads: in clock ticks, some hundredths of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) fn now() -> Self {
        const SECOND_NANOSECONDS: u64 = 1_000_000_000;
        let (ticks, now) =
            (rustix::param::clock_ticks_per_second().max(1), clock_gettime(ClockId::Boottime));
        let part = |number: i64| u64::try_from(number).unwrap_or(0);
        Self(part(now.tv_sec) * ticks + part(now.tv_nsec) / (SECOND_NANOSECONDS / ticks).max(1))
    }
}

/// Threads that call methods, by their ids.
static CALLERS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

thread_local! {
    static CALLER: Caller = Caller::new();
}

/// A thread's entry in [`CALLERS`], removed with the thread, because the kernel reuses ids.
struct Caller(u32);

/// Notes that this thread calls methods. Asks the kernel something at the thread's first call only.
#[inline]
pub(crate) fn note_caller() {
    // A thread that is ending need not be noted.
    let _ = CALLER.try_with(|_| ());
}

/// How many threads run that methods started within this time.
pub(crate) fn strays(within: &Range<Moment>) -> usize {
    let callers = callers().clone();
    let names: BTreeSet<String> = callers.iter().filter_map(|id| name_of(*id)).collect();
    let others = threads().filter(|id| !callers.contains(id));
    let strays = others.filter(|id| name_of(*id).is_some_and(|name| names.contains(&name)));
    strays.filter_map(began).filter(|began| within.contains(began)).count()
}

impl Caller {
    fn new() -> Self {
        let id = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        callers().insert(id);
        Self(id)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        callers().remove(&self.0);
    }
}

fn callers() -> MutexGuard<'static, BTreeSet<u32>> {
    // A set of numbers is whole whatever happened to who changed it.
    CALLERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All threads of the process, by their ids.
fn threads() -> impl Iterator<Item = u32> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok())
}

/// None when the thread has ended meanwhile.
fn name_of(id: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/self/task/{id}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// See proc(5): `starttime` is the 22nd field of `stat`. The second is the name, which may hold
/// anything, in parentheses.
fn began(id: u32) -> Option<Moment> {
    const FIELDS_BETWEEN: usize = 19;
    let stat = fs::read_to_string(format!("/proc/self/task/{id}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(FIELDS_BETWEEN)?.parse().ok().map(Moment)
}

fn rename(name: &str) {
    if let Err(error) = fs::write("/proc/thread-self/comm", name) {
        log::debug!(
            "the loader cannot be named {name}: {error}; threads that plugins leave are not seen"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_thread_is_found_by_who_started_it_until_it_ends() {
        const GENERATION: u64 = 99_999;
        let names = Names::new();
        let start = || {
            let (end, ended) = mpsc::channel::<()>();
            (end, thread::spawn(move || ended.recv().is_err()))
        };
        let before = start();
        let named = names.bear(GENERATION);
        // This thread has the name itself.
        assert_eq!(names.count(GENERATION), 1);
        let left = start();
        drop(named);
        let after = start();
        assert_eq!((names.count(GENERATION), Names::new().count(GENERATION)), (1, 0));
        for (end, thread) in [before, left, after] {
            drop(end);
            thread.join().unwrap();
        }
        // A thread that was joined may be listed for a moment.
        while names.count(GENERATION) > 0 {
            thread::yield_now();
        }
        assert!(Names(u32::MAX).name(u64::MAX).len() <= 15);
    }

    #[test]
    fn a_stray_has_a_caller_s_name_and_began_in_time() {
        let next = |moment: Moment| {
            while Moment::now() == moment {
                thread::yield_now();
            }
            Moment::now()
        };
        let caller = thread::Builder::new().name("caller (1) x".into()).spawn(move || {
            note_caller();
            let start = Moment::now();
            let (end, ended) = mpsc::channel::<()>();
            // Without a name of its own.
            let stray = thread::spawn(move || ended.recv().is_err());
            let later = next(Moment::now());
            assert_eq!((strays(&(start..later)), strays(&(later..next(later)))), (1, 0));
            drop(end);
            stray.join().unwrap();
            while strays(&(start..later)) > 0 {
                thread::yield_now();
            }
        });
        caller.unwrap().join().unwrap();
    }
}
