//! Replaces a plugin of which no two instances may live at the same time: it holds a port or a
//! lock file, or its own copy of an embedded database.
//!
//! ```text
//! older instances end -> the gate closes, calls wait -> running calls end -> save_state
//!   -> quiesce -> destroy -> the new content is tried once more, with create -> create
//!   -> load_state -> swap -> the waiting calls go on
//! ```
//!
//! Each arrow waits for an event and not on this thread, so other plugins are loaded meanwhile.
//! Only `save_state`, `create` and `load_state` run on it, as in every load.
//!
//! - Before calls are held back, the new content is tried without `create`. After `destroy`, its
//!   `create` is tried in a child process. A trial never meets a living instance, and a `create`
//!   that crashes or hangs costs a pause only.
//! - The state is saved before `quiesce`. A failed save therefore leaves an old version that was
//!   told nothing and goes on.
//! - After `destroy`, the only way back is to create the old version again: from its mapped
//!   library, with its saved state and configuration.
//! - A generation without a gate gets one first. The gate closes once all snapshots from before
//!   are gone.
//! - A `destroy` that hangs leaves an instance neither alive nor dead. The plugin's calls then
//!   fail rather than meet a second instance: operators can see and end an outage, but lost data
//!   stays lost.
//!
//! Must not know how files come to be candidates.

mod replacement;
mod restore;

use self::replacement::{Replacement, Replacements, Step, is_state_of, put_off, save};
use super::action::{Action, Attempt, ResumedBy, Resumption, Wish};
use super::context::Context;
use super::create::create;
use super::events::{Gone, Mailbox, Tried};
use super::generation::Generation;
use super::handover;
use super::slot::SlotState;
use super::slots::Slots;
use super::stall_watch::TaskGuard;
use crate::pause::Pause;
use crate::plugin::clock::later;
use crate::plugin::config::{Config, ReloadMode};
use crate::plugin::instance::live::Live;
use crate::plugin::probe::trial;
use crate::plugin::probe::verdict::Verdict;
use crate::plugin::refusal::Refusal;
use crate::registry::Snapshot;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::mem;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// From one look to the next whether the calls have ended that began before there was a gate.
const TICK: Duration = Duration::from_millis(20);

/// All replacements of instances that must end before their successors begin.
#[derive(Default)]
pub(super) struct Exclusive {
    replacements: Replacements,
    /// Snapshots that were replaced, as long as calls have them.
    editions: Vec<Weak<Snapshot>>,
    /// Snapshots that have a generation without its gate, by its number, where a replacement gave
    /// up waiting for them.
    ungated: BTreeMap<u64, Vec<Weak<Snapshot>>>,
}

impl Exclusive {
    /// The registry has another snapshot now than this one.
    pub(super) fn note_edition(&mut self, before: Weak<Snapshot>) {
        self.editions.retain(|edition| edition.strong_count() > 0);
        self.editions.push(before);
    }

    /// Sees to it that no instance of its plugin lives when the candidate's is made, where that is
    /// wanted.
    pub(super) fn make_room(
        &mut self,
        attempt: Attempt,
        slots: &mut Slots,
        context: &Context,
    ) -> Vec<Action> {
        let plugin = attempt.candidate.descriptor.name.clone();
        if let Some(replacement) = self.replacements.get_mut(&plugin) {
            if matches!(replacement.step, Step::Down { .. }) {
                slots.set_state(&attempt.file, SlotState::Replacing { id: attempt.candidate.id });
                (replacement.attempt, replacement.refusal) = (attempt, None);
                return self.try_with_create(&plugin, slots, context);
            }
            wait_for(replacement.old.id, attempt, slots, context);
            return Vec::new();
        }
        let living = || slots.alive.of(&plugin);
        let is_exclusive =
            attempt.candidate.is_exclusive() || living().any(|(_, living)| living.is_exclusive);
        if context.reload_of(&plugin, is_exclusive) == ReloadMode::Overlap {
            return vec![Action::Create(attempt)];
        }
        let old = slots.forerunner(&attempt.file, &plugin);
        let other =
            living().map(|(id, _)| id).find(|id| old.as_ref().is_none_or(|old| old.id != *id));
        match (old, other) {
            (None, None) => vec![Action::Create(attempt)],
            (_, Some(generation)) => {
                wait_for(generation, attempt, slots, context);
                Vec::new()
            }
            (Some(old), None) => {
                let is_gate_new = old.gate().is_none();
                let mut actions = Vec::new();
                if is_gate_new {
                    old.make_gate();
                    slots.touch_registry();
                    actions.push(Action::Publish);
                }
                actions.push(Action::Replace(Box::new(Wish { attempt, old, is_gate_new })));
                actions
            }
        }
    }

    /// Begins a replacement, once the registry has the old generation's gate.
    pub(super) fn begin(
        &mut self,
        wish: Wish,
        slots: &mut Slots,
        context: &Context,
    ) -> Vec<Action> {
        let Wish { attempt, old, is_gate_new } = wish;
        let (file, plugin) = (&attempt.file, attempt.candidate.descriptor.name.clone());
        let holder = slots.predecessor(file, &plugin).unwrap_or_else(|| file.clone());
        let before = if is_gate_new {
            self.editions.clone()
        } else {
            self.ungated.remove(&old.id).unwrap_or_default()
        };
        slots.set_state(file, SlotState::Replacing { id: attempt.candidate.id });
        let replacement = Replacement {
            attempt,
            holder,
            old,
            step: Step::Gating { before, due: Instant::now() },
            pause: Pause::over(),
            since: Instant::now(),
            saved: None,
            remains: None,
            refusal: None,
            is_late_told: false,
        };
        self.replacements.insert(plugin.clone(), replacement);
        self.close_when_gated(&plugin, slots, context)
    }

    /// Closes the gate once every call is in it.
    fn close_when_gated(
        &mut self,
        plugin: &str,
        slots: &mut Slots,
        context: &Context,
    ) -> Vec<Action> {
        let limits = &context.config.limits;
        let Some(replacement) = self.replacements.get_mut(plugin) else { return Vec::new() };
        let Step::Gating { before, due } = &mut replacement.step else { return Vec::new() };
        before.retain(|edition| edition.strong_count() > 0);
        if !before.is_empty() {
            *due = later(Instant::now(), TICK);
            if later(replacement.since, limits.exclusive_max() / 2) <= Instant::now() {
                return self.give_up_gating(plugin, slots, context);
            }
            return Vec::new();
        }
        // What calls did through those snapshots happened before.
        fence(Ordering::Acquire);
        let now = Instant::now();
        let until = later(now, limits.exclusive_max());
        (replacement.pause, replacement.since) = (Pause::begin(), now);
        replacement.step = Step::Draining { due: later(now, limits.exclusive_max() / 2) };
        log::info!("calls of plugin {plugin} wait while generation {} ends", replacement.old.id);
        context.shared.pauses.add(until, replacement.pause.clone());
        replacement.old.make_gate().close(replacement.pause.clone(), Some(until));
        Vec::new()
    }

    /// Puts a replacement off because calls that began before there was a gate do not end. The next
    /// attempt still waits for them.
    fn give_up_gating(
        &mut self,
        plugin: &str,
        slots: &mut Slots,
        context: &Context,
    ) -> Vec<Action> {
        let Some(mut replacement) = self.replacements.remove(plugin) else { return Vec::new() };
        let generation = replacement.old.id;
        if let Step::Gating { before, .. } = &mut replacement.step {
            self.ungated
                .retain(|_, before| before.iter().any(|edition| edition.strong_count() > 0));
            self.ungated.insert(generation, mem::take(before));
        }
        let tries_left = handover::TRIES_MAX.saturating_sub(replacement.attempt.tries + 1);
        put_off(replacement, Refusal::Busy { generation, tries_left }, slots, context)
    }

    /// A gate is drained: no call runs in that generation. None when nothing here waits for that.
    pub(super) fn drained(
        &mut self,
        generation: u64,
        slots: &mut Slots,
        context: &Context,
    ) -> Option<Vec<Action>> {
        let is_it = |(_, replacement): &(&String, &Replacement)| {
            replacement.old.id == generation && matches!(replacement.step, Step::Draining { .. })
        };
        let plugin = self.replacements.iter().find(is_it).map(|(plugin, _)| plugin.clone())?;
        let replacement = self.replacements.remove(&plugin)?;
        if !replacement.old.gate().is_some_and(|gate| gate.is_drained()) {
            self.replacements.insert(plugin, replacement);
            return Some(Vec::new());
        }
        Some(match save(&replacement, context) {
            Ok(saved) => {
                let old = Arc::clone(&replacement.old);
                self.replacements
                    .insert(plugin, Replacement { saved, step: Step::Ending, ..replacement });
                vec![Action::End(old)]
            }
            Err(why) => {
                let (generation, tries) = (replacement.old.id, replacement.attempt.tries + 1);
                let tries_left = handover::TRIES_MAX.saturating_sub(tries);
                put_off(replacement, Refusal::Save { generation, why, tries_left }, slots, context)
            }
        })
    }

    /// The instance of a generation is destroyed.
    ///
    /// # Errors
    /// Nothing here waits for that.
    pub(super) fn ended(
        &mut self,
        gone: Gone,
        slots: &mut Slots,
        context: &Context,
    ) -> Result<Vec<Action>, Gone> {
        let is_it = |replacement: &&mut Replacement| {
            replacement.old.id == gone.generation && matches!(replacement.step, Step::Ending)
        };
        let Some(replacement) = self.replacements.values_mut().find(is_it) else {
            return Err(gone);
        };
        let plugin = gone.plugin.clone();
        replacement.remains = Some(gone);
        Ok(self.try_with_create(&plugin, slots, context))
    }

    /// Has the new content's `create` tried in a child process, now that no instance lives.
    fn try_with_create(
        &mut self,
        plugin: &str,
        slots: &mut Slots,
        context: &Context,
    ) -> Vec<Action> {
        let Some(replacement) = self.replacements.get_mut(plugin) else { return Vec::new() };
        replacement.step = Step::Trying;
        let (id, copy) =
            (replacement.attempt.candidate.id, replacement.attempt.candidate.copy().to_owned());
        if !context.config.keys.probe {
            return self.replace(plugin, slots, context);
        }
        let (config, mailbox) = (context.config.clone(), Arc::clone(&context.mailbox));
        let started = context.store.scratch(id).and_then(|scratch| {
            let trial = move || try_alone(id, &copy, scratch.path(), &config, &mailbox);
            let started = thread::Builder::new().name("hotcall-probe".into()).spawn(trial);
            started.map(drop).map_err(Refusal::io("start its probe"))
        });
        match started {
            Ok(()) => Vec::new(),
            Err(refusal) => {
                restore::restore(&mut self.replacements, plugin, refusal, slots, context)
            }
        }
    }

    /// Takes the verdict of a trial with `create`.
    pub(super) fn tried_alone(
        &mut self,
        id: u64,
        verdict: Verdict,
        slots: &mut Slots,
        context: &Context,
    ) -> Vec<Action> {
        let is_it = |(_, replacement): &(&String, &Replacement)| {
            replacement.attempt.candidate.id == id && matches!(replacement.step, Step::Trying)
        };
        let Some(plugin) = self.replacements.iter().find(is_it).map(|(plugin, _)| plugin.clone())
        else {
            return Vec::new();
        };
        match verdict.outcome {
            Ok(warnings) => {
                for warning in warnings {
                    log::warn!("plugin {plugin}: {warning}");
                }
                self.replace(&plugin, slots, context)
            }
            Err(refusal) => {
                restore::restore(&mut self.replacements, &plugin, refusal, slots, context)
            }
        }
    }

    /// Makes the new instance.
    fn replace(&mut self, plugin: &str, slots: &mut Slots, context: &Context) -> Vec<Action> {
        let Some(replacement) = self.replacements.get(plugin) else { return Vec::new() };
        let (file, candidate) = (&replacement.attempt.file, replacement.attempt.candidate.clone());
        let give = |live: &Live, task: &TaskGuard| replacement.give(live, task, context);
        match create(file, candidate, context.settings_of(plugin), context, give) {
            Ok((generation, _)) => self.put_in_place(plugin, generation, slots, context),
            Err(refusal) => {
                restore::restore(&mut self.replacements, plugin, refusal, slots, context)
            }
        }
    }

    fn put_in_place(
        &mut self,
        plugin: &str,
        generation: Arc<Generation>,
        slots: &mut Slots,
        context: &Context,
    ) -> Vec<Action> {
        let Some(replacement) = self.replacements.remove(plugin) else { return Vec::new() };
        let Replacement { attempt, holder, pause, since, remains, .. } = replacement;
        let Attempt { file, candidate, .. } = attempt;
        let is_current = is_state_of(&file, candidate.id, slots);
        // Its file may have another content by now.
        let state =
            slots.get_mut(&file).map(|slot| mem::replace(&mut slot.state, SlotState::Refused));
        slots.alive.add(generation.id, generation.living());
        slots.swap(
            &file,
            Some(holder.as_os_str()).filter(|holder| *holder != file),
            generation,
            context,
        );
        if let (Some(slot), Some(state), false) = (slots.get_mut(&file), state, is_current) {
            slot.state = state;
        }
        let by = ResumedBy::New { plugin: plugin.to_owned(), since, remains };
        vec![Action::Publish, Action::Resume(Box::new(Resumption { file, pause, by }))]
    }

    /// Does what is due.
    pub(super) fn attend(&mut self, slots: &mut Slots, context: &Context) -> Vec<Action> {
        let now = Instant::now();
        let mut actions = Vec::new();
        for plugin in self.replacements.keys().cloned().collect::<Vec<_>>() {
            let Some(replacement) = self.replacements.get(&plugin) else { continue };
            let is_late = replacement.until(&context.config) <= now && !replacement.is_late_told;
            actions.extend(match replacement.step {
                Step::Gating { due, .. } if due <= now => {
                    self.close_when_gated(&plugin, slots, context)
                }
                Step::Draining { due } if due <= now => self.give_up(&plugin, slots, context),
                Step::Ending if is_late => self.tell_of_late_end(&plugin, slots, context),
                Step::Down { due, .. } if due <= now => {
                    restore::make_old_again(&mut self.replacements, &plugin, slots, context)
                }
                _ => Vec::new(),
            });
        }
        actions
    }

    /// When [`Exclusive::attend`] is wanted.
    pub(super) fn due(&self, context: &Context) -> Option<Instant> {
        let due = |replacement: &Replacement| match &replacement.step {
            Step::Gating { due, .. } | Step::Draining { due } | Step::Down { due, .. } => {
                Some(*due)
            }
            Step::Ending if !replacement.is_late_told => Some(replacement.until(&context.config)),
            Step::Ending | Step::Trying => None,
        };
        self.replacements.values().filter_map(due).min()
    }

    /// The running calls do not end.
    fn give_up(&mut self, plugin: &str, slots: &mut Slots, context: &Context) -> Vec<Action> {
        let Some(replacement) = self.replacements.remove(plugin) else { return Vec::new() };
        if replacement.old.make_gate().is_drained() {
            // That is told already.
            self.replacements.insert(plugin.to_owned(), replacement);
            return Vec::new();
        }
        let generation = replacement.old.id;
        let tries_left = handover::TRIES_MAX.saturating_sub(replacement.attempt.tries + 1);
        put_off(replacement, Refusal::Busy { generation, tries_left }, slots, context)
    }

    /// The old instance is neither alive nor dead, and nothing else may live beside it.
    fn tell_of_late_end(
        &mut self,
        plugin: &str,
        slots: &mut Slots,
        context: &Context,
    ) -> Vec<Action> {
        let ms_max = context.config.limits.exclusive_ms_max;
        let Some(replacement) = self.replacements.get_mut(plugin) else { return Vec::new() };
        replacement.is_late_told = true;
        let generation = replacement.old.id;
        let text = format!(
            "no version serves: the destroy of generation {generation} has not returned in \
             {ms_max} ms, and no two versions may live at once; if it never returns, restart the \
             server"
        );
        log::error!("plugin {plugin}: {text}");
        slots.set_error(&replacement.attempt.file, text);
        vec![Action::Publish]
    }

    /// Whether the file's slot must stay as it is for a replacement.
    pub(super) fn is_pinned(&self, file: &OsStr) -> bool {
        let pins = |replacement: &Replacement| {
            let is_down = matches!(replacement.step, Step::Down { .. });
            !is_down && (replacement.attempt.file == file || replacement.holder == file)
        };
        self.replacements.values().any(pins)
    }

    /// The file of a plugin that is down is gone, and with it what could be made again.
    pub(super) fn forget(&mut self, plugin: &str) {
        if let Some(Replacement { pause, saved, .. }) = self.replacements.remove(plugin) {
            if saved.is_some() {
                log::error!("plugin {plugin}: its saved state goes with its file");
            }
            pause.end();
        }
    }

    /// Has the calls of a replacement go on, once the registry has what they go on in.
    pub(super) fn resume(
        resumption: Resumption,
        slots: &mut Slots,
        context: &Context,
    ) -> Vec<Action> {
        restore::resume(resumption, slots, context)
    }

    /// The server ends: what still lives goes the way of all others.
    pub(super) fn drop_all(&mut self) {
        for replacement in mem::take(&mut self.replacements).into_values() {
            if let (Some(gate), false) = (replacement.old.gate(), replacement.old.is_over()) {
                gate.reopen();
            }
            replacement.pause.end();
        }
    }

    /// Whether nothing stands in the way of a candidate that waits for an end.
    pub(super) fn has_room(&self, name: &OsStr, plugin: &str, slots: &Slots) -> bool {
        let old = slots.forerunner(name, plugin).map(|old| old.id);
        let is_down = |replacement: &Replacement| matches!(replacement.step, Step::Down { .. });
        self.replacements.get(plugin).is_none_or(is_down)
            && slots.alive.of(plugin).all(|(id, _)| Some(id) == old)
    }
}

/// Puts a candidate off until an instance has ended.
fn wait_for(generation: u64, attempt: Attempt, slots: &mut Slots, context: &Context) {
    let Attempt { file, candidate, tries } = attempt;
    slots.refuse(&file, &Refusal::Lives { generation }, context);
    slots.set_state(&file, SlotState::Waiting { candidate: Box::new(candidate), tries, due: None });
}

/// Runs one trial with `create` on a thread of its own.
fn try_alone(id: u64, copy: &Path, scratch: &Path, config: &Config, mailbox: &Mailbox) {
    let verdict = trial::run(copy, scratch, config, &BTreeMap::new(), &AtomicBool::new(false));
    mailbox.tried(Tried { id, verdict, settings: None });
}
