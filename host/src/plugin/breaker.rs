//! A circuit breaker for calls that panic. It refuses the offending caller first, then everybody.
//!
//! - A caller whose calls panic in a row is refused for a while. Then one of its calls is let in.
//!   If that panics, the wait doubles. Further panics of a refused caller do not count against the
//!   plugin, so one caller alone cannot take a plugin from the others.
//! - When calls of several callers panic in a row, the plugin is out of service: the breaker is
//!   open. After a wait one call is let in. If it panics, the wait doubles; if not, the plugin is
//!   back. Callers that panicked lately wait twice as long for that, so others get their turn
//!   first.
//!
//! The caller passes the time, so tests do not wait. While no panic is on record, a call only reads
//! [`Breaker::is_calm`] and takes no lock.

use crate::limits::Limits;
use crate::registry::CallContext;
use smol_str::SmolStr;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Callers on record for each generation. Past this number, the one that panicked first is
/// forgotten.
const CULPRITS_MAX: usize = 1_000;

/// Lets calls into one generation or refuses them.
#[derive(Debug)]
pub(super) struct Breaker {
    rules: Rules,
    /// No panic is on record, so every call may enter.
    is_calm: AtomicBool,
    is_open: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct Rules {
    /// Panics in a row that open the breaker.
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
    /// Times of the panics in a row that count against the plugin; at most `panics_max`.
    panics: VecDeque<Instant>,
    outage: Option<Outage>,
    culprits: HashMap<Caller, Culprit>,
    /// When to look for culprits that can be forgotten.
    prune_at: Option<Instant>,
}

/// The plugin is out of service.
#[derive(Clone, Copy, Debug)]
struct Outage {
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

/// The unit in which panics are counted: a user, else an IPv4 address or an IPv6 /64 network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Caller {
    User(SmolStr),
    Address(IpAddr),
    /// Everybody without a name on Unix sockets.
    Unknown,
}

/// How a call was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// In the normal way.
    Usual,
    /// As the one call of a refused caller.
    CallerTrial,
    /// As the one call of a plugin that is out of service.
    PluginTrial,
}

/// Why a call was not let in, and when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// To its caller, whose calls panicked this often in a row.
    ToCaller { panics: u32, wait: Duration },
    /// To everybody.
    ToAll { wait: Duration },
}

/// What the end of a call changes for later calls.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
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
    pub(super) fn new(limits: &Limits) -> Self {
        let panics_max = limits.panics_max.max(1);
        let ms = Duration::from_millis;
        let rules = Rules {
            panics_max: usize::try_from(panics_max).unwrap_or(usize::MAX),
            // One caller alone never opens it.
            caller_panics_max: limits.caller_panics_max.min(panics_max - 1),
            window: ms(limits.panics_ms_max),
            first_wait: ms(limits.panic_retry_ms),
            longest_wait: ms(limits.panic_retry_ms_max),
        };
        let (is_calm, is_open) = (AtomicBool::new(true), AtomicBool::new(false));
        Self { rules, is_calm, is_open, state: Mutex::default() }
    }

    /// Whether every call may enter and calls that do not panic change nothing.
    #[inline]
    pub(super) fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::Relaxed)
    }

    /// Whether the plugin is out of service.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// The time until the next trial call, when the plugin is out of service.
    pub(super) fn next_try(&self, now: Instant) -> Option<Duration> {
        self.lock().outage.map(|outage| outage.due.saturating_duration_since(now))
    }

    /// The number of callers that are refused because of their own calls.
    pub(super) fn callers_refused(&self, now: Instant) -> usize {
        if self.is_calm() {
            return 0;
        }
        self.lock().culprits.values().filter(|culprit| culprit.is_refused(now)).count()
    }

    /// Lets a call in or says when to try again.
    pub(super) fn enter(&self, caller: &Caller, now: Instant) -> Result<Entry, Closed> {
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
            let due = if is_suspect { outage.due + outage.wait } else { outage.due };
            if now < due {
                return Err(Closed::ToAll { wait: due.saturating_duration_since(now) });
            }
            // A trial call that does not end is not the last one.
            outage.due = now + outage.wait;
            entry = Entry::PluginTrial;
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

    /// Records the end of a call.
    pub(super) fn ended(&self, caller: Caller, entry: Entry, is_panic: bool, now: Instant) -> Option<Change> {
        let mut state = self.lock();
        state.prune(self.rules.window, now);
        let change = if is_panic {
            state.panicked(&self.rules, caller, entry, now)
        } else {
            state.panics.clear();
            state.culprits.remove(&caller);
            let is_over = entry == Entry::PluginTrial && state.outage.take().is_some();
            is_over.then_some(Change::Closed)
        };
        self.publish(&state);
        change
    }

    /// Stores what calls read without the lock.
    fn publish(&self, state: &State) {
        let is_calm = state.panics.is_empty() && state.culprits.is_empty() && state.outage.is_none();
        self.is_calm.store(is_calm, Ordering::Relaxed);
        self.is_open.store(state.outage.is_some(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn panicked(&mut self, rules: &Rules, caller: Caller, entry: Entry, now: Instant) -> Option<Change> {
        let (counts, refused) = self.accuse(rules, caller, entry, now);
        if let Some(outage) = &mut self.outage {
            if entry != Entry::PluginTrial {
                return refused;
            }
            let wait = (outage.wait * 2).min(rules.longest_wait);
            *outage = Outage { wait, due: now + wait };
            return Some(Change::StaysOpen { wait });
        }
        if counts {
            self.panics.push_back(now);
            self.panics.retain(|panic| now.saturating_duration_since(*panic) <= rules.window);
        }
        if self.panics.len() < rules.panics_max {
            return refused;
        }
        self.panics.clear();
        let wait = rules.first_wait;
        self.outage = Some(Outage { wait, due: now + wait });
        Some(Change::Opened { wait })
    }

    /// Counts a panic against its caller. Returns whether it counts against the plugin too, and the
    /// change if the caller is refused from now on.
    fn accuse(
        &mut self,
        rules: &Rules,
        caller: Caller,
        entry: Entry,
        now: Instant,
    ) -> (bool, Option<Change>) {
        if rules.caller_panics_max == 0 {
            return (true, None);
        }
        if self.culprits.len() >= CULPRITS_MAX && !self.culprits.contains_key(&caller) {
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
        let is_news = panics == rules.caller_panics_max || entry != Entry::Usual && !culprit.wait.is_zero();
        if is_news {
            culprit.wait = (culprit.wait * 2).max(rules.first_wait).min(rules.longest_wait);
            culprit.due = now + culprit.wait;
        }
        let refused = is_news.then_some(Change::CallerRefused { caller, panics, wait: culprit.wait });
        (panics <= rules.caller_panics_max, refused)
    }

    /// Forgets what is over, now and then.
    fn prune(&mut self, window: Duration, now: Instant) {
        if self.prune_at.is_some_and(|at| now < at) {
            return;
        }
        self.prune_at = Some(now + window / 2);
        self.culprits.retain(|_, culprit| !culprit.is_over(window, now));
        self.panics.retain(|panic| now.saturating_duration_since(*panic) <= window);
    }

    fn make_room(&mut self) {
        let oldest = self.culprits.iter().min_by_key(|(_, culprit)| culprit.last);
        if let Some(oldest) = oldest.map(|(caller, _)| caller.clone()) {
            self.culprits.remove(&oldest);
        }
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

impl Caller {
    pub(super) fn of(context: &CallContext) -> Self {
        match context.caller_ip {
            _ if !context.caller_name.is_empty() => Self::User(context.caller_name.clone()),
            Some(address) => Self::Address(network(address)),
            None => Self::Unknown,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {name}"),
            Self::Address(address @ IpAddr::V4(_)) => address.fmt(f),
            Self::Address(address @ IpAddr::V6(_)) => write!(f, "{address}/64"),
            Self::Unknown => f.write_str("callers without name and address"),
        }
    }
}

/// One customer has a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    const HOST_BITS: u32 = 64;
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> HOST_BITS << HOST_BITS)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests;
