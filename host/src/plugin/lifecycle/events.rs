//! The events of the life cycle's loop: one closed list, and the mailbox that they come through.
//!
//! The mailbox holds no queue of hints: any number of them is one "look again". Ended generations
//! and probes are queued, at most one for each that the loader made, and reloads up to a limit. So
//! no sender ever waits for the loader.

use crate::plugin::config::PluginOptions;
use crate::plugin::directory::trust::Trust;
use crate::plugin::instance::live::{Ending, Remains};
use crate::plugin::instance::thread_names::Moment;
use crate::plugin::probe::verdict::Verdict;
use crate::xmlrpc::Value;
use crossbeam_channel::Sender;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Reloads that wait for the loader.
const RELOADS_LEN_MAX: usize = 64;

/// What the loader reacts to.
pub(crate) enum Event {
    /// Something may have changed in the directory.
    Hint,
    /// The plugins' configurations are these now.
    Settings(PluginSettings),
    /// The operator wants a new generation of a plugin.
    Reload(Reload),
    /// The time that the loader asked to be woken at has come, maybe with a hint.
    Due { is_hinted: bool },
    /// The last call of a generation has returned.
    Ended(Ended),
    /// The last call has left the closed gate of the generation with this number.
    Drained(u64),
    /// A generation has been destroyed.
    Gone(Gone),
    /// Probes have ended.
    Tried(Vec<Tried>),
    /// The server ends; what has not drained by then is left.
    Stop(Instant),
}

/// A generation whose last reference is gone.
pub(crate) struct Ended {
    pub(crate) generation: u64,
    pub(crate) plugin: String,
    /// There were warnings of its content.
    pub(crate) is_suspect: bool,
    /// When it was what new calls came to.
    pub(crate) served: Range<Moment>,
    pub(crate) ending: Ending,
}

/// A generation whose `destroy` has returned.
pub(crate) struct Gone {
    pub(crate) generation: u64,
    pub(crate) plugin: String,
    pub(crate) is_suspect: bool,
    pub(crate) served: Range<Moment>,
    pub(crate) remains: Remains,
}

/// A probe that has ended.
pub(crate) struct Tried {
    /// The content's number.
    pub(crate) id: u64,
    pub(crate) verdict: Verdict,
    /// What its plugin was configured with: the verdict holds for that alone.
    pub(crate) settings: Option<Value>,
}

/// What an operator says of plugins, by their names and of all.
pub(crate) struct PluginSettings {
    pub(crate) settings: BTreeMap<String, Value>,
    pub(crate) options: BTreeMap<String, PluginOptions>,
    pub(crate) trust: Trust,
}

/// A request for a new generation of a plugin.
pub(crate) struct Reload {
    /// The plugin's name, or its file's.
    pub(crate) wanted: String,
    /// Where to tell what became of it. Disconnected without an answer when the server stops.
    pub(crate) reply: Sender<Result<(), ReloadError>>,
}

/// Why there is no new generation.
#[derive(Debug)]
pub(crate) enum ReloadError {
    /// No file has that plugin.
    Unknown,
    /// It was tried and refused.
    Refused(String),
}

/// Where events wait for the loader.
#[derive(Default)]
pub(crate) struct Mailbox {
    inbox: Mutex<Inbox>,
    news: Condvar,
}

#[derive(Default)]
struct Inbox {
    hint: bool,
    settings: Option<PluginSettings>,
    reloads: VecDeque<Reload>,
    stop: Option<Instant>,
    is_stopped: bool,
    ended: Vec<Ended>,
    drained: Vec<u64>,
    gone: Vec<Gone>,
    tried: Vec<Tried>,
}

impl Mailbox {
    pub(crate) fn hint(&self) {
        self.put(|inbox| inbox.hint = true);
    }

    /// Settings that the loader has not taken yet are replaced.
    pub(crate) fn settings(&self, settings: PluginSettings) {
        self.put(|inbox| inbox.settings = Some(settings));
    }

    /// False when too many wait already, or the loader takes no more.
    pub(crate) fn reload(&self, reload: Reload) -> bool {
        let mut is_taken = false;
        self.put(|inbox| {
            is_taken = !inbox.is_stopped && inbox.reloads.len() < RELOADS_LEN_MAX;
            if is_taken {
                inbox.reloads.push_back(reload);
            }
        });
        is_taken
    }

    pub(crate) fn stop(&self, deadline: Instant) {
        self.put(|inbox| {
            inbox.stop = Some(deadline);
            inbox.is_stopped = true;
            // Who waits for them learns it by their end.
            inbox.reloads.clear();
        });
    }

    /// Hands a generation's parts to the loader. Once the loader has ended they stay here:
    /// destroying them elsewhere is not allowed, and the process ends.
    pub(crate) fn ended(&self, ended: Ended) {
        self.put(|inbox| inbox.ended.push(ended));
    }

    /// A gate is drained. This runs on the thread of its last call.
    pub(crate) fn drained(&self, generation: u64) {
        self.put(|inbox| inbox.drained.push(generation));
    }

    pub(crate) fn gone(&self, gone: Gone) {
        self.put(|inbox| inbox.gone.push(gone));
    }

    pub(crate) fn tried(&self, tried: Tried) {
        self.put(|inbox| inbox.tried.push(tried));
    }

    /// Waits for the next event, until `due` at the latest.
    pub(crate) fn next(&self, due: Option<Instant>) -> Event {
        let mut inbox = self.lock();
        loop {
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            if let Some(event) = inbox.take(left.is_some_and(|left| left.is_zero())) {
                return event;
            }
            inbox = match left {
                None => self.news.wait(inbox).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    self.news.wait_timeout(inbox, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn put(&self, change: impl FnOnce(&mut Inbox)) {
        change(&mut self.lock());
        self.news.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        // No code of anyone else runs under the lock, so a poisoned inbox is whole.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    /// The most urgent event. What is due takes the hints with it, so hints without end cannot hold
    /// it up.
    fn take(&mut self, is_due: bool) -> Option<Event> {
        if let Some(ended) = self.ended.pop() {
            return Some(Event::Ended(ended));
        }
        if let Some(generation) = self.drained.pop() {
            return Some(Event::Drained(generation));
        }
        if let Some(gone) = self.gone.pop() {
            return Some(Event::Gone(gone));
        }
        if let Some(deadline) = self.stop.take() {
            return Some(Event::Stop(deadline));
        }
        if !self.tried.is_empty() {
            return Some(Event::Tried(std::mem::take(&mut self.tried)));
        }
        if let Some(settings) = self.settings.take() {
            return Some(Event::Settings(settings));
        }
        if let Some(reload) = self.reloads.pop_front() {
            return Some(Event::Reload(reload));
        }
        if is_due {
            return Some(Event::Due { is_hinted: std::mem::take(&mut self.hint) });
        }
        std::mem::take(&mut self.hint).then_some(Event::Hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_coalesce_and_what_is_due_takes_them() {
        let mailbox = Mailbox::default();
        mailbox.hint();
        mailbox.hint();
        assert!(matches!(mailbox.next(None), Event::Hint));
        mailbox.hint();
        // Not only a look may be due: the hint still asks for one.
        assert!(matches!(mailbox.next(Some(Instant::now())), Event::Due { is_hinted: true }));
        assert!(matches!(mailbox.next(Some(Instant::now())), Event::Due { is_hinted: false }));
        mailbox.hint();
        mailbox.stop(Instant::now());
        assert!(matches!(mailbox.next(None), Event::Stop(_)));
        assert!(matches!(mailbox.next(None), Event::Hint));
    }

    #[test]
    fn reloads_are_bounded_and_end_with_the_loader() {
        let mailbox = Mailbox::default();
        let (reply, replied) = crossbeam_channel::unbounded();
        let reload = || Reload { wanted: "p".into(), reply: reply.clone() };
        assert!((0..RELOADS_LEN_MAX).all(|_| mailbox.reload(reload())));
        assert!(!mailbox.reload(reload()));
        assert!(matches!(mailbox.next(None), Event::Reload(_)));
        assert!(mailbox.reload(reload()));
        mailbox.stop(Instant::now());
        assert!(!mailbox.reload(reload()));
        drop(reply);
        assert!(replied.recv().is_err(), "nobody is left to answer");
    }
}
