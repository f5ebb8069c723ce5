//! Latencies of calls at a constant rate, which does not wait for answers.
//!
//! Each connection has a schedule, and a latency counts from the moment at which the call was due.
//! So calls that had to wait behind a slow one count with that wait. A generator that calls again
//! after each answer leaves them out, which is known as coordinated omission.

use crate::load::{Caller, Way};
use crate::samples::Samples;
use crate::target::Target;
use rustix::thread::set_current_timer_slack;
use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

/// Of the rate that the peer reached in the same round.
pub const SHARE: f64 = 0.5;
/// A peer that is so late with the last call cannot keep up.
const LATE_MAX: Duration = Duration::from_secs(1);
/// The kernel wakes a thread that sleeps up to so many nanoseconds late. The default is 50,000,
/// which is as long as a call takes.
const TIMER_SLACK: Option<NonZeroU64> = NonZeroU64::new(1);

/// Calls that are made at a constant rate.
pub struct Schedule<'a> {
    /// Who is called.
    pub target: &'a Target,
    /// The document.
    pub document: &'a str,
    /// The length of each body.
    pub body_bytes: usize,
    /// How many connections share the calls.
    pub connections: u32,
    /// Calls per second, of all connections together.
    pub rate: f64,
}

/// The percentiles of one measurement, in microseconds.
pub struct Percentiles([f64; PERCENTILES.len()]);

/// Which percentiles, and how the table names them.
pub const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// Those of all rounds.
#[derive(Default)]
pub struct Latencies {
    /// Calls per second that were put on.
    pub rates: Samples,
    /// Microseconds, in the order of [`PERCENTILES`].
    pub percentiles: [Samples; PERCENTILES.len()],
}

impl Latencies {
    /// The next round's.
    pub fn add(&mut self, rate: Result<f64, String>, measured: Result<Percentiles, String>) {
        self.rates.add(rate);
        for (at, samples) in self.percentiles.iter_mut().enumerate() {
            samples.add(measured.as_ref().map(|measured| measured.0[at]).map_err(String::clone));
        }
    }
}

impl Percentiles {
    /// As a line of the log shows them.
    pub fn shown(&self) -> String {
        let shown =
            PERCENTILES.iter().zip(&self.0).map(|((name, _), us)| format!("{name} {us:.0}"));
        format!("{} us", shown.collect::<Vec<_>>().join(", "))
    }

    /// Of these latencies, of which there is one at least.
    fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        // The least that so many of them do not exceed.
        let at = |share: f64| (latencies.len() as f64 * share).ceil() as usize - 1;
        Self(PERCENTILES.map(|(_, share)| latencies[at(share)].as_secs_f64() * 1e6))
    }
}

impl Schedule<'_> {
    /// Keeps to it for `warm_up` and then for `time`, whose calls count.
    ///
    /// # Errors
    /// The first failure, or the peer does not keep up.
    pub fn run(&self, warm_up: Duration, time: Duration) -> Result<Percentiles, String> {
        let start = Instant::now();
        let counted = &(start + warm_up..start + warm_up + time);
        let latencies = thread::scope(|scope| {
            let callers: Vec<_> = (0..self.connections)
                .map(|number| scope.spawn(move || self.call(number, start, counted)))
                .collect();
            let latencies: Result<Vec<_>, String> = callers
                .into_iter()
                .map(|caller| caller.join().unwrap_or_else(|_| Err("a caller panicked".to_owned())))
                .collect();
            latencies
        })?;
        let latencies = latencies.concat();
        if latencies.is_empty() {
            Err("no call was due".to_owned())
        } else {
            Ok(Percentiles::of(latencies))
        }
    }

    /// Makes the calls of one connection, and gives the latencies of those that count.
    fn call(
        &self,
        number: u32,
        start: Instant,
        counted: &std::ops::Range<Instant>,
    ) -> Result<Vec<Duration>, String> {
        set_current_timer_slack(TIMER_SLACK).map_err(|error| error.to_string())?;
        let mut caller = Caller::new(self.target, Way::Kept)?;
        let request = self.target.post(self.document, false);
        let period = Duration::from_secs_f64(f64::from(self.connections) / self.rate);
        // The connections take turns.
        let mut due = start + period * number / self.connections;
        let mut latencies = Vec::new();
        while due < counted.end {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let got = caller.call(&request)?.body.len();
            if got != self.body_bytes {
                return Err(format!("an answer of {got} bytes instead of {}", self.body_bytes));
            }
            if counted.contains(&due) {
                latencies.push(due.elapsed());
            }
            if Instant::now() > counted.end + LATE_MAX {
                return Err(format!("it does not keep up with {:.0} calls/s", self.rate));
            }
            due += period;
        }
        Ok(latencies)
    }
}
