//! The queues of the worker pool: which job runs next. Knows no threads and nothing of its jobs.
//!
//! Jobs take from microseconds to seconds, so queues share workers and not jobs:
//!
//! 1. The server's methods and passwords have [`RESERVED`] workers each. All others are shared.
//! 2. A queue gets at most [`SHARE`] times its weight as many shared workers as are free, at most
//!    [`Capacity::workers`], and at most its `running_max`. The last free shared worker is for a
//!    queue that has none.
//! 3. The next job comes from the queue with the fewest shared workers for its weight, and among
//!    equals from the one that was served longest ago.
//! 4. Beyond a level, only queues without a shared worker are served.
//! 5. In a queue, clients take turns, and each may have a part of the places.
//!
//! By rule 2, a queue alone gets all of `workers`, and some stay free for others: shared workers
//! are a quarter more. A stuck job counts only for its queue's `running_max` once another worker
//! replaces its own.
//!
//! Invariant: `order` holds each queue with a job that the queue's own limits allow to run. Its
//! first entry is the first that the limits of all queues allow, if they allow any.

use super::effort::{Effort, Spent};
use super::job_id::JobId;
use super::lanes::Lanes;
use crate::queue::{Client, Full, Key, Place, Rules};
use slab::Slab;
use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::num::NonZeroUsize;

/// Workers that a queue may have for each that is free.
const SHARE: usize = 4;
/// Workers of the server's methods that no other queue takes, and workers of passwords: one for a
/// job that takes long, such as a reload, and one for the others.
pub(super) const RESERVED: usize = 2;
/// Queues that are kept while they are empty.
const EMPTY_MAX: usize = 64;
/// What a worker counts in a [`Rank`] at weight 1. Weights divide it.
const RANK_UNIT: u64 = 1 << 16;

/// The numbers that all queues are held to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    /// Jobs of one queue that run at a time.
    pub(super) workers: usize,
    /// Jobs that run before it is known that processors are free. More jobs that compute would
    /// slow each other down.
    pub(super) level: usize,
    /// Documents that are decoded at a time: decoding computes and never blocks.
    pub(super) decoders: usize,
    /// Jobs that wait in one queue.
    pub(super) waiting_max: usize,
    /// The part of a queue's places that one client may have.
    pub(super) waiting_per_client_percent_max: usize,
    /// Stuck jobs whose worker is replaced.
    pub(super) replaced_max: usize,
}

/// All queues with jobs that wait or run.
pub(super) struct Queues<J> {
    capacity: Capacity,
    /// Those that differ from the default.
    rules: HashMap<Key, Rules>,
    by_key: HashMap<Key, usize>,
    queues: Slab<Queue>,
    jobs: Slab<Entry<J>>,
    order: BTreeSet<Rank>,
    /// Jobs that nobody waits for any more, to be dropped by a worker.
    discarded: Vec<J>,
    /// Shared workers in use.
    shared: usize,
    /// Stuck jobs, and those of them whose worker is replaced.
    stuck: usize,
    replaced: usize,
    /// Jobs ever queued; numbers them.
    pushed: u32,
    /// Jobs ever taken.
    taken: u64,
    /// Those of them that the level could have held back.
    taken_by_level: u64,
}

/// A job that is to run.
#[derive(Debug)]
pub(super) struct Taken<J> {
    /// None for a job that nobody waits for any more. It only has to be dropped.
    pub(super) id: Option<JobId>,
    pub(super) job: J,
    /// Its queue.
    pub(super) key: Key,
    pub(super) effort: Effort,
}

/// What became of a job that nobody waits for any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abandoned {
    /// It does not run.
    Discarded,
    /// Its worker is stuck, with this many in all. Another worker takes its place, or not.
    Stuck { in_all: usize, is_replaced: bool },
}

/// Where a queue stands among those with a job that may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// 0 with a reserved worker that is free, else 1 more than shared workers by weight.
    load: u64,
    served_at: u64,
    queue: usize,
}

struct Queue {
    key: Key,
    rules: Rules,
    /// Shared workers that it may have.
    shared_max: usize,
    lanes: Lanes,
    running: usize,
    /// Running jobs that are stuck and whose worker is replaced.
    replaced: usize,
    /// [`Queues::taken`] when a job of it was taken last.
    served_at: u64,
    effort: Effort,
    /// Its entry in [`Queues::order`].
    rank: Option<Rank>,
}

struct Entry<J> {
    number: u32,
    queue: usize,
    state: State<J>,
}

enum State<J> {
    Waiting(Client, J),
    Running { is_replaced: bool, is_stuck: bool },
}

impl<J> Queues<J> {
    pub(super) fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            rules: HashMap::new(),
            by_key: HashMap::new(),
            queues: Slab::new(),
            jobs: Slab::new(),
            order: BTreeSet::new(),
            discarded: Vec::new(),
            shared: 0,
            stuck: 0,
            replaced: 0,
            pushed: 0,
            taken: 0,
            taken_by_level: 0,
        }
    }

    /// Workers that there may be.
    pub(super) const fn workers(&self) -> usize {
        self.shared_max() + 2 * RESERVED + self.replaced
    }

    /// Jobs ever taken that the level could have held back.
    pub(super) const fn taken_by_level(&self) -> u64 {
        self.taken_by_level
    }

    /// Processors are free: one more job may run.
    pub(super) const fn raise_level(&mut self) {
        self.capacity.level += 1;
    }

    /// Holds plugins' queues to these rules, and those without any to the default.
    pub(super) fn set_rules(&mut self, rules: HashMap<Key, Rules>) {
        self.rules = rules;
        let indices: Vec<_> = self.queues.iter().map(|(index, _)| index).collect();
        for index in indices {
            let rules = |queue: &Queue| self.rules_of(&queue.key);
            if let Some(rules) = self.queues.get(index).map(rules) {
                self.change(index, |queue| queue.rules = rules);
            }
        }
    }

    /// Puts a job behind those of its client. `numbered` gets its id, and says whether anybody
    /// waits for it.
    ///
    /// # Errors
    /// There is no room; gives the job back.
    pub(super) fn push(
        &mut self,
        Place { key, client }: Place,
        job: J,
        numbered: impl FnOnce(&J, JobId) -> bool,
    ) -> Result<(), (J, Full)> {
        let Capacity { waiting_max, waiting_per_client_percent_max, .. } = self.capacity;
        let index = self.of(&key);
        let Some(queue) = self.queues.get(index) else { return Ok(()) };
        let own_max = queue.rules.waiting_max;
        let max = own_max.map_or(waiting_max, Into::into);
        let per_client_max = (max.saturating_mul(waiting_per_client_percent_max) / 100).max(1);
        if queue.lanes.len() >= max {
            return Err((job, Full::Queue { key, has_own_limit: own_max.is_some() }));
        }
        if queue.lanes.len_of(&client) >= per_client_max {
            return Err((job, Full::Client(key)));
        }
        self.insert(index, client, job, numbered, Lanes::push);
        Ok(())
    }

    /// Puts a job before those that wait for the first time. It is not refused, so the caller
    /// bounds how many there are.
    pub(super) fn push_resumed(
        &mut self,
        Place { key, client }: Place,
        job: J,
        numbered: impl FnOnce(&J, JobId) -> bool,
    ) {
        let index = self.of(&key);
        let push = |lanes: &mut Lanes, _: &Client, job| lanes.push_resumed(job);
        self.insert(index, client, job, numbered, push);
    }

    /// Takes the next job, if there is one that may run. It runs until [`Queues::end`].
    pub(super) fn take(&mut self) -> Option<Taken<J>> {
        if let Some(job) = self.discarded.pop() {
            return Some(Taken { id: None, job, key: Key::Server, effort: Effort::default() });
        }
        let Rank { load, queue: index, .. } = self.first()?;
        self.taken += 1;
        self.taken_by_level += u64::from(load > 1);
        let taken = self.taken;
        let mut popped = None;
        self.change(index, |queue| {
            popped = queue.lanes.pop();
            queue.running += 1;
            queue.served_at = taken;
        });
        let key = popped?;
        let entry = self.jobs.get_mut(key)?;
        let running = State::Running { is_replaced: false, is_stuck: false };
        let State::Waiting(_, job) = mem::replace(&mut entry.state, running) else {
            return None;
        };
        let id = Some(JobId::new(key, entry.number));
        let Queue { key, effort, .. } = self.queues.get(index)?;
        Some(Taken { id, job, key: key.clone(), effort: *effort })
    }

    /// A running job ends, and took this of a processor.
    pub(super) fn end(&mut self, id: JobId, spent: Spent) {
        let Some(Entry { queue: index, state, .. }) = self.remove(id) else { return };
        let State::Running { is_replaced, is_stuck } = state else { return };
        self.stuck -= usize::from(is_stuck);
        self.replaced -= usize::from(is_replaced);
        self.change(index, |queue| {
            queue.leave(is_replaced);
            queue.effort.note(spent);
        });
        self.forget(index);
    }

    /// Counts a running job in another queue from now on. Returns `false`, and changes nothing,
    /// when it would have to wait there.
    pub(super) fn enter(&mut self, id: JobId, key: &Key) -> bool {
        let Some(Entry { queue: from, state: State::Running { is_replaced, .. }, .. }) =
            self.get(id)
        else {
            return true;
        };
        let (from, is_replaced) = (*from, *is_replaced);
        let to = self.of(key);
        if from == to {
            return true;
        }
        // Its own worker is free for it.
        self.change(from, |queue| queue.leave(is_replaced));
        let may = is_replaced
            || self.queues.get(to).is_some_and(|queue| {
                queue.lanes.is_empty() && queue.load().is_some_and(|load| self.allows(load))
            });
        let (entered, other) = if may { (to, from) } else { (from, to) };
        let taken = self.taken + u64::from(may);
        self.taken = taken;
        self.change(entered, |queue| {
            queue.running += 1;
            queue.replaced += usize::from(is_replaced);
            queue.served_at = if may { taken } else { queue.served_at };
        });
        if let Some(entry) = self.jobs.get_mut(id.key()) {
            entry.queue = entered;
        }
        self.forget(other);
        may
    }

    /// Nobody waits for a job any more. One that waits holds no place from now on. One that runs
    /// is stuck, if `is_stuck` says so, and another worker takes its place.
    pub(super) fn abandon(&mut self, id: JobId, is_stuck: bool) -> Option<Abandoned> {
        let replaced_max = self.capacity.replaced_max;
        let (key, replaced) = (id.key(), self.replaced);
        let entry = self.jobs.get_mut(key).filter(|entry| entry.number == id.number())?;
        let index = entry.queue;
        if let State::Waiting(client, _) = &entry.state {
            let client = client.clone();
            self.change(index, |queue| queue.lanes.remove(&client, key));
            if let Some(Entry { state: State::Waiting(_, job), .. }) = self.remove(id) {
                self.discarded.push(job);
            }
            self.forget(index);
            return Some(Abandoned::Discarded);
        }
        if !is_stuck {
            return None;
        }
        let is_replaced = replaced < replaced_max;
        entry.state = State::Running { is_replaced, is_stuck };
        self.stuck += 1;
        self.replaced += usize::from(is_replaced);
        self.change(index, |queue| queue.replaced += usize::from(is_replaced));
        Some(Abandoned::Stuck { in_all: self.stuck, is_replaced })
    }

    /// Whether a job may be taken now.
    pub(super) fn is_ready(&self) -> bool {
        !self.discarded.is_empty() || self.first().is_some()
    }

    /// Whether no job may be taken now, but one could if the level were higher.
    pub(super) fn is_held_back(&self) -> bool {
        let first = self.order.first();
        !self.is_ready() && first.is_some_and(|rank| self.allows_at(rank.load, usize::MAX))
    }

    /// Jobs that wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.jobs.iter().filter(|(_, job)| matches!(job.state, State::Waiting(..))).count()
    }

    fn first(&self) -> Option<Rank> {
        self.order.first().copied().filter(|rank| self.allows(rank.load))
    }

    /// Whether the limits of all queues let one with this load have another worker. If not, they
    /// let none with a greater load.
    fn allows(&self, load: u64) -> bool {
        self.allows_at(load, self.capacity.level)
    }

    fn allows_at(&self, load: u64, level: usize) -> bool {
        let Some(load) = load.checked_sub(1) else { return true };
        let free = self.shared_max().saturating_sub(self.shared);
        if load == 0 {
            return free > 0;
        }
        let share = (SHARE * free) as u64 * RANK_UNIT;
        free > 1 && load < share && self.shared < level
    }

    const fn shared_max(&self) -> usize {
        self.capacity.workers + self.capacity.workers.div_ceil(SHARE)
    }

    fn rules_of(&self, key: &Key) -> Rules {
        let running_max = match key {
            Key::Documents => NonZeroUsize::new(self.capacity.decoders),
            _ => None,
        };
        let default = Rules { running_max, ..Rules::default() };
        self.rules.get(key).copied().unwrap_or(default)
    }

    /// The queue with this key.
    fn of(&mut self, key: &Key) -> usize {
        if let Some(index) = self.by_key.get(key) {
            return *index;
        }
        let queue = Queue::new(key.clone(), self.rules_of(key), self.capacity.workers);
        let index = self.queues.insert(queue);
        self.by_key.insert(key.clone(), index);
        index
    }

    fn insert(
        &mut self,
        index: usize,
        client: Client,
        job: J,
        numbered: impl FnOnce(&J, JobId) -> bool,
        push: impl FnOnce(&mut Lanes, &Client, usize),
    ) {
        self.pushed = self.pushed.wrapping_add(1);
        let number = self.pushed;
        let entry = self.jobs.vacant_entry();
        let key = entry.key();
        if !numbered(&job, JobId::new(key, number)) {
            return self.discarded.push(job);
        }
        if let Some(queue) = self.queues.get_mut(index) {
            push(&mut queue.lanes, &client, key);
        }
        entry.insert(Entry { number, queue: index, state: State::Waiting(client, job) });
        self.change(index, |_| {});
    }

    /// Changes a queue, and with it all that depends on it.
    fn change(&mut self, index: usize, change: impl FnOnce(&mut Queue)) {
        let Some(queue) = self.queues.get_mut(index) else { return };
        let before = queue.shared();
        change(queue);
        self.shared = self.shared + queue.shared() - before;
        let load = if queue.lanes.is_empty() { None } else { queue.load() };
        let rank = load.map(|load| Rank { load, served_at: queue.served_at, queue: index });
        let old = mem::replace(&mut queue.rank, rank);
        if old != rank {
            old.map(|old| self.order.remove(&old));
            self.order.extend(rank);
        }
    }

    fn get(&self, id: JobId) -> Option<&Entry<J>> {
        self.jobs.get(id.key()).filter(|entry| entry.number == id.number())
    }

    fn remove(&mut self, id: JobId) -> Option<Entry<J>> {
        self.get(id)?;
        self.jobs.try_remove(id.key())
    }

    /// Forgets a queue that has no job, if many are kept.
    fn forget(&mut self, index: usize) {
        let is_empty = |queue: &Queue| queue.running == 0 && queue.lanes.is_empty();
        if self.queues.len() > EMPTY_MAX && self.queues.get(index).is_some_and(is_empty) {
            let queue = self.queues.remove(index);
            self.by_key.remove(&queue.key);
        }
    }
}

impl Queue {
    fn new(key: Key, rules: Rules, shared_max: usize) -> Self {
        let effort = match key {
            Key::Documents => Effort::MUCH,
            Key::Server | Key::Passwords | Key::Batches | Key::Plugin(_) => Effort::default(),
        };
        let (lanes, running, replaced, served_at) = (Lanes::default(), 0, 0, 0);
        Self { key, rules, shared_max, lanes, running, replaced, served_at, effort, rank: None }
    }

    const fn reserved(&self) -> usize {
        match self.key {
            Key::Server | Key::Passwords => RESERVED,
            Key::Documents | Key::Batches | Key::Plugin(_) => 0,
        }
    }

    /// Shared workers that it has.
    const fn shared(&self) -> usize {
        (self.running - self.replaced).saturating_sub(self.reserved())
    }

    /// See [`Rank::load`]. None when its own limits let no job more run.
    fn load(&self) -> Option<u64> {
        if self.rules.running_max.is_some_and(|max| self.running >= max.get()) {
            return None;
        }
        if self.running - self.replaced < self.reserved() {
            return Some(0);
        }
        let shared = self.shared();
        let weight = u64::from(self.rules.weight.get());
        (shared < self.shared_max).then_some(1 + shared as u64 * RANK_UNIT / weight)
    }

    const fn leave(&mut self, is_replaced: bool) {
        self.running -= 1;
        if is_replaced {
            self.replaced -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
