//! The dispatcher: puts limits, gates and a registry snapshot around a call or a batch. Must not
//! know which methods are the server's own.

use super::builtins::MULTICALL;
use super::concurrency::Concurrency;
use super::invocation::Invocation;
use super::multicall;
use super::quick::QuickCall;
use super::scope::Scope;
use super::single::call_one;
use crate::arena::Arena;
use crate::limits::Limits;
use crate::pause::Pause;
use crate::queue::Key;
use crate::registry::{Answer, Control, Inside, Registry, Snapshot};
use crate::xmlrpc::{EncodeOptions, EncodeStyle, Fault, Items, Resources};
use std::sync::Arc;

/// Finds methods and calls them, within the limits.
pub struct Dispatcher {
    registry: Arc<Registry>,
    limits: Limits,
    encode: EncodeOptions,
    control: Option<Arc<dyn Control>>,
    concurrency: Arc<Concurrency>,
}

impl Dispatcher {
    /// A dispatcher over this registry.
    pub fn new(registry: Arc<Registry>, limits: Limits) -> Self {
        let encode =
            EncodeOptions { bytes_max: limits.response_bytes_max, ..EncodeOptions::default() };
        Self { registry, limits, encode, control: None, concurrency: Arc::default() }
    }

    /// The same for responses that are written in this style: a batch must know which of its
    /// results can be.
    #[must_use]
    pub const fn with_style(mut self, style: EncodeStyle) -> Self {
        self.encode.style = style;
        self
    }

    /// The same with answers to `hotcall.*` for operators.
    #[must_use]
    pub fn with_control(mut self, control: Arc<dyn Control>) -> Self {
        self.control = Some(control);
        self
    }

    /// The same with limits of single methods.
    #[must_use]
    pub fn with_concurrency(mut self, concurrency: Arc<Concurrency>) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// What is called.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The limits that calls are held to.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How responses are to be written.
    pub const fn encode_options(&self) -> &EncodeOptions {
        &self.encode
    }

    /// Answers one call of a method in this snapshot. The result may be in this arena, and borrows
    /// all that it may be in. A batch reserves memory from `resources` for its results. Faults:
    /// - -32004 for a name that the caller may not call, whether it exists or not;
    /// - -32601 for a name that nobody registered, or that is for operators alone;
    /// - -32000 when the deadline passed before the method began or before it answered;
    /// - -32602 for parameters that a method of the server's own does not take;
    /// - and whatever the method answers.
    ///
    /// # Errors
    /// A plugin that the call needs is being replaced. Nothing was executed: the call is to be made
    /// again when the pause is over, with a new snapshot.
    pub fn call<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        invocation: Invocation<'a>,
        arena: &'a Arena,
        resources: &dyn Resources,
    ) -> Result<Result<Answer<'a>, Fault>, Pause> {
        let Invocation { method, params, context, permit } = invocation;
        let scope = Scope {
            snapshot,
            context,
            permit,
            control: self.control.as_deref(),
            concurrency: &self.concurrency,
        };
        if let Err(fault) = scope.check(method) {
            return Ok(Err(fault));
        }
        let _inside = enter(&scope, method, params)?;
        Ok(match method {
            MULTICALL => {
                let results = multicall::run(&scope, params, &self.limits, &self.encode, resources);
                results.map(Answer::Owned)
            }
            _ => call_one(&scope, method, params, arena),
        })
    }

    /// The call, if it is of a method that keeps its promise to be quick and waits for nothing.
    /// None for any other.
    pub fn quick<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        invocation: &'a Invocation<'a>,
    ) -> Option<QuickCall<'a>> {
        QuickCall::begin(snapshot, invocation, &self.concurrency)
    }
}

/// The queue of a call. That of a batch is its plugin's if it calls only one. What the caller may
/// not call takes no place in any plugin's queue.
pub fn queue_of(snapshot: &Snapshot, invocation: &Invocation<'_>) -> Key {
    let of = |method: &str| {
        let found = snapshot.get(method).filter(|_| invocation.permit.allows(method));
        found.map(|found| &found.queue)
    };
    let (first, has_others) = match invocation.method {
        MULTICALL => {
            let mut queues = multicall::names(invocation.params).filter_map(of);
            let first = queues.next();
            (first, queues.any(|queue| Some(queue) != first))
        }
        method => (of(method), false),
    };
    match first {
        None => Key::Server,
        Some(_) if has_others => Key::Batches,
        Some(queue) => queue.clone(),
    }
}

/// Enters the gates of all that is called, before the first of it runs, or none.
///
/// # Errors
/// One of them is closed.
fn enter(scope: &Scope<'_>, method: &str, params: Items<'_>) -> Result<Vec<Inside>, Pause> {
    let mut inside = Vec::new();
    if !scope.snapshot.has_gates() {
        return Ok(inside);
    }
    let mut enter = |method: &str| {
        let found = scope.snapshot.get(method).filter(|_| scope.permit.allows(method));
        let Some(gate) = found.and_then(|found| found.gate.as_ref()) else { return Ok(()) };
        if !inside.iter().any(|call: &Inside| call.is_of(gate)) {
            inside.extend(gate.enter()?);
        }
        Ok(())
    };
    match method {
        MULTICALL => multicall::names(params).try_for_each(enter)?,
        _ => enter(method)?,
    }
    Ok(inside)
}
