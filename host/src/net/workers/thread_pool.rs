//! The threads of the worker pool, which take jobs from its queues. Knows nothing of its jobs.
//!
//! A thread starts when more jobs are ready than threads are free, and stays. Beyond a few jobs per
//! core, running more helps jobs that block and hurts jobs that compute. On 2 cores, 32 threads
//! answered a sixth fewer calls of microseconds than 8. The queues therefore hold jobs back from a
//! certain number on, and a **stall monitor** lets one more run only when none was taken for a
//! while although processors were free. A queue that has nothing running waits for no monitor.
//!
//! One mutex guards the queues and every count, so each step below is atomic. One wake-up is under
//! way at a time: the woken thread takes one job and wakes the next thread if more jobs are ready.
//! Jobs that arrive together cost one wake-up. No thread takes several jobs, because a short one
//! would wait behind a long one.
//! Invariant: while a job is ready and a thread is idle, a wake-up or a search is under way.

use super::effort::Spent;
use super::job_id::JobId;
use super::join::join_all;
use super::queues::{Abandoned, Queues, Taken};
use crate::queue::{Full, Key, Place, Rules, Turn};
use crate::slice::Slice;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, mem};

/// A backlog of jobs held back, from which none was taken for so long, is a stall.
const STALL: Duration = Duration::from_millis(2);
/// A monitor that wakes later than this was short of processors itself, so more threads would not
/// help.
const STALL_SEEN_MAX: Duration = Duration::from_millis(3);
/// How often a thread without a job looks again before it sleeps.
const SEARCHES: usize = 8;

/// A job as the pool knows it.
pub(crate) trait Queued: Send + 'static {
    /// Notes by which id the pool knows it from now on. Whether anybody waits for it.
    fn is_queued_as(&self, id: JobId) -> bool;
}

/// Runs a job in its turn, or drops one that has none because nobody waits for it any more.
type Work<J> = Box<dyn Fn(J, &dyn Turn) + Send + Sync>;

/// The threads and their queues.
pub(crate) struct ThreadPool<J> {
    work: Work<J>,
    state: Mutex<State<J>>,
    has_job: Condvar,
    has_backlog: Condvar,
}

struct State<J> {
    queues: Queues<J>,
    /// Threads that sleep until there is a job.
    idle: usize,
    /// Whether an idle thread was woken and has not come yet.
    is_waking: bool,
    /// Whether a thread without a job still looks for one.
    is_searching: bool,
    threads: Vec<JoinHandle<()>>,
    /// Threads ever started; numbers their names.
    started: usize,
    running: usize,
    /// Running threads that have not come to the queue yet.
    starting: usize,
    monitor: Monitor,
    is_closed: bool,
    /// Whether the last attempt to start a thread failed.
    is_refused: bool,
}

/// What the stall monitor does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Monitor {
    Absent,
    Resting,
    Watching,
}

impl<J: Queued> ThreadPool<J> {
    /// Starts the first thread. Others start as the queues have jobs for them.
    ///
    /// # Errors
    /// The system starts no thread.
    pub(super) fn start(
        queues: Queues<J>,
        work: impl Fn(J, &dyn Turn) + Send + Sync + 'static,
    ) -> io::Result<Arc<Self>> {
        let state = State {
            queues,
            idle: 0,
            is_waking: false,
            is_searching: false,
            threads: Vec::new(),
            started: 0,
            running: 0,
            starting: 0,
            monitor: Monitor::Absent,
            is_closed: false,
            is_refused: false,
        };
        let pool = Arc::new(Self {
            work: Box::new(work),
            state: Mutex::new(state),
            has_job: Condvar::new(),
            has_backlog: Condvar::new(),
        });
        pool.start_thread(&mut pool.lock())?;
        Ok(pool)
    }

    /// Queues a job.
    ///
    /// # Errors
    /// There is no room in its queue; gives the job back.
    pub(super) fn submit(self: &Arc<Self>, place: Place, job: J) -> Result<(), (J, Full)> {
        let mut state = self.lock();
        state.queues.push(place, job, J::is_queued_as)?;
        self.attend(state);
        Ok(())
    }

    /// Queues a job that was taken before. It is not refused.
    pub(super) fn resume(self: &Arc<Self>, place: Place, job: J) {
        let mut state = self.lock();
        state.queues.push_resumed(place, job, J::is_queued_as);
        self.attend(state);
    }

    /// Nobody waits for a job any more. `abandon` says so to the job, and returns its id and
    /// whether it runs.
    pub(super) fn abandon(
        self: &Arc<Self>,
        abandon: impl FnOnce() -> (JobId, bool),
    ) -> Option<Abandoned> {
        // Under the lock, so that the job cannot end between the two steps.
        let mut state = self.lock();
        let (id, is_stuck) = abandon();
        let abandoned = state.queues.abandon(id, is_stuck);
        self.attend(state);
        abandoned
    }

    /// Holds the queues to these rules from now on, and jobs that wait too.
    pub(super) fn set_rules(self: &Arc<Self>, rules: HashMap<Key, Rules>) {
        let mut state = self.lock();
        state.queues.set_rules(rules);
        self.attend(state);
    }

    /// Lets the threads end once no job is left.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.has_job.notify_all();
        self.has_backlog.notify_all();
    }

    /// Waits for all threads of a closed pool. `false` when jobs still ran at the deadline.
    pub(super) fn join(&self, deadline: Instant) -> bool {
        let threads = mem::take(&mut self.lock().threads);
        join_all(threads, deadline)
    }

    fn run(self: &Arc<Self>) {
        self.lock().starting -= 1;
        let (mut last, mut slice) = (None, Slice::Usual);
        while let Some(Taken { id, job, key, effort }) = self.next(last) {
            if effort.slice() != slice {
                slice = effort.slice();
                slice.choose();
            }
            let watch = effort.start();
            (self.work)(job, &WorkersTurn { pool: self, id, key: RefCell::new(key) });
            last = id.map(|id| (id, watch.stop()));
        }
    }

    /// Ends the job before and waits for another. `None` once the thread has to end: it counts no
    /// more.
    fn next(self: &Arc<Self>, last: Option<(JobId, Spent)>) -> Option<Taken<J>> {
        let mut state = self.lock();
        if let Some((id, spent)) = last {
            state.queues.end(id, spent);
        }
        if state.running > state.queues.workers() {
            // It took the place of a worker that is back.
            state.running -= 1;
            self.attend(state);
            return None;
        }
        state = self.search(state);
        loop {
            if let Some(next) = state.queues.take() {
                self.attend(state);
                return Some(next);
            }
            // Jobs that may not run beside others are taken by the threads that run those.
            if state.is_closed {
                state.running -= 1;
                return None;
            }
            self.watch(&mut state);
            state.idle += 1;
            state = self.has_job.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            state.is_waking = false;
        }
    }

    /// Lets other threads run for a moment in case they bring a job, which is cheaper than to sleep
    /// and be woken. One thread at a time does so.
    fn search<'a>(&'a self, mut state: MutexGuard<'a, State<J>>) -> MutexGuard<'a, State<J>> {
        if state.is_searching {
            return state;
        }
        state.is_searching = true;
        for _ in 0..SEARCHES {
            if state.queues.is_ready() {
                break;
            }
            drop(state);
            thread::yield_now();
            state = self.lock();
        }
        state.is_searching = false;
        state
    }

    /// Makes sure that jobs are taken, after any change: wakes or starts one thread, or sends the
    /// monitor.
    fn attend(self: &Arc<Self>, mut state: MutexGuard<'_, State<J>>) {
        self.watch(&mut state);
        if !state.queues.is_ready() || state.is_waking || state.is_searching {
            return;
        }
        if state.idle > 0 {
            state.is_waking = true;
            drop(state);
            self.has_job.notify_one();
        } else if state.may_start() {
            let started = self.start_thread(&mut state);
            state.report(started);
        }
    }

    /// Sends the monitor if the level holds jobs back.
    fn watch(self: &Arc<Self>, state: &mut State<J>) {
        if state.monitor != Monitor::Watching && state.queues.is_held_back() {
            self.send_monitor(state);
        }
    }

    fn send_monitor(self: &Arc<Self>, state: &mut State<J>) {
        match state.monitor {
            Monitor::Watching => return,
            Monitor::Resting => self.has_backlog.notify_one(),
            Monitor::Absent => {
                let pool = Arc::clone(self);
                let started = state.spawn("stall-monitor".to_owned(), move || pool.monitor());
                if !state.report(started) {
                    return;
                }
            }
        }
        state.monitor = Monitor::Watching;
    }

    fn monitor(self: &Arc<Self>) {
        let mut state = self.lock();
        while !state.is_closed {
            if !state.queues.is_held_back() {
                state.monitor = Monitor::Resting;
                state = self.has_backlog.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (taken, began) = (state.queues.taken_by_level(), Instant::now());
            (state, _) =
                self.has_backlog.wait_timeout(state, STALL).unwrap_or_else(PoisonError::into_inner);
            let is_stalled = state.queues.taken_by_level() == taken
                && (STALL..STALL_SEEN_MAX).contains(&began.elapsed());
            if is_stalled && state.queues.is_held_back() {
                state.queues.raise_level();
                self.attend(state);
                state = self.lock();
            }
        }
    }

    fn start_thread(self: &Arc<Self>, state: &mut State<J>) -> io::Result<()> {
        let pool = Arc::clone(self);
        state.spawn(format!("worker-{}", state.started), move || pool.run())?;
        state.started += 1;
        state.starting += 1;
        state.running += 1;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        // Nothing panics under the lock, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J> State<J> {
    /// Whether another thread may start. One starts at a time: once it has a job, it attends to
    /// the next. A closed pool starts none, because nobody would wait for it.
    fn may_start(&self) -> bool {
        self.starting == 0 && self.running < self.queues.workers() && !self.is_closed
    }

    fn spawn(&mut self, name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.retain(|thread| !thread.is_finished());
        self.threads.push(thread::Builder::new().name(name).spawn(run)?);
        Ok(())
    }

    /// Logs the first failure to start a thread since the last success. Whether this was a success.
    fn report(&mut self, spawned: io::Result<()>) -> bool {
        let was_refused = mem::replace(&mut self.is_refused, spawned.is_err());
        if let Err(error) = &spawned
            && !was_refused
        {
            log::error!("could not start a worker thread, {} run: {error}", self.running);
        }
        spawned.is_ok()
    }
}

/// The turn of the job that a thread runs.
struct WorkersTurn<'a, J> {
    pool: &'a Arc<ThreadPool<J>>,
    id: Option<JobId>,
    /// The queue that the job counts in.
    key: RefCell<Key>,
}

impl<J: Queued> Turn for WorkersTurn<'_, J> {
    fn enter(&self, key: &Key) -> bool {
        let mut own = self.key.borrow_mut();
        let Some(id) = self.id.filter(|_| *own != *key) else { return true };
        let mut state = self.pool.lock();
        let may = state.queues.enter(id, key);
        if may {
            own.clone_from(key);
        }
        // The queue that it has left may have a job that is ready now.
        self.pool.attend(state);
        may
    }
}

#[cfg(test)]
mod tests;
