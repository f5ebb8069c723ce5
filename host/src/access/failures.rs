//! Failed tries in the log. Clients cause them, so their lines are limited and the rest is counted.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tries of one [`WINDOW`] that get a line each. Past these, each doubling of their number gets
/// one.
const LINES_MAX: u64 = 64;
const WINDOW: Duration = Duration::from_secs(60);

/// Counts failed tries of all addresses.
#[derive(Default)]
pub(super) struct FailureLog(Mutex<Option<Window>>);

struct Window {
    begun: Instant,
    tries: u64,
}

impl FailureLog {
    /// Logs a failed try, or counts it only.
    pub(super) fn note(&self, from: Option<IpAddr>) {
        if let Some(line) = self.line(from, Instant::now()) {
            log::warn!("{line}");
        }
    }

    fn line(&self, from: Option<IpAddr>, now: Instant) -> Option<String> {
        // Nothing panics under the lock, so a poisoned count is right.
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |window: &mut Window| now.saturating_duration_since(window.begun) >= WINDOW;
        let before = window.take_if(is_over).map_or(0, |window| window.tries);
        let window = window.get_or_insert(Window { begun: now, tries: 0 });
        window.tries += 1;
        let tries = window.tries;
        if tries > LINES_MAX && !tries.is_power_of_two() {
            return None;
        }
        // Without the name: some type their password there.
        let from = from.map_or_else(|| "a Unix socket".to_owned(), |address| address.to_string());
        let line = format!("a wrong name or password from {from}");
        Some(if tries > LINES_MAX {
            format!("{line}: number {tries} within a minute, of which few are logged")
        } else if before > LINES_MAX {
            format!("{line}; {before} came within a minute before, of which few were logged")
        } else {
            line
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_failures_are_few_lines_and_a_count() {
        let (log, start) = (FailureLog::default(), Instant::now());
        let from = Some("10.0.0.1".parse().unwrap());
        let lines: Vec<_> = (0..3_000).filter_map(|_| log.line(from, start)).collect();
        let (each, doublings) = lines.split_at(64);
        assert!(
            each.iter().all(|line| line == "a wrong name or password from 10.0.0.1"),
            "{each:?}"
        );
        let counts: Vec<_> = doublings.iter().map(|line| line.split(' ').nth(8).unwrap()).collect();
        assert_eq!(counts, ["128", "256", "512", "1024", "2048"], "{doublings:?}");

        let later = start + WINDOW;
        let line = log.line(None, later).unwrap();
        assert_eq!(
            line,
            "a wrong name or password from a Unix socket; 3000 came within a minute before, of \
             which few were logged"
        );
        assert_eq!(log.line(from, later).unwrap(), each[0], "said once");
        assert_eq!(log.line(from, later + WINDOW).unwrap(), each[0], "all of those were logged");
    }
}
