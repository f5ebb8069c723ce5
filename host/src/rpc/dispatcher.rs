//! The dispatcher: puts limits, gates and a registry snapshot around a call or a batch. Must not
//! know which methods are the server's own.

use super::builtins::MULTICALL;
use super::concurrency::Concurrency;
use super::scope::Scope;
use super::single::{call_one, invoke};
use super::{multicall, quick};
use crate::access::Permit;
use crate::limits::Limits;
use crate::pause::Pause;
use crate::registry::{CallContext, Control, Inside, Registry};
use crate::xmlrpc::{EncodeOptions, EncodeStyle, Fault, Items, Resources, Value};
use std::sync::Arc;

/// Finds methods and calls them, within the limits.
pub struct Dispatcher {
    pub(super) registry: Arc<Registry>,
    limits: Limits,
    encode: EncodeOptions,
    control: Option<Arc<dyn Control>>,
    concurrency: Arc<Concurrency>,
}

impl Dispatcher {
    /// A dispatcher over this registry.
    pub fn new(registry: Arc<Registry>, limits: Limits) -> Self {
        let encode = EncodeOptions { bytes_max: limits.response_bytes_max, ..EncodeOptions::default() };
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

    /// The limits that calls are held to.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How responses are to be written.
    pub const fn encode_options(&self) -> &EncodeOptions {
        &self.encode
    }

    /// Answers one call. A batch reserves memory from `resources` for its results. Faults:
    /// - -32004 for a name that the caller may not call, whether it exists or not;
    /// - -32601 for a name that nobody registered, or that is for operators alone;
    /// - -32000 when the deadline passed before the method began or before it answered;
    /// - -32602 for parameters that a method of the server's own does not take;
    /// - and whatever the method answers.
    ///
    /// # Errors
    /// A plugin that the call needs is being replaced. Nothing was executed: the call is to be made
    /// again when the pause is over.
    pub fn call<'a>(
        &self,
        method: &str,
        params: impl Into<Items<'a>>,
        context: &CallContext,
        permit: &Permit,
        resources: &dyn Resources,
    ) -> Result<Result<Value, Fault>, Pause> {
        let snapshot = self.registry.snapshot();
        let params = params.into();
        let scope = Scope {
            snapshot: &snapshot,
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
            MULTICALL => multicall::run(&scope, params, &self.limits, &self.encode, resources),
            _ => call_one(&scope, method, params),
        })
    }

    /// Answers one call if it is of a method that keeps its promise to be quick, and has what it
    /// answers written: that counts as its time too. None for any other, of which nothing has been
    /// called then.
    pub fn call_quickly<'a, R>(
        &self,
        method: &str,
        params: impl Into<Items<'a>>,
        context: &CallContext,
        permit: &Permit,
        write: impl FnOnce(Result<Value, Fault>) -> R,
    ) -> Option<R> {
        let snapshot = self.registry.glance();
        let found = snapshot.get(method).filter(|found| found.promise.holds())?;
        if !permit.allows(method) {
            return None;
        }
        // Nothing waits here: a closed gate is for the workers' path.
        let _inside = match &found.gate {
            Some(gate) => Some(gate.enter().ok()?),
            None => None,
        };
        let watch = quick::Watch::start();
        let result = invoke(found, params.into(), context, &self.concurrency);
        let written = write(result);
        watch.stop(found);
        Some(written)
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
