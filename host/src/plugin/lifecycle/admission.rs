//! The decisions from a settled content to a serving generation. `candidate` checks a single file;
//! here a file meets the others. Must not know trials, replacements or the registry.

use super::action::{Action, Attempt};
use super::context::Context;
use super::create::create;
use super::handover;
use super::slot::{Slot, SlotState};
use super::slots::Slots;
use super::stall_watch::TaskGuard;
use crate::plugin::directory::content::{Content, ContentHash};
use crate::plugin::instance::candidate::{Copied, Step};
use crate::plugin::instance::live::Live;
use crate::plugin::refusal::Refusal;
use std::ffi::{OsStr, OsString};
use std::mem;
use std::time::Instant;

/// Loading that takes longer is told: clients may notice it.
const SLOW_LOAD_MS: u128 = 200;

/// A content has stayed the same for the settle time. A file that `is_pinned` stays as it is until
/// its plugin is replaced.
pub(super) fn settled(
    name: &OsStr,
    content: &Content,
    slots: &mut Slots,
    context: &Context,
    is_pinned: impl Fn(&OsStr) -> bool,
) -> Vec<Action> {
    let Some(slot) = slots.get_mut(name) else { return Vec::new() };
    slot.stamp = Some(content.stamp);
    slot.hash = Some(content.hash);
    let is_forced = mem::take(&mut slot.is_forced);
    let is_served = !is_pinned(name)
        && (slots.get(name).is_some_and(Slot::is_served_by_its_content)
            || take_over_same_content(name, content.hash, slots, context, is_pinned));
    if is_served && !is_forced && has_its_settings(name, slots, context) {
        tell_of_trust(name, content, slots, context);
        slots.serving(name, context);
        return Vec::new();
    }
    let runs = |id| slots.running().any(|running| running.id == id);
    if let Some(entry) = slots.quarantine.get(content.hash, runs) {
        let (refusal, plugin) = (Refusal::Quarantined(entry.why.clone()), entry.plugin.clone());
        slots.set_plugin(name, plugin);
        slots.refuse(name, &refusal, context);
        return Vec::new();
    }
    let tries = match slots.get(name).map(|slot| &slot.state) {
        Some(SlotState::Retrying { hash, tries, .. }) if *hash == content.hash => *tries,
        _ => 0,
    };
    let (id, path) = (slots.next_number(), context.path(name));
    match Copied::new(&context.store, id, &path, content, &context.config, &mut |_| {}) {
        Ok(copied) => vec![Action::Try { file: name.to_owned(), copied, tries }],
        Err(refusal) => {
            slots.refuse(name, &refusal, context);
            Vec::new()
        }
    }
}

/// A content has passed its trial: its code comes into this process.
pub(super) fn load(
    name: &OsStr,
    copied: Copied,
    warnings: Vec<String>,
    slots: &mut Slots,
    context: &Context,
) -> Vec<Action> {
    let task = context.begin_task(name, copied.id, "the loading of its library");
    let begun = Instant::now();
    let mut actions = Vec::new();
    let loaded = copied.load(warnings, &context.config.limits, &mut |step| {
        if let Step::Load(image) = step {
            actions.push(Action::CountMapped(image));
        }
    });
    drop(task);
    let ms = begun.elapsed().as_millis();
    if ms > SLOW_LOAD_MS {
        // The dynamic loader's lock is held while constructors run, and every thread needs it once
        // when it starts.
        log::warn!(
            "plugin file {}: its constructors took {ms} ms, in which no new connection was served; \
             do in create what takes long",
            context.path(name).display()
        );
    }
    match loaded {
        Ok(mut candidate) => {
            let options = context.config.options.get(&candidate.descriptor.name);
            candidate.warn_of_database(options.and_then(|options| options.reload));
            actions.push(Action::Admit(Attempt { file: name.to_owned(), candidate, tries: 0 }));
        }
        Err(refusal) => slots.refuse(name, &refusal, context),
    }
    actions
}

/// Serves a checked plugin, unless a name of it is taken.
pub(super) fn admit(attempt: Attempt, slots: &mut Slots, context: &Context) -> Vec<Action> {
    let (name, candidate) = (&attempt.file, &attempt.candidate);
    if attempt.tries == 0 {
        for warning in &candidate.warnings {
            log::warn!("plugin file {}: {warning}", context.path(name).display());
        }
    }
    slots.set_plugin(name, Some(candidate.descriptor.name.clone()));
    let heir_of = slots.predecessor(name, &candidate.descriptor.name);
    if let Some(refusal) = slots.conflict(name, heir_of.as_deref(), candidate, context) {
        slots.refuse(name, &refusal, context);
        let Attempt { file, candidate, .. } = attempt;
        slots.set_state(&file, SlotState::Conflicting(Box::new(candidate)));
        return Vec::new();
    }
    vec![Action::MakeRoom(attempt)]
}

/// Makes the instance of an admitted plugin, and has it serve, unless the state that it is to take
/// over cannot be had.
pub(super) fn serve(attempt: Attempt, slots: &mut Slots, context: &Context) -> Vec<Action> {
    let Attempt { file, candidate, tries } = attempt;
    let name = &*file;
    let plugin = &candidate.descriptor.name;
    let heir_of = slots.predecessor(name, plugin);
    let before = slots.forerunner(name, plugin);
    let hand_over = |live: &Live, task: &TaskGuard| match &before {
        Some(before) => handover::hand_over(before, live, task, context),
        None => Ok(false),
    };
    match create(name, candidate.clone(), context.settings_of(plugin), context, hand_over) {
        Ok((generation, is_handed_over)) => {
            slots.alive.add(generation.id, generation.living());
            slots.swap(name, heir_of.as_deref(), generation, context);
            if is_handed_over {
                // At once, and not when all files have been looked at: what calls change until then
                // is lost.
                return vec![Action::Publish];
            }
        }
        Err(Refusal::Save { generation, why, .. }) => {
            let tries = tries + 1;
            let tries_left = handover::TRIES_MAX.saturating_sub(tries);
            slots.refuse(name, &Refusal::Save { generation, why, tries_left }, context);
            if let Some(due) = handover::next_try(tries) {
                let candidate = Box::new(candidate);
                slots.set_state(name, SlotState::Waiting { candidate, tries, due: Some(due) });
            }
        }
        Err(refusal) => {
            log::debug!(
                "generation {} of content {} was not made",
                candidate.id,
                candidate.hash.hex()
            );
            slots.refuse(name, &refusal, context);
        }
    }
    Vec::new()
}

/// The next content that waits for a name which is free now, or that serves by now. One may free a
/// name for the next.
pub(super) fn next_conflicting(slots: &mut Slots, context: &Context) -> Option<Vec<Action>> {
    let is_free = |(name, slot): &(&OsString, &Slot)| match &slot.state {
        SlotState::Conflicting(candidate) => {
            let heir_of = slots.predecessor(name, &candidate.descriptor.name);
            slot.is_served_by_its_content()
                || slots.conflict(name, heir_of.as_deref(), candidate, context).is_none()
        }
        _ => false,
    };
    let name = slots.iter().find(is_free).map(|(name, _)| name.clone())?;
    let slot = slots.get_mut(&name)?;
    let is_served = slot.is_served_by_its_content();
    match mem::replace(&mut slot.state, SlotState::Refused) {
        SlotState::Conflicting(candidate) if !is_served => {
            Some(vec![Action::Admit(Attempt { file: name, candidate: *candidate, tries: 0 })])
        }
        _ => {
            slots.serving(&name, context);
            Some(Vec::new())
        }
    }
}

/// The files whose contents need wait no longer for a state or for an instance's end. A state has
/// nothing to wait for when its owner has gone meanwhile; `has_room` tells of ends.
pub(super) fn done_waiting(
    slots: &Slots,
    has_room: impl Fn(&OsStr, &str) -> bool,
) -> Vec<OsString> {
    let now = Instant::now();
    let waiting = slots.iter().filter(|(name, slot)| match &slot.state {
        SlotState::Waiting { due: Some(due), candidate, .. } => {
            *due <= now || slots.forerunner(name, &candidate.descriptor.name).is_none()
        }
        SlotState::Waiting { due: None, candidate, .. } => {
            has_room(name, &candidate.descriptor.name)
        }
        _ => false,
    });
    waiting.map(|(name, _)| name.clone()).collect()
}

/// Tries again what has waited.
pub(super) fn retry(name: OsString, slots: &mut Slots) -> Option<Action> {
    let slot = slots.get_mut(&name)?;
    match mem::replace(&mut slot.state, SlotState::Refused) {
        SlotState::Waiting { candidate, tries, .. } => {
            Some(Action::Admit(Attempt { file: name, candidate: *candidate, tries }))
        }
        other => {
            slot.state = other;
            None
        }
    }
}

/// Says so when what serves is not trusted any more. It goes on: its code has run already, and
/// taking it from its callers would turn a wrong line in the configuration into an outage. Its
/// removal is the operator's to do.
fn tell_of_trust(name: &OsStr, content: &Content, slots: &Slots, context: &Context) {
    let path = context.path(name);
    let trusted = context.config.trust.check(&path, content, context.config.keys.follow_symlinks);
    let Err(refusal) = trusted else { return };
    let plugin = slots.get(name).and_then(|slot| slot.running.as_ref());
    if let Some(plugin) = plugin.map(|running| &running.descriptor.name) {
        log::warn!(
            "plugin {plugin} of {} serves although {refusal}; it could not be loaded again: remove \
             the file if it should not serve",
            path.display()
        );
    }
}

/// Whether what runs was made with the configuration that its plugin has now.
fn has_its_settings(name: &OsStr, slots: &Slots, context: &Context) -> bool {
    let running = slots.get(name).and_then(|slot| slot.running.as_ref());
    running.is_some_and(|running| running.settings == context.settings_of(&running.descriptor.name))
}

/// A file that was renamed keeps its generation.
fn take_over_same_content(
    name: &OsStr,
    hash: ContentHash,
    slots: &mut Slots,
    context: &Context,
    is_pinned: impl Fn(&OsStr) -> bool,
) -> bool {
    let could = |(from, slot): &(&OsString, &Slot)| slot.could_give_up(hash) && !is_pinned(from);
    let Some(from) = slots.iter().find(could).map(|(from, _)| from.clone()) else { return false };
    let ours = slots.get_mut(name).and_then(|slot| slot.running.take());
    let Some(other) = slots.get_mut(&from) else { return false };
    let theirs = mem::replace(&mut other.running, ours);
    if let Some(slot) = slots.get_mut(name) {
        slot.running = theirs;
    }
    slots.touch_status();
    log::info!(
        "{} has the content of {}, which keeps serving",
        context.path(name).display(),
        context.path(&from).display()
    );
    true
}
