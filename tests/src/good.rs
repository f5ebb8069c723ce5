//! Clients that call all the time and behave well, and how long their calls take while others
//! behave badly.

use hotcall::client::Client;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// From one call of a client to its next: the times are to be those of calls, not of a queue of
/// them.
const PAUSE: Duration = Duration::from_millis(2);

/// What the good clients have measured since it was last taken.
#[derive(Default)]
pub struct Good {
    times: Mutex<Vec<Duration>>,
    /// Calls that were not answered, or wrongly.
    pub failed: AtomicU64,
    /// Whether the clients are to end.
    pub done: AtomicBool,
}

impl Good {
    /// Makes the call again and again, until the end. The call says whether its answer was right.
    pub fn call_on(&self, client: &Client, call: impl Fn(&Client) -> bool) {
        while !self.done.load(Ordering::Relaxed) {
            let began = Instant::now();
            let is_right = call(client);
            self.lock().push(began.elapsed());
            if !is_right {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(PAUSE);
        }
    }

    /// The heading of what [`Good::during`] prints.
    pub fn print_heading() {
        println!("{:<32} {:>7} {:>10} {:>10} {:>10}", "", "calls", "median", "99 %", "longest");
    }

    /// Prints the times of the calls that ended while `work` ran. Returns what it returned, with
    /// their median and 99th percentile in milliseconds.
    pub fn during<R>(&self, what: &str, work: impl FnOnce() -> R) -> (R, [f64; 2]) {
        self.lock().clear();
        let result = work();
        let mut times = std::mem::take(&mut *self.lock());
        times.sort_unstable();
        let ms = |percent: usize| {
            let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
            times.get(at).map_or(f64::INFINITY, |time| time.as_secs_f64() * 1e3)
        };
        println!(
            "{what:<32} {:>7} {:>7.2} ms {:>7.2} ms {:>7.2} ms",
            times.len(),
            ms(50),
            ms(99),
            ms(100)
        );
        (result, [ms(50), ms(99)])
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Duration>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
