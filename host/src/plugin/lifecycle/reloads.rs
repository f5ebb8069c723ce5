//! Reloads that the operator asks for: new generations of plugins whose files have not changed.
//!
//! Content and configuration make a generation, so a changed `[plugins.NAME]` is such a request
//! too. A request only makes a file's content count as new. It then takes the way of every new
//! content, with every check on it, so it is done some settle time later.

use super::context::Context;
use super::events::{PluginSettings, Reload, ReloadError};
use super::slot::{Slot, SlotState};
use super::slots::Slots;
use crate::xmlrpc::Value;
use crossbeam_channel::Sender;
use std::collections::BTreeSet;

/// A reload that is under way.
struct Pending {
    /// A plugin's name, or a file's.
    wanted: String,
    /// What served when it was asked for.
    before: Option<u64>,
    reply: Sender<Result<(), ReloadError>>,
}

/// The reloads that are under way.
#[derive(Default)]
pub(super) struct Reloads(Vec<Pending>);

impl Reloads {
    /// Begins a reload; [`Reloads::answer`] says what became of it. Whether there is such a plugin:
    /// the directory is to be looked at then.
    pub(super) fn begin(&mut self, Reload { wanted, reply }: Reload, slots: &mut Slots) -> bool {
        let before = running(slots, &wanted);
        let is_found = slots.renew(&wanted, |slot| slot.is_forced = true);
        if is_found {
            log::info!("{wanted} is reloaded as an operator asked");
            self.0.push(Pending { wanted, before, reply });
        } else {
            // Nobody waiting is no reason for anything.
            let _ = reply.send(Err(ReloadError::Unknown));
        }
        is_found
    }

    /// Tells those who wait for reloads that are done. `is_blind`: the directory cannot be read.
    pub(super) fn answer(&mut self, slots: &Slots, is_blind: bool) {
        self.0.retain(|reload| match reload.outcome(slots, is_blind) {
            Some(outcome) => {
                drop(reload.reply.send(outcome));
                false
            }
            None => true,
        });
    }
}

impl Pending {
    /// None while the content settles.
    fn outcome(&self, slots: &Slots, is_blind: bool) -> Option<Result<(), ReloadError>> {
        let meant = || slots.meant(&self.wanted);
        // The previous version may have been created again, under another number.
        let is_refused = |slot: &Slot| {
            slot.running.is_some()
                && matches!(slot.state, SlotState::Refused | SlotState::Waiting { .. })
        };
        let is_new =
            running(slots, &self.wanted).is_some_and(|running| Some(running) != self.before);
        if is_new && !meant().any(is_refused) {
            return Some(Ok(()));
        }
        let is_under_way = |slot: &Slot| {
            matches!(
                slot.state,
                SlotState::Settling { .. }
                    | SlotState::Probing { .. }
                    | SlotState::Replacing { .. }
                    | SlotState::Waiting { due: None, .. }
            )
        };
        if meant().any(is_under_way) {
            return None;
        }
        let why = match meant().next() {
            _ if is_blind => "the plugins directory cannot be read".to_owned(),
            None => return Some(Err(ReloadError::Unknown)),
            Some(Slot { state: SlotState::Missing { .. }, .. }) => "its file is gone".to_owned(),
            Some(slot) => slot.last_error.clone().unwrap_or_else(|| "it was not loaded".to_owned()),
        };
        Some(Err(ReloadError::Refused(why)))
    }
}

/// What serves for a plugin or a file.
fn running(slots: &Slots, wanted: &str) -> Option<u64> {
    slots.meant(wanted).filter_map(|slot| slot.running.as_ref()).map(|running| running.id).next()
}

/// Takes new settings for all plugins; those whose own changed get a new generation. The directory
/// is to be looked at then.
pub(super) fn reconfigure(settings: PluginSettings, slots: &mut Slots, context: &mut Context) {
    let PluginSettings { settings, options, trust } = settings;
    context.config.options = options;
    if context.config.trust != trust {
        context.config.trust = trust;
        // Each content meets the trust of now: one that was refused may be trusted, one that is
        // ready to serve may be trusted no more, and of one that serves there is something to say.
        log::info!("[trust] changed: every plugin file is checked again");
        slots.look_again_at_all();
    }
    let names: BTreeSet<String> =
        context.config.settings.keys().chain(settings.keys()).cloned().collect();
    let before: Vec<Value> = names.iter().map(|name| context.settings_of(name)).collect();
    context.config.settings = settings;
    for (name, before) in names.iter().zip(before) {
        if before == context.settings_of(name) {
            continue;
        }
        if slots.renew(name, |_| {}) {
            log::info!("the configuration of plugin {name} changed: it gets a new generation");
        } else {
            log::info!("the configuration of plugin {name} changed; it is not loaded");
        }
    }
    slots.unblock();
}
