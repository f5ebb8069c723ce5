//! The way back: the old version is made again, with its state, because the new one was refused.

use super::{Replacement, Step};
use crate::plugin::clock::later;
use crate::plugin::instance::candidate::Candidate;
use crate::plugin::instance::live::Live;
use crate::plugin::lifecycle::generation::Generation;
use crate::plugin::lifecycle::loader::Loader;
use crate::plugin::lifecycle::slot::State;
use crate::plugin::lifecycle::stall_watch::TaskGuard;
use crate::plugin::lifecycle::{handover, quarantine};
use crate::plugin::refusal::Refusal;
use crate::registry::Pause;
use std::ffi::OsStr;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// From one try to the next to make the old version again: at first, and at most.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// A plugin whose file was removed while its calls waited serves so much longer, for these calls.
const RESUMED_CALLS: Duration = Duration::from_secs(5);

impl Loader {
    /// Puts a replacement off because calls that began before there was a gate do not end. The next
    /// attempt still waits for them.
    pub(super) fn give_up_gating(&mut self, plugin: &str) {
        let Some(mut replacement) = self.replacements.remove(plugin) else { return };
        let generation = replacement.old.id;
        if let Step::Gating { before, .. } = &mut replacement.step {
            self.ungated.retain(|_, before| before.iter().any(|edition| edition.strong_count() > 0));
            self.ungated.insert(generation, mem::take(before));
        }
        let tries_left = handover::TRIES_MAX.saturating_sub(replacement.tries + 1);
        self.put_off(replacement, &Refusal::Busy { generation, tries_left });
    }

    /// Makes the old version again, because the new one was refused.
    pub(super) fn restore(&mut self, plugin: &str, refusal: Refusal) {
        if let Some(replacement) = self.replacements.get_mut(plugin) {
            let tries_left = handover::TRIES_MAX.saturating_sub(replacement.tries + 1);
            replacement.refusal = Some(match refusal {
                // It passed a trial before, so the machine may be the slow one.
                Refusal::Overran { what, .. } => Refusal::Overran { what, tries_left },
                refusal => refusal,
            });
        }
        self.make_old_again(plugin);
    }

    pub(super) fn make_old_again(&mut self, plugin: &str) {
        let id = self.slots.next_number();
        let Some(replacement) = self.replacements.get(plugin) else { return };
        let (holder, old) = (replacement.holder.clone(), Arc::clone(&replacement.old));
        let give = |live: &Live, task: &TaskGuard| self.give(replacement, live, task);
        let made = self.create(&holder, old.again(id), old.settings.clone(), give);
        match made {
            Ok((generation, _)) => {
                log::warn!(
                    "plugin {plugin}: version {} is made again, as generation {id}",
                    old.descriptor.version
                );
                self.put_back(plugin, generation);
            }
            Err(why) => self.is_down(plugin, &why),
        }
    }

    fn put_back(&mut self, plugin: &str, generation: Arc<Generation>) {
        let Some(replacement) = self.replacements.remove(plugin) else { return };
        let Replacement { file, holder, candidate, tries, old, pause, refusal, .. } = replacement;
        let id = generation.id;
        self.slots.alive.add(id, generation.living());
        if let Some(slot) = self.slots.get_mut(&holder) {
            slot.running = Some(generation);
        }
        self.slots.touch_registry();
        self.commit();
        if let Some(gate) = old.gate() {
            gate.close(Pause::over(), None);
        }
        self.resume_calls(&holder, &pause);
        match refusal {
            // What it was refused beside is what runs now.
            Some(Refusal::State { why, .. }) => {
                self.refuse_candidate(&file, candidate, tries, &Refusal::State { generation: id, why });
            }
            Some(refusal) => self.refuse_candidate(&file, candidate, tries, &refusal),
            None => {}
        }
        self.finish();
    }

    /// Has the calls that waited go on in what runs for a file. If the file is gone by now, its
    /// plugin serves these calls before it goes too.
    pub(super) fn resume_calls(&mut self, file: &OsStr, pause: &Pause) {
        if let Some(State::Missing { due }) = self.slots.get_mut(file).map(|slot| &mut slot.state) {
            let after = Duration::from_millis(self.context.config.limits.removal_ms).max(RESUMED_CALLS);
            *due = later(Instant::now(), after);
            log::info!(
                "{} was removed while its plugin was replaced; the calls that waited are answered first",
                self.context.path(file).display()
            );
        }
        pause.end();
    }

    /// Refuses a content, if its file still has it. One that may be taken later waits for that.
    pub(super) fn refuse_candidate(
        &mut self,
        file: &OsStr,
        candidate: Candidate,
        tries: u32,
        refusal: &Refusal,
    ) {
        if !self.is_state_of(file, candidate.id) {
            let path = self.context.path(file);
            log::error!("a content that {} no longer has was refused: {refusal}", path.display());
            if refusal.is_of_the_content() {
                let (hash, why, plugin) =
                    (candidate.hash, refusal.to_string(), Some(candidate.descriptor.name));
                self.slots.quarantine.put(quarantine::Entry { hash, why, plugin, beside: None });
            }
            return;
        }
        let stamp = self.slots.get(file).and_then(|slot| slot.stamp);
        self.slots.refuse(file, refusal, &self.context);
        let due = Self::next_try(tries + 1).filter(|_| !refusal.is_of_the_content());
        if let (Some(due), Some(slot)) = (due, self.slots.get_mut(file)) {
            // Not at each look: every try makes calls wait.
            slot.stamp = stamp;
            let candidate = Box::new(candidate);
            self.slots.set_state(file, State::Waiting { candidate, tries: tries + 1, due: Some(due) });
        }
    }

    /// No version of the plugin serves.
    fn is_down(&mut self, plugin: &str, why: &Refusal) {
        let Some(replacement) = self.replacements.get_mut(plugin) else { return };
        let tries = match replacement.step {
            Step::Down { tries, .. } => tries + 1,
            _ => 0,
        };
        let after = AGAIN_FIRST.saturating_mul(1 << tries.min(10)).min(AGAIN_MAX);
        replacement.step = Step::Down { due: later(Instant::now(), after), tries };
        let (file, version) = (replacement.file.clone(), replacement.old.descriptor.version.clone());
        let refused = replacement.refusal.as_ref().map(ToString::to_string).unwrap_or_default();
        let text = format!(
            "no version serves: the new one was refused ({refused}), and version {version} could not be made again ({why}); \
             trying the old one again in {} s",
            after.as_secs()
        );
        log::error!("plugin {plugin}: {text}");
        self.tell_in_status(&file, text);
    }

    /// The file of a plugin that is down is gone, and with it what could be made again.
    pub(crate) fn forget_replacement(&mut self, plugin: &str) {
        if let Some(Replacement { pause, saved, .. }) = self.replacements.remove(plugin) {
            if saved.is_some() {
                log::error!("plugin {plugin}: its saved state goes with its file");
            }
            pause.end();
        }
    }
}
