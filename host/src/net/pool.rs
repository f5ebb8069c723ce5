//! The worker pool: calls go into one bounded queue, and workers answer from it.
//!
//! A worker that does not come back from a call by its deadline is stuck: another may take its place, up to a number, until it does.

use super::call::{Call, Ticket};
use super::crew::Crew;
use super::lane::Within;
use super::reply::Reply;
use super::service::{overload, waiting};
use super::{Error, Handler};
use crate::limits::Limits;
use crate::pause::Resumed;
use crate::web::{self, Done};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

/// The way to the workers. They end with the last clone of it.
#[derive(Clone)]
pub(super) struct Pool(Arc<WayIn>);

struct WayIn {
    crew: Arc<Crew<Job>>,
    stuck: Arc<Stuck>,
}

/// The workers.
pub(super) struct Workers(Arc<Crew<Job>>);

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

/// Where calls wait until a plugin that they need is replaced. They hold no worker.
struct Parking {
    /// Calls that wait for one plugin.
    parked_max: usize,
    crew: OnceLock<Weak<Crew<Job>>>,
}

/// A call to answer.
struct Job {
    work: Work,
    call: Arc<Call>,
}

enum Work {
    /// Straight from the gate: what is to be done for the answer.
    Direct(web::Work, Ticket),
    /// Through tiny_http.
    Within(Box<Within>),
}

impl Pool {
    /// Of so many workers as are started freely, and at most.
    pub(super) fn start(
        [freely, most]: [usize; 2],
        limits: &Limits,
        handler: Arc<dyn Handler>,
    ) -> Result<Self, Error> {
        let stuck = Arc::new(Stuck { replaced_max: limits.stuck_workers_max, counts: Mutex::default() });
        let parking = Arc::new(Parking { parked_max: limits.queue_len_max, crew: OnceLock::new() });
        let work = {
            let (stuck, parking) = (Arc::clone(&stuck), Arc::clone(&parking));
            move |job: Job| job.run(&*handler, &parking) && stuck.is_back()
        };
        let crew = Crew::start(freely, most, limits.queue_len_max, work).map_err(Error::Thread)?;
        parking.crew.get_or_init(|| Arc::downgrade(&crew));
        Ok(Self(Arc::new(WayIn { crew, stuck })))
    }

    /// Has work done for an answer, straight from the gate.
    pub(super) fn submit(&self, work: web::Work, call: Arc<Call>, ticket: Ticket) {
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
        if self.0.stuck.abandon(call) {
            self.0.crew.allow_another();
        }
    }

    /// The workers, to wait for once every [`Pool`] is gone.
    pub(super) fn workers(&self) -> Workers {
        Workers(Arc::clone(&self.0.crew))
    }

    fn send(&self, work: Work, call: Arc<Call>) -> Result<(), Work> {
        self.0.crew.hand_over(Job { work, call }).map_err(|refused| refused.work)
    }
}

impl Drop for WayIn {
    fn drop(&mut self) {
        self.crew.close();
    }
}

impl Workers {
    /// Waits for all workers, once every [`Pool`] is gone. `false` when calls were still running at the deadline.
    pub(super) fn join(&self, deadline: Instant) -> bool {
        self.0.join(deadline)
    }
}

impl Job {
    /// Answers the call, if somebody waits for it. Whether its worker counted as stuck meanwhile.
    fn run(self, handler: &dyn Handler, parking: &Arc<Parking>) -> bool {
        let Self { work, call } = self;
        if !call.begin() {
            return false;
        }
        // A request that breaks its worker must not take the worker away from the others.
        let is_left = catch_unwind(AssertUnwindSafe(|| work.answer(handler, &call, parking)));
        let is_left = is_left.unwrap_or_else(|_| {
            log::error!("a defect of the server ended one request");
            false
        });
        !is_left && call.end()
    }
}

impl Work {
    /// Answers the call. Whether it was left instead, because it has to wait.
    fn answer(self, handler: &dyn Handler, call: &Arc<Call>, parking: &Arc<Parking>) -> bool {
        match self {
            Self::Direct(work, ticket) => match work() {
                Done::Answered(response) => {
                    ticket.answer(Reply::from(response));
                    false
                }
                Done::Paused(pause, work) => {
                    let is_left = call.leave();
                    if is_left {
                        let (call, parking) = (Arc::clone(call), Arc::clone(parking));
                        pause.then(parking.parked_max, move |resumed| match resumed {
                            Resumed::Over => {
                                parking.hand_back(Job { work: Self::Direct(work, ticket), call })
                            }
                            Resumed::Refused => ticket.answer(waiting().into()),
                        });
                    }
                    is_left
                }
            },
            Self::Within(within) => within.answer(handler, call),
        }
    }
}

impl Parking {
    /// The call can go on. After the end of the workers nobody waits for it.
    fn hand_back(&self, job: Job) {
        if let Some(crew) = self.crew.get().and_then(Weak::upgrade) {
            crew.hand_back(job);
        }
    }
}

impl Stuck {
    /// Nobody waits for the call any more. Whether another worker may run, in place of one that is stuck with it.
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
                "a worker is stuck in a call past its deadline, as {stuck} in all; another takes its place"
            );
        } else {
            log::error!(
                "{stuck} workers are stuck in calls past their deadlines; stuck_workers_max of them have been replaced, and this one is not"
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
