//! Makes a generation of a candidate. Must not know slots.

use super::context::Context;
use super::generation::{Generation, Origin};
use super::stall_watch::TaskGuard;
use crate::plugin::config::{ReloadMode, Unload};
use crate::plugin::instance::candidate::Candidate;
use crate::plugin::instance::health::Health;
use crate::plugin::instance::live::Live;
use crate::plugin::refusal::Refusal;
use crate::xmlrpc::Value;
use std::ffi::OsStr;
use std::sync::Arc;

/// Makes a generation, and gives it the state of the one that it replaces. Whether there was one.
///
/// # Errors
/// Its instance could not be made, or does not get or take that state.
pub(super) fn create(
    name: &OsStr,
    candidate: Candidate,
    settings: Value,
    context: &Context,
    give_state: impl FnOnce(&Live, &TaskGuard) -> Result<bool, Refusal>,
) -> Result<(Arc<Generation>, bool), Refusal> {
    let plugin = candidate.descriptor.name.clone();
    let directory = context.store.data_directory(&plugin)?;
    let mut warnings = candidate.warnings.clone();
    if context.unload_of(&plugin) == Unload::Close && !candidate.leaves_nothing() {
        let what = "it stays mapped although unload is \"close\": it does not declare that it \
                    leaves nothing behind";
        log::warn!("plugin {plugin}: {what}");
        warnings.push(what.to_owned());
    }
    let task = context.begin_task(name, candidate.id, "create");
    let is_gated = context.reload_of(&plugin, candidate.is_exclusive()) == ReloadMode::Exclusive;
    let origin = Origin { id: candidate.id, hash: candidate.hash, settings, warnings };
    let limits = &context.config.limits;
    let (descriptor, live, ending) =
        candidate.create(&directory, origin.settings.clone(), limits)?;
    match give_state(&live, &task) {
        Ok(is_handed_over) => {
            let (health, mailbox) = (Health::new(limits), Arc::clone(&context.mailbox));
            let generation = Generation::new(origin, descriptor, live, ending, health, mailbox);
            if is_gated {
                generation.make_gate();
            }
            Ok((Arc::new(generation), is_handed_over))
        }
        Err(refusal) => {
            // It serves nobody and never did.
            task.next_step("destroy");
            drop(live);
            ending.destroy();
            Err(refusal)
        }
    }
}
