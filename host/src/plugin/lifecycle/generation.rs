//! One loaded content of a plugin: the registry calls it until the next one replaces it.
//!
//! Calls keep it alive. Its last reference may go on any thread, where no plugin code may run:
//! dropping it only tells the loader, which destroys the instance. An exclusive generation has a
//! gate and is destroyed as soon as that is drained, even if references to it remain.

use super::alive::Living;
use super::events::{Ended, Mailbox};
use crate::arena::Arena;
use crate::plugin::directory::content::ContentHash;
use crate::plugin::instance::breaker::{Change, Closed};
use crate::plugin::instance::candidate::Candidate;
use crate::plugin::instance::health::{Health, Outcome};
use crate::plugin::instance::live::{Ending, Failure, Live, Saved};
use crate::plugin::instance::thread_names::{self, Moment};
use crate::plugin::library::descriptor::Descriptor;
use crate::plugin::library::image::Image;
use crate::queue::Key;
use crate::registry::{Answer, CallContext, Gate, InPlace, Instance, Method, Promise};
use crate::xmlrpc::{Defect, Fault, Items, Value, code};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

/// What a generation is made of.
pub(super) struct Origin {
    pub(super) id: u64,
    pub(super) hash: ContentHash,
    pub(super) settings: Value,
    pub(super) warnings: Vec<String>,
}

/// A running plugin.
pub(super) struct Generation {
    /// Counts all generations of the server from 1.
    pub(super) id: u64,
    pub(super) hash: ContentHash,
    /// The configuration that it was created with.
    pub(super) settings: Value,
    /// What an operator should know of its content.
    pub(super) warnings: Vec<String>,
    pub(super) loaded_at: SystemTime,
    pub(super) descriptor: Descriptor,
    /// Of its methods, in their order.
    promises: Vec<Arc<Promise>>,
    /// What is counted of its calls.
    pub(super) health: Arc<Health>,
    since: Moment,
    /// Set when it is replaced or removed.
    until: OnceLock<Moment>,
    live: Live,
    /// Until the instance is being destroyed.
    ending: Mutex<Option<Ending>>,
    /// What calls enter, once the next reload is to be an exclusive one.
    gate: OnceLock<Arc<Gate>>,
    /// Its instance is being destroyed or was.
    is_over: AtomicBool,
    mailbox: Arc<Mailbox>,
}

impl Generation {
    pub(super) fn new(
        origin: Origin,
        descriptor: Descriptor,
        live: Live,
        ending: Ending,
        health: Health,
        mailbox: Arc<Mailbox>,
    ) -> Self {
        let Origin { id, hash, settings, warnings } = origin;
        let (loaded_at, health) = (SystemTime::now(), Arc::new(health));
        let (since, until) = (Moment::now(), OnceLock::new());
        let promises =
            descriptor.methods.iter().map(|info| Arc::new(Promise::new(info.quick))).collect();
        Self {
            id,
            hash,
            settings,
            warnings,
            loaded_at,
            descriptor,
            promises,
            health,
            since,
            until,
            live,
            ending: Mutex::new(Some(ending)),
            gate: OnceLock::new(),
            is_over: AtomicBool::new(false),
            mailbox,
        }
    }

    /// What calls enter. Calls of snapshots that were published before the first time are not seen
    /// by it.
    pub(super) fn make_gate(&self) -> &Arc<Gate> {
        let (id, mailbox) = (self.id, &self.mailbox);
        self.gate.get_or_init(|| {
            let mailbox = Arc::clone(mailbox);
            Gate::new(move || mailbox.drained(id))
        })
    }

    /// See [`Generation::make_gate`].
    pub(super) fn gate(&self) -> Option<&Arc<Gate>> {
        self.gate.get()
    }

    /// Whether it declares that no two of its plugin's instances may live at the same time.
    pub(super) const fn is_exclusive(&self) -> bool {
        self.live.is_exclusive()
    }

    /// Its entry among all that live.
    pub(super) fn living(&self) -> Living {
        Living { plugin: self.descriptor.name.clone(), is_exclusive: self.is_exclusive() }
    }

    /// Whether its instance is being destroyed or was.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// What is left to do, for the first who asks. To be asked for when no call runs and none will:
    /// when the gate is drained, or by the last reference.
    pub(super) fn end(&self) -> Option<Ended> {
        let ending = self.ending().take()?;
        self.is_over.store(true, Ordering::Release);
        Some(Ended {
            generation: self.id,
            plugin: self.descriptor.name.clone(),
            is_suspect: !self.warnings.is_empty(),
            served: self.since..self.until.get().copied().unwrap_or_else(Moment::now),
            ending,
        })
    }

    fn ending(&self) -> MutexGuard<'_, Option<Ending>> {
        // Nothing but an `Option` is changed under the lock.
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same code for another instance, under another number.
    pub(super) fn again(&self, id: u64) -> Candidate {
        let (descriptor, warnings) = (self.descriptor.clone(), self.warnings.clone());
        Candidate::again(id, self.hash, descriptor, warnings, self.live.table())
    }

    /// Since when it serves.
    pub(super) const fn since(&self) -> Moment {
        self.since
    }

    /// What calls start from here on belongs to its successor. To be called once, when the registry
    /// no longer has it.
    pub(super) fn close(&self, now: Moment) {
        self.until.get_or_init(|| now);
    }

    /// Tells the plugin that no new call will start, once.
    pub(super) fn quiesce(&self) {
        let quiesce = self.ending().as_mut().and_then(Ending::take_quiesce);
        if let Some(quiesce) = quiesce {
            quiesce.tell();
        }
    }

    /// Its library.
    pub(super) const fn image(&self) -> &Arc<Image> {
        self.live.image()
    }

    /// Whether it has a state for the generation after it.
    pub(super) const fn gives_state(&self) -> bool {
        self.live.gives_state()
    }

    /// See [`Live::save_state`]. Loader thread only.
    pub(super) fn save_state(&self, context: &CallContext) -> Option<Result<Saved, String>> {
        self.live.save_state(context)
    }

    /// Its entries in the registry.
    pub(super) fn methods(self: &Arc<Self>) -> impl Iterator<Item = Method> {
        let queue = Key::Plugin(self.descriptor.name.as_str().into());
        self.descriptor.methods.iter().zip(&self.promises).enumerate().map(
            move |(index, (info, promise))| Method {
                info: Arc::clone(info),
                instance: Arc::<Self>::clone(self),
                index,
                promise: Arc::clone(promise),
                queue: queue.clone(),
                gate: self.gate.get().cloned(),
            },
        )
    }
}

impl Instance for Generation {
    fn invoke<'a>(
        &'a self,
        index: usize,
        params: Items<'a>,
        arena: &'a Arena,
        context: &'a CallContext,
    ) -> Result<Answer<'a>, Fault> {
        let Some(info) = self.descriptor.methods.get(index) else {
            return Err(Fault::new(code::INTERNAL, "internal error: no such method index"));
        };
        // A call that has entered the gate is not refused here.
        let inside = match self.gate.get() {
            Some(gate) => Some(gate.hold().ok_or_else(|| self.ended())?),
            None => None,
        };
        let entry = self.health.enter(context).map_err(|closed| self.closed(&info.name, closed))?;
        thread_names::note_caller();
        let result = self.live.invoke(index, &info.name, params, arena, context);
        let outcome = match &result {
            Ok(_) => Outcome::Result,
            Err(Failure::Fault(_)) => Outcome::Fault,
            Err(Failure::Panic(_)) => Outcome::Panic,
        };
        if let Some(change) = self.health.ended(outcome, entry, context) {
            self.tell(&change);
        }
        match result {
            Ok(tree) => {
                let result = InPlace::new(tree, self.live.limits(), self, index, context, inside);
                Ok(Answer::InPlace(result))
            }
            Err(Failure::Fault(fault) | Failure::Panic(fault)) => Err(fault),
        }
    }

    fn refuse(&self, index: usize, defect: Defect, context: &CallContext) -> Fault {
        self.health.spoiled();
        let method = self.descriptor.methods.get(index).map_or("", |info| &info.name);
        self.live.refuse(method, defect, context)
    }
}

impl Generation {
    fn ended(&self) -> Fault {
        let plugin = &self.descriptor.name;
        let why = format!(
            "plugin {plugin} is being replaced, and no version of it serves; try again in a moment"
        );
        Fault::new(code::OVERLOADED, why)
    }

    /// The fault for a call that was not let in.
    fn closed(&self, method: &str, closed: Closed) -> Fault {
        let plugin = &self.descriptor.name;
        let why = match closed {
            Closed::ToAll { wait } => format!(
                "plugin {plugin} is out of service: its calls panicked too often in a row; try \
                 again in {} s",
                seconds(wait)
            ),
            Closed::ToCaller { panics, wait } => format!(
                "{method} was not called: {panics} calls of this caller panicked in a row in \
                 plugin {plugin}; try again in {} s",
                seconds(wait)
            ),
        };
        Fault::new(code::PLUGIN_PANICKED, why)
    }

    /// Logs who may no longer call it, or may again.
    fn tell(&self, change: &Change) {
        let whose = format!("plugin {}, generation {},", self.descriptor.name, self.id);
        match change {
            Change::CallerRefused { caller, panics, wait } => log::warn!(
                "{whose} refuses {caller} for {} s: its calls panicked, {panics} in a row",
                seconds(*wait)
            ),
            Change::Opened { wait } => log::error!(
                "{whose} is out of service: its calls panicked, {} in a row; one call is tried in \
                 {} s; put a corrected version into the plugins directory",
                self.health.panics_max(),
                seconds(*wait)
            ),
            Change::StaysOpen { wait } => log::warn!(
                "{whose} stays out of service: the call that was tried panicked too; the next is \
                 tried in {} s",
                seconds(*wait)
            ),
            Change::Closed => {
                log::info!("{whose} is in service again: the call that was tried did not panic");
            }
        }
    }
}

/// Whole seconds, rounded up.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))
}

impl Drop for Generation {
    fn drop(&mut self) {
        if let Some(ended) = self.end() {
            self.mailbox.ended(ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_said_to_be_0_seconds() {
        for (wait, wanted) in [
            (Duration::from_nanos(1), 1),
            (Duration::from_secs(1), 1),
            (Duration::from_micros(1_000_001), 2),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(seconds(wait), wanted);
        }
    }
}
