//! The state of a plugin on its way from the running generation to its replacement.
//!
//! The order is: new `create`, old `save_state`, new `load_state`, swap. Until the swap nothing
//! has changed for the old generation, so a refusal only destroys the new instance.
//!
//! - Calls go on meanwhile. Changes that they make after `save_state` are lost, so the swap
//!   follows at once and not at the end of the look.
//! - A content that refuses a state is quarantined while the generation with that state runs.
//! - A state that cannot be saved is not the new content's fault. The content waits and is tried
//!   again, six times in half a minute.

use super::context::Context;
use super::generation::Generation;
use super::stall_watch::TaskGuard;
use crate::plugin::clock::later;
use crate::plugin::instance::live::Live;
use crate::plugin::refusal::Refusal;
use std::time::{Duration, Instant};

/// How often a state that cannot be saved is asked for, and how long to wait after the first time;
/// twice as long after each further one.
pub(super) const TRIES_MAX: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Moves the state of `before` into an instance that serves nobody yet. Whether there was one to
/// move.
///
/// # Errors
/// [`Refusal::Save`] when `before` does not give its state, [`Refusal::State`] when `after` does
/// not take it.
pub(super) fn hand_over(
    before: &Generation,
    after: &Live,
    task: &TaskGuard,
    context: &Context,
) -> Result<bool, Refusal> {
    let (plugin, generation) = (&before.descriptor.name, before.id);
    match (before.gives_state(), after.takes_state()) {
        (true, true) => {}
        (true, false) => {
            log::info!(
                "plugin {plugin}: the new version takes no state; that of generation {generation} \
                 is given up"
            );
            return Ok(false);
        }
        (false, true) => {
            log::info!(
                "plugin {plugin}: generation {generation} has no state to give; the new version \
                 starts afresh"
            );
            return Ok(false);
        }
        (false, false) => return Ok(false),
    }
    task.next_step("the save_state of the generation before it");
    let saved = match before.save_state(&context.call("save_state")) {
        Some(Ok(saved)) => saved,
        // It answers no call as it is: nothing is gained by keeping it.
        Some(Err(why)) if before.health.is_poisoned() => {
            log::warn!(
                "plugin {plugin}: the state of generation {generation}, which is out of service, \
                 is lost: {why}"
            );
            return Ok(false);
        }
        Some(Err(why)) => return Err(Refusal::Save { generation, why, tries_left: 0 }),
        None => return Ok(false),
    };
    task.next_step("load_state");
    after
        .load_state(&saved, &context.call("load_state"))
        .map_err(|why| Refusal::State { generation, why })?;
    log::info!("plugin {plugin}: the state of generation {generation} is handed over");
    Ok(true)
}

/// When to ask again for a state that could not be saved.
pub(super) fn next_try(tries: u32) -> Option<Instant> {
    (tries < TRIES_MAX).then(|| later(Instant::now(), FIRST_WAIT * (1 << (tries - 1))))
}
