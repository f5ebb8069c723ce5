//! A circuit breaker for calls that panic. It refuses the offending caller first, then everybody.
//!
//! - A caller whose calls panic in a row is refused for a while. Then one of its calls is let in.
//!   If that panics, the wait doubles.
//! - An answer is a result or the plugin's own fault: both show that the plugin works.
//! - A caller is in good standing if the plugin answered it and no call of it panicked since
//!   ([`Known`]).
//! - The breaker opens when calls of several callers panic in a row, within `panics_ms_max` and
//!   without an answer in between. One of them must have been in good standing, unless nobody is.
//! - A caller counts once in a row, however often its calls panic. Neither a few callers with the
//!   same poisonous input nor many new addresses can take the plugin from other callers.
//! - A plugin that panics on every call still goes out of service. Either it has answered nobody,
//!   or a caller that it answered panics too.
//! - After a wait one call is let in. If it panics, the wait doubles; if not, the plugin is back.
//!   Callers in good standing go first: the others wait twice as long, and their failed trials
//!   delay only each other. Callers that panicked lately come last.
//!
//! The caller passes the time, so tests do not wait. While no panic is on record, a call only
//! reads [`Breaker::is_calm`], has [`Breaker::answered`] note its caller, and takes no lock.

pub(super) mod caller;
mod known;

use self::caller::Caller;
use self::known::Known;
use crate::limits::Limits;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Callers on record for each generation. Past this number, the one that panicked first is
/// forgotten.
const CULPRITS_MAX: usize = 1_000;

/// Lets calls into one generation or refuses them.
#[derive(Debug)]
pub(crate) struct Breaker {
    rules: Rules,
    /// No panic is on record, so every call may enter.
    is_calm: AtomicBool,
    is_open: AtomicBool,
    known: Known,
    state: Mutex<State>,
}

#[derive(Debug)]
struct Rules {
    /// Callers whose panics in a row open the breaker.
    panics_max: usize,
    /// Panics in a row after which their caller is refused. 0: callers are not told apart.
    caller_panics_max: u32,
    /// How long a panic is remembered.
    window: Duration,
    first_wait: Duration,
    longest_wait: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// The panics in a row: the last one of each caller. At most `panics_max`, oldest first.
    panics: VecDeque<Panic>,
    outage: Option<Outage>,
    culprits: HashMap<Caller, Culprit>,
    /// When to look for culprits that can be forgotten.
    prune_at: Option<Instant>,
}

#[derive(Debug)]
struct Panic {
    caller: Caller,
    at: Instant,
    /// Its caller was in good standing before.
    was_known: bool,
}

/// The plugin is out of service.
#[derive(Clone, Copy, Debug)]
struct Outage {
    /// For callers in good standing.
    known: Turn,
    /// For all others.
    others: Turn,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    wait: Duration,
    /// When the next call is let in.
    due: Instant,
}

/// A caller whose calls panicked lately.
#[derive(Clone, Copy, Debug)]
struct Culprit {
    /// In a row.
    panics: u32,
    last: Instant,
    /// Zero as long as it may call.
    wait: Duration,
    /// It is refused until then.
    due: Instant,
}

/// How a call was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// In the normal way.
    Usual,
    /// As the one call of a refused caller.
    CallerTrial,
    /// As the one call of a plugin that is out of service.
    PluginTrial { is_known: bool },
}

/// Why a call was not let in, and when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// To its caller, whose calls panicked this often in a row.
    ToCaller { panics: u32, wait: Duration },
    /// To everybody.
    ToAll { wait: Duration },
}

/// What the end of a call changes for later calls.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The caller is refused for this time: its calls panicked this often in a row.
    CallerRefused { caller: Caller, panics: u32, wait: Duration },
    /// The plugin goes out of service.
    Opened { wait: Duration },
    /// The trial call panicked too.
    StaysOpen { wait: Duration },
    /// The plugin is back in service.
    Closed,
}

impl Breaker {
    pub(crate) fn new(limits: &Limits) -> Self {
        let panics_max = limits.panics_max.max(1);
        let ms = Duration::from_millis;
        let rules = Rules {
            panics_max: usize::try_from(panics_max).unwrap_or(usize::MAX),
            // A caller is refused before the plugin is.
            caller_panics_max: limits.caller_panics_max.min(panics_max - 1),
            window: ms(limits.panics_ms_max),
            first_wait: ms(limits.panic_retry_ms),
            longest_wait: ms(limits.panic_retry_ms_max),
        };
        let (is_calm, is_open) = (AtomicBool::new(true), AtomicBool::new(false));
        Self { rules, is_calm, is_open, known: Known::new(), state: Mutex::default() }
    }

    /// Whether every call may enter and calls that do not panic change nothing.
    #[inline]
    pub(crate) fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::Relaxed)
    }

    /// Whether the plugin is out of service.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// The time until the next trial call, when the plugin is out of service.
    pub(crate) fn next_try(&self, now: Instant) -> Option<Duration> {
        let outage = self.lock().outage?;
        let others = outage.others.due;
        let due = if self.known.is_empty() { others } else { others.min(outage.known.due) };
        Some(due.saturating_duration_since(now))
    }

    /// The number of callers that are refused because of their own calls.
    pub(crate) fn callers_refused(&self, now: Instant) -> usize {
        if self.is_calm() {
            return 0;
        }
        self.lock().culprits.values().filter(|culprit| culprit.is_refused(now)).count()
    }

    /// Lets a call in or says when to try again.
    pub(crate) fn enter(&self, caller: &Caller, now: Instant) -> Result<Entry, Closed> {
        let mut state = self.lock();
        state.prune(self.rules.window, now);
        let window = self.rules.window;
        let culprit = state.culprits.get(caller).filter(|culprit| !culprit.is_over(window, now));
        let is_suspect = culprit.is_some();
        let mut entry = Entry::Usual;
        if let Some(culprit) = culprit.filter(|culprit| !culprit.wait.is_zero()) {
            if culprit.is_refused(now) {
                let (panics, wait) = (culprit.panics, culprit.due.saturating_duration_since(now));
                return Err(Closed::ToCaller { panics, wait });
            }
            entry = Entry::CallerTrial;
        }
        if let Some(outage) = &mut state.outage {
            let is_known = !is_suspect && self.known.contains(caller);
            let Turn { wait, mut due } = *outage.turn(is_known);
            if is_suspect {
                due += wait;
            }
            if now < due {
                return Err(Closed::ToAll { wait: due.saturating_duration_since(now) });
            }
            outage.begin_trial(is_known, now);
            entry = Entry::PluginTrial { is_known };
        }
        if entry != Entry::Usual
            && let Some(culprit) = state.culprits.get_mut(caller)
        {
            // Its other calls wait for the result of this one.
            culprit.due = now + culprit.wait;
        }
        self.publish(&state);
        Ok(entry)
    }

    /// Records that the plugin answered a caller. Nothing else of an answer is recorded while the
    /// breaker is calm.
    #[inline]
    pub(crate) fn answered(&self, caller: &Caller) {
        if self.rules.tells_apart() {
            self.known.add(caller);
        }
    }

    /// Records the end of a call.
    pub(crate) fn ended(
        &self,
        caller: Caller,
        entry: Entry,
        is_panic: bool,
        now: Instant,
    ) -> Option<Change> {
        let mut state = self.lock();
        state.prune(self.rules.window, now);
        let change = if is_panic {
            let was_known = self.known.remove(&caller);
            state.panicked(&self.rules, &self.known, Panic { caller, at: now, was_known }, entry)
        } else {
            self.answered(&caller);
            state.panics.clear();
            state.culprits.remove(&caller);
            let is_trial = matches!(entry, Entry::PluginTrial { .. });
            let is_over = is_trial && state.outage.take().is_some();
            is_over.then_some(Change::Closed)
        };
        self.publish(&state);
        change
    }

    /// Stores what calls read without the lock.
    fn publish(&self, state: &State) {
        let is_calm =
            state.panics.is_empty() && state.culprits.is_empty() && state.outage.is_none();
        self.is_calm.store(is_calm, Ordering::Relaxed);
        self.is_open.store(state.outage.is_some(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outage {
    fn begin(wait: Duration, anybody_known: bool, now: Instant) -> Self {
        let turn = Turn { wait, due: now + wait };
        let mut outage = Self { known: turn, others: turn };
        outage.put_off_others(anybody_known, now);
        outage
    }

    const fn turn(&mut self, is_known: bool) -> &mut Turn {
        if is_known { &mut self.known } else { &mut self.others }
    }

    /// Delays the next trial. One that does not end is not the last one.
    fn begin_trial(&mut self, is_known: bool, now: Instant) {
        let turn = self.turn(is_known);
        turn.due = now + turn.wait;
        if is_known {
            self.others.due = self.others.due.max(self.known.due);
        }
    }

    /// Doubles the wait. Others' trials do not delay callers in good standing.
    fn trial_panicked(
        &mut self,
        is_known: bool,
        anybody_known: bool,
        longest: Duration,
        now: Instant,
    ) -> Duration {
        let turn = self.turn(is_known);
        let wait = (turn.wait * 2).min(longest);
        *turn = Turn { wait, due: now + wait };
        if is_known {
            self.put_off_others(anybody_known, now);
        }
        wait
    }

    /// Leaves callers in good standing, if there are any, as much time again for their trial.
    fn put_off_others(&mut self, anybody_known: bool, now: Instant) {
        let wait = self.known.wait;
        let due = now + if anybody_known { wait * 2 } else { wait };
        self.others = Turn { wait: self.others.wait.max(wait), due: self.others.due.max(due) };
    }
}

impl State {
    fn panicked(
        &mut self,
        rules: &Rules,
        known: &Known,
        panic: Panic,
        entry: Entry,
    ) -> Option<Change> {
        let now = panic.at;
        let refused = self.accuse(rules, &panic.caller, entry, now);
        if let Some(outage) = &mut self.outage {
            let Entry::PluginTrial { is_known } = entry else { return refused };
            let wait = outage.trial_panicked(is_known, !known.is_empty(), rules.longest_wait, now);
            return Some(Change::StaysOpen { wait });
        }
        if !self.is_enough(rules, known, panic) {
            return refused;
        }
        self.panics.clear();
        let wait = rules.first_wait;
        self.outage = Some(Outage::begin(wait, !known.is_empty(), now));
        Some(Change::Opened { wait })
    }

    /// Counts a panic against the plugin. Returns whether the plugin is out of service by that.
    fn is_enough(&mut self, rules: &Rules, known: &Known, mut panic: Panic) -> bool {
        let now = panic.at;
        self.panics.retain(|before| {
            let is_same = rules.tells_apart() && before.caller == panic.caller;
            panic.was_known |= is_same && before.was_known;
            !is_same && !before.is_over(rules.window, now)
        });
        self.panics.push_back(panic);
        if self.panics.len() < rules.panics_max {
            return false;
        }
        if self.panics.iter().any(|panic| panic.was_known) || known.is_empty() {
            return true;
        }
        self.panics.pop_front();
        false
    }

    /// Counts a panic against its caller. Returns the change if the caller is refused from now on.
    fn accuse(
        &mut self,
        rules: &Rules,
        caller: &Caller,
        entry: Entry,
        now: Instant,
    ) -> Option<Change> {
        if !rules.tells_apart() {
            return None;
        }
        if self.culprits.len() >= CULPRITS_MAX && !self.culprits.contains_key(caller) {
            self.make_room();
        }
        let new = Culprit { panics: 0, last: now, wait: Duration::ZERO, due: now };
        let culprit = self.culprits.entry(caller.clone()).or_insert(new);
        if culprit.is_over(rules.window, now) {
            *culprit = new;
        }
        culprit.panics = culprit.panics.saturating_add(1);
        culprit.last = now;
        let panics = culprit.panics;
        // Calls that were let in before the caller was refused may panic later: they change
        // nothing.
        let is_news =
            panics == rules.caller_panics_max || entry != Entry::Usual && !culprit.wait.is_zero();
        if is_news {
            culprit.wait = (culprit.wait * 2).max(rules.first_wait).min(rules.longest_wait);
            culprit.due = now + culprit.wait;
        }
        is_news.then(|| Change::CallerRefused {
            caller: caller.clone(),
            panics,
            wait: culprit.wait,
        })
    }

    /// Forgets what is over, now and then.
    fn prune(&mut self, window: Duration, now: Instant) {
        if self.prune_at.is_some_and(|at| now < at) {
            return;
        }
        self.prune_at = Some(now + window / 2);
        self.culprits.retain(|_, culprit| !culprit.is_over(window, now));
        self.panics.retain(|panic| !panic.is_over(window, now));
    }

    fn make_room(&mut self) {
        let oldest = self.culprits.iter().min_by_key(|(_, culprit)| culprit.last);
        if let Some(oldest) = oldest.map(|(caller, _)| caller.clone()) {
            self.culprits.remove(&oldest);
        }
    }
}

impl Panic {
    fn is_over(&self, window: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.at) > window
    }
}

impl Rules {
    /// Whether callers are told apart.
    const fn tells_apart(&self) -> bool {
        self.caller_panics_max > 0
    }
}

impl Culprit {
    fn is_refused(&self, now: Instant) -> bool {
        !self.wait.is_zero() && now < self.due
    }

    /// Whether its last panic and its wait are older than `window`.
    fn is_over(&self, window: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.last.max(self.due)) > window
    }
}

#[cfg(test)]
mod tests;
