//! Threads that take jobs from one bounded queue, first come, first served: as many as are needed at a time, up to a number. Knows
//! nothing of what the jobs are.
//!
//! A thread is started when more jobs wait than threads are free, and stays. Past a few for each core that is not enough: threads
//! that compute only get in each other's way when there are more, threads that wait do not. So a **lookout** has another started when no
//! job was taken for a while although the processors had time.
//!
//! Jobs are handed over by one wake-up at a time: who is woken takes a job and wakes the next if more wait, and who comes back from a job
//! takes another without being woken. So jobs that come together cost one wake-up, and none while all are at work. Who puts a job into the
//! queue, and who finds it empty, both say so before they look at what the other said: no job waits for a thread that waits for it.

use super::join_all;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long no job may be taken while some wait.
const STALL: Duration = Duration::from_millis(2);
/// Whoever comes back so late from waiting for that is short of processors, and so are the others.
const STALL_SEEN_MAX: Duration = Duration::from_millis(3);
/// How often a thread looks before it sleeps.
const SEARCHES: usize = 8;

/// The threads and their queue.
pub(super) struct Crew<J> {
    /// Does a job. True when from now on one thread less may run.
    work: Box<dyn Fn(J) -> bool + Send + Sync>,
    /// Both ends of the queue.
    put: Sender<J>,
    take: Receiver<J>,
    /// Jobs that come back after a pause. They have waited, so they are taken first. The caller
    /// bounds their number.
    again: (Sender<J>, Receiver<J>),
    /// Jobs ever taken.
    taken: AtomicU64,
    /// Whether a thread is about to become idle, but looks once more.
    is_searching: AtomicBool,
    /// Changed under the lock only, as the next two, and looked at without it.
    idle: AtomicUsize,
    /// Whether an idle thread was woken and has not come yet.
    is_waking: AtomicBool,
    /// Whether there is neither a thread to be started nor the lookout to be sent.
    is_settled: AtomicBool,
    state: Mutex<State>,
    has_job: Condvar,
    has_backlog: Condvar,
}

struct State {
    threads: Vec<JoinHandle<()>>,
    /// Threads ever started: their names are never the same.
    started: usize,
    running: usize,
    /// So many are started as soon as they are needed.
    running_freely: usize,
    running_max: usize,
    /// Of those that run, how many have not come to the queue yet.
    starting: usize,
    lookout: Lookout,
    is_closed: bool,
    /// Whether the last try to start a thread was in vain.
    is_refused: bool,
}

/// What the lookout does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lookout {
    Absent,
    Resting,
    Looking,
}

impl<J: Send + 'static> Crew<J> {
    /// Starts the first thread. `threads_freely` are started as soon as they are needed.
    ///
    /// # Errors
    /// There is none to be had.
    pub(super) fn start(
        threads_freely: usize,
        threads_max: usize,
        queue_len_max: usize,
        work: impl Fn(J) -> bool + Send + Sync + 'static,
    ) -> io::Result<Arc<Self>> {
        let state = State {
            threads: Vec::new(),
            started: 0,
            running: 0,
            running_freely: threads_freely,
            running_max: threads_max.max(1),
            starting: 0,
            lookout: Lookout::Absent,
            is_closed: false,
            is_refused: false,
        };
        let (put, take) = bounded(queue_len_max.max(1));
        let crew = Arc::new(Self {
            work: Box::new(work),
            put,
            take,
            again: unbounded(),
            taken: AtomicU64::new(0),
            idle: AtomicUsize::new(0),
            is_searching: AtomicBool::new(false),
            is_waking: AtomicBool::new(false),
            is_settled: AtomicBool::new(false),
            state: Mutex::new(state),
            has_job: Condvar::new(),
            has_backlog: Condvar::new(),
        });
        crew.hire(&mut crew.lock())?;
        Ok(crew)
    }

    /// Has a job done.
    ///
    /// # Errors
    /// As many jobs wait as may: this is it.
    pub(super) fn hand_over(self: &Arc<Self>, job: J) -> Result<(), J> {
        self.put.try_send(job).map_err(|refused| refused.into_inner())?;
        self.see_to_it();
        Ok(())
    }

    /// Has a job done that was taken before. It is not refused.
    pub(super) fn hand_back(self: &Arc<Self>, job: J) {
        // It has no end while the crew has both.
        drop(self.again.0.send(job));
        self.see_to_it();
    }

    /// One thread more may run.
    pub(super) fn allow_another(self: &Arc<Self>) {
        let mut state = self.lock();
        state.running_max += 1;
        state.running_freely += 1;
        self.settle(&state);
        if self.is_short(&state) {
            self.hire_or_say(&mut state);
        }
    }

    /// From now on the threads end when no job is left.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.has_job.notify_all();
        self.has_backlog.notify_all();
    }

    /// Waits for all threads, once it is closed. `false` when jobs were still running at the deadline.
    pub(super) fn join(&self, deadline: Instant) -> bool {
        let threads = std::mem::take(&mut self.lock().threads);
        join_all(threads, deadline)
    }

    fn run(self: &Arc<Self>) {
        self.lock().starting -= 1;
        while let Some(job) = self.next() {
            self.taken.fetch_add(1, Ordering::Relaxed);
            if self.waiting() > 0 {
                self.see_to_it();
            }
            if (self.work)(job) && self.is_one_too_many() {
                return;
            }
        }
        self.lock().running -= 1;
    }

    /// Waits for a job; `None` when there will be none.
    fn next(&self) -> Option<J> {
        if let Some(job) = self.try_take().or_else(|| self.search()) {
            return Some(job);
        }
        let mut state = self.lock();
        loop {
            self.idle.fetch_add(1, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            let job = self.try_take();
            if job.is_none() && !state.is_closed {
                state = self.has_job.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            self.idle.fetch_sub(1, Ordering::SeqCst);
            self.is_waking.store(false, Ordering::SeqCst);
            if job.is_some() || (state.is_closed && self.waiting() == 0) {
                return job;
            }
        }
    }

    fn try_take(&self) -> Option<J> {
        if !self.again.1.is_empty()
            && let Ok(job) = self.again.1.try_recv()
        {
            return Some(job);
        }
        self.take.try_recv().ok()
    }

    /// How many jobs wait.
    fn waiting(&self) -> usize {
        self.take.len() + self.again.1.len()
    }

    /// Lets others run for a moment, who may bring a job: that is cheaper than to sleep and to be woken. One thread at a time does.
    fn search(&self) -> Option<J> {
        if self.is_searching.swap(true, Ordering::SeqCst) {
            return None;
        }
        let look = || {
            thread::yield_now();
            self.try_take()
        };
        let job = (0..SEARCHES).find_map(|_| look());
        self.is_searching.store(false, Ordering::SeqCst);
        job
    }

    /// A job waits: has it taken.
    fn see_to_it(self: &Arc<Self>) {
        fence(Ordering::SeqCst);
        let are_all_at_work = self.idle.load(Ordering::SeqCst) == 0 && self.is_settled.load(Ordering::SeqCst);
        if are_all_at_work
            || self.is_waking.load(Ordering::SeqCst)
            || self.is_searching.load(Ordering::SeqCst)
        {
            return;
        }
        let mut state = self.lock();
        if self.is_short(&state) {
            if state.running < state.running_freely {
                self.hire_or_say(&mut state);
            } else {
                self.send_lookout(&mut state);
            }
        }
        if self.idle.load(Ordering::SeqCst) > 0
            && self.waiting() > 0
            && !self.is_waking.swap(true, Ordering::SeqCst)
        {
            drop(state);
            self.has_job.notify_one();
        }
    }

    /// Whether more jobs wait than threads are free, and another may run. Once it is closed none may, because it would not be waited for.
    fn is_short(&self, state: &State) -> bool {
        let free = self.idle.load(Ordering::SeqCst) + state.starting;
        self.waiting() > free && state.running < state.running_max && !state.is_closed
    }

    /// One thread less may run. Whether the calling one is to end therefore.
    fn is_one_too_many(&self) -> bool {
        let mut state = self.lock();
        state.running_max -= 1;
        state.running_freely -= 1;
        let is_one_too_many = state.running > state.running_max;
        state.running -= usize::from(is_one_too_many);
        self.settle(&state);
        is_one_too_many
    }

    /// Has somebody look whether the jobs that wait are taken.
    fn send_lookout(self: &Arc<Self>, state: &mut State) {
        match state.lookout {
            Lookout::Looking => return,
            Lookout::Resting => self.has_backlog.notify_one(),
            Lookout::Absent => {
                let crew = Arc::clone(self);
                let sent = state.spawn("lookout".to_owned(), move || crew.look_out());
                if !state.say(sent) {
                    return;
                }
            }
        }
        state.lookout = Lookout::Looking;
        self.settle(state);
    }

    fn look_out(self: &Arc<Self>) {
        let mut state = self.lock();
        while !state.is_closed {
            // First said, then looked.
            state.lookout = Lookout::Resting;
            self.settle(&state);
            fence(Ordering::SeqCst);
            if !self.is_short(&state) {
                state = self.has_backlog.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.lookout = Lookout::Looking;
            self.settle(&state);
            let (taken, began) = (self.taken.load(Ordering::Relaxed), Instant::now());
            (state, _) = self.has_backlog.wait_timeout(state, STALL).unwrap_or_else(PoisonError::into_inner);
            let is_stalled = self.taken.load(Ordering::Relaxed) == taken
                && (STALL..STALL_SEEN_MAX).contains(&began.elapsed());
            if is_stalled && self.is_short(&state) {
                self.hire_or_say(&mut state);
            }
        }
    }

    fn settle(&self, state: &State) {
        let is_settled = state.lookout == Lookout::Looking || state.running >= state.running_max;
        self.is_settled.store(is_settled, Ordering::SeqCst);
    }

    fn hire_or_say(self: &Arc<Self>, state: &mut State) {
        let hired = self.hire(state);
        state.say(hired);
    }

    fn hire(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let crew = Arc::clone(self);
        state.spawn(format!("worker-{}", state.started), move || crew.run())?;
        state.started += 1;
        state.starting += 1;
        state.running += 1;
        self.settle(state);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn spawn(&mut self, name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.retain(|thread| !thread.is_finished());
        self.threads.push(thread::Builder::new().name(name).spawn(run)?);
        Ok(())
    }

    /// Says that there is no thread to be had, once until there is one again. Whether there was one.
    fn say(&mut self, spawned: io::Result<()>) -> bool {
        let was_refused = std::mem::replace(&mut self.is_refused, spawned.is_err());
        if let Err(error) = &spawned
            && !was_refused
        {
            log::error!("cannot start another worker, the {} that run do without: {error}", self.running);
        }
        spawned.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    type Job = Box<dyn FnOnce() -> bool + Send>;

    const SOON: Duration = Duration::from_secs(20);

    fn crew(threads_max: usize, queue_len_max: usize) -> Arc<Crew<Job>> {
        Crew::start(2, threads_max, queue_len_max, |job: Job| job()).unwrap()
    }

    /// A job that says that it runs and then waits for a word, whether from then on one thread less may run.
    fn waiting(began: &Sender<()>, word: &Receiver<bool>) -> Job {
        let (began, word) = (began.clone(), word.clone());
        Box::new(move || {
            began.send(()).unwrap();
            word.recv().unwrap()
        })
    }

    fn idle(crew: &Crew<Job>) -> usize {
        crew.idle.load(Ordering::SeqCst)
    }

    fn end(crew: &Crew<Job>) {
        crew.close();
        assert!(crew.join(Instant::now() + SOON));
        assert_eq!(crew.lock().running, 0);
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
        let crew = crew(3, 10);
        let ((began, begun), (tell, word)) = (unbounded(), unbounded());
        for count in 1..=3 {
            assert!(crew.hand_over(waiting(&began, &word)).is_ok());
            begun.recv_timeout(SOON).unwrap();
            assert_eq!(crew.lock().running, count);
        }
        assert!(crew.hand_over(waiting(&began, &word)).is_ok());
        assert_eq!(crew.take.len(), 1);
        assert_eq!(crew.lock().running, 3);
        for _ in 0..4 {
            tell.send(false).unwrap();
        }
        begun.recv_timeout(SOON).unwrap();
        wait_until(|| idle(&crew) == 3);
        end(&crew);
    }

    #[test]
    fn an_idle_thread_is_taken_before_another_is_started() {
        let crew = crew(8, 10);
        for _ in 0..1_000 {
            wait_until(|| idle(&crew) == 1 && !crew.is_waking.load(Ordering::SeqCst));
            let (done, is_done) = bounded(1);
            assert!(crew.hand_over(Box::new(move || done.send(()).is_err())).is_ok());
            is_done.recv_timeout(SOON).unwrap();
        }
        assert_eq!(crew.lock().running, 1);
        end(&crew);
    }

    #[test]
    fn no_job_is_lost_and_the_first_is_the_first() {
        let crew = crew(1, 10_000);
        let (send, come) = unbounded();
        let ((began, begun), (tell, word)) = (unbounded(), unbounded());
        assert!(crew.hand_over(waiting(&began, &word)).is_ok());
        begun.recv_timeout(SOON).unwrap();
        for number in 0..1_000 {
            let send = send.clone();
            assert!(crew.hand_over(Box::new(move || send.send(number).is_err())).is_ok());
        }
        tell.send(false).unwrap();
        // Those that wait are done also when it is closed meanwhile.
        end(&crew);
        drop(send);
        assert!(come.iter().eq(0..1_000));
    }

    #[test]
    fn all_jobs_of_many_are_done_by_few() {
        let crew = crew(4, 20_000);
        let (send, come) = unbounded();
        thread::scope(|scope| {
            for from in 0..4 {
                let (crew, send) = (&crew, &send);
                scope.spawn(move || {
                    for number in 0..5_000 {
                        let send = send.clone();
                        let job = move || send.send(from * 5_000 + number).is_err();
                        assert!(crew.hand_over(Box::new(job)).is_ok());
                    }
                });
            }
        });
        let mut done: Vec<i32> = (0..20_000).map(|_| come.recv_timeout(SOON).unwrap()).collect();
        done.sort_unstable();
        assert!(done.into_iter().eq(0..20_000));
        assert!(crew.lock().running <= 4);
        end(&crew);
    }

    #[test]
    fn what_the_queue_cannot_hold_is_given_back() {
        let crew = crew(1, 2);
        let ((began, begun), (tell, word)) = (unbounded(), unbounded());
        assert!(crew.hand_over(waiting(&began, &word)).is_ok());
        begun.recv_timeout(SOON).unwrap();
        assert!(crew.hand_over(Box::new(|| false)).is_ok());
        assert!(crew.hand_over(Box::new(|| false)).is_ok());
        assert!(crew.hand_over(Box::new(|| false)).is_err());
        tell.send(false).unwrap();
        wait_until(|| crew.take.is_empty());
        assert!(crew.hand_over(Box::new(|| false)).is_ok());
        end(&crew);
    }

    #[test]
    fn another_thread_takes_what_waits_until_one_less_may_run() {
        let crew = crew(1, 10);
        let ((began, begun), (tell, word)) = (unbounded(), unbounded());
        for _ in 0..2 {
            assert!(crew.hand_over(waiting(&began, &word)).is_ok());
        }
        begun.recv_timeout(SOON).unwrap();
        assert!(begun.is_empty());
        crew.allow_another();
        begun.recv_timeout(SOON).unwrap();
        assert_eq!(crew.lock().running, 2);
        tell.send(true).unwrap();
        wait_until(|| crew.lock().running == 1);
        tell.send(false).unwrap();
        wait_until(|| idle(&crew) == 1);
        end(&crew);
    }
}
