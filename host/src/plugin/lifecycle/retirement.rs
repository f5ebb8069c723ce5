//! A generation's way out: told, drained, destroyed, and then kept mapped or, where that is
//! allowed, unmapped. Must not know what replaces a generation.

use super::context::Context;
use super::events::{Ended, Gone};
use super::generation::Generation;
use super::slots::Slots;
use super::status::Row;
use crate::pause::Pause;
use crate::plugin::clock::later;
use crate::plugin::config::Unload;
use crate::plugin::instance::live::Remains;
use crate::plugin::instance::thread_names::{self, Moment};
use crate::plugin::library::count::Count;
use crate::plugin::library::footprint::Footprint;
use crate::plugin::library::image::Image;
use crate::registry::Gate;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// From a generation's `destroy` to the look at what it left: a thread that was joined is listed
/// for a moment still.
const REST: Duration = Duration::from_millis(200);

/// Generations of one plugin that are destroyed at once; each has a thread.
const DESTROYING_MAX: usize = 8;

/// Told that no new call will start; its last calls still run.
struct Draining {
    generation: Weak<Generation>,
    id: u64,
    plugin: String,
    /// When to warn; None once that is done.
    due: Option<Instant>,
}

/// Its `destroy` runs.
struct Destroying {
    generation: u64,
    plugin: String,
    served: Range<Moment>,
    /// When to warn; None once that is done.
    due: Option<Instant>,
}

/// Destroyed, and still mapped.
struct Destroyed {
    generation: u64,
    plugin: String,
    remains: Remains,
    is_suspect: bool,
    served: Range<Moment>,
    /// When to look at what it left.
    due: Instant,
}

/// All generations on their way out, and what those that went have left.
#[derive(Default)]
pub(super) struct Retirement {
    /// Told so; their last calls still run.
    draining: Vec<Draining>,
    /// Their `destroy` runs.
    destroying: Vec<Destroying>,
    /// To be destroyed once fewer are.
    undestroyed: Vec<Ended>,
    /// Their ends are to be looked at.
    destroyed: Vec<Destroyed>,
    /// What the last generation that left something did leave, by the plugin's name.
    left_behind: BTreeMap<String, String>,
    footprint: Footprint,
    kept_was_warned: bool,
}

impl Retirement {
    /// Whether some still drain or are being destroyed.
    pub(super) fn is_busy(&self) -> bool {
        !self.draining.is_empty() || !self.destroying.is_empty()
    }

    /// A library was mapped, whatever became of it then.
    pub(super) fn map(&mut self, image: Arc<Image>) {
        self.footprint.map(image);
    }

    /// Begins the way out of generations that were replaced. The registry must not have them any
    /// more. [`Retirement::tell`] follows.
    pub(super) fn close(&mut self, replaced: &[Arc<Generation>], context: &Context) {
        let due = later(Instant::now(), context.config.limits.drain_max());
        // Before any of them is told, which may take long: what calls start from here on belongs to
        // their successors.
        let now = Moment::now();
        for generation in replaced {
            generation.close(now);
            self.footprint.retire(&generation.descriptor.name, Arc::clone(generation.image()));
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
    }

    /// Tells generations that no new call will start.
    pub(super) fn tell(replaced: Vec<Arc<Generation>>, context: &Context) {
        for generation in replaced.into_iter().filter(|generation| !generation.is_over()) {
            let names = context.thread_names;
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
    pub(super) fn drained(&mut self, generation: u64, context: &Context) {
        let draining = self.draining.iter().find(|draining| draining.id == generation);
        let Some(drained) = draining.and_then(|draining| draining.generation.upgrade()) else {
            return;
        };
        let is_drained = drained.gate().is_some_and(|gate| gate.is_drained());
        if let Some(ended) = is_drained.then(|| drained.end()).flatten() {
            self.end(ended, context);
        }
    }

    /// Destroys a generation whose last call has returned, and tells it before if it was not told.
    pub(super) fn end(&mut self, ended: Ended, context: &Context) {
        self.draining.retain(|draining| draining.id != ended.generation);
        if self.destroying.iter().filter(|other| other.plugin == ended.plugin).count()
            >= DESTROYING_MAX
        {
            log::warn!(
                "plugin {}: generation {} waits for its destroy, since {DESTROYING_MAX} others \
                 have not returned from theirs",
                ended.plugin,
                ended.generation
            );
            return self.undestroyed.push(ended);
        }
        let Ended { generation, plugin, is_suspect, served, mut ending } = ended;
        let due = Some(later(Instant::now(), context.config.limits.drain_max()));
        self.destroying.push(Destroying {
            generation,
            plugin: plugin.clone(),
            served: served.clone(),
            due,
        });
        let (names, mailbox) = (context.thread_names, Arc::clone(&context.mailbox));
        let is_begun = apart(move || {
            let named = names.bear(generation);
            ending.quiesce();
            let remains = ending.destroy();
            drop(named);
            mailbox.gone(Gone { generation, plugin, is_suspect, served, remains });
        });
        if !is_begun {
            self.destroying.pop();
        }
    }

    /// A generation is destroyed: the next one that waits for that may be.
    pub(super) fn gone(&mut self, gone: &Gone, context: &Context) {
        self.destroying.retain(|destroying| destroying.generation != gone.generation);
        let next = self.undestroyed.iter().position(|ended| ended.plugin == gone.plugin);
        if let Some(ended) = next.map(|index| self.undestroyed.remove(index)) {
            self.end(ended, context);
        }
    }

    /// What is left of a generation is not needed any more.
    pub(super) fn keep(&mut self, gone: Gone) {
        let Gone { generation, plugin, is_suspect, served, remains } = gone;
        let due = later(Instant::now(), REST);
        self.destroyed.push(Destroyed { generation, plugin, remains, is_suspect, served, due });
    }

    /// Does what is due. Whether the status has changed by that.
    pub(super) fn attend(&mut self, slots: &mut Slots, context: &Context) -> bool {
        self.warn_of_slow_drains(context);
        if self.warn_of_slow_ends(context) {
            slots.touch_status();
        }
        let now = Instant::now();
        let (due, waiting) = self.destroyed.drain(..).partition(|destroyed| destroyed.due <= now);
        self.destroyed = waiting;
        let due: Vec<Destroyed> = due;
        let is_changed = !due.is_empty();
        due.into_iter().for_each(|destroyed| self.bury(destroyed, slots, context));
        is_changed
    }

    /// When [`Retirement::attend`] is wanted.
    pub(super) fn due(&self) -> Option<Instant> {
        let draining = self.draining.iter().filter_map(|draining| draining.due);
        let destroying = self.destroying.iter().filter_map(|destroying| destroying.due);
        draining.chain(destroying).chain(self.destroyed.iter().map(|destroyed| destroyed.due)).min()
    }

    /// Adds to a plugin's status what its earlier generations keep and left behind.
    pub(super) fn add_past(&self, plugin: &str, row: Row) -> Row {
        row.with_past(self.footprint.kept_of(plugin), self.left_behind.get(plugin))
    }

    /// Warns once when too much is mapped beside what serves.
    pub(super) fn warn_of_kept(&mut self, slots: &Slots, context: &Context) {
        let mut serving = Count::default();
        for running in slots.running() {
            serving.add(running.image().count());
        }
        let kept = self.footprint.kept(serving);
        let max = context.config.limits.generations_kept_max;
        if kept.generations > max && !self.kept_was_warned {
            log::warn!(
                "{} retired plugin generations stay mapped ({} bytes, and {} bytes on disk in the \
                 state directory), more than {max}; restart when convenient",
                kept.generations,
                kept.bytes,
                kept.file_bytes
            );
        }
        self.kept_was_warned = kept.generations > max;
    }

    /// Logs what the end of the server leaves.
    pub(super) fn tell_what_is_left(&self) {
        for left in &self.draining {
            log::warn!(
                "plugin {} is not destroyed: calls of it, or its quiesce, still run",
                left.plugin
            );
        }
        for left in &self.undestroyed {
            log::warn!("plugin {}: generation {} is not destroyed", left.plugin, left.generation);
        }
        for left in &self.destroying {
            log::warn!(
                "plugin {}: the destroy of generation {} still runs",
                left.plugin,
                left.generation
            );
        }
    }

    fn bury(&mut self, destroyed: Destroyed, slots: &Slots, context: &Context) {
        let what = self.left_threads(&destroyed, slots, context);
        let Destroyed { generation, plugin, remains, is_suspect, .. } = destroyed;
        if let Some(what) = what {
            log::warn!(
                "plugin {plugin}: {what}; end them in destroy, or they keep their code and memory \
                 for ever"
            );
            self.left_behind.insert(plugin, what);
            return;
        }
        remains.rest();
        if context.unload_of(&plugin) == Unload::Keep || !remains.leaves_nothing() || is_suspect {
            return;
        }
        let image = Arc::clone(remains.image());
        let bytes = image.count().bytes;
        if remains.unmap() {
            log::debug!("plugin {plugin}: generation {generation} is unmapped, {bytes} bytes");
            self.footprint.unmap(&plugin, &image);
        } else {
            let what = format!("generation {generation} could not be unmapped");
            log::warn!(
                "plugin {plugin}: {what}: the dynamic loader keeps it, as for a thread-local's \
                 destructor"
            );
            self.left_behind.insert(plugin, what);
        }
    }

    /// The threads that still run a generation's code, or may.
    fn left_threads(
        &self,
        destroyed: &Destroyed,
        slots: &Slots,
        context: &Context,
    ) -> Option<String> {
        let Destroyed { generation, plugin, served, .. } = destroyed;
        let mut left = Vec::new();
        let threads = context.thread_names.count(*generation);
        if threads > 0 {
            left.push(format!(
                "generation {generation} left {threads} threads running after its destroy"
            ));
        }
        let strays = thread_names::strays(served);
        if strays > 0 {
            let or = if self.others_served(plugin, served, slots) {
                ", and may be another plugin's, since others served too"
            } else {
                ""
            };
            left.push(format!(
                "{strays} threads that calls started while generation {generation} served still \
                 run{or}"
            ));
        }
        (!left.is_empty()).then(|| left.join("; "))
    }

    /// Whether another plugin that is still known served at some time within `served`.
    fn others_served(&self, plugin: &str, served: &Range<Moment>, slots: &Slots) -> bool {
        slots.running().any(|other| other.descriptor.name != plugin && other.since() < served.end)
            || self.draining.iter().any(|other| other.plugin != plugin)
            || self
                .destroying
                .iter()
                .any(|other| other.plugin != plugin && other.served.end > served.start)
            || self
                .destroyed
                .iter()
                .any(|other| other.plugin != plugin && other.served.end > served.start)
    }

    /// Whether there was something to warn of.
    fn warn_of_slow_ends(&mut self, context: &Context) -> bool {
        let now = Instant::now();
        let is_due = |destroying: &&mut Destroying| destroying.due.is_some_and(|due| due <= now);
        let ms_max = context.config.limits.drain_ms_max;
        let mut was_any = false;
        for destroying in self.destroying.iter_mut().filter(is_due) {
            destroying.due = None;
            let what = format!(
                "the destroy of generation {} has not returned in {ms_max} ms",
                destroying.generation
            );
            log::warn!("plugin {}: {what}; its thread is left to it", destroying.plugin);
            self.left_behind.insert(destroying.plugin.clone(), what);
            was_any = true;
        }
        was_any
    }

    fn warn_of_slow_drains(&mut self, context: &Context) {
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
                context.config.limits.drain_ms_max
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

/// Runs the end of a generation on a thread of its own: whatever a plugin does there holds up
/// nobody, and its thread-local destructors run. `false` if no thread could be started.
fn apart(end: impl FnOnce() + Send + 'static) -> bool {
    let started = thread::Builder::new().name(thread_names::ENDING.into()).spawn(end);
    if let Err(error) = &started {
        log::warn!("could not start a thread: {error}; a retired plugin is not destroyed");
    }
    started.is_ok()
}
