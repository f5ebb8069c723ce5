//! Waiting for threads to end, with a deadline.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Waits for threads that are about to end. `false` when some had not at the deadline.
pub(crate) fn join_all(threads: Vec<JoinHandle<()>>, deadline: Instant) -> bool {
    /// How often they are asked whether they have ended.
    const POLL: Duration = Duration::from_millis(5);
    while threads.iter().any(|thread| !thread.is_finished()) {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(POLL);
    }
    threads.into_iter().all(|thread| thread.join().is_ok())
}
