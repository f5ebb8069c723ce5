//! The probes that run or wait for a place. The loader never waits for one: a content that hangs
//! holds up neither the start nor another content.
//!
//! A probe that takes too long is repeated twice, some seconds apart. On an overloaded machine,
//! one slow probe says nothing about the content.

use super::action::Action;
use super::context::Context;
use super::events::Tried;
use super::slot::SlotState;
use super::slots::Slots;
use crate::plugin::clock::later;
use crate::plugin::directory::content::ContentHash;
use crate::plugin::instance::candidate::Copied;
use crate::plugin::probe::trial;
use crate::plugin::probe::verdict::Verdict;
use crate::plugin::refusal::Refusal;
use crate::xmlrpc::Value;
use crossbeam_channel::Sender;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Probes at once that may use a processor, and in all: one that has run for long only waits, most
/// likely.
const BUSY_MAX: usize = 4;
const RUNNING_MAX: usize = 64;
const BUSY_FOR: Duration = Duration::from_millis(500);

/// All contents on trial, by their numbers.
#[derive(Default)]
pub(super) struct Trials {
    waiting: BTreeMap<u64, Trial>,
    running: BTreeMap<u64, Trial>,
    /// To be loaded.
    passed: VecDeque<Passed>,
    /// Until the server first serves.
    starting: Option<Starting>,
}

/// A content on trial.
struct Trial {
    file: OsString,
    copied: Copied,
    /// Trials of this content that took too long.
    tries: u32,
    /// It waits, or has run, since then.
    since: Instant,
    is_cancelled: Arc<AtomicBool>,
}

/// The time until the server first serves. Contents that were there at the start are admitted
/// together at its end, by their files' names: which of two that claim one name serves must not
/// hang on which was faster.
struct Starting {
    /// Dropped at the end.
    ready: Sender<()>,
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
    /// Begins the start: what passes is loaded at its end. `ready` says that by its drop.
    pub(super) fn begin_start(&mut self, ready: Sender<()>, context: &Context) {
        let due = later(Instant::now(), context.config.limits.probe_max());
        self.starting = Some(Starting { ready, passed: BTreeMap::new(), due });
    }

    /// Ends the start once nothing is on trial, or nothing has passed for too long. Gives what is
    /// to be dropped when all that has passed is loaded.
    pub(super) fn end_start(&mut self) -> Option<Sender<()>> {
        let is_over = |starting: &mut Starting| {
            let is_idle = self.running.is_empty() && self.waiting.is_empty();
            let are_all_tried = self.waiting.values().all(|trial| trial.tries > 0);
            is_idle || (are_all_tried && starting.due <= Instant::now())
        };
        let starting = self.starting.take_if(is_over)?;
        self.passed.extend(starting.passed.into_values());
        Some(starting.ready)
    }

    /// Logs how many contents the start has not waited for.
    pub(super) fn tell_late(&self) {
        let late = self.running.len() + self.waiting.len();
        if late > 0 {
            log::warn!(
                "the start does not wait for {late} plugin files that are still being tried"
            );
        }
    }

    pub(super) fn are_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// When [`Trials::go_on`] or [`Trials::end_start`] is wanted, whatever ends until then.
    pub(super) fn due(&self) -> Option<Instant> {
        let is_wanted = !self.waiting.is_empty() && self.running.len() < RUNNING_MAX;
        let busy = self.running.values().map(|trial| trial.since + BUSY_FOR);
        let next = busy.filter(|end| *end > Instant::now()).min().filter(|_| is_wanted);
        next.into_iter().chain(self.starting.as_ref().map(|starting| starting.due)).min()
    }

    /// Has a copied content tried elsewhere, or loads it at once where that is turned off.
    pub(super) fn begin(
        &mut self,
        name: &OsStr,
        copied: Copied,
        tries: u32,
        slots: &mut Slots,
        context: &Context,
    ) -> Vec<Action> {
        if !context.config.keys.probe {
            return vec![Action::Load { file: name.to_owned(), copied, warnings: Vec::new() }];
        }
        let id = copied.id;
        let (file, since) = (name.to_owned(), Instant::now());
        let trial = Trial { file, copied, tries, since, is_cancelled: Arc::default() };
        self.waiting.insert(id, trial);
        slots.set_state(name, SlotState::Probing { id });
        self.go_on(slots, context);
        Vec::new()
    }

    /// Starts what has a place now.
    pub(super) fn go_on(&mut self, slots: &Slots, context: &Context) {
        while let Some(mut trial) = self.next() {
            let id = trial.copied.id;
            trial.since = Instant::now();
            if let Some(starting) = self.starting.as_mut().filter(|_| trial.tries == 0) {
                starting.due = later(trial.since, context.config.limits.probe_max());
            }
            if let Err(refusal) = trial.start(slots, context) {
                let verdict = Verdict { plugin: None, outcome: Err(refusal) };
                context.mailbox.tried(Tried { id, verdict, settings: None });
            }
            self.running.insert(id, trial);
        }
    }

    /// Takes the verdicts of trials that have ended.
    pub(super) fn tried(
        &mut self,
        tried: Vec<Tried>,
        slots: &mut Slots,
        context: &Context,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        for Tried { id, verdict, settings } in tried {
            let Some(trial) = self.running.remove(&id) else {
                actions.push(Action::TriedAlone { id, verdict });
                continue;
            };
            if !trial.is_of(slots) {
                trial.copied.discard();
                continue;
            }
            if let Some(plugin) = &verdict.plugin {
                slots.set_plugin(&trial.file, Some(plugin.clone()));
            }
            let tried_as = verdict.plugin.map(|plugin| (plugin, settings));
            if is_outdated(tried_as.as_ref(), context) {
                actions.extend(self.begin(&trial.file, trial.copied, trial.tries, slots, context));
                continue;
            }
            match (verdict.outcome, &mut self.starting) {
                (Err(refusal), _) => trial.failed(refusal, slots, context),
                (Ok(warnings), Some(starting)) => {
                    starting.due = later(Instant::now(), context.config.limits.probe_max());
                    starting
                        .passed
                        .insert(trial.file.clone(), Passed { trial, warnings, tried_as });
                }
                (Ok(warnings), None) => self.passed.push_back(Passed { trial, warnings, tried_as }),
            }
        }
        actions.extend([Action::StartTrials, Action::LoadPassed, Action::RetryConflicting]);
        actions.extend([Action::Publish, Action::AnswerReloads]);
        actions
    }

    /// What becomes of the next content that has passed, as far as that still says something.
    pub(super) fn next_passed(
        &mut self,
        slots: &mut Slots,
        context: &Context,
    ) -> Option<Vec<Action>> {
        let Passed { trial, warnings, tried_as } = self.passed.pop_front()?;
        if !trial.is_of(slots) {
            trial.copied.discard();
            return Some(Vec::new());
        }
        if is_outdated(tried_as.as_ref(), context) {
            return Some(self.begin(&trial.file, trial.copied, trial.tries, slots, context));
        }
        Some(vec![Action::Load { file: trial.file, copied: trial.copied, warnings }])
    }

    /// Ends the trials of contents that their files no longer have.
    pub(super) fn cancel_stale(&mut self, slots: &Slots) {
        let is_stale = |trial: &Trial| !trial.is_of(slots);
        for trial in self.running.values().filter(|trial| is_stale(trial)) {
            trial.is_cancelled.store(true, Ordering::Relaxed);
        }
        for (_, trial) in self.waiting.extract_if(.., |_, trial| is_stale(trial)) {
            trial.copied.discard();
        }
    }

    /// The next that may run. What has hung before hangs again, most likely: others come first.
    fn next(&mut self) -> Option<Trial> {
        let busy = self.running.values().filter(|trial| trial.since.elapsed() < BUSY_FOR).count();
        if busy >= BUSY_MAX || self.running.len() >= RUNNING_MAX {
            return None;
        }
        let next =
            self.waiting.iter().min_by_key(|(id, trial)| (trial.tries, **id)).map(|(id, _)| *id)?;
        self.waiting.remove(&next)
    }
}

impl Trial {
    fn start(&self, slots: &Slots, context: &Context) -> Result<(), Refusal> {
        let (id, copy) = (self.copied.id, self.copied.path.clone());
        let scratch = context.store.scratch(id)?;
        let (config, mailbox) = (context.config.clone(), Arc::clone(&context.mailbox));
        let is_cancelled = Arc::clone(&self.is_cancelled);
        let living = slots.alive.plugins();
        // On a thread that lives until the child is gone: the child is killed when it ends.
        let trial = move || {
            let verdict = trial::run(&copy, scratch.path(), &config, &living, &is_cancelled);
            drop(scratch);
            let settings =
                verdict.plugin.as_ref().and_then(|plugin| config.settings.get(plugin).cloned());
            mailbox.tried(Tried { id, verdict, settings });
        };
        let started = thread::Builder::new().name("hotcall-probe".into()).spawn(trial);
        started.map(drop).map_err(Refusal::io("start its probe"))
    }

    fn failed(self, refusal: Refusal, slots: &mut Slots, context: &Context) {
        let Self { file, copied, tries, .. } = self;
        let hash = copied.hash;
        copied.discard();
        match refusal {
            Refusal::Overran { what, .. } => overran(&file, hash, what, tries + 1, slots, context),
            refusal => slots.refuse(&file, &refusal, context),
        }
    }

    /// Whether one of these is for its content.
    fn is_of(&self, slots: &Slots) -> bool {
        let state = slots.get(&self.file).map(|slot| &slot.state);
        matches!(state, Some(SlotState::Probing { id }) if *id == self.copied.id)
    }
}

/// A trial took too long, as `tries` of this content did by now. That is the content's fault only
/// if it happens again.
fn overran(
    name: &OsStr,
    hash: ContentHash,
    what: String,
    tries: u32,
    slots: &mut Slots,
    context: &Context,
) {
    let path = context.path(name);
    let tries_left = trial::TRIES_MAX.saturating_sub(tries);
    slots.refuse(name, &Refusal::Overran { what, tries_left }, context);
    if tries_left == 0 {
        log::info!("{} is not tried again before its content changes", path.display());
    } else {
        let after = trial::RETRY_AFTER * tries;
        log::info!("{} is tried again in {} s", path.display(), after.as_secs());
        slots.set_state(
            name,
            SlotState::Retrying { hash, tries, due: later(Instant::now(), after) },
        );
    }
}

/// Whether the plugin's configuration is another one by now than it was tried with.
fn is_outdated(tried_as: Option<&(String, Option<Value>)>, context: &Context) -> bool {
    tried_as
        .is_some_and(|(plugin, settings)| context.config.settings.get(plugin) != settings.as_ref())
}
