//! When waiting ends, and what that is called. Measures time; knows no sockets.

use std::io;
use std::time::{Duration, Instant};
use ureq::unversioned::transport::{ConnectionDetails, NextTimeout, time};

/// When to give up, if ever, and what that is then called.
#[derive(Debug)]
pub(super) struct Deadline {
    at: Option<Instant>,
    pub(super) reason: ureq::Timeout,
}

impl Deadline {
    pub(super) fn of(timeout: &NextTimeout) -> Self {
        Self::from(Instant::now(), timeout)
    }

    /// The end of the connect timeout, which began when ureq wanted the connection.
    pub(super) fn of_connecting(details: &ConnectionDetails<'_>) -> Self {
        let began = match details.now {
            time::Instant::Exact(began) => began,
            _ => Instant::now(),
        };
        Self::from(began, &details.timeout)
    }

    fn from(began: Instant, timeout: &NextTimeout) -> Self {
        let at = timeout.not_zero().and_then(|limit| began.checked_add(*limit));
        Self { at, reason: timeout.reason }
    }

    /// What is left: `None` is for ever, and never zero, which the kernel takes for the same.
    pub(super) fn left(&self) -> Result<Option<Duration>, ureq::Error> {
        let Some(at) = self.at else { return Ok(None) };
        match at.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(ureq::Error::Timeout(self.reason)),
            // The kernel counts in microseconds.
            left => Ok(Some(left.max(Duration::from_millis(1)))),
        }
    }

    /// The error, or that its limit passed: a socket with a limit says it as if it did not block.
    pub(super) fn explain(&self, error: io::Error) -> ureq::Error {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                ureq::Error::Timeout(self.reason)
            }
            _ => ureq::Error::Io(error),
        }
    }
}

#[cfg(test)]
impl Deadline {
    /// So long from now.
    pub(super) fn after(limit: Duration) -> Self {
        Self { at: Instant::now().checked_add(limit), reason: ureq::Timeout::Connect }
    }
}
