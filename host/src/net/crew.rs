//! Threads that take jobs from one bounded queue, first come, first served: as many as are needed at a time, up to a number. Knows
//! nothing of what the jobs are.
//!
//! A thread is started when more jobs wait than threads are free, and stays. Jobs are handed over by one wake-up at a time: who is woken
//! takes a job and wakes the next if more wait, and who comes back from a job takes another without being woken. So jobs that come
//! together cost fewer wake-ups than one each, and no idle thread is woken in vain.

use super::join_all;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// The threads and their queue.
pub(super) struct Crew<J> {
    /// Does a job. True when from now on one thread less may run.
    work: Box<dyn Fn(J) -> bool + Send + Sync>,
    queue_len_max: usize,
    state: Mutex<State<J>>,
    has_job: Condvar,
}

struct State<J> {
    queue: VecDeque<J>,
    threads: Vec<JoinHandle<()>>,
    /// Threads ever started: their names are never the same.
    started: usize,
    running: usize,
    running_max: usize,
    /// Of those that run, how many wait for jobs.
    idle: usize,
    /// And how many have not come to their first one yet.
    starting: usize,
    /// Whether one of them was woken and has not come yet.
    is_waking: bool,
    is_closed: bool,
    /// Whether the last try to start a thread was in vain.
    is_short: bool,
}

impl<J: Send + 'static> Crew<J> {
    /// Starts the first thread.
    ///
    /// # Errors
    /// There is none to be had.
    pub(super) fn start(
        threads_max: usize,
        queue_len_max: usize,
        work: impl Fn(J) -> bool + Send + Sync + 'static,
    ) -> io::Result<Arc<Self>> {
        let state = State {
            queue: VecDeque::new(),
            threads: Vec::new(),
            started: 0,
            running: 0,
            running_max: threads_max.max(1),
            idle: 0,
            starting: 0,
            is_waking: false,
            is_closed: false,
            is_short: false,
        };
        let crew = Arc::new(Self {
            work: Box::new(work),
            queue_len_max: queue_len_max.max(1),
            state: Mutex::new(state),
            has_job: Condvar::new(),
        });
        crew.lock().hire(&crew)?;
        Ok(crew)
    }

    /// Has a job done.
    ///
    /// # Errors
    /// As many jobs wait as may: this is it.
    pub(super) fn hand_over(self: &Arc<Self>, job: J) -> Result<(), J> {
        let mut state = self.lock();
        if state.queue.len() >= self.queue_len_max {
            return Err(job);
        }
        state.queue.push_back(job);
        state.hire_if_needed(self);
        self.wake(state);
        Ok(())
    }

    /// One thread more may run.
    pub(super) fn allow_another(self: &Arc<Self>) {
        let mut state = self.lock();
        state.running_max += 1;
        state.hire_if_needed(self);
    }

    /// From now on the threads end when no job is left.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.has_job.notify_all();
    }

    /// Waits for all threads, once it is closed. `false` when jobs were still running at the deadline.
    pub(super) fn join(&self, deadline: Instant) -> bool {
        let threads = std::mem::take(&mut self.lock().threads);
        join_all(threads, deadline)
    }

    fn run(&self) {
        let mut state = self.lock();
        state.starting -= 1;
        loop {
            if let Some(job) = state.queue.pop_front() {
                self.wake(state);
                let is_one_less = (self.work)(job);
                state = self.lock();
                state.running_max -= usize::from(is_one_less);
            } else if state.is_closed {
                break;
            } else {
                state.idle += 1;
                state = self.has_job.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                state.is_waking = false;
            }
            if state.running > state.running_max {
                break;
            }
        }
        state.running -= 1;
    }

    /// Wakes a thread if a job waits, a thread is idle, and none is on its way.
    fn wake(&self, mut state: MutexGuard<'_, State<J>>) {
        if !state.queue.is_empty() && state.idle > 0 && !state.is_waking {
            state.is_waking = true;
            drop(state);
            self.has_job.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        // Nothing panics under the lock, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J: Send + 'static> State<J> {
    fn hire_if_needed(&mut self, crew: &Arc<Crew<J>>) {
        if self.queue.len() <= self.idle + self.starting || self.running >= self.running_max {
            return;
        }
        let hired = self.hire(crew);
        if let Err(error) = &hired
            && !self.is_short
        {
            log::error!("cannot start another worker, the {} that run do without: {error}", self.running);
        }
        self.is_short = hired.is_err();
    }

    fn hire(&mut self, crew: &Arc<Crew<J>>) -> io::Result<()> {
        self.threads.retain(|thread| !thread.is_finished());
        let name = format!("worker-{}", self.started);
        let crew = Arc::clone(crew);
        self.threads.push(thread::Builder::new().name(name).spawn(move || crew.run())?);
        self.started += 1;
        self.starting += 1;
        self.running += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
    use std::time::Duration;

    type Job = Box<dyn FnOnce() -> bool + Send>;

    const SOON: Duration = Duration::from_secs(20);

    fn crew(threads_max: usize, queue_len_max: usize) -> Arc<Crew<Job>> {
        Crew::start(threads_max, queue_len_max, |job: Job| job()).unwrap()
    }

    /// A job that says that it runs and then waits for a word, whether from then on one thread less may run.
    fn waiting(began: &Sender<()>, word: &Receiver<bool>) -> Job {
        let (began, word) = (began.clone(), word.clone());
        Box::new(move || {
            began.send(()).unwrap();
            word.recv().unwrap()
        })
    }

    fn end(crew: &Crew<Job>) {
        crew.close();
        assert!(crew.join(Instant::now() + SOON));
        assert_eq!(crew.lock().running, 0);
    }

    fn wait_until(crew: &Crew<Job>, condition: impl Fn(&State<Job>) -> bool) {
        let deadline = Instant::now() + SOON;
        while !condition(&crew.lock()) {
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
        assert_eq!(crew.lock().queue.len(), 1);
        assert_eq!(crew.lock().running, 3);
        for _ in 0..4 {
            tell.send(false).unwrap();
        }
        begun.recv_timeout(SOON).unwrap();
        wait_until(&crew, |state| state.idle == 3);
        end(&crew);
    }

    #[test]
    fn an_idle_thread_is_taken_before_another_is_started() {
        let crew = crew(8, 10);
        for _ in 0..1_000 {
            wait_until(&crew, |state| state.idle == 1 && !state.is_waking);
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
        let crew = crew(4, usize::MAX);
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
        wait_until(&crew, |state| state.queue.is_empty());
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
        wait_until(&crew, |state| state.running == 1);
        tell.send(false).unwrap();
        wait_until(&crew, |state| state.idle == 1);
        end(&crew);
    }
}
