//! The loop of the life cycle. It runs on one thread and alone writes the registry. It owns the
//! parts, and does the actions that they return, in order: parts do not know each other.

use super::action::Action;
use super::admission;
use super::context::Context;
use super::events::{Event, Gone, Mailbox, Tried};
use super::exclusive::Exclusive;
use super::generation::Generation;
use super::looks::{self, Looks};
use super::published::Shared;
use super::reloads::{self, Reloads};
use super::retirement::Retirement;
use super::slot::{Slot, SlotState};
use super::slots::Slots;
use super::trials::Trials;
use crate::plugin::config::Config;
use crate::plugin::directory::store::Store;
use crate::plugin::instance::thread_names::Names;
use crate::registry::{Registry, Snapshot};
use crossbeam_channel::Sender;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// The loader thread's state.
pub(crate) struct Loader {
    context: Context,
    registry: Arc<Registry>,
    slots: Slots,
    looks: Looks,
    trials: Trials,
    exclusive: Exclusive,
    retirement: Retirement,
    reloads: Reloads,
}

impl Loader {
    pub(crate) fn new(
        config: Config,
        store: Store,
        registry: Arc<Registry>,
        mailbox: Arc<Mailbox>,
        shared: Arc<Shared>,
    ) -> Self {
        let thread_names = Names::new();
        Self {
            context: Context { config, store, mailbox, shared, thread_names },
            registry,
            slots: Slots::default(),
            looks: Looks::new(),
            trials: Trials::default(),
            exclusive: Exclusive::default(),
            retirement: Retirement::default(),
            reloads: Reloads::default(),
        }
    }

    /// Loads what is there, says so by dropping `ready`, then follows events until told to stop.
    pub(crate) fn run(mut self, ready: Sender<()>) {
        self.trials.begin_start(ready, &self.context);
        self.looks.start_watching(&self.context);
        self.look();
        if self.slots.values().any(|slot| matches!(slot.state, SlotState::Settling { .. })) {
            // All files settle in the same wait.
            thread::sleep(looks::settle_time(&self.context));
            self.look();
        }
        loop {
            self.end_start();
            match self.context.mailbox.next(self.due()) {
                Event::Hint => self.looks.hint(),
                Event::Settings(settings) => {
                    reloads::reconfigure(settings, &mut self.slots, &mut self.context);
                    self.look();
                }
                Event::Reload(reload) => {
                    if self.reloads.begin(reload, &mut self.slots) {
                        self.look();
                    }
                }
                Event::Due { is_hinted } => self.attend(is_hinted),
                Event::Ended(ended) => self.retirement.end(ended, &self.context),
                Event::Drained(generation) => self.drained(generation),
                Event::Gone(gone) => self.gone(gone),
                Event::Tried(tried) => self.tried(tried),
                Event::Stop(deadline) => return self.stop(deadline),
            }
        }
    }

    /// When [`Loader::attend`] is wanted.
    fn due(&self) -> Option<Instant> {
        let parts = [
            self.look_due(),
            self.retirement.due(),
            self.exclusive.due(&self.context),
            self.trials.due(),
        ];
        parts.into_iter().flatten().min()
    }

    fn look_due(&self) -> Option<Instant> {
        self.looks.due(&self.slots, |file| self.exclusive.is_pinned(file))
    }

    /// Does what is due.
    fn attend(&mut self, is_hinted: bool) {
        if is_hinted {
            self.looks.hint();
        }
        if self.retirement.attend(&mut self.slots, &self.context) {
            self.publish_status();
        }
        let actions = self.exclusive.attend(&mut self.slots, &self.context);
        self.do_all(actions);
        self.trials.go_on(&self.slots, &self.context);
        if self.look_due().is_some_and(|due| due <= Instant::now()) {
            self.look();
        }
    }

    /// One look at the whole directory: every slot takes the steps that are due, and the registry
    /// is swapped once.
    fn look(&mut self) {
        if let Some(listing) = self.looks.list(&mut self.slots, &self.context) {
            let is_pinned = |file: &OsStr| self.exclusive.is_pinned(file);
            let all_over = looks::note_missing(&listing, &mut self.slots, &self.context, is_pinned);
            all_over.iter().for_each(|plugin| self.exclusive.forget(plugin));
            let mut left_out = 0_usize;
            for entry in &listing.entries {
                // A file that has its slot keeps it, whatever is put beside it.
                let has_place = self.slots.len() < self.context.config.limits.plugin_files_max;
                if !has_place && !self.slots.contains(&entry.name) {
                    left_out += 1;
                    continue;
                }
                let Some(content) = looks::read(entry, &mut self.slots, &self.context) else {
                    continue;
                };
                let is_pinned = |file: &OsStr| self.exclusive.is_pinned(file);
                let actions = admission::settled(
                    &entry.name,
                    &content,
                    &mut self.slots,
                    &self.context,
                    is_pinned,
                );
                self.do_all(actions);
            }
            self.retry_waiting();
            self.retry_conflicting();
            self.looks.tell_of_directory(&listing, left_out, &self.context);
        }
        self.trials.cancel_stale(&self.slots);
        self.publish();
        self.answer_reloads();
        self.looks.end(&self.context);
    }

    /// Ends the start once what was there is tried, or takes too long.
    fn end_start(&mut self) {
        let Some(ready) = self.trials.end_start() else { return };
        self.do_all(vec![Action::LoadPassed, Action::RetryConflicting, Action::Publish]);
        self.trials.tell_late();
        drop(ready);
    }

    fn drained(&mut self, generation: u64) {
        match self.exclusive.drained(generation, &mut self.slots, &self.context) {
            Some(actions) => self.do_all(actions),
            None => self.retirement.drained(generation, &self.context),
        }
    }

    fn gone(&mut self, gone: Gone) {
        self.slots.alive.remove(gone.generation);
        self.retirement.gone(&gone, &self.context);
        let actions = match self.exclusive.ended(gone, &mut self.slots, &self.context) {
            Ok(actions) => actions,
            Err(gone) => vec![Action::Keep(gone), Action::WakeWaiting],
        };
        self.do_all(actions);
    }

    fn tried(&mut self, tried: Vec<Tried>) {
        let actions = self.trials.tried(tried, &mut self.slots, &self.context);
        self.do_all(actions);
    }

    fn do_all(&mut self, actions: Vec<Action>) {
        for action in actions {
            let then = self.act(action);
            self.do_all(then);
        }
    }

    /// Does one thing that a part wants done. Gives what follows from it, before what came after
    /// it.
    fn act(&mut self, action: Action) -> Vec<Action> {
        let (slots, context) = (&mut self.slots, &self.context);
        match action {
            Action::Publish => self.publish(),
            Action::AnswerReloads => self.answer_reloads(),
            Action::WakeWaiting => self.wake_waiting(),
            Action::RetryConflicting => self.retry_conflicting(),
            Action::Try { file, copied, tries } => {
                return self.trials.begin(&file, copied, tries, slots, context);
            }
            Action::StartTrials => self.trials.go_on(slots, context),
            Action::TriedAlone { id, verdict } => {
                return self.exclusive.tried_alone(id, verdict, slots, context);
            }
            Action::LoadPassed => self.load_passed(),
            Action::Load { file, copied, warnings } => {
                return admission::load(&file, copied, warnings, slots, context);
            }
            Action::CountMapped(image) => self.retirement.map(image),
            Action::Admit(attempt) => return admission::admit(attempt, slots, context),
            Action::MakeRoom(attempt) => return self.exclusive.make_room(attempt, slots, context),
            Action::Create(attempt) => return admission::serve(attempt, slots, context),
            Action::Replace(wish) => return self.exclusive.begin(*wish, slots, context),
            Action::End(old) => {
                if let Some(ended) = old.end() {
                    self.retirement.end(ended, context);
                }
            }
            Action::Resume(resumption) => return Exclusive::resume(*resumption, slots, context),
            Action::Keep(gone) => self.retirement.keep(gone),
        }
        Vec::new()
    }

    /// Loads what has passed its trial.
    fn load_passed(&mut self) {
        while let Some(actions) = self.trials.next_passed(&mut self.slots, &self.context) {
            self.do_all(actions);
            // Before the next one's code runs, which may not return.
            self.publish();
        }
    }

    /// Tries again what has waited for a state or for an instance's end.
    fn retry_waiting(&mut self) {
        let has_room =
            |name: &OsStr, plugin: &str| self.exclusive.has_room(name, plugin, &self.slots);
        for name in admission::done_waiting(&self.slots, has_room) {
            let action = admission::retry(name, &mut self.slots);
            self.do_all(action.into_iter().collect());
        }
    }

    /// Serves what waited for a name, now that it may be free.
    fn retry_conflicting(&mut self) {
        for _ in 0..self.slots.len() {
            let Some(actions) = admission::next_conflicting(&mut self.slots, &self.context) else {
                return;
            };
            self.do_all(actions);
        }
    }

    /// An instance has ended, or a replacement: what waits for that is looked at again.
    fn wake_waiting(&mut self) {
        if self
            .slots
            .values()
            .any(|slot| matches!(slot.state, SlotState::Waiting { due: None, .. }))
        {
            self.looks.look_soon();
        }
    }

    fn answer_reloads(&mut self) {
        self.reloads.answer(&self.slots, self.looks.is_blind());
    }

    /// Swaps the registry if anything changed, and only then tells those that were replaced.
    fn publish(&mut self) {
        let (is_registry_stale, is_status_stale) = self.slots.take_changes();
        if is_registry_stale {
            let methods = self.slots.running().flat_map(Generation::methods).collect();
            self.exclusive.note_edition(self.registry.publish(methods));
            self.retire();
        } else if is_status_stale {
            self.publish_status();
        }
    }

    /// Begins the way out of those that the registry no longer has, and tells operators before
    /// them.
    fn retire(&mut self) {
        let replaced = self.slots.take_replaced();
        self.retirement.close(&replaced, &self.context);
        for generation in &replaced {
            if self.slots.look_again_beside(generation.id) {
                self.looks.look_soon();
            }
        }
        self.publish_status();
        Retirement::tell(replaced, &self.context);
    }

    /// Tells operators what there is, and warns of what is kept.
    fn publish_status(&mut self) {
        self.retirement.warn_of_kept(&self.slots, &self.context);
        let row = |(name, slot): (&OsString, &Slot)| {
            let mut row = slot.status(&self.context.path(name));
            let plugin = row.status.name.clone().unwrap_or_default();
            row.status.reload = slot
                .is_exclusive()
                .map(|is_exclusive| self.context.reload_of(&plugin, is_exclusive));
            self.retirement.add_past(&plugin, row)
        };
        let rows = self.slots.iter().map(row).collect();
        self.context.shared.rows.store(Arc::new(rows));
    }

    fn stop(mut self, deadline: Instant) {
        self.looks.stop_watching();
        self.exclusive.drop_all();
        self.registry.publish(Snapshot::default());
        self.slots.clear();
        self.trials.cancel_stale(&self.slots);
        self.retire();
        while self.retirement.is_busy() || self.trials.are_running() {
            match self.context.mailbox.next(Some(deadline)) {
                Event::Ended(ended) => self.retirement.end(ended, &self.context),
                Event::Drained(generation) => self.drained(generation),
                Event::Gone(gone) => self.gone(gone),
                Event::Tried(tried) => self.tried(tried),
                Event::Due { .. } => break,
                Event::Hint | Event::Settings(_) | Event::Reload(_) | Event::Stop(_) => {}
            }
        }
        self.retirement.tell_what_is_left();
        self.context.shared.rows.store(Arc::default());
    }
}
