//! Connections that no call uses, kept for the next one: last in, first out.
//!
//! ureq has a pool too, but it hands out the connection that rested longest. That keeps every
//! connection of a busy moment open. Here a client that makes one call at a time uses one
//! connection, and the others grow old and are closed.
//!
//! Knows nothing of how connections are made.

use super::watched::Watched;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

/// How many connections are kept.
const CONNECTIONS_MAX: usize = 16;
/// How long one is kept: shorter than servers and firewalls let connections rest, so that a kept
/// one is seldom a dead one.
const AGE_MAX: Duration = Duration::from_secs(15);

/// The connections of one client that no call uses, the one that rested longest first.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<Vec<Resting>>);

#[derive(Debug)]
struct Resting {
    connection: Box<Watched>,
    since: Instant,
}

/// A connection in use. It goes back when its exchange has ended well, and is closed otherwise.
#[derive(Debug)]
pub(super) struct CheckedOut {
    /// None only while it is dropped.
    connection: Option<Box<Watched>>,
    idle: Arc<Idle>,
    /// The exchange has ended well.
    has_ended: bool,
}

impl Idle {
    /// The connection that was used last, if it is still open.
    pub(super) fn take(self: &Arc<Self>) -> Option<CheckedOut> {
        loop {
            let Resting { mut connection, since } = self.resting().pop()?;
            if since.elapsed() < AGE_MAX && connection.is_open() {
                return Some(self.lend(connection));
            }
        }
    }

    /// Has this connection come back after its exchange.
    pub(super) fn lend(self: &Arc<Self>, connection: Box<Watched>) -> CheckedOut {
        CheckedOut { connection: Some(connection), idle: Arc::clone(self), has_ended: false }
    }

    fn give_back(&self, connection: Box<Watched>) {
        let since = Instant::now();
        let mut resting = self.resting();
        resting.push(Resting { connection, since });
        let is_old = |resting: &&Resting| since.duration_since(resting.since) >= AGE_MAX;
        let old = resting.iter().take_while(is_old).count();
        let surplus = resting.len().saturating_sub(CONNECTIONS_MAX);
        let closed: Vec<_> = resting.drain(..old.max(surplus)).collect();
        drop(resting);
        // Closing takes time, and others need the lock.
        drop(closed);
    }

    fn resting(&self) -> MutexGuard<'_, Vec<Resting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CheckedOut {
    fn connection(&mut self) -> &mut Watched {
        self.connection.as_deref_mut().unwrap_or_else(|| unreachable!("it is there until the end"))
    }
}

impl Transport for CheckedOut {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.connection()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.connection().transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.connection().await_input(timeout)
    }

    /// ureq asks once an exchange has ended well and nothing is left to read. The answer is no, so
    /// that ureq drops this, and the connection goes where the next call looks for it.
    fn is_open(&mut self) -> bool {
        self.has_ended = true;
        false
    }

    fn is_tls(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.is_tls())
    }
}

impl Drop for CheckedOut {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take()
            && self.has_ended
            && connection.end_exchange()
        {
            self.idle.give_back(connection);
        }
    }
}
