//! One replacement: what it waits for, what it has saved, and how it is postponed. Must not know
//! the others.

use crate::pause::Pause;
use crate::plugin::clock::later;
use crate::plugin::config::Config;
use crate::plugin::instance::live::{Live, Saved};
use crate::plugin::lifecycle::action::{Action, Attempt, Refused};
use crate::plugin::lifecycle::context::Context;
use crate::plugin::lifecycle::events::Gone;
use crate::plugin::lifecycle::generation::Generation;
use crate::plugin::lifecycle::slot::SlotState;
use crate::plugin::lifecycle::slots::Slots;
use crate::plugin::lifecycle::stall_watch::TaskGuard;
use crate::plugin::lifecycle::{handover, quarantine};
use crate::plugin::refusal::Refusal;
use crate::registry::Snapshot;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// A plugin whose file was removed while its calls waited serves so much longer, for these calls.
const RESUMED_CALLS: Duration = Duration::from_secs(5);

/// All replacements, by the plugin's name.
pub(super) type Replacements = BTreeMap<String, Replacement>;

/// One plugin's replacement, from the wish to the swap.
pub(super) struct Replacement {
    pub(super) attempt: Attempt,
    /// For which the old generation serves: another file when the plugin's file was renamed.
    pub(super) holder: OsString,
    pub(super) old: Arc<Generation>,
    pub(super) step: Step,
    pub(super) pause: Pause,
    /// When the gate was closed.
    pub(super) since: Instant,
    pub(super) saved: Option<Saved>,
    /// Of the old instance, whose library is needed again when the new one refuses.
    pub(super) remains: Option<Gone>,
    /// Why the new one does not serve, until the old one does again.
    pub(super) refusal: Option<Refusal>,
    /// Operators were told that it takes too long.
    pub(super) is_late_told: bool,
}

/// What is waited for.
pub(super) enum Step {
    /// The end of calls that began before there was a gate: these snapshots have the methods
    /// without it. Looked at when due.
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
    pub(super) fn until(&self, config: &Config) -> Instant {
        later(self.since, config.limits.exclusive_max())
    }

    /// Gives a new instance the state that was saved, if there is any and it takes one.
    pub(super) fn give(
        &self,
        live: &Live,
        task: &TaskGuard,
        context: &Context,
    ) -> Result<bool, Refusal> {
        let (plugin, generation) = (&self.old.descriptor.name, self.old.id);
        match &self.saved {
            Some(saved) if live.takes_state() => {
                task.next_step("load_state");
                let loaded = live.load_state(saved, &context.call("load_state"));
                loaded.map_err(|why| Refusal::State { generation, why })?;
                log::info!("plugin {plugin}: the state of generation {generation} is handed over");
                Ok(true)
            }
            Some(_) => {
                log::info!(
                    "plugin {plugin}: this version takes no state; that of generation {generation} \
                     is given up"
                );
                Ok(false)
            }
            None => Ok(false),
        }
    }
}

/// The old one's state, for the new one or for itself: it may have to be made again.
pub(super) fn save(replacement: &Replacement, context: &Context) -> Result<Option<Saved>, String> {
    let (old, plugin) = (&replacement.old, &replacement.old.descriptor.name);
    if !old.gives_state() {
        return Ok(None);
    }
    let _task = context.begin_task(&replacement.holder, old.id, "save_state");
    match old.save_state(&context.call("save_state")).transpose() {
        Err(why) if old.health.is_poisoned() => {
            log::warn!(
                "plugin {plugin}: the state of generation {}, which is out of service, is lost: \
                 {why}",
                old.id
            );
            Ok(None)
        }
        saved => saved,
    }
}

/// Has the old one go on, of which nothing has ended. It is asked to give way again later.
pub(super) fn put_off(
    replacement: Replacement,
    refusal: Refusal,
    slots: &mut Slots,
    context: &Context,
) -> Vec<Action> {
    let Replacement { attempt, holder, old, pause, .. } = replacement;
    if let Some(gate) = old.gate() {
        gate.reopen();
    }
    resume_calls(&holder, &pause, slots, context);
    refuse_candidate(Refused { attempt, refusal }, slots, context);
    finished()
}

/// What follows a replacement, however it ended.
pub(super) fn finished() -> Vec<Action> {
    vec![Action::Publish, Action::AnswerReloads, Action::WakeWaiting]
}

/// Whether the file's slot waits for this replacement, and has no other content by now.
pub(super) fn is_state_of(file: &OsStr, id: u64, slots: &Slots) -> bool {
    let state = slots.get(file).map(|slot| &slot.state);
    matches!(state, Some(SlotState::Replacing { id: of }) if *of == id)
}

/// Has the calls that waited go on in what runs for a file. If the file is gone by now, its
/// plugin serves these calls before it goes too.
pub(super) fn resume_calls(file: &OsStr, pause: &Pause, slots: &mut Slots, context: &Context) {
    if let Some(SlotState::Missing { due }) = slots.get_mut(file).map(|slot| &mut slot.state) {
        let after = Duration::from_millis(context.config.limits.removal_ms).max(RESUMED_CALLS);
        *due = later(Instant::now(), after);
        log::info!(
            "{} was removed while its plugin was replaced; the calls that waited are answered \
             first",
            context.path(file).display()
        );
    }
    pause.end();
}

/// Refuses a content, if its file still has it. One that may be taken later waits for that.
pub(super) fn refuse_candidate(refused: Refused, slots: &mut Slots, context: &Context) {
    let Refused { attempt: Attempt { file, candidate, tries }, refusal } = refused;
    if !is_state_of(&file, candidate.id, slots) {
        let path = context.path(&file);
        log::error!("a content that {} no longer has was refused: {refusal}", path.display());
        if refusal.is_of_the_content() {
            let (hash, why, plugin) =
                (candidate.hash, refusal.to_string(), Some(candidate.descriptor.name));
            slots.quarantine.put(quarantine::Entry { hash, why, plugin, beside: None });
        }
        return;
    }
    let stamp = slots.get(&file).and_then(|slot| slot.stamp);
    slots.refuse(&file, &refusal, context);
    let due = handover::next_try(tries + 1).filter(|_| !refusal.is_of_the_content());
    if let (Some(due), Some(slot)) = (due, slots.get_mut(&file)) {
        // Not at each look: every try makes calls wait.
        slot.stamp = stamp;
        let candidate = Box::new(candidate);
        slots.set_state(&file, SlotState::Waiting { candidate, tries: tries + 1, due: Some(due) });
    }
}
