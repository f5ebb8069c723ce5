//! The pool's unit of work: a job answers one call. Must not know how the answer travels.

use super::call::Call;
use super::thread_pool::ThreadPool;
use std::sync::{Arc, OnceLock, Weak};

/// Work for the answer to one call.
pub(crate) trait Job: Send {
    /// The call that it answers.
    fn call(&self) -> &Arc<Call>;

    /// Answers the call. `true` when the job left the call instead, because the call has to wait.
    fn run(self: Box<Self>, parking: &Arc<Parking>) -> bool;

    /// Answers that the queue is full. Nothing was executed.
    fn refuse(self: Box<Self>);
}

/// Where jobs wait until a plugin that they need is replaced. They hold no worker.
pub(crate) struct Parking {
    /// Jobs that wait for one plugin.
    pub(crate) parked_max: usize,
    threads: OnceLock<Weak<ThreadPool<Box<dyn Job>>>>,
}

impl Parking {
    pub(crate) fn new(parked_max: usize) -> Arc<Self> {
        Arc::new(Self { parked_max, threads: OnceLock::new() })
    }

    /// Sets the threads that jobs return to, once.
    pub(crate) fn return_to(&self, threads: &Arc<ThreadPool<Box<dyn Job>>>) {
        self.threads.get_or_init(|| Arc::downgrade(threads));
    }

    /// Lets a job go on. After the end of the workers nobody waits for it.
    pub(crate) fn resume(&self, job: Box<dyn Job>) {
        if let Some(threads) = self.threads.get().and_then(Weak::upgrade) {
            threads.resume(job);
        }
    }
}
