//! The pool's unit of work: a job answers one call. Must not know how the answer travels.

use super::call::Call;
use super::job_id::JobId;
use super::thread_pool::{Queued, ThreadPool};
use crate::pause::{Pause, Resumed};
use crate::queue::{Full, Place, Turn};
use std::sync::{Arc, OnceLock, Weak};

/// The threads that run jobs.
pub(crate) type Threads = ThreadPool<Box<dyn Job>>;

/// Queues a job, or refuses it when its queue is full.
pub(crate) fn submit(threads: &Arc<Threads>, job: Box<dyn Job>) {
    if let Err((job, full)) = threads.submit(job.place().clone(), job) {
        job.refuse(full);
    }
}

/// Work for the answer to one call.
pub(crate) trait Job: Send {
    /// The call that it answers.
    fn call(&self) -> &Arc<Call>;

    /// Where it waits for a worker.
    fn place(&self) -> &Place;

    /// Answers the call. `true` when the job left the call instead, because the call has to wait.
    fn run(self: Box<Self>, turn: &dyn Turn, parking: &Arc<Parking>) -> bool;

    /// Answers that it may not wait. Nothing was executed.
    fn refuse(self: Box<Self>, full: Full);
}

impl Queued for Box<dyn Job> {
    fn is_queued_as(&self, id: JobId) -> bool {
        self.call().set_job(id);
        !self.call().is_abandoned()
    }
}

/// Where jobs wait until a plugin that they need is replaced. They hold no worker.
pub(crate) struct Parking {
    /// Jobs that wait for one plugin.
    pub(crate) parked_max: usize,
    threads: OnceLock<Weak<Threads>>,
}

impl Parking {
    pub(crate) fn new(parked_max: usize) -> Arc<Self> {
        Arc::new(Self { parked_max, threads: OnceLock::new() })
    }

    /// Sets the threads that jobs return to, once.
    pub(crate) fn return_to(&self, threads: &Arc<Threads>) {
        self.threads.get_or_init(|| Arc::downgrade(threads));
    }

    /// Has a job wait in the queue of its place, or refuses it when that is full. After a pause, it
    /// is not refused.
    pub(crate) fn park(self: &Arc<Self>, pause: Option<Pause>, job: Box<dyn Job>) {
        let Some(pause) = pause else {
            self.with_threads(|threads| submit(threads, job));
            return;
        };
        let parking = Arc::clone(self);
        pause.then(self.parked_max, move |resumed| match resumed {
            Resumed::Over => {
                parking.with_threads(|threads| threads.resume(job.place().clone(), job));
            }
            Resumed::Refused => job.refuse(Full::Pause),
        });
    }

    /// After the end of the workers nobody waits for a job.
    fn with_threads(&self, work: impl FnOnce(&Arc<Threads>)) {
        if let Some(threads) = self.threads.get().and_then(Weak::upgrade) {
            work(&threads);
        }
    }
}
