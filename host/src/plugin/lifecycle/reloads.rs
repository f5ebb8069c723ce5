//! What the operator asks of the loader beside looking: new generations of plugins whose files have not changed.
//!
//! Both requests only make a file's content count as new. It then takes the way of every new content, with every check
//! on it, so they are done some settle time later.

use super::events::{Reload, ReloadError, Settings};
use super::loader::Loader;
use super::slot::{Slot, State};
use crate::plugin::directory::content::Content;
use crate::xmlrpc::Value;
use crossbeam_channel::Sender;
use std::collections::BTreeSet;
use std::ffi::OsStr;

/// A reload that is under way.
pub(crate) struct Pending {
    /// A plugin's name, or a file's.
    wanted: String,
    /// What served when it was asked for.
    before: Option<u64>,
    reply: Sender<Result<(), ReloadError>>,
}

impl Loader {
    /// Takes new settings for all plugins; those whose own changed get a new generation.
    pub(crate) fn reconfigure(&mut self, Settings { settings, options, trust }: Settings) {
        self.context.config.options = options;
        if self.context.config.trust != trust {
            self.context.config.trust = trust;
            self.judge_anew();
        }
        let names: BTreeSet<String> =
            self.context.config.settings.keys().chain(settings.keys()).cloned().collect();
        let before: Vec<Value> = names.iter().map(|name| self.context.settings_of(name)).collect();
        self.context.config.settings = settings;
        for (name, before) in names.iter().zip(before) {
            if before == self.context.settings_of(name) {
                continue;
            }
            if self.slots.renew(name, |_| {}) {
                log::info!("the configuration of plugin {name} changed: it gets a new generation");
            } else {
                log::info!("the configuration of plugin {name} changed; it is not loaded");
            }
        }
        self.slots.unblock();
        self.look();
    }

    /// Has every file read again, so that each content meets the trust of now: one that was refused may be trusted, one
    /// that is ready to serve may be trusted no more, and of one that serves [`Loader::tell_of_trust`] has something to say.
    fn judge_anew(&mut self) {
        log::info!("[trust] changed: every plugin file is judged anew");
        self.slots.look_again_at_all();
    }

    /// Says so when what serves is not trusted any more. It goes on: its code has run already, and taking it from its
    /// callers would turn a wrong line in the configuration into an outage. Its removal is the operator's to do.
    pub(crate) fn tell_of_trust(&self, name: &OsStr, content: &Content) {
        let path = self.context.path(name);
        let trusted = self.context.config.trust.check(&path, content, self.context.config.follow_symlinks);
        let Err(refusal) = trusted else { return };
        let plugin = self.slots.get(name).and_then(|slot| slot.running.as_ref());
        if let Some(plugin) = plugin.map(|running| &running.descriptor.name) {
            log::warn!(
                "plugin {plugin} of {} serves although {refusal}; it could not be loaded again: remove the file if it \
                 should not serve",
                path.display()
            );
        }
    }

    /// Begins a reload; [`Loader::answer_reloads`] says what became of it.
    pub(crate) fn reload(&mut self, Reload { wanted, reply }: Reload) {
        let before = self.running(&wanted);
        if self.slots.renew(&wanted, |slot| slot.is_forced = true) {
            log::info!("{wanted} is reloaded as an operator asked");
            self.reloads.push(Pending { wanted, before, reply });
            self.look();
        } else {
            // Nobody waiting is no reason for anything.
            let _ = reply.send(Err(ReloadError::Unknown));
        }
    }

    /// Tells those who wait for reloads that are done.
    pub(crate) fn answer_reloads(&mut self) {
        let pending = std::mem::take(&mut self.reloads);
        for reload in pending {
            match self.outcome(&reload) {
                Some(outcome) => drop(reload.reply.send(outcome)),
                None => self.reloads.push(reload),
            }
        }
    }

    /// None while the content settles.
    fn outcome(&self, reload: &Pending) -> Option<Result<(), ReloadError>> {
        let slots = || self.slots.meant(&reload.wanted);
        // The version of before may have been made again, under another number.
        let is_refused = |slot: &Slot| {
            slot.running.is_some() && matches!(slot.state, State::Refused | State::Waiting { .. })
        };
        let is_new = self.running(&reload.wanted).is_some_and(|running| Some(running) != reload.before);
        if is_new && !slots().any(is_refused) {
            return Some(Ok(()));
        }
        let is_under_way = |slot: &Slot| {
            matches!(
                slot.state,
                State::Settling { .. }
                    | State::Probing { .. }
                    | State::Replacing { .. }
                    | State::Waiting { due: None, .. }
            )
        };
        if slots().any(is_under_way) {
            return None;
        }
        let why = match slots().next() {
            _ if self.is_blind => "the plugins directory cannot be read".to_owned(),
            None => return Some(Err(ReloadError::Unknown)),
            Some(Slot { state: State::Missing { .. }, .. }) => "its file is gone".to_owned(),
            Some(slot) => slot.last_error.clone().unwrap_or_else(|| "it was not loaded".to_owned()),
        };
        Some(Err(ReloadError::Refused(why)))
    }

    fn running(&self, wanted: &str) -> Option<u64> {
        self.slots.meant(wanted).filter_map(|slot| slot.running.as_ref()).map(|running| running.id).next()
    }
}

/// Whether the file has this name, or the plugin of this name serves for it, or was found in it last.
fn is_meant(file: &OsStr, slot: &Slot, wanted: &str) -> bool {
    let serves = slot.running.as_ref().is_some_and(|running| running.descriptor.name == wanted);
    serves || file == wanted || slot.plugin.as_deref() == Some(wanted)
}
