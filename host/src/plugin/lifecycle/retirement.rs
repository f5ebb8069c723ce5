//! A generation's way out: told, drained, destroyed, and then kept mapped or, where that is allowed, unmapped.

use super::events::{Ended, Gone};
use super::generation::Generation;
use super::loader::Loader;
use super::slot::Slot;
use crate::plugin::clock::later;
use crate::plugin::config::Unload;
use crate::plugin::instance::live::Remains;
use crate::plugin::instance::thread_names::{self, Moment};
use crate::plugin::library::footprint::Count;
use crate::registry::{Gate, Pause};
use std::ffi::OsString;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// From a generation's `destroy` to the look at what it left: a thread that was joined is listed for a moment still.
const REST: Duration = Duration::from_millis(200);

/// Generations of one plugin that are destroyed at once; each has a thread.
const DESTROYING_MAX: usize = 8;

/// Told that no new call will start; its last calls still run.
pub(crate) struct Draining {
    generation: Weak<Generation>,
    id: u64,
    pub(crate) plugin: String,
    /// When to warn; None once that is done.
    due: Option<Instant>,
}

/// Its `destroy` runs.
pub(crate) struct Destroying {
    generation: u64,
    plugin: String,
    served: Range<Moment>,
    /// When to warn; None once that is done.
    due: Option<Instant>,
}

/// Destroyed, and still mapped.
pub(crate) struct Destroyed {
    generation: u64,
    plugin: String,
    remains: Remains,
    is_suspect: bool,
    served: Range<Moment>,
    /// When to look at what it left.
    due: Instant,
}

impl Loader {
    /// Tells those that were replaced, and before them the operators. The registry must not have them any more.
    pub(crate) fn retire(&mut self) {
        let due = later(Instant::now(), self.context.config.limits.drain_max());
        // Before any of them is told, which may take long: what calls start from here on belongs to their successors.
        let now = Moment::now();
        let retired = self.slots.take_replaced();
        for generation in &retired {
            generation.close(now);
            self.footprint.retire(&generation.descriptor.name, generation.count());
            self.look_again_beside(generation.id);
            if generation.is_over() {
                // It was told, drained and destroyed before its successor was made.
                seal(generation);
                continue;
            }
            self.draining.push(Draining {
                generation: Arc::downgrade(generation),
                id: generation.id,
                plugin: generation.descriptor.name.clone(),
                due: Some(due),
            });
        }
        self.publish_status();
        for generation in retired.into_iter().filter(|generation| !generation.is_over()) {
            let names = self.context.thread_names;
            // Its gate is not drained before quiesce has returned.
            let inside = generation.gate().and_then(Gate::hold);
            seal(&generation);
            apart(move || {
                let named = names.bear(generation.id);
                generation.quiesce();
                drop(named);
                drop((generation, inside));
            });
        }
    }

    /// A generation that nobody replaces has no calls any more, even if references to it remain.
    pub(crate) fn drained_in_retirement(&mut self, generation: u64) {
        let draining = self.draining.iter().find(|draining| draining.id == generation);
        let Some(drained) = draining.and_then(|draining| draining.generation.upgrade()) else { return };
        let is_drained = drained.gate().is_some_and(|gate| gate.is_drained());
        if let Some(ended) = is_drained.then(|| drained.end()).flatten() {
            self.end(ended, None);
        }
    }

    /// Destroys a generation whose last call has returned. `untold` has not been told that before.
    pub(crate) fn end(&mut self, ended: Ended, untold: Option<Arc<Generation>>) {
        self.draining.retain(|draining| draining.id != ended.generation);
        if self.destroying.iter().filter(|other| other.plugin == ended.plugin).count() >= DESTROYING_MAX {
            log::warn!(
                "plugin {}: generation {} waits for its destroy, since {DESTROYING_MAX} others have not returned from theirs",
                ended.plugin,
                ended.generation
            );
            return self.undestroyed.push(ended);
        }
        let Ended { generation, plugin, is_suspect, served, ending } = ended;
        let due = Some(later(Instant::now(), self.context.config.limits.drain_max()));
        self.destroying.push(Destroying { generation, plugin: plugin.clone(), served: served.clone(), due });
        let (names, mailbox) = (self.context.thread_names, Arc::clone(&self.context.mailbox));
        let is_begun = apart(move || {
            let named = names.bear(generation);
            if let Some(untold) = untold {
                untold.quiesce();
            }
            let remains = ending.destroy();
            drop(named);
            mailbox.gone(Gone { generation, plugin, is_suspect, served, remains });
        });
        if !is_begun {
            self.destroying.pop();
        }
    }

    /// A generation is destroyed.
    pub(crate) fn gone(&mut self, gone: Gone) {
        self.destroying.retain(|destroying| destroying.generation != gone.generation);
        self.slots.alive.remove(gone.generation);
        let next = self.undestroyed.iter().position(|ended| ended.plugin == gone.plugin);
        if let Some(ended) = next.map(|index| self.undestroyed.remove(index)) {
            self.end(ended, None);
        }
        if let Some(gone) = self.ended_for_another(gone) {
            self.keep(gone);
            self.wake_waiting();
        }
    }

    /// What is left of a generation is not needed any more.
    pub(crate) fn keep(&mut self, gone: Gone) {
        let Gone { generation, plugin, is_suspect, served, remains } = gone;
        let due = later(Instant::now(), REST);
        self.destroyed.push(Destroyed { generation, plugin, remains, is_suspect, served, due });
    }

    /// Files whose contents were refused because of the state of this generation are looked at again: it has ended.
    fn look_again_beside(&mut self, generation: u64) {
        if self.slots.look_again_beside(generation) {
            self.look_at(Instant::now());
        }
    }

    /// Does what is due for those on their way out.
    pub(crate) fn attend_retired(&mut self) {
        self.warn_of_slow_drains();
        self.warn_of_slow_ends();
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
    pub(crate) fn retired_due(&self) -> Option<Instant> {
        let draining = self.draining.iter().filter_map(|draining| draining.due);
        let destroying = self.destroying.iter().filter_map(|destroying| destroying.due);
        draining.chain(destroying).chain(self.destroyed.iter().map(|destroyed| destroyed.due)).min()
    }

    /// Counts what is mapped and tells operators.
    pub(crate) fn publish_status(&mut self) {
        let mut serving = Count::default();
        for running in self.slots.running() {
            serving.add(running.count());
        }
        self.count_kept(self.footprint.kept(serving));
        let row = |(name, slot): (&OsString, &Slot)| {
            let mut row = slot.status(&self.context.path(name));
            let plugin = row.status.name.clone().unwrap_or_default();
            row.status.reload =
                slot.is_exclusive().map(|is_exclusive| self.context.reload_of(&plugin, is_exclusive));
            row.with_past(self.footprint.kept_of(&plugin), self.left_behind.get(&plugin))
        };
        self.context.shared.rows.store(Arc::new(self.slots.iter().map(row).collect()));
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
        self.footprint.shrink(&plugin, remains.rest());
        if self.context.unload_of(&plugin) == Unload::Keep || !remains.leaves_nothing() || is_suspect {
            return;
        }
        let count = remains.count();
        if remains.unmap() {
            log::debug!("plugin {plugin}: generation {generation} is unmapped, {} bytes", count.bytes);
            self.footprint.unmap(&plugin, count);
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
        let threads = self.context.thread_names.count(*generation);
        if threads > 0 {
            left.push(format!("generation {generation} left {threads} threads running after its destroy"));
        }
        let strays = thread_names::strays(served);
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
        let mut running = self.slots.running();
        running.any(|other| other.descriptor.name != plugin && other.since() < served.end)
            || self.draining.iter().any(|other| other.plugin != plugin)
            || self.destroying.iter().any(|other| other.plugin != plugin && other.served.end > served.start)
            || self.destroyed.iter().any(|other| other.plugin != plugin && other.served.end > served.start)
    }

    fn count_kept(&mut self, Count { generations, bytes, file_bytes }: Count) {
        self.context.shared.kept.store(generations, Ordering::Relaxed);
        self.context.shared.kept_bytes.store(bytes, Ordering::Relaxed);
        self.context.shared.kept_file_bytes.store(file_bytes, Ordering::Relaxed);
        let max = self.context.config.limits.generations_kept_max;
        if generations > max && !self.kept_was_warned {
            log::warn!(
                "{generations} retired plugin generations stay mapped ({bytes} bytes, and {file_bytes} bytes on disk in \
                 the state directory), more than {max}; restart when convenient"
            );
        }
        self.kept_was_warned = generations > max;
    }

    /// What the end of the server leaves.
    pub(crate) fn tell_what_is_left(&self) {
        for left in &self.draining {
            log::warn!("plugin {} is not destroyed: calls of it, or its quiesce, still run", left.plugin);
        }
        for left in &self.undestroyed {
            log::warn!("plugin {}: generation {} is not destroyed", left.plugin, left.generation);
        }
        for left in &self.destroying {
            log::warn!("plugin {}: the destroy of generation {} still runs", left.plugin, left.generation);
        }
    }

    fn warn_of_slow_ends(&mut self) {
        let now = Instant::now();
        let is_due = |destroying: &&mut Destroying| destroying.due.is_some_and(|due| due <= now);
        let ms_max = self.context.config.limits.drain_ms_max;
        for destroying in self.destroying.iter_mut().filter(is_due) {
            destroying.due = None;
            let what = format!(
                "the destroy of generation {} has not returned in {ms_max} ms",
                destroying.generation
            );
            log::warn!("plugin {}: {what}; its thread is left to it", destroying.plugin);
            self.left_behind.insert(destroying.plugin.clone(), what);
            self.slots.touch_status();
        }
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
                self.context.config.limits.drain_ms_max
            );
        }
    }
}

/// Lets no call in any more: those that come look again, at the registry's current snapshot.
fn seal(generation: &Generation) {
    if let Some(gate) = generation.gate() {
        gate.close(Pause::over(), None);
    }
}

/// Runs the end of a generation on a thread of its own: whatever a plugin does there holds up nobody, and its
/// thread-local destructors run. `false` when there is no thread to be had.
fn apart(end: impl FnOnce() + Send + 'static) -> bool {
    let started = thread::Builder::new().name(thread_names::ENDING.into()).spawn(end);
    if let Err(error) = &started {
        log::warn!("there is no thread to be had ({error}): a retired plugin is not told and not destroyed");
    }
    started.is_ok()
}
