//! All slots of the plugins directory: what serves, what was refused, and what was replaced. The
//! parts of the loader change slots here, and the loader publishes what changed.
//!
//! Must not know the registry, trials or replacements.

use super::alive::Alive;
use super::context::Context;
use super::generation::Generation;
use super::quarantine::{self, Quarantine};
use super::slot::{Slot, SlotState};
use crate::plugin::directory::content::ContentHash;
use crate::plugin::directory::store::Store;
use crate::plugin::instance::candidate::Candidate;
use crate::plugin::probe::trial;
use crate::plugin::refusal::Refusal;
use crate::stamp::Stamp;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The files of the directory, by their names, and what is known of their contents.
#[derive(Default)]
pub(super) struct Slots {
    by_name: BTreeMap<OsString, Slot>,
    pub(super) quarantine: Quarantine,
    pub(super) alive: Alive,
    /// Replaced or removed since the registry was last published, which still has them.
    replaced: Vec<Arc<Generation>>,
    /// Numbers given so far, to contents and to generations.
    numbers: u64,
    is_registry_stale: bool,
    is_status_stale: bool,
}

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn contains(&self, name: &OsStr) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn get(&self, name: &OsStr) -> Option<&Slot> {
        self.by_name.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &OsStr) -> Option<&mut Slot> {
        self.by_name.get_mut(name)
    }

    /// The slot of a file, which may be new.
    pub(super) fn entry(&mut self, name: &OsStr) -> &mut Slot {
        self.by_name.entry(name.to_owned()).or_insert_with(Slot::new)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&OsString, &Slot)> {
        self.by_name.iter()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Slot> {
        self.by_name.values()
    }

    /// All that serve.
    pub(super) fn running(&self) -> impl Iterator<Item = &Arc<Generation>> {
        self.values().filter_map(|slot| slot.running.as_ref())
    }

    /// A number that no content and no generation had before.
    pub(super) const fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Forgets a file that is gone, with what serves for it.
    pub(super) fn remove(&mut self, name: &OsStr) -> Option<Arc<Generation>> {
        let slot = self.by_name.remove(name)?;
        self.is_status_stale = true;
        if let Some(hash) = slot.hash {
            self.quarantine.forget(hash);
        }
        let running = slot.running?;
        self.is_registry_stale = true;
        self.replaced.push(Arc::clone(&running));
        Some(running)
    }

    /// The files of these names are gone, and what serves for them goes at `due`.
    pub(super) fn set_missing(&mut self, is_missing: impl Fn(&OsString) -> bool, due: Instant) {
        for (_, slot) in self.by_name.iter_mut().filter(|(name, _)| is_missing(name)) {
            if !matches!(slot.state, SlotState::Missing { .. }) {
                slot.state = SlotState::Missing { due };
                self.is_status_stale = true;
            }
        }
    }

    /// Forgets all files: the server ends.
    pub(super) fn clear(&mut self) {
        self.replaced
            .extend(mem::take(&mut self.by_name).into_values().filter_map(|slot| slot.running));
    }

    /// The registry is to be published again.
    pub(super) const fn touch_registry(&mut self) {
        self.is_registry_stale = true;
    }

    /// The status is to be published again.
    pub(super) const fn touch_status(&mut self) {
        self.is_status_stale = true;
    }

    /// Whether the registry is to be published, and whether the status is: once for each change.
    pub(super) fn take_changes(&mut self) -> (bool, bool) {
        (mem::take(&mut self.is_registry_stale), mem::take(&mut self.is_status_stale))
    }

    /// Those that the registry no longer has once it is published.
    pub(super) fn take_replaced(&mut self) -> Vec<Arc<Generation>> {
        mem::take(&mut self.replaced)
    }

    pub(super) fn set_state(&mut self, name: &OsStr, state: SlotState) {
        if let Some(slot) = self.by_name.get_mut(name) {
            self.is_status_stale |= slot.state.file_state() != state.file_state();
            slot.state = state;
        }
    }

    pub(super) fn set_plugin(&mut self, name: &OsStr, plugin: Option<String>) {
        if let Some(slot) = self.by_name.get_mut(name) {
            slot.plugin = plugin;
        }
    }

    /// Says in the status why a file's content does not serve.
    pub(super) fn set_error(&mut self, name: &OsStr, text: String) {
        if let Some(slot) = self.by_name.get_mut(name) {
            slot.last_error = Some(text);
        }
        self.is_status_stale = true;
    }

    /// Its present content serves.
    pub(super) fn serving(&mut self, name: &OsStr, context: &Context) {
        if let Some(slot) = self.by_name.get_mut(name) {
            if mem::take(&mut slot.is_blocked) {
                log::info!("plugin file {} is loaded now", context.path(name).display());
            }
            slot.wait = Duration::ZERO;
            slot.last_error = None;
        }
        self.set_state(name, SlotState::Serving);
    }

    /// Puts a generation in a slot's place; the registry follows when it is published.
    pub(super) fn swap(
        &mut self,
        name: &OsStr,
        heir_of: Option<&OsStr>,
        generation: Arc<Generation>,
        context: &Context,
    ) {
        let path = context.path(name);
        let (plugin, count) = (&generation.descriptor, generation.descriptor.methods.len());
        log::info!(
            "plugin {} {} of {} serves {count} methods as generation {}",
            plugin.name,
            plugin.version,
            path.display(),
            generation.id
        );
        let before = heir_of.or(Some(name)).and_then(|from| self.get(from)?.running.as_ref());
        let gone = before.into_iter().flat_map(|before| before.descriptor.names());
        let gone = gone.filter(|method| !plugin.has(method)).map(str::to_owned).collect::<Vec<_>>();
        self.is_registry_stale = true;
        if let Some(predecessor) = heir_of.and_then(|from| self.by_name.remove(from)) {
            self.replaced.extend(predecessor.running);
        }
        if let Some(slot) = self.by_name.get_mut(name) {
            self.replaced.extend(slot.running.replace(generation));
        }
        for method in gone {
            log::warn!("method {method} is gone: {} no longer exports it", path.display());
        }
        self.serving(name, context);
    }

    /// The slot whose file is gone and whose plugin has this name: the file was replaced by one of
    /// another name.
    pub(super) fn predecessor(&self, name: &OsStr, plugin: &str) -> Option<OsString> {
        let is_it = |(other, slot): &(&OsString, &Slot)| {
            let is_gone = matches!(slot.state, SlotState::Missing { .. });
            *other != name
                && is_gone
                && slot.running.as_ref().is_some_and(|r| r.descriptor.name == plugin)
        };
        self.iter().find(is_it).map(|(other, _)| other.clone())
    }

    /// The running generation that a plugin of this name in this file replaces.
    pub(super) fn forerunner(&self, name: &OsStr, plugin: &str) -> Option<Arc<Generation>> {
        let heir_of = self.predecessor(name, plugin);
        let running = self.get(heir_of.as_deref().unwrap_or(name))?.running.as_ref()?;
        (running.descriptor.name == plugin).then(|| Arc::clone(running))
    }

    /// The first name of the candidate that another slot serves.
    pub(super) fn conflict(
        &self,
        name: &OsStr,
        heir_of: Option<&OsStr>,
        candidate: &Candidate,
        context: &Context,
    ) -> Option<Refusal> {
        let wanted = &candidate.descriptor;
        let others =
            self.iter().filter(|(other, _)| *other != name && Some(other.as_os_str()) != heir_of);
        for (other, owner) in
            others.filter_map(|(other, slot)| Some((other, slot.running.as_ref()?)))
        {
            let owner = &owner.descriptor;
            let same_plugin = (owner.name == wanted.name).then_some(wanted.name.as_str());
            if let Some(taken) =
                same_plugin.or_else(|| wanted.names().find(|method| owner.has(method)))
            {
                return Some(Refusal::Conflict {
                    name: taken.to_owned(),
                    plugin: wanted.name.clone(),
                    owner: owner.name.clone(),
                    owner_file: context.path(other).display().to_string(),
                });
            }
        }
        None
    }

    /// Keeps what runs, remembers the content, and says so once.
    pub(super) fn refuse(&mut self, name: &OsStr, refusal: &Refusal, context: &Context) {
        let text = refusal.to_string();
        let Some(slot) = self.by_name.get_mut(name) else { return };
        tell_refusal(name, slot, refusal, &text, context);
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
            let bytes_free_min =
                slot.stamp.filter(|_| refusal.is_of_a_full_disk()).map(Stamp::size);
            let bytes_free_min = bytes_free_min.filter(|&min| context.store.bytes_free() < min);
            slot.block(&context.config.limits, context.config.watch, bytes_free_min);
        } else {
            (slot.wait, slot.is_blocked) = (Duration::ZERO, false);
            slot.state = SlotState::Refused;
        }
    }

    /// Retries blocked files at the next look, because an operator asks or may have removed the
    /// cause.
    pub(super) fn unblock(&mut self) {
        for slot in
            self.by_name.values_mut().filter(|slot| matches!(slot.state, SlotState::Blocked { .. }))
        {
            slot.stamp = None;
        }
    }

    /// Retries files at this look whose copies found the disk full, if there is room by now.
    pub(super) fn retry_with_room(&mut self, store: &Store) {
        let mut bytes_free = None;
        for slot in self.by_name.values_mut() {
            if let SlotState::Blocked { due, bytes_free_min: Some(min), .. } = &mut slot.state
                && *bytes_free.get_or_insert_with(|| store.bytes_free()) >= *min
            {
                *due = Some(Instant::now());
            }
        }
    }

    /// Has files read again whose contents were refused because of the state of this generation,
    /// which has ended. Whether there are any.
    pub(super) fn look_again_beside(&mut self, generation: u64) -> bool {
        let contents: Vec<ContentHash> = self.quarantine.beside(generation).collect();
        for slot in self.by_name.values_mut() {
            if slot.hash.is_some_and(|hash| contents.contains(&hash)) {
                slot.stamp = None;
            }
        }
        !contents.is_empty()
    }

    /// Has every file read again.
    pub(super) fn look_again_at_all(&mut self) {
        for slot in self.by_name.values_mut() {
            slot.stamp = None;
        }
    }

    /// Has the plugin's files, or the file, looked at as if they were new. Whether there are any.
    pub(super) fn renew(&mut self, wanted: &str, change: impl Fn(&mut Slot)) -> bool {
        self.quarantine.forgive(wanted);
        let mut is_found = false;
        for (_, slot) in self.by_name.iter_mut().filter(|(name, slot)| is_meant(name, slot, wanted))
        {
            is_found = true;
            slot.stamp = None;
            if let Some(hash) = slot.hash {
                self.quarantine.forget(hash);
            }
            change(slot);
        }
        is_found
    }

    /// The slots that an operator means by a plugin's or a file's name.
    pub(super) fn meant<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = &'a Slot> {
        self.iter().filter(move |(name, slot)| is_meant(name, slot, wanted)).map(|(_, slot)| slot)
    }
}

/// Whether the file has this name, or the plugin of this name serves for it, or was found in it
/// last.
fn is_meant(file: &OsStr, slot: &Slot, wanted: &str) -> bool {
    let serves = slot.running.as_ref().is_some_and(|running| running.descriptor.name == wanted);
    serves || file == wanted || slot.plugin.as_deref() == Some(wanted)
}

/// Logs a refusal, unless the log has it already.
fn tell_refusal(name: &OsStr, slot: &Slot, refusal: &Refusal, text: &String, context: &Context) {
    let is_told_once = match refusal {
        // Told at the first try.
        Refusal::Overran { tries_left, .. } => tries_left + 1 < trial::TRIES_MAX,
        _ => !refusal.is_of_the_content(),
    };
    if is_told_once && slot.last_error.as_ref() == Some(text) {
        return;
    }
    let again = if refusal.may_pass() { "; trying again" } else { "" };
    let meanwhile = match &slot.running {
        None => String::new(),
        // In an exclusive reload: it is being destroyed, or was.
        Some(running) if running.is_over() => "; no version of the plugin serves now".into(),
        Some(running) => {
            let (version, generation) = (&running.descriptor.version, running.id);
            format!("; version {version}, generation {generation}, keeps serving")
        }
    };
    log::error!(
        "plugin file {} is not served: {text}{again}{meanwhile}",
        context.path(name).display()
    );
}
