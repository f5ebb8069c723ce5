//! The end of a replacement: calls go on in the new version, or in the old one. If the new version
//! was refused, the old one is created again with its state. Must not know how a replacement gets
//! so far.

use super::replacement::{
    Replacement, Replacements, Step, finished, refuse_candidate, resume_calls,
};
use crate::pause::Pause;
use crate::plugin::clock::later;
use crate::plugin::instance::live::Live;
use crate::plugin::lifecycle::action::{Action, Refused, ResumedBy, Resumption};
use crate::plugin::lifecycle::context::Context;
use crate::plugin::lifecycle::create::create;
use crate::plugin::lifecycle::generation::Generation;
use crate::plugin::lifecycle::handover;
use crate::plugin::lifecycle::slots::Slots;
use crate::plugin::lifecycle::stall_watch::TaskGuard;
use crate::plugin::refusal::Refusal;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// From one try to the next to make the old version again: at first, and at most.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// Makes the old version again, because the new one was refused.
pub(super) fn restore(
    replacements: &mut Replacements,
    plugin: &str,
    refusal: Refusal,
    slots: &mut Slots,
    context: &Context,
) -> Vec<Action> {
    if let Some(replacement) = replacements.get_mut(plugin) {
        let tries_left = handover::TRIES_MAX.saturating_sub(replacement.attempt.tries + 1);
        replacement.refusal = Some(match refusal {
            // It passed a trial before, so the machine may be the slow one.
            Refusal::Overran { what, .. } => Refusal::Overran { what, tries_left },
            refusal => refusal,
        });
    }
    make_old_again(replacements, plugin, slots, context)
}

pub(super) fn make_old_again(
    replacements: &mut Replacements,
    plugin: &str,
    slots: &mut Slots,
    context: &Context,
) -> Vec<Action> {
    let id = slots.next_number();
    let Some(replacement) = replacements.get(plugin) else { return Vec::new() };
    let old = Arc::clone(&replacement.old);
    let give = |live: &Live, task: &TaskGuard| replacement.give(live, task, context);
    match create(&replacement.holder, old.again(id), old.settings.clone(), context, give) {
        Ok((generation, _)) => {
            log::warn!(
                "plugin {plugin}: version {} is made again, as generation {id}",
                old.descriptor.version
            );
            put_back(replacements, plugin, generation, slots)
        }
        Err(why) => is_down(replacements, plugin, &why, slots),
    }
}

fn put_back(
    replacements: &mut Replacements,
    plugin: &str,
    generation: Arc<Generation>,
    slots: &mut Slots,
) -> Vec<Action> {
    let Some(replacement) = replacements.remove(plugin) else { return Vec::new() };
    let Replacement { attempt, holder, old, pause, refusal, .. } = replacement;
    let id = generation.id;
    slots.alive.add(id, generation.living());
    if let Some(slot) = slots.get_mut(&holder) {
        slot.running = Some(generation);
    }
    slots.touch_registry();
    let refused = refusal.map(|refusal| {
        let refusal = match refusal {
            // What it was refused beside is what runs now.
            Refusal::State { why, .. } => Refusal::State { generation: id, why },
            refusal => refusal,
        };
        Box::new(Refused { attempt, refusal })
    });
    let by = ResumedBy::Old { old, refused };
    vec![Action::Publish, Action::Resume(Box::new(Resumption { file: holder, pause, by }))]
}

/// No version of the plugin serves.
fn is_down(
    replacements: &mut Replacements,
    plugin: &str,
    why: &Refusal,
    slots: &mut Slots,
) -> Vec<Action> {
    let Some(replacement) = replacements.get_mut(plugin) else { return Vec::new() };
    let tries = match replacement.step {
        Step::Down { tries, .. } => tries + 1,
        _ => 0,
    };
    let after = AGAIN_FIRST.saturating_mul(1 << tries.min(10)).min(AGAIN_MAX);
    replacement.step = Step::Down { due: later(Instant::now(), after), tries };
    let version = &replacement.old.descriptor.version;
    let refused = replacement.refusal.as_ref().map(ToString::to_string).unwrap_or_default();
    let text = format!(
        "no version serves: the new one was refused ({refused}), and version {version} could \
         not be made again ({why}); trying the old one again in {} s",
        after.as_secs()
    );
    log::error!("plugin {plugin}: {text}");
    slots.set_error(&replacement.attempt.file, text);
    vec![Action::Publish]
}

/// Has the calls of a replacement go on, once the registry has what they go on in.
pub(super) fn resume(resumption: Resumption, slots: &mut Slots, context: &Context) -> Vec<Action> {
    let Resumption { file, pause, by } = resumption;
    let mut actions = Vec::new();
    match by {
        ResumedBy::New { plugin, since, remains } => {
            resume_calls(&file, &pause, slots, context);
            log::info!("plugin {plugin}: its calls waited for {} ms", since.elapsed().as_millis());
            actions.extend(remains.map(Action::Keep));
        }
        ResumedBy::Old { old, refused } => {
            if let Some(gate) = old.gate() {
                gate.close(Pause::over(), None);
            }
            resume_calls(&file, &pause, slots, context);
            if let Some(refused) = refused {
                refuse_candidate(*refused, slots, context);
            }
        }
    }
    actions.extend(finished());
    actions
}
