//! Looks at the plugins directory: when the next look is due, what it finds, and what operators
//! are told of the directory as a whole. Must not know what becomes of a settled content.
//!
//! A file must be gone for a while before its methods go. Replacing a file by `rm` and `cp`
//! therefore fails no call. There is a gap between two looks, however many hints come.

use super::context::Context;
use super::slot::{Slot, SlotState};
use super::slots::Slots;
use crate::plugin::clock::later;
use crate::plugin::config::Watch;
use crate::plugin::directory::content::{self, Content, ContentHash};
use crate::plugin::directory::listing::{self, Attention, Entry, Listing};
use crate::plugin::directory::watch::Watcher;
use crate::plugin::refusal::Refusal;
use crate::stamp::Stamp;
use std::ffi::{OsStr, OsString};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks at the directory, however many hints come and files fall due. Only an
/// operator's wish is at once.
const LOOK_GAP: Duration = Duration::from_millis(20);

/// When the directory is looked at.
pub(super) struct Looks {
    watcher: Option<Watcher>,
    next: Option<Instant>,
    last: Instant,
    /// The last look could not list the directory.
    is_blind: bool,
    /// What was last said of the directory as a whole.
    said: Option<String>,
}

impl Looks {
    pub(super) fn new() -> Self {
        Self { watcher: None, next: None, last: Instant::now(), is_blind: false, said: None }
    }

    /// Has the kernel give hints, if that is configured.
    pub(super) fn start_watching(&mut self, context: &Context) {
        if context.config.watch != Watch::Auto {
            return;
        }
        let mailbox = Arc::clone(&context.mailbox);
        match Watcher::start(&context.config.directory, move || mailbox.hint()) {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => log::warn!(
                "cannot watch {}: {error}; looking every {} ms instead (raise \
                 fs.inotify.max_user_instances)",
                context.config.directory.display(),
                context.config.limits.rescan_ms
            ),
        }
    }

    /// The kernel gives no more hints.
    pub(super) fn stop_watching(&mut self) {
        self.watcher = None;
    }

    /// Whether the last look could not list the directory.
    pub(super) const fn is_blind(&self) -> bool {
        self.is_blind
    }

    /// There was a hint that the directory changed.
    pub(super) fn hint(&mut self) {
        self.look_at(self.last + LOOK_GAP);
    }

    /// A look is wanted as soon as one may be.
    pub(super) fn look_soon(&mut self) {
        self.look_at(Instant::now());
    }

    fn look_at(&mut self, when: Instant) {
        self.next = Some(self.next.map_or(when, |next| next.min(when)));
    }

    /// When the next look is due. A file that `is_pinned` stays as it is until its plugin is
    /// replaced.
    pub(super) fn due(&self, slots: &Slots, is_pinned: impl Fn(&OsStr) -> bool) -> Option<Instant> {
        // What is due in a slot cannot be done while the directory cannot be read.
        let slots = slots.iter().filter(|_| !self.is_blind);
        // One whose file is gone stays until its replacement is done.
        let is_held = |name: &OsStr, slot: &Slot| {
            matches!(slot.state, SlotState::Missing { .. }) && is_pinned(name)
        };
        let slots = slots.filter(|(name, slot)| !is_held(name, slot));
        let due = slots.filter_map(|(_, slot)| slot.due()).chain(self.next).min();
        // Files that fall due one by one share a look.
        due.map(|due| due.max(self.last + LOOK_GAP))
    }

    /// Lists the directory. None when that cannot be: what serves goes on, since not being able to
    /// look is no removal.
    pub(super) fn list(&mut self, slots: &mut Slots, context: &Context) -> Option<Listing> {
        if let Some(watcher) = &mut self.watcher {
            // Before the listing: a change after it then comes with a hint.
            if watcher.renew() {
                // Its owner or mode may have changed.
                slots.unblock();
            }
        }
        // Before the listing too: it shows all files that these came to.
        let mut arrivals = self.watcher.as_ref().map(Watcher::take_arrivals).unwrap_or_default();
        slots.retry_with_room(&context.store);
        let attention = Attention {
            follows_links: context.config.keys.follow_symlinks,
            wants_signatures: context.config.trust.wants_signatures(),
        };
        let directory = &context.config.directory;
        let listing = listing::list(directory, attention);
        log::trace!("looking at {}", directory.display());
        self.is_blind = listing.is_err();
        match listing {
            Ok(mut listing) => {
                // A link says nothing of the file that it leads to.
                for entry in listing.entries.iter_mut().filter(|entry| !entry.is_symlink) {
                    entry.arrival = arrivals.remove(&entry.name);
                }
                Some(listing)
            }
            Err(error) => {
                let text = format!(
                    "cannot read {}: {error}; its plugins stay as they are",
                    directory.display()
                );
                self.say_once(text, log::Level::Error);
                None
            }
        }
    }

    /// The look is over.
    pub(super) fn end(&mut self, context: &Context) {
        self.last = Instant::now();
        self.next = self.rescan_after(context).map(|after| later(self.last, after));
    }

    /// One line for a missing, empty or overfull directory, again only when that changes.
    pub(super) fn tell_of_directory(
        &mut self,
        listing: &Listing,
        left_out: usize,
        context: &Context,
    ) {
        let directory = context.config.directory.display();
        if left_out > 0 {
            let max = context.config.limits.plugin_files_max;
            let text = format!(
                "{directory} has {left_out} plugin files more than {max}, which are not served; \
                 raise plugin_files_max"
            );
            return self.say_once(text, log::Level::Warn);
        }
        match (listing.is_missing, listing.entries.is_empty()) {
            (true, _) => {
                let text =
                    format!("there is no directory {directory}; plugins put there will be served");
                self.say_once(text, log::Level::Info);
            }
            (_, true) => {
                let text =
                    format!("{directory} has no plugins; *.so files put there will be served");
                self.say_once(text, log::Level::Info);
            }
            _ => self.said = None,
        }
    }

    fn say_once(&mut self, text: String, level: log::Level) {
        if self.said.as_ref() != Some(&text) {
            log::log!(level, "{text}");
            self.said = Some(text);
        }
    }

    fn rescan_after(&self, context: &Context) -> Option<Duration> {
        let after = Duration::from_millis(context.config.limits.rescan_ms);
        match (context.config.watch, &self.watcher) {
            (Watch::Off, _) => None,
            // The kernel's hints make a slow look enough.
            (Watch::Auto, Some(_)) => Some(after.saturating_mul(2)),
            _ => Some(after),
        }
    }
}

/// How long a content must stay the same.
pub(super) const fn settle_time(context: &Context) -> Duration {
    Duration::from_millis(context.config.limits.settle_ms)
}

/// Takes note of files that are gone. Gives the plugins that were destroyed before their files
/// went.
pub(super) fn note_missing(
    listing: &Listing,
    slots: &mut Slots,
    context: &Context,
    is_pinned: impl Fn(&OsStr) -> bool,
) -> Vec<String> {
    let now = Instant::now();
    let due = later(now, Duration::from_millis(context.config.limits.removal_ms));
    let is_listed =
        |name: &OsString| listing.entries.binary_search_by(|entry| entry.name.cmp(name)).is_ok();
    let gone = |slot: &Slot| match slot.state {
        SlotState::Missing { due } => due <= now,
        _ => slot.running.is_none(),
    };
    let is_gone = |name: &OsString, slot: &Slot| !is_listed(name) && gone(slot) && !is_pinned(name);
    let all_gone = slots.iter().filter(|(name, slot)| is_gone(name, slot));
    let mut all_over = Vec::new();
    for name in all_gone.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
        let Some(running) = slots.remove(&name) else { continue };
        let (plugin, path) = (&running.descriptor.name, context.path(&name));
        if running.is_over() {
            all_over.push(plugin.clone());
        }
        log::info!("plugin {plugin} is removed with its file {}", path.display());
    }
    slots.set_missing(|name| !is_listed(name), due);
    all_over
}

/// Reads a file if that is due. Gives its content once that has settled, or at once if it came
/// whole.
pub(super) fn read(entry: &Entry, slots: &mut Slots, context: &Context) -> Option<Content> {
    let (name, path) = (&entry.name, context.path(&entry.name));
    let slot = slots.entry(name);
    let first_read = match slot.state {
        SlotState::Settling { due, .. } if Instant::now() < due => {
            entry.arrival?;
            None
        }
        SlotState::Settling { stamp, .. } if stamp != entry.stamp => {
            settle(name, entry.stamp, None, slots, context);
            return None;
        }
        SlotState::Settling { stamp, hash, .. } => Some((stamp, hash)),
        SlotState::Missing { .. } => None,
        _ if slot.stamp != Some(entry.stamp) || slot.signature != entry.signature => {
            if !mem::take(&mut slot.wait).is_zero() {
                // The new content's own problem is logged too.
                slot.last_error = None;
            }
            None
        }
        SlotState::Retrying { hash, due, .. } if due <= Instant::now() => {
            Some((entry.stamp, Some(hash)))
        }
        SlotState::Blocked { hash, due: Some(due), .. } if due <= Instant::now() => {
            hash.map(|hash| (entry.stamp, Some(hash)))
        }
        _ => return None,
    };
    (slot.stamp, slot.hash, slot.signature) = (None, None, entry.signature);
    let is_refused_link = entry.is_symlink && !context.config.keys.follow_symlinks;
    let link = if is_refused_link { Err(Refusal::Symlink) } else { Ok(()) };
    if let Err(refusal) = listing::check_name(&entry.name).and(link) {
        slot.stamp = Some(entry.stamp);
        slots.refuse(name, &refusal, context);
        return None;
    }
    log::trace!("reading {}", path.display());
    let (bytes_max, age_min) = (context.config.limits.plugin_bytes_max, settle_time(context));
    match content::read(&path, context.config.policy(), bytes_max, entry.arrival, age_min) {
        Ok((content, true)) => return Some(content),
        Ok((content, _)) if first_read == Some((content.stamp, Some(content.hash))) => {
            return Some(content);
        }
        Ok((content, _)) => settle(name, content.stamp, Some(content.hash), slots, context),
        Err(refusal) => {
            slot.stamp = Some(entry.stamp);
            slots.refuse(name, &refusal, context);
        }
    }
    None
}

fn settle(
    name: &OsStr,
    stamp: Stamp,
    hash: Option<ContentHash>,
    slots: &mut Slots,
    context: &Context,
) {
    let due = later(Instant::now(), settle_time(context));
    slots.set_state(name, SlotState::Settling { stamp, hash, due });
}
