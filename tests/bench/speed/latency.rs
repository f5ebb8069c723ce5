//! Latencies of calls at a constant rate, which does not wait for answers.
//!
//! Each connection has a schedule, and a latency counts from the moment at which the call was due.
//! So calls that had to wait behind a slow one count with that wait. A generator that calls again
//! after each answer leaves them out, which is known as coordinated omission.

use crate::http::Connection;
use crate::samples::Samples;
use crate::target::Target;
use crate::tickets::Tickets;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::thread::set_current_timer_slack;
use std::num::NonZeroU64;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

/// Of the rate that the peer reached in the same round.
pub const SHARE: f64 = 0.5;
/// As many as wrk has.
const THREADS: usize = 2;
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

/// One connection, which makes its calls one after the other.
struct Lane {
    connection: Connection,
    /// When the call is due that is under way, or the next one.
    due: Instant,
    is_calling: bool,
}

impl Schedule<'_> {
    /// Keeps to it for `warm_up` and then for `time`, whose calls count.
    ///
    /// # Errors
    /// The first failure, or the peer does not keep up.
    pub fn run(&self, warm_up: Duration, time: Duration) -> Result<Percentiles, String> {
        let mut connections = self.connect()?;
        let start = Instant::now();
        let counted = &(start + warm_up..start + warm_up + time);
        let latencies: Vec<Duration> = thread::scope(|scope| {
            let per_thread = connections.len().div_ceil(THREADS);
            let mut threads = Vec::new();
            let mut number = 0;
            while !connections.is_empty() {
                let own = connections.split_off(connections.len().saturating_sub(per_thread));
                // The connections take turns.
                let lane = |connection| {
                    let due = start + self.period() * number / self.connections;
                    number += 1;
                    Lane { connection, due, is_calling: false }
                };
                let lanes: Vec<_> = own.into_iter().map(lane).collect();
                threads.push(scope.spawn(move || self.drive(lanes, counted)));
            }
            let joined = threads.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|_| Err("a thread panicked".to_owned()))
            });
            joined.collect::<Result<Vec<_>, _>>().map(|latencies| latencies.concat())
        })?;
        if latencies.is_empty() {
            return Err("no call was due".to_owned());
        }
        Ok(Percentiles::of(latencies))
    }

    fn connect(&self) -> Result<Vec<Connection>, String> {
        let tickets = Tickets::new().map_err(|error| error.to_string())?;
        let open = |_| {
            let connection = Connection::open(self.target, tickets.connector(), None)?;
            connection.set_nonblocking()?;
            Ok(connection)
        };
        let opened: std::io::Result<_> = (0..self.connections).map(open).collect();
        opened.map_err(|error| error.to_string())
    }

    /// The time between two calls of one connection.
    fn period(&self) -> Duration {
        Duration::from_secs_f64(f64::from(self.connections) / self.rate)
    }

    /// Makes all calls of these connections, and gives the latencies of those that count.
    fn drive(
        &self,
        mut lanes: Vec<Lane>,
        counted: &Range<Instant>,
    ) -> Result<Vec<Duration>, String> {
        set_current_timer_slack(TIMER_SLACK).map_err(|error| error.to_string())?;
        let request = self.target.post(self.document, false);
        let mut latencies = Vec::new();
        loop {
            let now = Instant::now();
            if now > counted.end + LATE_MAX {
                return Err(format!("it does not keep up with {:.0} calls/s", self.rate));
            }
            for lane in lanes.iter_mut().filter(|lane| !lane.is_calling && lane.due <= now) {
                lane.connection.send(&request).map_err(|error| error.to_string())?;
                lane.is_calling = true;
            }
            let wait = next_due(&lanes).map(|due| due.saturating_duration_since(now));
            for at in ready(&lanes, wait.unwrap_or(LATE_MAX))? {
                let lane = &mut lanes[at];
                let answer = lane.connection.try_answer().map_err(|error| error.to_string())?;
                let Some(body_bytes) = answer else { continue };
                if body_bytes != self.body_bytes {
                    let wanted = self.body_bytes;
                    return Err(format!("an answer of {body_bytes} bytes instead of {wanted}"));
                }
                if counted.contains(&lane.due) {
                    latencies.push(lane.due.elapsed());
                }
                lane.is_calling = false;
                lane.due += self.period();
            }
            lanes.retain(|lane| lane.is_calling || lane.due < counted.end);
            if lanes.is_empty() {
                return Ok(latencies);
            }
        }
    }
}

/// When the next call of a connection without one is due.
fn next_due(lanes: &[Lane]) -> Option<Instant> {
    lanes.iter().filter(|lane| !lane.is_calling).map(|lane| lane.due).min()
}

/// Waits for answers, and gives the places of the connections to which some of one has come.
fn ready(lanes: &[Lane], wait: Duration) -> Result<Vec<usize>, String> {
    let calling: Vec<_> = (0..lanes.len()).filter(|at| lanes[*at].is_calling).collect();
    let mut polled: Vec<_> = calling
        .iter()
        .map(|at| PollFd::new(lanes[*at].connection.socket(), PollFlags::IN))
        .collect();
    let wait = Timespec::try_from(wait).map_err(|error| error.to_string())?;
    match poll(&mut polled, Some(&wait)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.to_string()),
    }
    let is_ready = |polled: &PollFd<'_>| !polled.revents().is_empty();
    let ready = calling.into_iter().zip(&polled).filter(|(_, polled)| is_ready(polled));
    Ok(ready.map(|(at, _)| at).collect())
}
