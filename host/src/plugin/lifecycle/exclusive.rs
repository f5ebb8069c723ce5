//! Replacing a plugin of which no two instances may live at the same time: it holds a port or a lock file, or its own copy
//! of an embedded database.
//!
//! ```text
//! older instances end -> the gate closes, calls wait -> running calls end -> save_state -> quiesce -> destroy
//!   -> the new content is tried once more, with create -> create -> load_state -> swap -> the waiting calls go on
//! ```
//!
//! Each arrow waits for an event and not on this thread, so others are loaded meanwhile. Only `save_state`, `create` and
//! `load_state` run on it, as in every load. Until the state is saved the old version can go on as if nothing had been. Afterwards it can be made again, with its state, when the new one refuses. All
//! instances that live are listed in [`Living`], however they end: that is what keeps two from meeting.

mod restore;

use super::events::{Gone, Mailbox, Tried};
use super::generation::Generation;
use super::handover;
use super::loader::Loader;
use super::slot::State;
use super::stall_watch::TaskGuard;
use crate::plugin::clock::later;
use crate::plugin::config::{Config, ReloadMode};
use crate::plugin::instance::candidate::Candidate;
use crate::plugin::instance::live::{Live, Saved};
use crate::plugin::probe::trial;
use crate::plugin::probe::verdict::Verdict;
use crate::plugin::refusal::Refusal;
use crate::registry::{Pause, Snapshot};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// From one look to the next whether the calls have ended that began before there was a gate.
const TICK: Duration = Duration::from_millis(20);

/// One plugin's replacement, from the wish to the swap.
pub(crate) struct Replacement {
    /// Whose content is to serve.
    file: OsString,
    /// For which the old generation serves: another file when the plugin's file was renamed.
    holder: OsString,
    candidate: Candidate,
    /// How often it was put off before.
    tries: u32,
    old: Arc<Generation>,
    step: Step,
    pause: Pause,
    /// When the gate was closed.
    since: Instant,
    saved: Option<Saved>,
    /// Of the old instance, whose library is needed again when the new one refuses.
    remains: Option<Gone>,
    /// Why the new one does not serve, until the old one does again.
    refusal: Option<Refusal>,
    /// Operators were told that it takes too long.
    is_late_told: bool,
}

/// What is waited for.
enum Step {
    /// The end of calls that began before there was a gate: these snapshots have the methods without it. Looked at when due.
    Gating { before: Vec<Weak<Snapshot>>, due: Instant },
    /// The last call's leaving the gate, until `due`.
    Draining { due: Instant },
    /// The return of `destroy`.
    Ending,
    /// The end of the new content's trial with `create`.
    Trying,
    /// The next try to make the old version again, of which `tries` failed.
    Down { due: Instant, tries: u32 },
}

impl Replacement {
    /// Until when calls wait.
    fn until(&self, config: &Config) -> Instant {
        later(self.since, config.limits.exclusive_max())
    }
}

impl Loader {
    /// Sees to it that no instance of its plugin lives when the candidate's is made, where that is wanted. Gives the candidate
    /// back when none does, or none has to end.
    pub(crate) fn make_room(&mut self, name: &OsStr, candidate: Candidate, tries: u32) -> Option<Candidate> {
        let plugin = candidate.descriptor.name.clone();
        if let Some(replacement) = self.replacements.get_mut(&plugin) {
            if matches!(replacement.step, Step::Down { .. }) {
                let id = candidate.id;
                (replacement.file, replacement.candidate) = (name.to_owned(), candidate);
                (replacement.refusal, replacement.tries) = (None, tries);
                self.slots.set_state(name, State::Replacing { id });
                self.try_with_create(&plugin);
                return None;
            }
            let generation = replacement.old.id;
            return self.wait_for(generation, name, candidate, tries);
        }
        let living = || self.slots.alive.of(&plugin);
        let is_exclusive = candidate.is_exclusive() || living().any(|(_, living)| living.is_exclusive);
        if self.context.reload_of(&plugin, is_exclusive) == ReloadMode::Overlap {
            return Some(candidate);
        }
        let old = self.slots.forerunner(name, &plugin);
        let other = living().map(|(id, _)| id).find(|id| old.as_ref().is_none_or(|old| old.id != *id));
        match (old, other) {
            (None, None) => Some(candidate),
            (_, Some(generation)) => self.wait_for(generation, name, candidate, tries),
            (Some(old), None) => {
                self.begin_replacement(name, old, candidate, tries);
                None
            }
        }
    }

    /// Puts a candidate off until an instance has ended.
    fn wait_for(
        &mut self,
        generation: u64,
        name: &OsStr,
        candidate: Candidate,
        tries: u32,
    ) -> Option<Candidate> {
        self.slots.refuse(name, &Refusal::Lives { generation }, &self.context);
        self.slots.set_state(name, State::Waiting { candidate: Box::new(candidate), tries, due: None });
        None
    }

    fn begin_replacement(&mut self, name: &OsStr, old: Arc<Generation>, candidate: Candidate, tries: u32) {
        let plugin = candidate.descriptor.name.clone();
        let holder = self.slots.predecessor(name, &plugin).unwrap_or_else(|| name.to_owned());
        let before = if old.gate().is_none() {
            old.make_gate();
            self.slots.touch_registry();
            self.commit();
            self.editions.clone()
        } else {
            self.ungated.remove(&old.id).unwrap_or_default()
        };
        self.slots.set_state(name, State::Replacing { id: candidate.id });
        let replacement = Replacement {
            file: name.to_owned(),
            holder,
            candidate,
            tries,
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
        self.close_when_gated(&plugin);
    }

    /// Closes the gate once every call is in it.
    fn close_when_gated(&mut self, plugin: &str) {
        let limits = &self.context.config.limits;
        let Some(replacement) = self.replacements.get_mut(plugin) else { return };
        let Step::Gating { before, due } = &mut replacement.step else { return };
        before.retain(|edition| edition.strong_count() > 0);
        if !before.is_empty() {
            *due = later(Instant::now(), TICK);
            if later(replacement.since, limits.exclusive_max() / 2) <= Instant::now() {
                self.give_up_gating(plugin);
            }
            return;
        }
        // What calls did through those snapshots happened before.
        fence(Ordering::Acquire);
        let now = Instant::now();
        let until = later(now, limits.exclusive_max());
        (replacement.pause, replacement.since) = (Pause::begin(), now);
        replacement.step = Step::Draining { due: later(now, limits.exclusive_max() / 2) };
        log::info!("calls of plugin {plugin} wait while generation {} ends", replacement.old.id);
        self.context.shared.pauses.add(until, replacement.pause.clone());
        replacement.old.make_gate().close(replacement.pause.clone(), Some(until));
    }

    /// A gate is drained: no call runs in that generation.
    pub(crate) fn drained(&mut self, generation: u64) {
        let is_it = |(_, replacement): &(&String, &Replacement)| {
            replacement.old.id == generation && matches!(replacement.step, Step::Draining { .. })
        };
        let Some(plugin) = self.replacements.iter().find(is_it).map(|(plugin, _)| plugin.clone()) else {
            return self.retirement.drained(generation, &self.context);
        };
        let Some(replacement) = self.replacements.remove(&plugin) else { return };
        if !replacement.old.gate().is_some_and(|gate| gate.is_drained()) {
            self.replacements.insert(plugin, replacement);
            return;
        }
        match self.save(&replacement) {
            Ok(saved) => {
                let old = Arc::clone(&replacement.old);
                self.replacements.insert(plugin, Replacement { saved, step: Step::Ending, ..replacement });
                if let Some(ended) = old.end() {
                    self.retirement.end(ended, Some(old), &self.context);
                }
            }
            Err(why) => {
                let (generation, tries) = (replacement.old.id, replacement.tries + 1);
                let tries_left = handover::TRIES_MAX.saturating_sub(tries);
                self.put_off(replacement, &Refusal::Save { generation, why, tries_left });
            }
        }
    }

    /// The old one's state, for the new one or for itself: it may have to be made again.
    fn save(&self, replacement: &Replacement) -> Result<Option<Saved>, String> {
        let (old, plugin) = (&replacement.old, &replacement.old.descriptor.name);
        if !old.gives_state() {
            return Ok(None);
        }
        let _task = self.context.begin_task(&replacement.holder, old.id, "save_state");
        match old.save_state(&self.context.call("save_state")).transpose() {
            Err(why) if old.health.is_poisoned() => {
                log::warn!(
                    "plugin {plugin}: the state of generation {}, which is out of service, is lost: {why}",
                    old.id
                );
                Ok(None)
            }
            saved => saved,
        }
    }

    /// Has the old one go on, of which nothing has ended. It is asked to give way again later.
    fn put_off(&mut self, replacement: Replacement, refusal: &Refusal) {
        let Replacement { file, holder, candidate, tries, old, pause, .. } = replacement;
        if let Some(gate) = old.gate() {
            gate.reopen();
        }
        self.resume_calls(&holder, &pause);
        self.refuse_candidate(&file, candidate, tries, refusal);
        self.finish();
    }

    /// The instance of a generation is destroyed. Gives it back when nothing here waits for that.
    pub(crate) fn ended_for_another(&mut self, gone: Gone) -> Option<Gone> {
        let is_it = |replacement: &&mut Replacement| {
            replacement.old.id == gone.generation && matches!(replacement.step, Step::Ending)
        };
        let Some(replacement) = self.replacements.values_mut().find(is_it) else { return Some(gone) };
        let plugin = gone.plugin.clone();
        replacement.remains = Some(gone);
        self.try_with_create(&plugin);
        None
    }

    /// Has the new content's `create` tried in a child process, now that no instance lives.
    fn try_with_create(&mut self, plugin: &str) {
        let Some(replacement) = self.replacements.get_mut(plugin) else { return };
        replacement.step = Step::Trying;
        let (id, copy) = (replacement.candidate.id, replacement.candidate.copy().to_owned());
        let Some(program) = self.context.config.probe.clone() else { return self.replace(plugin) };
        let (config, mailbox) = (self.context.config.clone(), Arc::clone(&self.context.mailbox));
        let started = self.context.store.scratch(id).and_then(|scratch| {
            let trial = move || try_alone(id, &program, &copy, scratch.path(), &config, &mailbox);
            let started = thread::Builder::new().name("hotcall-probe".into()).spawn(trial);
            started.map(drop).map_err(Refusal::io("start its probe"))
        });
        if let Err(refusal) = started {
            self.restore(plugin, refusal);
        }
    }

    /// Takes the verdict of a trial with `create`.
    pub(crate) fn tried_alone(&mut self, id: u64, verdict: Verdict) {
        let is_it = |(_, replacement): &(&String, &Replacement)| {
            replacement.candidate.id == id && matches!(replacement.step, Step::Trying)
        };
        let Some(plugin) = self.replacements.iter().find(is_it).map(|(plugin, _)| plugin.clone()) else {
            return;
        };
        match verdict.outcome {
            Ok(warnings) => {
                for warning in warnings {
                    log::warn!("plugin {plugin}: {warning}");
                }
                self.replace(&plugin);
            }
            Err(refusal) => self.restore(&plugin, refusal),
        }
    }

    /// Makes the new instance.
    fn replace(&mut self, plugin: &str) {
        let Some(replacement) = self.replacements.get(plugin) else { return };
        let (file, candidate) = (replacement.file.clone(), replacement.candidate.clone());
        let settings = self.context.settings_of(plugin);
        let made = self.create(&file, candidate, settings, |live, task| self.give(replacement, live, task));
        match made {
            Ok((generation, _)) => self.put_in_place(plugin, generation),
            Err(refusal) => self.restore(plugin, refusal),
        }
    }

    /// Gives a new instance the state that was saved, if there is any and it takes one.
    fn give(&self, replacement: &Replacement, live: &Live, task: &TaskGuard) -> Result<bool, Refusal> {
        let (plugin, generation) = (&replacement.old.descriptor.name, replacement.old.id);
        match &replacement.saved {
            Some(saved) if live.takes_state() => {
                task.next_step("load_state");
                let loaded = live.load_state(saved, &self.context.call("load_state"));
                loaded.map_err(|why| Refusal::State { generation, why })?;
                log::info!("plugin {plugin}: the state of generation {generation} is handed over");
                Ok(true)
            }
            Some(_) => {
                log::info!(
                    "plugin {plugin}: this version takes no state; that of generation {generation} is given up"
                );
                Ok(false)
            }
            None => Ok(false),
        }
    }

    fn put_in_place(&mut self, plugin: &str, generation: Arc<Generation>) {
        let Some(replacement) = self.replacements.remove(plugin) else { return };
        let Replacement { file, holder, candidate, pause, since, remains, .. } = replacement;
        let is_current = self.is_state_of(&file, candidate.id);
        // Its file may have another content by now.
        let state = self.slots.get_mut(&file).map(|slot| std::mem::replace(&mut slot.state, State::Refused));
        self.slots.alive.add(generation.id, generation.living());
        self.slots.swap(
            &file,
            Some(holder.as_os_str()).filter(|holder| *holder != file),
            generation,
            &self.context,
        );
        if let (Some(slot), Some(state), false) = (self.slots.get_mut(&file), state, is_current) {
            slot.state = state;
        }
        self.commit();
        self.resume_calls(&file, &pause);
        log::info!("plugin {plugin}: its calls waited for {} ms", since.elapsed().as_millis());
        if let Some(gone) = remains {
            self.retirement.keep(gone);
        }
        self.finish();
    }

    /// Does what is due for replacements.
    pub(crate) fn attend_replacements(&mut self) {
        let now = Instant::now();
        for plugin in self.replacements.keys().cloned().collect::<Vec<_>>() {
            let Some(replacement) = self.replacements.get(&plugin) else { continue };
            let is_late = replacement.until(&self.context.config) <= now && !replacement.is_late_told;
            match replacement.step {
                Step::Gating { due, .. } if due <= now => self.close_when_gated(&plugin),
                Step::Draining { due } if due <= now => self.give_up(&plugin),
                Step::Ending if is_late => self.tell_of_late_end(&plugin),
                Step::Down { due, .. } if due <= now => self.make_old_again(&plugin),
                _ => {}
            }
        }
    }

    /// When [`Loader::attend_replacements`] is wanted.
    pub(crate) fn replacements_due(&self) -> Option<Instant> {
        let due = |replacement: &Replacement| match &replacement.step {
            Step::Gating { due, .. } | Step::Draining { due } | Step::Down { due, .. } => Some(*due),
            Step::Ending if !replacement.is_late_told => Some(replacement.until(&self.context.config)),
            Step::Ending | Step::Trying => None,
        };
        self.replacements.values().filter_map(due).min()
    }

    /// The running calls do not end.
    fn give_up(&mut self, plugin: &str) {
        let Some(replacement) = self.replacements.remove(plugin) else { return };
        let gate = replacement.old.make_gate();
        if gate.is_drained() {
            // That is told already.
            self.replacements.insert(plugin.to_owned(), replacement);
            return;
        }
        let generation = replacement.old.id;
        let tries_left = handover::TRIES_MAX.saturating_sub(replacement.tries + 1);
        self.put_off(replacement, &Refusal::Busy { generation, tries_left });
    }

    /// The old instance is neither alive nor dead, and nothing else may live beside it.
    fn tell_of_late_end(&mut self, plugin: &str) {
        let ms_max = self.context.config.limits.exclusive_ms_max;
        let Some(replacement) = self.replacements.get_mut(plugin) else { return };
        replacement.is_late_told = true;
        let (file, generation) = (replacement.file.clone(), replacement.old.id);
        let text = format!(
            "no version serves: the destroy of generation {generation} has not returned in {ms_max} ms, and no two versions \
             may live at once; if it never returns, restart the server"
        );
        log::error!("plugin {plugin}: {text}");
        self.tell_in_status(&file, text);
    }

    fn tell_in_status(&mut self, file: &OsStr, text: String) {
        if let Some(slot) = self.slots.get_mut(file) {
            slot.last_error = Some(text);
        }
        self.slots.touch_status();
        self.commit();
    }

    /// Whether the file's slot waits for this replacement, and has no other content by now.
    fn is_state_of(&self, file: &OsStr, id: u64) -> bool {
        let state = self.slots.get(file).map(|slot| &slot.state);
        matches!(state, Some(State::Replacing { id: of }) if *of == id)
    }

    /// Whether the file's slot must stay as it is for a replacement.
    pub(crate) fn is_pinned(&self, file: &OsStr) -> bool {
        let pins = |replacement: &Replacement| {
            let is_down = matches!(replacement.step, Step::Down { .. });
            !is_down && (replacement.file == file || replacement.holder == file)
        };
        self.replacements.values().any(pins)
    }

    /// The server ends: what still lives goes the way of all others.
    pub(crate) fn drop_replacements(&mut self) {
        for replacement in std::mem::take(&mut self.replacements).into_values() {
            if let (Some(gate), false) = (replacement.old.gate(), replacement.old.is_over()) {
                gate.reopen();
            }
            replacement.pause.end();
        }
    }

    fn finish(&mut self) {
        self.commit();
        self.answer_reloads();
        self.wake_waiting();
    }

    /// An instance has ended, or a replacement: what waits for that is looked at again.
    pub(crate) fn wake_waiting(&mut self) {
        if self.slots.values().any(|slot| matches!(slot.state, State::Waiting { due: None, .. })) {
            self.look_at(Instant::now());
        }
    }

    /// Whether nothing stands in the way of a candidate that waits for an end.
    pub(crate) fn has_room(&self, name: &OsStr, plugin: &str) -> bool {
        let old = self.slots.forerunner(name, plugin).map(|old| old.id);
        let is_down = |replacement: &Replacement| matches!(replacement.step, Step::Down { .. });
        self.replacements.get(plugin).is_none_or(is_down)
            && self.slots.alive.of(plugin).all(|(id, _)| Some(id) == old)
    }
}

/// Runs one trial with `create` on a thread of its own.
fn try_alone(id: u64, program: &Path, copy: &Path, scratch: &Path, config: &Config, mailbox: &Mailbox) {
    let verdict = trial::run(program, copy, scratch, config, &BTreeMap::new(), &AtomicBool::new(false));
    mailbox.tried(Tried { id, verdict, settings: None });
}
