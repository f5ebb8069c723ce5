//! A generation's way out: told, drained, destroyed, and then kept mapped or, where that is allowed, unmapped.

use super::Unload;
use super::boundary::Remains;
use super::events::Ended;
use super::generation::Generation;
use super::ledger::Count;
use super::lifecycle::{Loader, later};
use super::slot::Slot;
use super::threads::{self, Moment};
use std::ffi::OsString;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// From a generation's `destroy` to the look at what it left: a thread that was joined is listed for a moment still.
const REST: Duration = Duration::from_millis(200);

/// Told that no new call will start; its last calls still run.
pub(super) struct Draining {
    generation: Weak<Generation>,
    id: u64,
    pub(super) plugin: String,
    /// When to warn; None once that is done.
    due: Option<Instant>,
}

/// Destroyed, and still mapped.
pub(super) struct Destroyed {
    generation: u64,
    plugin: String,
    remains: Remains,
    is_suspect: bool,
    served: Range<Moment>,
    /// When to look at what it left.
    due: Instant,
}

impl Loader {
    /// Tells those that were replaced. The registry must not have them any more.
    pub(super) fn retire(&mut self) {
        let due = later(Instant::now(), self.config.limits.drain_max());
        // Before any of them is told, which may take long: what calls start from here on belongs to their successors.
        let now = Moment::now();
        for generation in self.retired.drain(..) {
            let _named = self.thread_names.bear(generation.id);
            generation.quiesce(now);
            self.ledger.retire(&generation.descriptor.name, generation.bytes());
            self.draining.push(Draining {
                generation: Arc::downgrade(&generation),
                id: generation.id,
                plugin: generation.descriptor.name.clone(),
                due: Some(due),
            });
        }
    }

    /// Destroys a generation whose last call has returned.
    pub(super) fn destroy(&mut self, ended: Ended) {
        let Ended { generation, plugin, is_suspect, served, ending } = ended;
        self.draining.retain(|draining| draining.id != generation);
        let _named = self.thread_names.bear(generation);
        let remains = ending.destroy();
        let due = later(Instant::now(), REST);
        self.destroyed.push(Destroyed { generation, plugin, remains, is_suspect, served, due });
    }

    /// Does what is due for those on their way out.
    pub(super) fn attend_retired(&mut self) {
        self.warn_of_slow_drains();
        let now = Instant::now();
        let (due, waiting) = self.destroyed.drain(..).partition(|destroyed| destroyed.due <= now);
        self.destroyed = waiting;
        let due: Vec<Destroyed> = due;
        if !due.is_empty() {
            due.into_iter().for_each(|destroyed| self.bury(destroyed));
            self.publish_status();
        }
    }

    /// When [`Loader::attend_retired`] is wanted.
    pub(super) fn retired_due(&self) -> Option<Instant> {
        let draining = self.draining.iter().filter_map(|draining| draining.due);
        draining.chain(self.destroyed.iter().map(|destroyed| destroyed.due)).min()
    }

    /// Counts what is mapped and tells operators.
    pub(super) fn publish_status(&mut self) {
        let mut serving = Count::default();
        for running in self.slots.values().filter_map(|slot| slot.running.as_ref()) {
            serving.add(Count::one(running.bytes()));
        }
        self.count_kept(self.ledger.kept(serving));
        let row = |(name, slot): (&OsString, &Slot)| {
            let row = slot.status(&self.path(name));
            let plugin = row.status.name.clone().unwrap_or_default();
            row.with_past(self.ledger.kept_of(&plugin), self.left_behind.get(&plugin))
        };
        self.shared.rows.store(Arc::new(self.slots.iter().map(row).collect()));
    }

    fn bury(&mut self, destroyed: Destroyed) {
        let what = self.left_threads(&destroyed);
        let Destroyed { generation, plugin, remains, is_suspect, .. } = destroyed;
        if let Some(what) = what {
            log::warn!(
                "plugin {plugin}: {what}; end them in destroy, or they keep their code and memory for ever"
            );
            self.left_behind.insert(plugin, what);
            return;
        }
        remains.rest();
        if self.unload_of(&plugin) == Unload::Keep || !remains.leaves_nothing() || is_suspect {
            return;
        }
        let bytes = remains.bytes();
        if remains.unmap() {
            log::debug!("plugin {plugin}: generation {generation} is unmapped, {bytes} bytes");
            self.ledger.unmap(&plugin, bytes);
        } else {
            let what = format!("generation {generation} could not be unmapped");
            log::warn!(
                "plugin {plugin}: {what}: the dynamic loader keeps it, as for a thread-local's destructor"
            );
            self.left_behind.insert(plugin, what);
        }
    }

    /// The threads that still run a generation's code, or may.
    fn left_threads(&self, destroyed: &Destroyed) -> Option<String> {
        let Destroyed { generation, plugin, served, .. } = destroyed;
        let mut left = Vec::new();
        let threads = self.thread_names.count(*generation);
        if threads > 0 {
            left.push(format!("generation {generation} left {threads} threads running after its destroy"));
        }
        let strays = threads::strays(served);
        if strays > 0 {
            let or = if self.others_served(plugin, served) {
                ", and may be another plugin's, since others served too"
            } else {
                ""
            };
            left.push(format!(
                "{strays} threads that calls started while generation {generation} served still run{or}"
            ));
        }
        (!left.is_empty()).then(|| left.join("; "))
    }

    /// Whether another plugin that is still known served at some time within `served`.
    fn others_served(&self, plugin: &str, served: &Range<Moment>) -> bool {
        let mut running = self.slots.values().filter_map(|slot| slot.running.as_ref());
        running.any(|other| other.descriptor.name != plugin && other.since() < served.end)
            || self.draining.iter().any(|other| other.plugin != plugin)
            || self.destroyed.iter().any(|other| other.plugin != plugin && other.served.end > served.start)
    }

    /// What an operator wants to become of a plugin's generations once they are destroyed.
    pub(super) fn unload_of(&self, plugin: &str) -> Unload {
        self.config.options.get(plugin).map_or(Unload::Keep, |options| options.unload)
    }

    fn count_kept(&mut self, Count { generations, bytes }: Count) {
        self.shared.kept.store(generations, Ordering::Relaxed);
        self.shared.kept_bytes.store(bytes, Ordering::Relaxed);
        let max = self.config.limits.generations_kept_max;
        if generations > max && !self.kept_was_warned {
            log::warn!(
                "{generations} retired plugin generations stay mapped ({bytes} bytes), more than {max}; \
                 restart when convenient"
            );
        }
        self.kept_was_warned = generations > max;
    }

    fn warn_of_slow_drains(&mut self) {
        let now = Instant::now();
        let is_due = |draining: &&mut Draining| draining.due.is_some_and(|due| due <= now);
        for draining in self.draining.iter_mut().filter(is_due) {
            draining.due = None;
            let held = draining.generation.strong_count();
            log::warn!(
                "generation {} of plugin {} has not drained in {} ms ({held} references); \
                 it stays until its last call returns",
                draining.id,
                draining.plugin,
                self.config.limits.drain_ms_max
            );
        }
    }
}
