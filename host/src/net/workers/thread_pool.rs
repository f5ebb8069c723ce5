//! A thread pool with one bounded queue, first come, first served. Knows nothing of its jobs.
//!
//! A thread starts when more jobs wait than threads are free, and stays. Beyond a few threads per
//! core, more threads help jobs that block and hurt jobs that compute. On 2 cores, 32 threads
//! answered a sixth fewer calls of microseconds than 8. A **stall monitor** therefore adds a
//! thread only when no job was taken for a while although processors were free.
//!
//! One mutex guards the queue and every count, so each step below is atomic. One wake-up is under
//! way at a time: the woken thread takes one job and wakes the next thread if more jobs wait. Jobs
//! that arrive together cost one wake-up. No thread takes several jobs, because a short one would
//! wait behind a long one.
//! Invariant: while a job waits and a thread is idle, a wake-up or a search is under way.

use super::join::join_all;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, mem};

/// A backlog from which no job was taken for so long is a stall.
const STALL: Duration = Duration::from_millis(2);
/// A monitor that wakes later than this was short of processors itself, so more threads would not
/// help.
const STALL_SEEN_MAX: Duration = Duration::from_millis(3);
/// How often a thread without a job looks again before it sleeps.
const SEARCHES: usize = 8;

/// The threads and their queue.
pub(crate) struct ThreadPool<J> {
    /// Runs a job. True when from now on one thread less may run.
    work: Box<dyn Fn(J) -> bool + Send + Sync>,
    state: Mutex<State<J>>,
    has_job: Condvar,
    has_backlog: Condvar,
}

struct State<J> {
    jobs: VecDeque<J>,
    jobs_max: usize,
    /// Jobs that resume after a pause. They have waited, so they are taken first. The caller bounds
    /// their number.
    resumed: VecDeque<J>,
    /// Jobs ever taken.
    taken: u64,
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
    /// Up to this number, threads start as soon as they are needed.
    running_freely: usize,
    running_max: usize,
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

impl<J: Send + 'static> ThreadPool<J> {
    /// Starts the first thread. Up to `threads_freely` start as soon as they are needed.
    ///
    /// # Errors
    /// The system starts no thread.
    pub(crate) fn start(
        threads_freely: usize,
        threads_max: usize,
        queue_len_max: usize,
        work: impl Fn(J) -> bool + Send + Sync + 'static,
    ) -> io::Result<Arc<Self>> {
        let state = State {
            jobs: VecDeque::new(),
            jobs_max: queue_len_max.max(1),
            resumed: VecDeque::new(),
            taken: 0,
            idle: 0,
            is_waking: false,
            is_searching: false,
            threads: Vec::new(),
            started: 0,
            running: 0,
            running_freely: threads_freely,
            running_max: threads_max.max(1),
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
    /// The queue is full; gives the job back.
    pub(crate) fn submit(self: &Arc<Self>, job: J) -> Result<(), J> {
        let mut state = self.lock();
        if state.jobs.len() >= state.jobs_max {
            return Err(job);
        }
        state.jobs.push_back(job);
        self.attend(state);
        Ok(())
    }

    /// Queues a job that was taken before. It is not refused.
    pub(crate) fn resume(self: &Arc<Self>, job: J) {
        let mut state = self.lock();
        state.resumed.push_back(job);
        self.attend(state);
    }

    /// Allows one more thread.
    pub(crate) fn allow_another(self: &Arc<Self>) {
        let mut state = self.lock();
        state.running_max += 1;
        state.running_freely += 1;
        self.attend(state);
    }

    /// Lets the threads end once no job is left.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.has_job.notify_all();
        self.has_backlog.notify_all();
    }

    /// Waits for all threads of a closed pool. `false` when jobs still ran at the deadline.
    pub(crate) fn join(&self, deadline: Instant) -> bool {
        let threads = mem::take(&mut self.lock().threads);
        join_all(threads, deadline)
    }

    fn run(self: &Arc<Self>) {
        self.lock().starting -= 1;
        while let Some(job) = self.next() {
            if (self.work)(job) && self.is_one_too_many() {
                return;
            }
        }
    }

    /// Waits for a job. `None` once the pool is closed and empty; the thread then counts no more.
    fn next(self: &Arc<Self>) -> Option<J> {
        let mut state = self.search(self.lock());
        loop {
            if let Some(job) = state.take() {
                state.taken += 1;
                self.attend(state);
                return Some(job);
            }
            if state.is_closed {
                state.running -= 1;
                return None;
            }
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
            if state.waiting() > 0 {
                break;
            }
            drop(state);
            thread::yield_now();
            state = self.lock();
        }
        state.is_searching = false;
        state
    }

    /// Makes sure that waiting jobs are taken: wakes or starts one thread, or sends the monitor.
    fn attend(self: &Arc<Self>, mut state: MutexGuard<'_, State<J>>) {
        if state.waiting() == 0 || state.is_waking || state.is_searching {
            return;
        }
        if state.is_short() {
            if state.running < state.running_freely {
                let started = self.start_thread(&mut state);
                state.report(started);
            } else {
                self.send_monitor(&mut state);
            }
        }
        if state.idle > 0 {
            state.is_waking = true;
            drop(state);
            self.has_job.notify_one();
        }
    }

    /// One thread less may run. Whether the calling one has to end.
    fn is_one_too_many(&self) -> bool {
        let mut state = self.lock();
        state.running_max -= 1;
        state.running_freely -= 1;
        let is_one_too_many = state.running > state.running_max;
        state.running -= usize::from(is_one_too_many);
        is_one_too_many
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
            if !state.is_short() {
                state.monitor = Monitor::Resting;
                state = self.has_backlog.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (taken, began) = (state.taken, Instant::now());
            (state, _) =
                self.has_backlog.wait_timeout(state, STALL).unwrap_or_else(PoisonError::into_inner);
            let is_stalled =
                state.taken == taken && (STALL..STALL_SEEN_MAX).contains(&began.elapsed());
            if is_stalled && state.is_short() {
                let started = self.start_thread(&mut state);
                state.report(started);
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
    fn take(&mut self) -> Option<J> {
        self.resumed.pop_front().or_else(|| self.jobs.pop_front())
    }

    /// How many jobs wait.
    fn waiting(&self) -> usize {
        self.jobs.len() + self.resumed.len()
    }

    /// Whether more jobs wait than threads are free and another thread may run. A closed pool
    /// starts none, because nobody would wait for it.
    fn is_short(&self) -> bool {
        self.waiting() > self.idle + self.starting
            && self.running < self.running_max
            && !self.is_closed
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

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

    type Job = Box<dyn FnOnce() -> bool + Send>;

    const SOON: Duration = Duration::from_secs(20);

    fn pool(threads_max: usize, queue_len_max: usize) -> Arc<ThreadPool<Job>> {
        ThreadPool::start(2, threads_max, queue_len_max, |job: Job| job()).unwrap()
    }

    /// A job that says that it runs and then waits for a word, whether from then on one thread less
    /// may run.
    fn waiting(began: &Sender<()>, word: &Receiver<bool>) -> Job {
        let (began, word) = (began.clone(), word.clone());
        Box::new(move || {
            began.send(()).unwrap();
            word.recv().unwrap()
        })
    }

    fn idle(pool: &ThreadPool<Job>) -> usize {
        pool.lock().idle
    }

    fn end(pool: &ThreadPool<Job>) {
        pool.close();
        assert!(pool.join(Instant::now() + SOON));
        assert_eq!(pool.lock().running, 0);
    }

    fn wait_until(condition: impl Fn() -> bool) {
        let deadline = Instant::now() + SOON;
        while !condition() {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
    }

    #[test]
    fn as_many_threads_run_as_jobs_up_to_the_number() {
        let pool = pool(3, 10);
        let ((began, begun), (tell, word)) = (unbounded(), unbounded());
        for count in 1..=3 {
            assert!(pool.submit(waiting(&began, &word)).is_ok());
            begun.recv_timeout(SOON).unwrap();
            assert_eq!(pool.lock().running, count);
        }
        assert!(pool.submit(waiting(&began, &word)).is_ok());
        assert_eq!(pool.lock().jobs.len(), 1);
        assert_eq!(pool.lock().running, 3);
        for _ in 0..4 {
            tell.send(false).unwrap();
        }
        begun.recv_timeout(SOON).unwrap();
        wait_until(|| idle(&pool) == 3);
        end(&pool);
    }

    #[test]
    fn an_idle_thread_is_taken_before_another_is_started() {
        let pool = pool(8, 10);
        for _ in 0..1_000 {
            wait_until(|| idle(&pool) == 1 && !pool.lock().is_waking);
            let (done, is_done) = bounded(1);
            assert!(pool.submit(Box::new(move || done.send(()).is_err())).is_ok());
            is_done.recv_timeout(SOON).unwrap();
        }
        assert_eq!(pool.lock().running, 1);
        end(&pool);
    }

    #[test]
    fn no_job_is_lost_and_the_first_is_the_first() {
        let pool = pool(1, 10_000);
        let (send, come) = unbounded();
        let ((began, begun), (tell, word)) = (unbounded(), unbounded());
        assert!(pool.submit(waiting(&began, &word)).is_ok());
        begun.recv_timeout(SOON).unwrap();
        for number in 0..1_000 {
            let send = send.clone();
            assert!(pool.submit(Box::new(move || send.send(number).is_err())).is_ok());
        }
        tell.send(false).unwrap();
        // Those that wait are done also when it is closed meanwhile.
        end(&pool);
        drop(send);
        assert!(come.iter().eq(0..1_000));
    }

    #[test]
    fn all_jobs_of_many_are_done_by_few() {
        let pool = pool(4, 20_000);
        let (send, come) = unbounded();
        thread::scope(|scope| {
            for from in 0..4 {
                let (pool, send) = (&pool, &send);
                scope.spawn(move || {
                    for number in 0..5_000 {
                        let send = send.clone();
                        let job = move || send.send(from * 5_000 + number).is_err();
                        assert!(pool.submit(Box::new(job)).is_ok());
                    }
                });
            }
        });
        let mut done: Vec<i32> = (0..20_000).map(|_| come.recv_timeout(SOON).unwrap()).collect();
        done.sort_unstable();
        assert!(done.into_iter().eq(0..20_000));
        assert!(pool.lock().running <= 4);
        end(&pool);
    }

    #[test]
    fn what_the_queue_cannot_hold_is_given_back() {
        let pool = pool(1, 2);
        let ((began, begun), (tell, word)) = (unbounded(), unbounded());
        assert!(pool.submit(waiting(&began, &word)).is_ok());
        begun.recv_timeout(SOON).unwrap();
        assert!(pool.submit(Box::new(|| false)).is_ok());
        assert!(pool.submit(Box::new(|| false)).is_ok());
        assert!(pool.submit(Box::new(|| false)).is_err());
        tell.send(false).unwrap();
        wait_until(|| pool.lock().jobs.is_empty());
        assert!(pool.submit(Box::new(|| false)).is_ok());
        end(&pool);
    }

    #[test]
    fn a_resumed_job_is_taken_first_and_never_refused() {
        let pool = pool(1, 1);
        let ((began, begun), (tell, word)) = (unbounded(), unbounded());
        let (send, come) = unbounded();
        let says = |number: i32| -> Job {
            let send = send.clone();
            Box::new(move || send.send(number).is_err())
        };
        assert!(pool.submit(waiting(&began, &word)).is_ok());
        begun.recv_timeout(SOON).unwrap();
        assert!(pool.submit(says(1)).is_ok() && pool.submit(says(2)).is_err());
        pool.resume(says(3));
        pool.resume(says(4));
        tell.send(false).unwrap();
        assert!([3, 4, 1].into_iter().all(|number| come.recv_timeout(SOON) == Ok(number)));
        end(&pool);
    }

    #[test]
    fn another_thread_takes_what_waits_until_one_less_may_run() {
        let pool = pool(1, 10);
        let ((began, begun), (tell, word)) = (unbounded(), unbounded());
        for _ in 0..2 {
            assert!(pool.submit(waiting(&began, &word)).is_ok());
        }
        begun.recv_timeout(SOON).unwrap();
        assert!(begun.is_empty());
        pool.allow_another();
        begun.recv_timeout(SOON).unwrap();
        assert_eq!(pool.lock().running, 2);
        tell.send(true).unwrap();
        wait_until(|| pool.lock().running == 1);
        tell.send(false).unwrap();
        wait_until(|| idle(&pool) == 1);
        end(&pool);
    }
}
