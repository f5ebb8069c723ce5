//! The probes that are under way or wait for a place. The loader never waits for one: a content that hangs holds up
//! neither the start nor another content.

use super::events::Tried;
use super::loader::Loader;
use super::slot::State;
use super::slots::Slots;
use crate::plugin::clock::later;
use crate::plugin::directory::content::ContentHash;
use crate::plugin::instance::candidate::Copied;
use crate::plugin::probe::trial;
use crate::plugin::probe::verdict::Verdict;
use crate::plugin::refusal::Refusal;
use crate::xmlrpc::Value;
use crossbeam_channel::Sender;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Probes at once that may use a processor, and in all: one that has run for long only waits, most likely.
const BUSY_MAX: usize = 4;
const RUNNING_MAX: usize = 64;
const BUSY_FOR: Duration = Duration::from_millis(500);

/// All contents on trial, by their numbers.
#[derive(Default)]
pub(crate) struct Trials {
    waiting: BTreeMap<u64, Trial>,
    running: BTreeMap<u64, Trial>,
}

/// A content on trial.
struct Trial {
    file: OsString,
    /// What tries it.
    program: PathBuf,
    copied: Copied,
    /// Trials of this content that took too long.
    tries: u32,
    /// It waits, or has run, since then.
    since: Instant,
    is_cancelled: Arc<AtomicBool>,
}

/// The time until the server first serves. Contents that were there at the start are admitted together at its end, by
/// their files' names: which of two that claim one name serves must not hang on which was faster.
pub(crate) struct Starting {
    /// Dropped at the end.
    _ready: Sender<()>,
    passed: BTreeMap<OsString, Passed>,
    /// The start waits no longer than this for what is still on trial.
    due: Instant,
}

/// A content that has passed its trial.
struct Passed {
    trial: Trial,
    warnings: Vec<String>,
    /// The plugin that it is, and what that was configured with.
    tried_as: Option<(String, Option<Value>)>,
}

impl Trials {
    pub(crate) fn are_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// When [`Loader::go_on_with_trials`] is wanted, whatever ends until then.
    pub(crate) fn due(&self) -> Option<Instant> {
        let is_wanted = !self.waiting.is_empty() && self.running.len() < RUNNING_MAX;
        let busy = self.running.values().map(|trial| trial.since + BUSY_FOR);
        busy.filter(|end| *end > Instant::now()).min().filter(|_| is_wanted)
    }

    /// The next that may run. What has hung before hangs again, most likely: others come first.
    fn next(&mut self) -> Option<Trial> {
        let busy = self.running.values().filter(|trial| trial.since.elapsed() < BUSY_FOR).count();
        if busy >= BUSY_MAX || self.running.len() >= RUNNING_MAX {
            return None;
        }
        let next = self.waiting.iter().min_by_key(|(id, trial)| (trial.tries, **id)).map(|(id, _)| *id)?;
        self.waiting.remove(&next)
    }
}

impl Starting {
    pub(crate) fn new(ready: Sender<()>, patience: Duration) -> Self {
        Self { _ready: ready, passed: BTreeMap::new(), due: later(Instant::now(), patience) }
    }

    /// When it ends at the latest.
    pub(crate) const fn due(&self) -> Instant {
        self.due
    }
}

impl Loader {
    /// Has a copied content tried elsewhere, or loads it at once where that is turned off.
    pub(crate) fn begin_trial(&mut self, name: &OsStr, copied: Copied, tries: u32) {
        let Some(program) = self.context.config.probe.clone() else {
            return self.load(name, copied, Vec::new());
        };
        let id = copied.id;
        let (file, since) = (name.to_owned(), Instant::now());
        let trial = Trial { file, program, copied, tries, since, is_cancelled: Arc::default() };
        self.trials.waiting.insert(id, trial);
        self.slots.set_state(name, State::Probing { id });
        self.go_on_with_trials();
    }

    /// Starts what has a place now.
    pub(crate) fn go_on_with_trials(&mut self) {
        while let Some(mut trial) = self.trials.next() {
            let id = trial.copied.id;
            trial.since = Instant::now();
            if let Some(starting) = self.starting.as_mut().filter(|_| trial.tries == 0) {
                starting.due = later(trial.since, self.context.config.limits.probe_max());
            }
            if let Err(refusal) = self.start_trial(&trial) {
                let verdict = Verdict { plugin: None, outcome: Err(refusal) };
                self.context.mailbox.tried(Tried { id, verdict, settings: None });
            }
            self.trials.running.insert(id, trial);
        }
    }

    fn start_trial(&self, trial: &Trial) -> Result<(), Refusal> {
        let (id, program, copy) = (trial.copied.id, trial.program.clone(), trial.copied.path.clone());
        let scratch = self.context.store.scratch(id)?;
        let (config, mailbox) = (self.context.config.clone(), Arc::clone(&self.context.mailbox));
        let is_cancelled = Arc::clone(&trial.is_cancelled);
        let living = self.slots.alive.plugins();
        // On a thread that lives until the child is gone: the child is killed when it ends.
        let trial = move || {
            let verdict = trial::run(&program, &copy, scratch.path(), &config, &living, &is_cancelled);
            drop(scratch);
            let settings = verdict.plugin.as_ref().and_then(|plugin| config.settings.get(plugin).cloned());
            mailbox.tried(Tried { id, verdict, settings });
        };
        let started = thread::Builder::new().name("hotcall-probe".into()).spawn(trial);
        started.map(drop).map_err(Refusal::io("start its probe"))
    }

    /// Takes the verdicts of trials that have ended.
    pub(crate) fn tried(&mut self, tried: Vec<Tried>) {
        let mut all_passed = Vec::new();
        for Tried { id, verdict, settings } in tried {
            let Some(trial) = self.trials.running.remove(&id) else {
                self.tried_alone(id, verdict);
                continue;
            };
            if !self.is_on_trial(&trial) {
                trial.copied.discard();
                continue;
            }
            if let Some(plugin) = &verdict.plugin {
                self.slots.set_plugin(&trial.file, Some(plugin.clone()));
            }
            let tried_as = verdict.plugin.map(|plugin| (plugin, settings));
            if self.is_outdated(tried_as.as_ref()) {
                self.begin_trial(&trial.file, trial.copied, trial.tries);
                continue;
            }
            match (verdict.outcome, &mut self.starting) {
                (Err(refusal), _) => self.failed(trial, refusal),
                (Ok(warnings), Some(starting)) => {
                    starting.due = later(Instant::now(), self.context.config.limits.probe_max());
                    starting.passed.insert(trial.file.clone(), Passed { trial, warnings, tried_as });
                }
                (Ok(warnings), None) => all_passed.push(Passed { trial, warnings, tried_as }),
            }
        }
        self.go_on_with_trials();
        self.load_all(all_passed);
        self.retry_conflicting();
        self.commit();
        self.answer_reloads();
    }

    /// Ends the start once nothing is on trial, or nothing has passed for too long.
    pub(crate) fn end_start(&mut self) {
        let is_over = |starting: &mut Starting| {
            let is_idle = self.trials.running.is_empty() && self.trials.waiting.is_empty();
            let are_all_tried = self.trials.waiting.values().all(|trial| trial.tries > 0);
            is_idle || (are_all_tried && starting.due <= Instant::now())
        };
        let Some(starting) = self.starting.take_if(is_over) else { return };
        self.load_all(starting.passed.into_values());
        self.retry_conflicting();
        self.commit();
        let late = self.trials.running.len() + self.trials.waiting.len();
        if late > 0 {
            log::warn!("the start does not wait for {late} plugin files that are still being tried");
        }
    }

    /// Loads what has passed, as far as that still says something.
    fn load_all(&mut self, all_passed: impl IntoIterator<Item = Passed>) {
        for Passed { trial, warnings, tried_as } in all_passed {
            if !self.is_on_trial(&trial) {
                trial.copied.discard();
            } else if self.is_outdated(tried_as.as_ref()) {
                self.begin_trial(&trial.file, trial.copied, trial.tries);
            } else {
                self.load(&trial.file, trial.copied, warnings);
            }
            // Before the next one's code runs, which may not return.
            self.commit();
        }
    }

    /// Ends the trials of contents that their files no longer have.
    pub(crate) fn cancel_stale_trials(&mut self) {
        let slots = &self.slots;
        let is_stale = |trial: &Trial| !trial.is_of(slots);
        for trial in self.trials.running.values().filter(|trial| is_stale(trial)) {
            trial.is_cancelled.store(true, Ordering::Relaxed);
        }
        for (_, trial) in self.trials.waiting.extract_if(.., |_, trial| is_stale(trial)) {
            trial.copied.discard();
        }
    }

    fn failed(&mut self, trial: Trial, refusal: Refusal) {
        let Trial { file, copied, tries, .. } = trial;
        let hash = copied.hash;
        copied.discard();
        match refusal {
            Refusal::Overran { what, .. } => self.overran(&file, hash, what, tries + 1),
            refusal => self.slots.refuse(&file, &refusal, &self.context),
        }
    }

    /// A trial took too long, as `tries` of this content did by now. That is the content's fault only if it happens
    /// again.
    fn overran(&mut self, name: &OsStr, hash: ContentHash, what: String, tries: u32) {
        let tries_left = trial::TRIES_MAX.saturating_sub(tries);
        self.slots.refuse(name, &Refusal::Overran { what, tries_left }, &self.context);
        if tries_left == 0 {
            log::info!("{} is not tried again before its content changes", self.context.path(name).display());
        } else {
            let after = trial::RETRY_AFTER * tries;
            log::info!("{} is tried again in {} s", self.context.path(name).display(), after.as_secs());
            self.slots.set_state(name, State::Retrying { hash, tries, due: later(Instant::now(), after) });
        }
    }

    /// Whether the plugin's configuration is another one by now than it was tried with.
    fn is_outdated(&self, tried_as: Option<&(String, Option<Value>)>) -> bool {
        tried_as
            .is_some_and(|(plugin, settings)| self.context.config.settings.get(plugin) != settings.as_ref())
    }

    /// Whether its file still has the content that is tried.
    fn is_on_trial(&self, trial: &Trial) -> bool {
        trial.is_of(&self.slots)
    }
}

impl Trial {
    /// Whether one of these is for its content.
    fn is_of(&self, slots: &Slots) -> bool {
        let state = slots.get(&self.file).map(|slot| &slot.state);
        matches!(state, Some(State::Probing { id }) if *id == self.copied.id)
    }
}
