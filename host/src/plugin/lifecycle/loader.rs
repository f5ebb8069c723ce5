//! The loop of the life cycle. It alone writes the registry and runs on one thread; the steps by which a settled file
//! comes to serve are in [`super::admission`].

use super::context::Context;
use super::events::{Event, Gone, Mailbox};
use super::exclusive::Replacement;
use super::generation::Generation;
use super::published::Shared;
use super::reloads::{self, Reloads};
use super::retirement::Retirement;
use super::slot::{Slot, State};
use super::slots::Slots;
use super::trials::{Starting, Trials};
use crate::plugin::clock::later;
use crate::plugin::config::{Config, Watch};
use crate::plugin::directory::content;
use crate::plugin::directory::content::{ContentHash, Stamp};
use crate::plugin::directory::listing::{self, Attention, Entry, Listing};
use crate::plugin::directory::store::Store;
use crate::plugin::directory::watch::Watcher;
use crate::plugin::instance::thread_names::Names;
use crate::plugin::refusal::Refusal;
use crate::registry::{Registry, Snapshot};
use crossbeam_channel::Sender;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at the directory, however many hints come and files fall due. Only an operator's wish is at once.
const LOOK_GAP: Duration = Duration::from_millis(20);

/// The loader thread's state.
pub(crate) struct Loader {
    pub(crate) context: Context,
    pub(crate) slots: Slots,
    pub(crate) registry: Arc<Registry>,
    watcher: Option<Watcher>,
    pub(super) retirement: Retirement,
    /// Those that must end before their successors begin, by the plugin's name.
    pub(crate) replacements: BTreeMap<String, Replacement>,
    /// Snapshots that were replaced, as long as calls have them.
    pub(crate) editions: Vec<Weak<Snapshot>>,
    /// Snapshots that have a generation without its gate, by its number, where a replacement gave up
    /// waiting for them.
    pub(crate) ungated: BTreeMap<u64, Vec<Weak<Snapshot>>>,
    reloads: Reloads,
    pub(crate) trials: Trials,
    /// Until the server first serves.
    pub(crate) starting: Option<Starting>,
    next_look: Option<Instant>,
    last_look: Instant,
    /// The last look could not list the directory.
    pub(crate) is_blind: bool,
    /// What was last said of the directory as a whole.
    directory_said: Option<String>,
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
            slots: Slots::default(),
            registry,
            watcher: None,
            retirement: Retirement::default(),
            replacements: BTreeMap::new(),
            editions: Vec::new(),
            ungated: BTreeMap::new(),
            reloads: Reloads::default(),
            trials: Trials::default(),
            starting: None,
            next_look: None,
            last_look: Instant::now(),
            is_blind: false,
            directory_said: None,
        }
    }

    /// Loads what is there, says so by dropping `ready`, then follows events until told to stop.
    pub(crate) fn run(mut self, ready: Sender<()>) {
        self.starting = Some(Starting::new(ready, self.context.config.limits.probe_max()));
        self.start_watching();
        self.look();
        if self.slots.values().any(|slot| matches!(slot.state, State::Settling { .. })) {
            // All files settle in the same wait.
            thread::sleep(self.settle_time());
            self.look();
        }
        loop {
            self.end_start();
            match self.context.mailbox.next(self.due()) {
                Event::Hint => self.look_at(self.last_look + LOOK_GAP),
                Event::Asked => {
                    self.slots.unblock();
                    self.look();
                }
                Event::Settings(settings) => {
                    reloads::reconfigure(settings, &mut self.slots, &mut self.context);
                    self.look();
                }
                Event::Reload(reload) => {
                    if self.reloads.begin(reload, &mut self.slots) {
                        self.look();
                    }
                }
                Event::Due => {
                    if self.retirement.attend(&mut self.slots, &self.context) {
                        self.publish_status();
                    }
                    self.attend_replacements();
                    self.go_on_with_trials();
                    if self.look_due().is_some_and(|due| due <= Instant::now()) {
                        self.look();
                    }
                }
                Event::Ended(ended) => self.retirement.end(ended, None, &self.context),
                Event::Drained(generation) => self.drained(generation),
                Event::Gone(gone) => self.gone(gone),
                Event::Tried(tried) => self.tried(tried),
                Event::Stop(deadline) => return self.stop(deadline),
            }
        }
    }

    fn start_watching(&mut self) {
        if self.context.config.watch != Watch::Auto {
            return;
        }
        let mailbox = Arc::clone(&self.context.mailbox);
        match Watcher::start(&self.context.config.directory, move || mailbox.hint()) {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => log::warn!(
                "cannot watch {}: {error}; looking every {} ms instead (raise fs.inotify.max_user_instances)",
                self.context.config.directory.display(),
                self.context.config.limits.rescan_ms
            ),
        }
    }

    /// One look at the whole directory: every slot takes the steps that are due, and the registry is swapped once.
    pub(crate) fn look(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            // Before the listing: a change after it then comes with a hint.
            if watcher.renew() {
                // Its owner or mode may have changed.
                self.slots.unblock();
            }
        }
        self.slots.retry_with_room(&self.context.store);
        let attention = Attention {
            follows_links: self.context.config.follow_symlinks,
            wants_signatures: self.context.config.trust.wants_signatures(),
        };
        let listing = listing::list(&self.context.config.directory, attention);
        log::trace!("looking at {}", self.context.config.directory.display());
        self.is_blind = listing.is_err();
        match listing {
            Ok(listing) => {
                self.note_missing(&listing);
                let mut left_out = 0_usize;
                for entry in &listing.entries {
                    // A file that has its slot keeps it, whatever is put beside it.
                    if self.slots.len() < self.context.config.limits.plugin_files_max
                        || self.slots.contains(&entry.name)
                    {
                        self.look_at_file(entry);
                    } else {
                        left_out += 1;
                    }
                }
                self.retry_waiting();
                self.retry_conflicting();
                self.tell_of_directory(&listing, left_out);
            }
            // What serves goes on: not being able to look is no removal.
            Err(error) => {
                let directory = self.context.config.directory.display();
                self.say_once(
                    format!("cannot read {directory}: {error}; its plugins stay as they are"),
                    log::Level::Error,
                );
            }
        }
        self.cancel_stale_trials();
        self.commit();
        self.answer_reloads();
        self.last_look = Instant::now();
        self.next_look = self.rescan_after().map(|after| later(self.last_look, after));
    }

    fn note_missing(&mut self, listing: &Listing) {
        let now = Instant::now();
        let due = later(now, Duration::from_millis(self.context.config.limits.removal_ms));
        let is_listed =
            |name: &OsString| listing.entries.binary_search_by(|entry| entry.name.cmp(name)).is_ok();
        let gone = |slot: &Slot| match slot.state {
            State::Missing { due } => due <= now,
            _ => slot.running.is_none(),
        };
        let is_gone = |name: &OsString, slot: &Slot| !is_listed(name) && gone(slot) && !self.is_pinned(name);
        let all_gone = self.slots.iter().filter(|(name, slot)| is_gone(name, slot));
        for name in all_gone.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            let Some(running) = self.slots.remove(&name) else { continue };
            if running.is_over() {
                self.forget_replacement(&running.descriptor.name);
            }
            let (plugin, path) = (&running.descriptor.name, self.context.path(&name));
            log::info!("plugin {plugin} is removed with its file {}", path.display());
        }
        let mut is_any_missing = false;
        for (_, slot) in self.slots.iter_mut().filter(|(name, _)| !is_listed(name)) {
            if !matches!(slot.state, State::Missing { .. }) {
                slot.state = State::Missing { due };
                is_any_missing = true;
            }
        }
        if is_any_missing {
            self.slots.touch_status();
        }
    }

    fn look_at_file(&mut self, entry: &Entry) {
        let slot = self.slots.entry(&entry.name);
        let first_read = match slot.state {
            State::Settling { due, .. } if Instant::now() < due => return,
            State::Settling { stamp, .. } if stamp != entry.stamp => {
                return self.settle(&entry.name, entry.stamp, None);
            }
            State::Settling { stamp, hash, .. } => Some((stamp, hash)),
            State::Missing { .. } => None,
            _ if slot.stamp != Some(entry.stamp) || slot.signature != entry.signature => {
                if !std::mem::take(&mut slot.wait).is_zero() {
                    // The new content's own problem is logged too.
                    slot.last_error = None;
                }
                None
            }
            State::Retrying { hash, due, .. } if due <= Instant::now() => Some((entry.stamp, Some(hash))),
            State::Blocked { hash, due: Some(due), .. } if due <= Instant::now() => {
                hash.map(|hash| (entry.stamp, Some(hash)))
            }
            _ => return,
        };
        (slot.stamp, slot.hash, slot.signature) = (None, None, entry.signature);
        if entry.is_symlink && !self.context.config.follow_symlinks {
            slot.stamp = Some(entry.stamp);
            return self.slots.refuse(&entry.name, &Refusal::Symlink, &self.context);
        }
        log::trace!("reading {}", self.context.path(&entry.name).display());
        match content::read(
            &self.context.path(&entry.name),
            self.context.config.policy(),
            self.context.config.limits.plugin_bytes_max,
        ) {
            Ok(content) if first_read == Some((content.stamp, Some(content.hash))) => {
                self.settled(&entry.name, &content);
            }
            Ok(content) => self.settle(&entry.name, content.stamp, Some(content.hash)),
            Err(refusal) => {
                self.set_stamp(entry);
                self.slots.refuse(&entry.name, &refusal, &self.context);
            }
        }
    }

    /// Swaps the registry if anything changed, and only then tells the retired ones.
    pub(crate) fn commit(&mut self) {
        let (is_registry_stale, is_status_stale) = self.slots.take_changes();
        if is_registry_stale {
            let methods = self.slots.running().flat_map(Generation::methods).collect();
            let before = self.registry.publish(methods);
            self.editions.retain(|edition| edition.strong_count() > 0);
            self.editions.push(before);
            self.retire();
        } else if is_status_stale {
            self.publish_status();
        }
    }

    /// Begins the way out of those that the registry no longer has, and tells operators before them.
    fn retire(&mut self) {
        let replaced = self.slots.take_replaced();
        self.retirement.close(&replaced, &self.context);
        for generation in &replaced {
            if self.slots.look_again_beside(generation.id) {
                self.look_at(Instant::now());
            }
        }
        self.publish_status();
        Retirement::tell(replaced, &self.context);
    }

    /// Counts what is mapped and tells operators.
    fn publish_status(&mut self) {
        self.context.shared.count_kept(self.retirement.kept(&self.slots, &self.context));
        let row = |(name, slot): (&OsString, &Slot)| {
            let mut row = slot.status(&self.context.path(name));
            let plugin = row.status.name.clone().unwrap_or_default();
            row.status.reload =
                slot.is_exclusive().map(|is_exclusive| self.context.reload_of(&plugin, is_exclusive));
            self.retirement.add_past(&plugin, row)
        };
        let rows = self.slots.iter().map(row).collect();
        self.context.shared.rows.store(Arc::new(rows));
    }

    /// A generation is destroyed.
    fn gone(&mut self, gone: Gone) {
        self.slots.alive.remove(gone.generation);
        self.retirement.gone(&gone, &self.context);
        if let Some(gone) = self.ended_for_another(gone) {
            self.retirement.keep(gone);
            self.wake_waiting();
        }
    }

    /// Tells those who wait for reloads that are done.
    pub(super) fn answer_reloads(&mut self) {
        self.reloads.answer(&self.slots, self.is_blind);
    }

    fn stop(mut self, deadline: Instant) {
        self.watcher = None;
        self.drop_replacements();
        self.registry.publish(Snapshot::default());
        self.slots.clear();
        self.cancel_stale_trials();
        self.retire();
        while self.retirement.is_busy() || self.trials.are_running() {
            match self.context.mailbox.next(Some(deadline)) {
                Event::Ended(ended) => self.retirement.end(ended, None, &self.context),
                Event::Drained(generation) => self.drained(generation),
                Event::Gone(gone) => self.gone(gone),
                Event::Tried(tried) => self.tried(tried),
                Event::Due => break,
                Event::Hint | Event::Asked | Event::Settings(_) | Event::Reload(_) | Event::Stop(_) => {}
            }
        }
        self.retirement.tell_what_is_left();
        self.context.shared.rows.store(Arc::default());
    }

    /// One line for a missing, empty or overfull directory, again only when that changes.
    fn tell_of_directory(&mut self, listing: &Listing, left_out: usize) {
        let directory = self.context.config.directory.display();
        if left_out > 0 {
            let max = self.context.config.limits.plugin_files_max;
            let text = format!(
                "{directory} has {left_out} plugin files more than {max}, which are not served; raise plugin_files_max"
            );
            return self.say_once(text, log::Level::Warn);
        }
        match (listing.is_missing, listing.entries.is_empty()) {
            (true, _) => {
                let text = format!("there is no directory {directory}; plugins put there will be served");
                self.say_once(text, log::Level::Info);
            }
            (_, true) => {
                let text = format!("{directory} has no plugins; *.so files put there will be served");
                self.say_once(text, log::Level::Info);
            }
            _ => self.directory_said = None,
        }
    }

    fn say_once(&mut self, text: String, level: log::Level) {
        if self.directory_said.as_ref() != Some(&text) {
            log::log!(level, "{text}");
            self.directory_said = Some(text);
        }
    }

    fn due(&self) -> Option<Instant> {
        let starting = self.starting.as_ref().map(Starting::due);
        let retiring = self.retirement.due().into_iter().chain(self.replacements_due());
        let others = retiring.chain(self.trials.due()).chain(starting);
        self.look_due().into_iter().chain(others).min()
    }

    fn look_due(&self) -> Option<Instant> {
        // What is due in a slot cannot be done while the directory cannot be read.
        let slots = self.slots.iter().filter(|_| !self.is_blind);
        // One whose file is gone stays until its replacement is done.
        let is_held =
            |name: &OsStr, slot: &Slot| matches!(slot.state, State::Missing { .. }) && self.is_pinned(name);
        let slots = slots.filter(|(name, slot)| !is_held(name, slot));
        let due = slots.filter_map(|(_, slot)| slot.due()).chain(self.next_look).min();
        // Files that fall due one by one share a look.
        due.map(|due| due.max(self.last_look + LOOK_GAP))
    }

    pub(crate) fn look_at(&mut self, when: Instant) {
        self.next_look = Some(self.next_look.map_or(when, |next| next.min(when)));
    }

    fn rescan_after(&self) -> Option<Duration> {
        let after = Duration::from_millis(self.context.config.limits.rescan_ms);
        match (self.context.config.watch, &self.watcher) {
            (Watch::Off, _) => None,
            // The kernel's hints make a slow look enough.
            (Watch::Auto, Some(_)) => Some(after.saturating_mul(2)),
            _ => Some(after),
        }
    }

    fn settle(&mut self, name: &OsStr, stamp: Stamp, hash: Option<ContentHash>) {
        let due = later(Instant::now(), self.settle_time());
        self.slots.set_state(name, State::Settling { stamp, hash, due });
    }

    const fn settle_time(&self) -> Duration {
        Duration::from_millis(self.context.config.limits.settle_ms)
    }

    fn set_stamp(&mut self, entry: &Entry) {
        if let Some(slot) = self.slots.get_mut(&entry.name) {
            slot.stamp = Some(entry.stamp);
        }
    }
}
