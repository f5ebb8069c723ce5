//! Telling which threads of the process a plugin left behind.
//!
//! Linux does not say who started a thread, but a new one has the name of the one that starts it. So a thread of the
//! life cycle bears a name of its own for each generation while it runs that generation's code, and a thread of that name is one that the
//! generation started there, or a descendant of one.
//!
//! # Limits
//! A thread that takes another name is not seen, and neither is one that was started by a method, on a worker. So threads
//! that are found are surely the plugin's; that none is found proves nothing.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// What the loader is called otherwise.
pub(super) const LOADER: &str = "hotcall-loader";
/// A thread on which a generation ends.
pub(super) const ENDING: &str = "hotcall-ending";
/// The kernel keeps 15 bytes of a name: so many digits are left for the loader's number and the generation's.
const LOADERS: u32 = 100;
const GENERATIONS: u64 = 100_000;

/// The names of one loader's generations. A process has one loader, but in tests.
#[derive(Clone, Copy)]
pub(super) struct Names(u32);

/// A thread's name while it runs a generation's code. Must be dropped on the same thread, which then has its own again.
pub(super) struct Named(());

impl Names {
    pub(super) fn new() -> Self {
        static LOADER_NEXT: AtomicU32 = AtomicU32::new(0);
        Self(LOADER_NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Has this thread bear the generation's name.
    pub(super) fn bear(self, generation: u64) -> Named {
        rename(&self.name(generation));
        Named(())
    }

    /// How many threads bear the generation's name.
    pub(super) fn count(self, generation: u64) -> usize {
        let name = self.name(generation);
        let Ok(threads) = fs::read_dir("/proc/self/task") else { return 0 };
        // One that ends meanwhile cannot be read.
        let names =
            threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
        names.filter(|found| found.trim_end() == name).count()
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

fn rename(name: &str) {
    if let Err(error) = fs::write("/proc/thread-self/comm", name) {
        log::debug!("the loader cannot be named {name}: {error}; threads that plugins leave are not seen");
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
}
