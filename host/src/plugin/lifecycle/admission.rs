//! From a settled content to a serving generation: the decisions. What a single file must pass is in
//! [`crate::plugin::instance::candidate`]; here a file meets the others.

use super::generation::{Generation, Origin};
use super::loader::Loader;
use super::slot::{Slot, State};
use super::stall_watch::TaskGuard;
use super::{handover, quarantine};
use crate::plugin::config::{ReloadMode, Unload};
use crate::plugin::directory::content::{Content, ContentHash, Stamp};
use crate::plugin::instance::candidate::{Candidate, Copied, Step};
use crate::plugin::instance::health::Health;
use crate::plugin::instance::live::Live;
use crate::plugin::probe::trial;
use crate::plugin::refusal::Refusal;
use crate::xmlrpc::Value;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
            return self.serving(name);
        }
        let runs = |id| self.slots.values().filter_map(|slot| slot.running.as_ref()).any(|r| r.id == id);
        if let Some(entry) = self.quarantine.get(content.hash, runs) {
            let (refusal, plugin) = (Refusal::Quarantined(entry.why.clone()), entry.plugin.clone());
            self.set_plugin(name, plugin);
            return self.refuse(name, &refusal);
        }
        let tries = match self.slots.get(name).map(|slot| &slot.state) {
            Some(State::Retrying { hash, tries, .. }) if *hash == content.hash => *tries,
            _ => 0,
        };
        self.generations += 1;
        let (id, path) = (self.generations, self.path(name));
        match Copied::new(&self.store, id, &path, content, &self.config, &mut |_| {}) {
            Ok(copied) => self.begin_trial(name, copied, tries),
            Err(refusal) => self.refuse(name, &refusal),
        }
    }

    /// A content has passed its trial: its code comes into this process.
    pub(crate) fn load(&mut self, name: &OsStr, copied: Copied, warnings: Vec<String>) {
        let task = self.begin_task(name, copied.id, "the loading of its library");
        let begun = Instant::now();
        let footprint = &mut self.footprint;
        let loaded = copied.load(warnings, &self.config.limits, &mut |step| {
            if let Step::Load { count } = step {
                footprint.map(count);
            }
        });
        drop(task);
        let ms = begun.elapsed().as_millis();
        if ms > SLOW_LOAD_MS {
            // The dynamic loader's lock is held while constructors run, and every thread needs it once when it starts.
            log::warn!(
                "plugin file {}: its constructors took {ms} ms, in which no new connection was served; \
                 do in create what takes long",
                self.path(name).display()
            );
        }
        match loaded {
            Ok(mut candidate) => {
                let options = self.config.options.get(&candidate.descriptor.name);
                candidate.warn_of_database(options.and_then(|options| options.reload));
                self.admit(name, candidate, 0);
            }
            Err(refusal) => self.refuse(name, &refusal),
        }
    }

    /// Whether what runs was made with the configuration that its plugin has now.
    fn has_its_settings(&self, name: &OsStr) -> bool {
        let running = self.slots.get(name).and_then(|slot| slot.running.as_ref());
        running.is_some_and(|running| running.settings == self.settings_of(&running.descriptor.name))
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
        self.is_status_stale = true;
        log::info!(
            "{} has the content of {}, which keeps serving",
            self.path(name).display(),
            self.path(&from).display()
        );
        true
    }

    /// Serves a checked plugin, unless a name of it is taken or the state that it is to take over cannot be had,
    /// which was tried `tries` times before.
    pub(crate) fn admit(&mut self, name: &OsStr, candidate: Candidate, tries: u32) {
        if tries == 0 {
            for warning in &candidate.warnings {
                log::warn!("plugin file {}: {warning}", self.path(name).display());
            }
        }
        self.set_plugin(name, Some(candidate.descriptor.name.clone()));
        let heir_of = self.predecessor(name, &candidate.descriptor.name);
        if let Some(refusal) = self.conflict(name, heir_of.as_deref(), &candidate) {
            self.refuse(name, &refusal);
            return self.set_state(name, State::Conflicting(Box::new(candidate)));
        }
        let Some(candidate) = self.make_room(name, candidate, tries) else { return };
        let plugin = &candidate.descriptor.name;
        let before = self.forerunner(name, plugin);
        let hand_over = |live: &Live, task: &TaskGuard| match &before {
            Some(before) => self.hand_over(before, live, task),
            None => Ok(false),
        };
        match self.create(name, candidate.clone(), self.settings_of(plugin), hand_over) {
            Ok((generation, is_handed_over)) => {
                self.alive.insert(generation.id, generation.living());
                self.swap(name, heir_of.as_deref(), generation);
                if is_handed_over {
                    // At once, and not when all files have been looked at: what calls change until then is lost.
                    self.commit();
                }
            }
            Err(Refusal::Save { generation, why, .. }) => {
                let tries = tries + 1;
                let tries_left = handover::TRIES_MAX.saturating_sub(tries);
                self.refuse(name, &Refusal::Save { generation, why, tries_left });
                if let Some(due) = Self::next_try(tries) {
                    let candidate = Box::new(candidate);
                    self.set_state(name, State::Waiting { candidate, tries, due: Some(due) });
                }
            }
            Err(refusal) => {
                log::debug!("generation {} of content {} was not made", candidate.id, candidate.hash.hex());
                self.refuse(name, &refusal);
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
        let directory = self.store.data_directory(&plugin)?;
        let mut warnings = candidate.warnings.clone();
        if self.unload_of(&plugin) == Unload::Close && !candidate.leaves_nothing() {
            let what = "it stays mapped although unload is \"close\": it does not declare that it leaves nothing behind";
            log::warn!("plugin {plugin}: {what}");
            warnings.push(what.to_owned());
        }
        let task = self.begin_task(name, candidate.id, "create");
        let is_gated = self.reload_of(&plugin, candidate.is_exclusive()) == ReloadMode::Exclusive;
        let origin = Origin { id: candidate.id, hash: candidate.hash, settings, warnings };
        let (descriptor, live) =
            candidate.create(&directory, origin.settings.clone(), &self.config.limits)?;
        match give_state(&live, &task) {
            Ok(is_handed_over) => {
                let (health, mailbox) = (Health::new(&self.config.limits), Arc::clone(&self.mailbox));
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

    /// Puts a generation in a slot's place; the registry follows at the end of the look.
    pub(crate) fn swap(&mut self, name: &OsStr, heir_of: Option<&OsStr>, generation: Arc<Generation>) {
        let path = self.path(name);
        let (plugin, count) = (&generation.descriptor, generation.descriptor.methods.len());
        log::info!(
            "plugin {} {} of {} serves {count} methods as generation {}",
            plugin.name,
            plugin.version,
            path.display(),
            generation.id
        );
        let before = heir_of.or(Some(name)).and_then(|from| self.slots.get(from)?.running.as_ref());
        let gone = before.into_iter().flat_map(|before| before.descriptor.names());
        let gone = gone.filter(|method| !plugin.has(method)).map(str::to_owned).collect::<Vec<_>>();
        self.is_registry_stale = true;
        if let Some(predecessor) = heir_of.and_then(|from| self.slots.remove(from)) {
            self.retired.extend(predecessor.running);
        }
        if let Some(slot) = self.slots.get_mut(name) {
            self.retired.extend(slot.running.replace(generation));
        }
        for method in gone {
            log::warn!("method {method} is gone: {} no longer exports it", path.display());
        }
        self.serving(name);
    }

    /// The slot whose file is gone and whose plugin has this name: the file was replaced by one of another name.
    pub(crate) fn predecessor(&self, name: &OsStr, plugin: &str) -> Option<OsString> {
        let is_it = |(other, slot): &(&OsString, &Slot)| {
            let is_gone = matches!(slot.state, State::Missing { .. });
            *other != name && is_gone && slot.running.as_ref().is_some_and(|r| r.descriptor.name == plugin)
        };
        self.slots.iter().find(is_it).map(|(other, _)| other.clone())
    }

    /// The first name of the candidate that another slot serves.
    fn conflict(&self, name: &OsStr, heir_of: Option<&OsStr>, candidate: &Candidate) -> Option<Refusal> {
        let wanted = &candidate.descriptor;
        let others =
            self.slots.iter().filter(|(other, _)| *other != name && Some(other.as_os_str()) != heir_of);
        for (other, owner) in others.filter_map(|(other, slot)| Some((other, slot.running.as_ref()?))) {
            let owner = &owner.descriptor;
            let same_plugin = (owner.name == wanted.name).then_some(wanted.name.as_str());
            if let Some(taken) = same_plugin.or_else(|| wanted.names().find(|method| owner.has(method))) {
                return Some(Refusal::Conflict {
                    name: taken.to_owned(),
                    plugin: wanted.name.clone(),
                    owner: owner.name.clone(),
                    owner_file: self.path(other).display().to_string(),
                });
            }
        }
        None
    }

    /// Serves what waited for a name, now that it may be free. One may free a name for the next.
    pub(crate) fn retry_conflicting(&mut self) {
        for _ in 0..self.slots.len() {
            let is_free = |(name, slot): &(&OsString, &Slot)| match &slot.state {
                State::Conflicting(candidate) => {
                    let heir_of = self.predecessor(name, &candidate.descriptor.name);
                    slot.is_served_by_its_content()
                        || self.conflict(name, heir_of.as_deref(), candidate).is_none()
                }
                _ => false,
            };
            let Some(name) = self.slots.iter().find(is_free).map(|(name, _)| name.clone()) else { return };
            let Some(slot) = self.slots.get_mut(&name) else { return };
            let is_served = slot.is_served_by_its_content();
            match std::mem::replace(&mut slot.state, State::Refused) {
                State::Conflicting(candidate) if !is_served => self.admit(&name, *candidate, 0),
                _ => self.serving(&name),
            }
        }
    }

    /// Keeps what runs, remembers the content, and says so once.
    pub(crate) fn refuse(&mut self, name: &OsStr, refusal: &Refusal) {
        let (path, text) = (self.path(name), refusal.to_string());
        let Some(slot) = self.slots.get_mut(name) else { return };
        let is_told_once = match refusal {
            // Told at the first try.
            Refusal::Overran { tries_left, .. } => tries_left + 1 < trial::TRIES_MAX,
            _ => !refusal.is_of_the_content(),
        };
        let is_known = is_told_once && slot.last_error.as_ref() == Some(&text);
        if !is_known {
            let again = if refusal.may_pass() { "; trying again" } else { "" };
            let meanwhile = match &slot.running {
                None => String::new(),
                // In an exclusive reload: it is being destroyed, or was.
                Some(running) if running.is_over() => "; no version of the plugin serves now".into(),
                Some(running) => {
                    format!(
                        "; version {}, generation {}, keeps serving",
                        running.descriptor.version, running.id
                    )
                }
            };
            log::error!("plugin file {} is not served: {text}{again}{meanwhile}", path.display());
        }
        let is_new = refusal.is_of_the_content() && !matches!(refusal, Refusal::Quarantined(_));
        if let Some(hash) = slot.hash.filter(|_| is_new) {
            let beside = match refusal {
                Refusal::State { generation, .. } => Some(*generation),
                _ => None,
            };
            let (why, plugin) = (text.clone(), slot.plugin.clone());
            self.quarantine.put(quarantine::Entry { hash, why, plugin, beside });
        }
        slot.last_error = Some(text);
        self.is_status_stale = true;
        if refusal.may_pass() {
            // Where there is room already, free bytes do not tell when a retry succeeds.
            let bytes_free_min = slot.stamp.filter(|_| refusal.is_of_a_full_disk()).map(Stamp::size);
            let bytes_free_min = bytes_free_min.filter(|&min| self.store.bytes_free() < min);
            slot.block(&self.config.limits, self.config.watch, bytes_free_min);
        } else {
            (slot.wait, slot.is_blocked) = (Duration::ZERO, false);
            slot.state = State::Refused;
        }
    }

    pub(crate) fn set_plugin(&mut self, name: &OsStr, plugin: Option<String>) {
        if let Some(slot) = self.slots.get_mut(name) {
            slot.plugin = plugin;
        }
    }

    fn serving(&mut self, name: &OsStr) {
        let path = self.path(name);
        if let Some(slot) = self.slots.get_mut(name) {
            if std::mem::take(&mut slot.is_blocked) {
                log::info!("plugin file {} is loaded now", path.display());
            }
            slot.wait = Duration::ZERO;
            slot.last_error = None;
        }
        self.set_state(name, State::Serving);
    }
}
