//! The worker pool: calls go into one bounded queue, and workers answer them.
//!
//! A worker that does not return from a call by its deadline is stuck. Another worker takes its
//! place until it returns, for at most `stuck_workers_max` workers. A call that must wait for a
//! plugin's replacement is parked without a worker and returns to the queue.

use super::call::Call;
use super::job::{Job, Parking};
use super::thread_pool::ThreadPool;
use crate::limits::Limits;
use crate::net::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The entrance to the workers. They end with its last clone.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Entrance>);

struct Entrance {
    threads: Arc<ThreadPool<Box<dyn Job>>>,
    stuck: Arc<Stuck>,
}

/// The workers.
pub(crate) struct Workers(Arc<ThreadPool<Box<dyn Job>>>);

/// Workers that are stuck.
struct Stuck {
    replaced_max: usize,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    stuck: usize,
    /// Those in whose place another may run.
    replaced: usize,
}

impl Pool {
    /// Starts workers: `freely` of them as soon as they are needed, and `most` at most.
    pub(crate) fn start([freely, most]: [usize; 2], limits: &Limits) -> Result<Self, Error> {
        let stuck =
            Arc::new(Stuck { replaced_max: limits.stuck_workers_max, counts: Mutex::default() });
        let parking = Parking::new(limits.queue_len_max);
        let work = {
            let (stuck, parking) = (Arc::clone(&stuck), Arc::clone(&parking));
            move |job| run(job, &parking) && stuck.is_back()
        };
        let threads =
            ThreadPool::start(freely, most, limits.queue_len_max, work).map_err(Error::Thread)?;
        parking.return_to(&threads);
        Ok(Self(Arc::new(Entrance { threads, stuck })))
    }

    /// Queues a job, or refuses it when the queue is full.
    pub(crate) fn submit(&self, job: Box<dyn Job>) {
        if let Err(job) = self.0.threads.submit(job) {
            job.refuse();
        }
    }

    /// Nobody waits for the call any more.
    pub(crate) fn abandon(&self, call: &Call) {
        if self.0.stuck.abandon(call) {
            self.0.threads.allow_another();
        }
    }

    /// The workers, to wait for once every [`Pool`] is gone.
    pub(crate) fn workers(&self) -> Workers {
        Workers(Arc::clone(&self.0.threads))
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        self.threads.close();
    }
}

impl Workers {
    /// Waits for all workers, once every [`Pool`] is gone. `false` when calls were still running at
    /// the deadline.
    pub(crate) fn join(&self, deadline: Instant) -> bool {
        self.0.join(deadline)
    }
}

/// Runs a job, if a client waits for its call. `true` when its worker counted as stuck meanwhile.
fn run(job: Box<dyn Job>, parking: &Arc<Parking>) -> bool {
    let call = Arc::clone(job.call());
    if !call.begin() {
        return false;
    }
    // A request that breaks its worker must not take the worker away from the others.
    let is_left = catch_unwind(AssertUnwindSafe(|| job.run(parking))).unwrap_or_else(|_| {
        log::error!("a defect of the server ended one request");
        false
    });
    !is_left && call.end()
}

impl Stuck {
    /// Nobody waits for the call any more. Whether another worker may run, in place of one that is
    /// stuck with it.
    fn abandon(&self, call: &Call) -> bool {
        let mut counts = self.lock();
        if !call.abandon() {
            return false;
        }
        counts.stuck += 1;
        let stuck = counts.stuck;
        let is_replaced = counts.replaced < self.replaced_max;
        counts.replaced += usize::from(is_replaced);
        drop(counts);
        if is_replaced {
            log::warn!(
                "a worker is stuck in a call past its deadline, as {stuck} in all; another takes \
                 its place"
            );
        } else {
            log::error!(
                "{stuck} workers are stuck in calls past their deadlines; stuck_workers_max of \
                 them have been replaced, and this one is not"
            );
        }
        is_replaced
    }

    /// A worker is not stuck any more. Whether there is one too many now.
    fn is_back(&self) -> bool {
        let mut counts = self.lock();
        counts.stuck -= 1;
        let is_surplus = counts.replaced > counts.stuck;
        counts.replaced -= usize::from(is_surplus);
        is_surplus
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Nothing panics under the lock, so poisoned counts are right.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
