//! From a settled content to a serving generation: the decisions. What a single file must pass is in
//! [`super::candidate`]; here a file meets the others.

use super::candidate::{self, Candidate, Step};
use super::generation::Generation;
use super::lifecycle::Loader;
use super::refusal::Refusal;
use super::scan::{Content, ContentHash};
use super::slot::{Slot, State};
use crate::xmlrpc::Value;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

/// Refused contents that are remembered.
const QUARANTINE_MAX: usize = 1_000;

impl Loader {
    /// A content has stayed the same for the settle time.
    pub(super) fn settled(&mut self, name: &OsStr, content: &Content) {
        let Some(slot) = self.slots.get_mut(name) else { return };
        slot.stamp = Some(content.stamp);
        slot.hash = Some(content.hash);
        if slot.is_served_by_its_content() || self.take_over_same_content(name, content.hash) {
            return self.serving(name);
        }
        if let Some((_, why)) = self.quarantine.iter().find(|(hash, _)| *hash == content.hash) {
            let refusal = Refusal::Quarantined(why.clone());
            return self.refuse(name, &refusal);
        }
        self.generations += 1;
        let path = self.path(name);
        let mapped = &mut self.mapped;
        let passed = &mut |step| *mapped += usize::from(step == Step::Load);
        match candidate::prepare(&self.store, self.generations, &path, content, &self.config, passed) {
            Ok(candidate) => self.admit(name, candidate),
            Err(refusal) => self.refuse(name, &refusal),
        }
    }

    /// A file that was renamed keeps its generation.
    fn take_over_same_content(&mut self, name: &OsStr, hash: ContentHash) -> bool {
        let Some(from) = self.slots.iter().find(|(_, slot)| slot.could_give_up(hash)).map(|(n, _)| n.clone())
        else {
            return false;
        };
        let ours = self.slots.get_mut(name).and_then(|slot| slot.running.take());
        let Some(other) = self.slots.get_mut(&from) else { return false };
        let theirs = std::mem::replace(&mut other.running, ours);
        if let Some(slot) = self.slots.get_mut(name) {
            slot.running = theirs;
        }
        log::info!(
            "{} has the content of {}, which keeps serving",
            self.path(name).display(),
            self.path(&from).display()
        );
        true
    }

    /// Serves a checked plugin, unless a name of it is taken.
    fn admit(&mut self, name: &OsStr, candidate: Candidate) {
        for warning in &candidate.warnings {
            log::warn!("plugin file {}: {warning}", self.path(name).display());
        }
        let heir_of = self.predecessor(name, &candidate.descriptor.name);
        if let Some(refusal) = self.conflict(name, heir_of.as_deref(), &candidate) {
            self.refuse(name, &refusal);
            return self.set_state(name, State::Conflicting(Box::new(candidate)));
        }
        let (id, hash) = (candidate.id, candidate.hash);
        match self.create(candidate) {
            Ok(generation) => self.swap(name, heir_of.as_deref(), generation),
            Err(refusal) => {
                log::debug!("generation {id} with content {} was not made", hash.hex());
                self.refuse(name, &refusal);
            }
        }
    }

    fn create(&mut self, candidate: Candidate) -> Result<Arc<Generation>, Refusal> {
        let (id, hash, plugin) = (candidate.id, candidate.hash, candidate.descriptor.name.clone());
        let directory = self.store.data_directory(&plugin)?;
        let config = self.config.settings.get(&plugin).cloned().unwrap_or_else(|| Value::Struct(Vec::new()));
        let (descriptor, live) = candidate.create(&directory, config, &self.config.limits)?;
        // The hand-over of the state that the running generation saved belongs here.
        Ok(Arc::new(Generation::new(id, hash, descriptor, live, Arc::clone(&self.mailbox))))
    }

    /// Puts a generation in a slot's place; the registry follows at the end of the look.
    fn swap(&mut self, name: &OsStr, heir_of: Option<&OsStr>, generation: Arc<Generation>) {
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
    fn predecessor(&self, name: &OsStr, plugin: &str) -> Option<OsString> {
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
    pub(super) fn retry_conflicting(&mut self) {
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
                State::Conflicting(candidate) if !is_served => self.admit(&name, *candidate),
                _ => self.serving(&name),
            }
        }
    }

    /// Keeps what runs, remembers the content, and says so once.
    pub(super) fn refuse(&mut self, name: &OsStr, refusal: &Refusal) {
        let (path, text) = (self.path(name), refusal.to_string());
        let Some(slot) = self.slots.get_mut(name) else { return };
        let is_known = slot.last_error.as_ref() == Some(&text) && !refusal.is_of_the_content();
        let running = slot.running.as_ref().map(|r| (r.descriptor.version.clone(), r.id));
        if !is_known {
            match running {
                None => log::error!("plugin file {} is not served: {text}", path.display()),
                Some((version, id)) => log::error!(
                    "plugin file {} is not served: {text}; version {version}, generation {id}, keeps serving",
                    path.display()
                ),
            }
        }
        let is_new = refusal.is_of_the_content() && !matches!(refusal, Refusal::Quarantined(_));
        if let Some(hash) = slot.hash.filter(|_| is_new) {
            self.quarantine.truncate(QUARANTINE_MAX - 1);
            self.quarantine.push_front((hash, text.clone()));
        }
        slot.last_error = Some(text);
        if refusal.may_pass() {
            // Without a stamp the next look tries again.
            slot.stamp = None;
        }
        let state = if slot.stamp.is_some() { State::Refused } else { State::Unreadable };
        self.set_state(name, state);
    }

    fn serving(&mut self, name: &OsStr) {
        if let Some(slot) = self.slots.get_mut(name) {
            slot.last_error = None;
        }
        self.set_state(name, State::Serving);
    }
}
