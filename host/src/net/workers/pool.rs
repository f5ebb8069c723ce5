//! The worker pool: calls wait in bounded queues, one for each plugin, and workers answer them.
//!
//! A worker that does not return from a call by its deadline is stuck. Another worker takes its
//! place until it returns, for at most `stuck_workers_max` workers. A call that must wait for a
//! plugin's replacement is parked without a worker and returns to the queue.

use super::call::Call;
use super::job::{self, Job, Parking, Threads};
use super::queues::{Abandoned, Capacity, Queues};
use super::thread_pool::ThreadPool;
use crate::limits::Limits;
use crate::net::error::Error;
use crate::queue::{Key, Rules, Turn};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// The entrance to the workers. They end with its last clone.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Entrance>);

struct Entrance(Arc<Threads>);

/// The workers.
pub(crate) struct Workers(Arc<Threads>);

/// How many workers there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    /// Those that one plugin may use.
    pub(crate) workers: usize,
    /// Those that start as soon as they are needed.
    pub(crate) freely: usize,
    /// Those that decode large documents.
    pub(crate) decoders: usize,
}

impl Pool {
    /// Starts workers.
    pub(crate) fn start(
        Count { workers, freely, decoders }: Count,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let parking = Parking::new(limits.queue_len_max);
        let work = {
            let parking = Arc::clone(&parking);
            move |job, turn: &dyn Turn| run(job, turn, &parking)
        };
        let queues = Queues::new(Capacity {
            workers,
            level: freely,
            decoders,
            waiting_max: limits.queue_len_max,
            waiting_per_client_percent_max: limits.queue_len_per_client_percent_max,
            replaced_max: limits.stuck_workers_max,
        });
        let threads = ThreadPool::start(queues, work).map_err(Error::Thread)?;
        parking.return_to(&threads);
        Ok(Self(Arc::new(Entrance(threads))))
    }

    /// Queues a job, or refuses it when the queue is full.
    pub(crate) fn submit(&self, job: Box<dyn Job>) {
        job::submit(&self.0.0, job);
    }

    /// Nobody waits for the call any more.
    pub(crate) fn abandon(&self, call: &Call) {
        let abandoned = self.0.0.abandon(|| {
            let is_stuck = call.abandon();
            (call.job(), is_stuck)
        });
        match abandoned {
            Some(Abandoned::Stuck { in_all, is_replaced: true }) => log::warn!(
                "a worker is stuck in a call past its deadline, as {in_all} in all; another takes \
                 its place"
            ),
            Some(Abandoned::Stuck { in_all, is_replaced: false }) => log::error!(
                "{in_all} workers are stuck in calls past their deadlines; stuck_workers_max of \
                 them have been replaced, and this one is not"
            ),
            Some(Abandoned::Discarded) | None => {}
        }
    }

    /// Holds the queues to these rules from now on.
    pub(crate) fn set_rules(&self, rules: HashMap<Key, Rules>) {
        self.0.0.set_rules(rules);
    }

    /// The workers, to wait for once every [`Pool`] is gone.
    pub(crate) fn workers(&self) -> Workers {
        Workers(Arc::clone(&self.0.0))
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Workers {
    /// Waits for all workers, once every [`Pool`] is gone. `false` when calls were still running at
    /// the deadline.
    pub(crate) fn join(&self, deadline: Instant) -> bool {
        self.0.join(deadline)
    }
}

/// Runs a job, if a client waits for its call.
fn run(job: Box<dyn Job>, turn: &dyn Turn, parking: &Arc<Parking>) {
    let call = Arc::clone(job.call());
    if !call.begin() {
        return;
    }
    // A request that breaks its worker must not take the worker away from the others.
    let is_left = catch_unwind(AssertUnwindSafe(|| job.run(turn, parking))).unwrap_or_else(|_| {
        log::error!("a defect of the server ended one request");
        false
    });
    if !is_left {
        call.end();
    }
}
