//! From a settled content to a serving generation: the decisions. What a single file must pass is in
//! [`crate::plugin::instance::candidate`]; here a file meets the others.

use super::generation::{Generation, Origin};
use super::handover;
use super::loader::Loader;
use super::slot::{Slot, State};
use super::stall_watch::TaskGuard;
use crate::plugin::config::{ReloadMode, Unload};
use crate::plugin::directory::content::{Content, ContentHash};
use crate::plugin::instance::candidate::{Candidate, Copied, Step};
use crate::plugin::instance::health::Health;
use crate::plugin::instance::live::Live;
use crate::plugin::refusal::Refusal;
use crate::xmlrpc::Value;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::Instant;

/// Loading that takes longer is told: clients may notice it.
const SLOW_LOAD_MS: u128 = 200;

impl Loader {
    /// A content has stayed the same for the settle time.
    pub(crate) fn settled(&mut self, name: &OsStr, content: &Content) {
        let Some(slot) = self.slots.get_mut(name) else { return };
        slot.stamp = Some(content.stamp);
        slot.hash = Some(content.hash);
        let is_forced = std::mem::take(&mut slot.is_forced);
        let is_served = !self.is_pinned(name)
            && (self.slots.get(name).is_some_and(Slot::is_served_by_its_content)
                || self.take_over_same_content(name, content.hash));
        if is_served && !is_forced && self.has_its_settings(name) {
            self.tell_of_trust(name, content);
            return self.slots.serving(name, &self.context);
        }
        let runs = |id| self.slots.running().any(|r| r.id == id);
        if let Some(entry) = self.slots.quarantine.get(content.hash, runs) {
            let (refusal, plugin) = (Refusal::Quarantined(entry.why.clone()), entry.plugin.clone());
            self.slots.set_plugin(name, plugin);
            return self.slots.refuse(name, &refusal, &self.context);
        }
        let tries = match self.slots.get(name).map(|slot| &slot.state) {
            Some(State::Retrying { hash, tries, .. }) if *hash == content.hash => *tries,
            _ => 0,
        };
        let (id, path) = (self.slots.next_number(), self.context.path(name));
        match Copied::new(&self.context.store, id, &path, content, &self.context.config, &mut |_| {}) {
            Ok(copied) => self.begin_trial(name, copied, tries),
            Err(refusal) => self.slots.refuse(name, &refusal, &self.context),
        }
    }

    /// Says so when what serves is not trusted any more. It goes on: its code has run already, and taking it from its
    /// callers would turn a wrong line in the configuration into an outage. Its removal is the operator's to do.
    fn tell_of_trust(&self, name: &OsStr, content: &Content) {
        let path = self.context.path(name);
        let trusted = self.context.config.trust.check(&path, content, self.context.config.follow_symlinks);
        let Err(refusal) = trusted else { return };
        let plugin = self.slots.get(name).and_then(|slot| slot.running.as_ref());
        if let Some(plugin) = plugin.map(|running| &running.descriptor.name) {
            log::warn!(
                "plugin {plugin} of {} serves although {refusal}; it could not be loaded again: remove the file if it \
                 should not serve",
                path.display()
            );
        }
    }

    /// A content has passed its trial: its code comes into this process.
    pub(crate) fn load(&mut self, name: &OsStr, copied: Copied, warnings: Vec<String>) {
        let task = self.context.begin_task(name, copied.id, "the loading of its library");
        let begun = Instant::now();
        let retirement = &mut self.retirement;
        let loaded = copied.load(warnings, &self.context.config.limits, &mut |step| {
            if let Step::Load { count } = step {
                retirement.map(count);
            }
        });
        drop(task);
        let ms = begun.elapsed().as_millis();
        if ms > SLOW_LOAD_MS {
            // The dynamic loader's lock is held while constructors run, and every thread needs it once when it starts.
            log::warn!(
                "plugin file {}: its constructors took {ms} ms, in which no new connection was served; \
                 do in create what takes long",
                self.context.path(name).display()
            );
        }
        match loaded {
            Ok(mut candidate) => {
                let options = self.context.config.options.get(&candidate.descriptor.name);
                candidate.warn_of_database(options.and_then(|options| options.reload));
                self.admit(name, candidate, 0);
            }
            Err(refusal) => self.slots.refuse(name, &refusal, &self.context),
        }
    }

    /// Whether what runs was made with the configuration that its plugin has now.
    fn has_its_settings(&self, name: &OsStr) -> bool {
        let running = self.slots.get(name).and_then(|slot| slot.running.as_ref());
        running.is_some_and(|running| running.settings == self.context.settings_of(&running.descriptor.name))
    }

    /// A file that was renamed keeps its generation.
    fn take_over_same_content(&mut self, name: &OsStr, hash: ContentHash) -> bool {
        let could = |(from, slot): &(&OsString, &Slot)| slot.could_give_up(hash) && !self.is_pinned(from);
        let Some(from) = self.slots.iter().find(could).map(|(from, _)| from.clone()) else { return false };
        let ours = self.slots.get_mut(name).and_then(|slot| slot.running.take());
        let Some(other) = self.slots.get_mut(&from) else { return false };
        let theirs = std::mem::replace(&mut other.running, ours);
        if let Some(slot) = self.slots.get_mut(name) {
            slot.running = theirs;
        }
        self.slots.touch_status();
        log::info!(
            "{} has the content of {}, which keeps serving",
            self.context.path(name).display(),
            self.context.path(&from).display()
        );
        true
    }

    /// Serves a checked plugin, unless a name of it is taken or the state that it is to take over cannot be had,
    /// which was tried `tries` times before.
    pub(crate) fn admit(&mut self, name: &OsStr, candidate: Candidate, tries: u32) {
        if tries == 0 {
            for warning in &candidate.warnings {
                log::warn!("plugin file {}: {warning}", self.context.path(name).display());
            }
        }
        self.slots.set_plugin(name, Some(candidate.descriptor.name.clone()));
        let heir_of = self.slots.predecessor(name, &candidate.descriptor.name);
        if let Some(refusal) = self.slots.conflict(name, heir_of.as_deref(), &candidate, &self.context) {
            self.slots.refuse(name, &refusal, &self.context);
            return self.slots.set_state(name, State::Conflicting(Box::new(candidate)));
        }
        let Some(candidate) = self.make_room(name, candidate, tries) else { return };
        let plugin = &candidate.descriptor.name;
        let before = self.slots.forerunner(name, plugin);
        let hand_over = |live: &Live, task: &TaskGuard| match &before {
            Some(before) => self.hand_over(before, live, task),
            None => Ok(false),
        };
        match self.create(name, candidate.clone(), self.context.settings_of(plugin), hand_over) {
            Ok((generation, is_handed_over)) => {
                self.slots.alive.add(generation.id, generation.living());
                self.slots.swap(name, heir_of.as_deref(), generation, &self.context);
                if is_handed_over {
                    // At once, and not when all files have been looked at: what calls change until then is lost.
                    self.commit();
                }
            }
            Err(Refusal::Save { generation, why, .. }) => {
                let tries = tries + 1;
                let tries_left = handover::TRIES_MAX.saturating_sub(tries);
                self.slots.refuse(name, &Refusal::Save { generation, why, tries_left }, &self.context);
                if let Some(due) = Self::next_try(tries) {
                    let candidate = Box::new(candidate);
                    self.slots.set_state(name, State::Waiting { candidate, tries, due: Some(due) });
                }
            }
            Err(refusal) => {
                log::debug!("generation {} of content {} was not made", candidate.id, candidate.hash.hex());
                self.slots.refuse(name, &refusal, &self.context);
            }
        }
    }

    /// Makes a generation, and gives it the state of the one that it replaces. Whether there was one.
    pub(crate) fn create(
        &self,
        name: &OsStr,
        candidate: Candidate,
        settings: Value,
        give_state: impl FnOnce(&Live, &TaskGuard) -> Result<bool, Refusal>,
    ) -> Result<(Arc<Generation>, bool), Refusal> {
        let plugin = candidate.descriptor.name.clone();
        let directory = self.context.store.data_directory(&plugin)?;
        let mut warnings = candidate.warnings.clone();
        if self.context.unload_of(&plugin) == Unload::Close && !candidate.leaves_nothing() {
            let what = "it stays mapped although unload is \"close\": it does not declare that it leaves nothing behind";
            log::warn!("plugin {plugin}: {what}");
            warnings.push(what.to_owned());
        }
        let task = self.context.begin_task(name, candidate.id, "create");
        let is_gated = self.context.reload_of(&plugin, candidate.is_exclusive()) == ReloadMode::Exclusive;
        let origin = Origin { id: candidate.id, hash: candidate.hash, settings, warnings };
        let (descriptor, live) =
            candidate.create(&directory, origin.settings.clone(), &self.context.config.limits)?;
        match give_state(&live, &task) {
            Ok(is_handed_over) => {
                let (health, mailbox) =
                    (Health::new(&self.context.config.limits), Arc::clone(&self.context.mailbox));
                let generation = Generation::new(origin, descriptor, live, health, mailbox);
                if is_gated {
                    generation.make_gate();
                }
                Ok((Arc::new(generation), is_handed_over))
            }
            Err(refusal) => {
                // It serves nobody and never did.
                task.next_step("destroy");
                live.ending().destroy();
                Err(refusal)
            }
        }
    }

    /// Serves what waited for a name, now that it may be free. One may free a name for the next.
    pub(crate) fn retry_conflicting(&mut self) {
        for _ in 0..self.slots.len() {
            let is_free = |(name, slot): &(&OsString, &Slot)| match &slot.state {
                State::Conflicting(candidate) => {
                    let heir_of = self.slots.predecessor(name, &candidate.descriptor.name);
                    slot.is_served_by_its_content()
                        || self.slots.conflict(name, heir_of.as_deref(), candidate, &self.context).is_none()
                }
                _ => false,
            };
            let Some(name) = self.slots.iter().find(is_free).map(|(name, _)| name.clone()) else { return };
            let Some(slot) = self.slots.get_mut(&name) else { return };
            let is_served = slot.is_served_by_its_content();
            match std::mem::replace(&mut slot.state, State::Refused) {
                State::Conflicting(candidate) if !is_served => self.admit(&name, *candidate, 0),
                _ => self.slots.serving(&name, &self.context),
            }
        }
    }
}
