//! Shows whether the threads that all others depend on still run their loops: the reactors and the
//! accepting thread.
//!
//! These threads sleep when nothing happens, so each is woken and must finish a round. Workers do
//! not count: a call that hangs is its plugin's fault, and its worker is replaced.

use mio::Waker;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A thread that has ended as it should is not waited for.
const ENDED: u64 = u64::MAX;

/// The threads of a running front.
#[derive(Clone)]
pub struct Heartbeat(Vec<Arc<ThreadBeat>>);

/// How many rounds each thread had made when it was woken.
pub struct Woken(Vec<u64>);

/// One thread's rounds, and what wakes it.
pub(crate) struct ThreadBeat {
    name: String,
    waker: Waker,
    rounds: AtomicU64,
}

impl Heartbeat {
    pub(crate) fn new(threads: impl Iterator<Item = Arc<ThreadBeat>>) -> Self {
        Self(threads.collect())
    }

    /// Wakes all of them.
    pub fn wake(&self) -> Woken {
        let woken = |thread: &Arc<ThreadBeat>| {
            let before = thread.rounds.load(Ordering::Acquire);
            if let Err(error) = thread.wake() {
                log::error!("{} cannot be woken: {error}", thread.name);
            }
            before
        };
        Woken(self.0.iter().map(woken).collect())
    }

    /// The names of the threads that made no round since.
    pub fn missing(&self, since: &Woken) -> Vec<&str> {
        let is_missing = |thread: &ThreadBeat, before: u64| {
            before != ENDED && thread.rounds.load(Ordering::Acquire) == before
        };
        let pairs = self.0.iter().zip(&since.0);
        pairs
            .filter(|(thread, before)| is_missing(thread, **before))
            .map(|(thread, _)| &*thread.name)
            .collect()
    }
}

impl ThreadBeat {
    pub(crate) fn new(name: String, waker: Waker) -> Arc<Self> {
        Arc::new(Self { name, waker, rounds: AtomicU64::new(0) })
    }

    pub(crate) fn wake(&self) -> io::Result<()> {
        self.waker.wake()
    }

    /// For the thread itself: it has done all that there was to do.
    pub(crate) fn beat(&self) {
        self.rounds.fetch_add(1, Ordering::Release);
    }

    /// For the thread itself: it ends, and not because of a defect.
    pub(crate) fn end(&self) {
        self.rounds.store(ENDED, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Poll, Token};

    #[test]
    fn a_thread_is_missed_until_it_comes_round_or_ends() {
        let polls = [Poll::new().unwrap(), Poll::new().unwrap()];
        let beat = polls.each_ref().map(|poll| {
            ThreadBeat::new("one".into(), Waker::new(poll.registry(), Token(0)).unwrap())
        });
        let heartbeat = Heartbeat::new(beat.iter().map(Arc::clone));
        let woken = heartbeat.wake();
        assert_eq!(heartbeat.missing(&woken).len(), 2);
        beat[0].beat();
        assert_eq!(heartbeat.missing(&woken).len(), 1);
        beat[1].end();
        assert!(heartbeat.missing(&woken).is_empty());
        assert_eq!(heartbeat.missing(&heartbeat.wake()), ["one"], "the one that lives");
    }
}
