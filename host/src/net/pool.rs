//! The worker pool: calls go into one bounded queue, and workers answer from it.
//!
//! A worker that does not come back from a call by its deadline is stuck: another takes its place, up to a number, until it does.

use super::Handler;
use super::call::{Call, Ticket};
use super::lane::Within;
use super::reply::Reply;
use super::service::overload;
use super::{Error, join_all};
use crate::limits::Limits;
use crate::web::Response;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// The way to the workers. They end with the last clone of it.
#[derive(Clone)]
pub(super) struct Pool {
    jobs: Sender<Job>,
    crew: Arc<Crew>,
}

/// The workers.
pub(super) struct Crew {
    jobs: Receiver<Job>,
    handler: Arc<dyn Handler>,
    stuck_max: usize,
    roster: Mutex<Roster>,
}

#[derive(Default)]
struct Roster {
    threads: Vec<JoinHandle<()>>,
    /// Threads ever started: their names are never the same.
    started: usize,
    stuck: usize,
    /// Those in place of stuck ones.
    extra: usize,
}

/// A call to answer.
pub(super) struct Job {
    work: Work,
    call: Arc<Call>,
}

enum Work {
    /// Straight from the gate: what is to be done for the answer.
    Direct(Box<dyn FnOnce() -> Response + Send>, Ticket),
    /// Through tiny_http.
    Within(Box<Within>),
}

impl Pool {
    pub(super) fn start(workers: usize, limits: &Limits, handler: Arc<dyn Handler>) -> Result<Self, Error> {
        let (sender, jobs) = bounded(limits.queue_len_max.max(1));
        let stuck_max = limits.stuck_workers_max;
        let crew = Arc::new(Crew { jobs, handler, stuck_max, roster: Mutex::default() });
        let mut roster = crew.lock();
        for _ in 0..workers {
            roster.hire(&crew).map_err(Error::Thread)?;
        }
        drop(roster);
        Ok(Self { jobs: sender, crew })
    }

    /// Has work done for an answer, straight from the gate.
    pub(super) fn submit(&self, work: Box<dyn FnOnce() -> Response + Send>, call: Arc<Call>, ticket: Ticket) {
        if let Err(Work::Direct(_, ticket)) = self.send(Work::Direct(work, ticket), call) {
            ticket.answer(overload().into());
        }
    }

    /// Has a request answered that came through tiny_http. Gives it back when as many calls wait as may.
    pub(super) fn submit_within(&self, within: Box<Within>, call: Arc<Call>) -> Result<(), Box<Within>> {
        match self.send(Work::Within(within), call) {
            Err(Work::Within(within)) => Err(within),
            _ => Ok(()),
        }
    }

    /// Nobody waits for the call any more.
    pub(super) fn abandon(&self, call: &Call) {
        let mut roster = self.crew.lock();
        if !call.abandon() {
            return;
        }
        roster.stuck += 1;
        if roster.extra >= self.crew.stuck_max {
            return log::error!(
                "{} workers are stuck in calls past their deadlines; stuck_workers_max of them have been replaced, and this one is not",
                roster.stuck
            );
        }
        log::warn!(
            "a worker is stuck in a call past its deadline, as {} in all; another takes its place",
            roster.stuck
        );
        match roster.hire(&self.crew) {
            Ok(()) => roster.extra += 1,
            Err(error) => log::error!("cannot start another worker: {error}"),
        }
    }

    /// The workers, to wait for once every [`Pool`] is gone.
    pub(super) fn crew(&self) -> Arc<Crew> {
        Arc::clone(&self.crew)
    }

    fn send(&self, work: Work, call: Arc<Call>) -> Result<(), Work> {
        self.jobs.try_send(Job { work, call }).map_err(|refused| refused.into_inner().work)
    }
}

impl Roster {
    fn hire(&mut self, crew: &Arc<Crew>) -> io::Result<()> {
        self.threads.retain(|thread| !thread.is_finished());
        let name = format!("worker-{}", self.started);
        let crew = Arc::clone(crew);
        self.threads.push(thread::Builder::new().name(name).spawn(move || crew.work())?);
        self.started += 1;
        Ok(())
    }
}

impl Crew {
    /// Waits for all workers, once every [`Pool`] is gone. `false` when calls were still running at the deadline.
    pub(super) fn join(&self, deadline: Instant) -> bool {
        let threads = std::mem::take(&mut self.lock().threads);
        join_all(threads, deadline)
    }

    fn work(&self) {
        for Job { work, call } in &self.jobs {
            if !call.begin() {
                continue;
            }
            // A request that breaks its worker must not take the worker away from the others.
            if catch_unwind(AssertUnwindSafe(|| self.answer(work))).is_err() {
                log::error!("a defect of the server ended one request");
            }
            if call.end() && self.is_surplus() {
                return;
            }
        }
    }

    fn answer(&self, work: Work) {
        match work {
            Work::Direct(work, ticket) => ticket.answer(Reply::from(work())),
            Work::Within(within) => within.answer(&*self.handler),
        }
    }

    /// A worker is not stuck any more. Whether it has been replaced.
    fn is_surplus(&self) -> bool {
        let mut roster = self.lock();
        roster.stuck -= 1;
        let is_surplus = roster.extra > roster.stuck;
        roster.extra -= usize::from(is_surplus);
        is_surplus
    }

    fn lock(&self) -> MutexGuard<'_, Roster> {
        // Nothing panics under the lock, so a poisoned roster is right.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
