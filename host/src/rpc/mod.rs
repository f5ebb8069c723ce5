//! Dispatch: from a method's name and parameters to a value or a fault.
//!
//! Answers `system.*` itself, `hotcall.*` through a [`Control`] and everything else from one registry snapshot. Knows no HTTP, no XML and no
//! plugins: an instance is a [`registry::Instance`](crate::registry::Instance).

mod concurrency;
mod control;
mod multicall;
mod quick;
mod system;

pub use concurrency::Concurrency;

use crate::access::Permit;
use crate::limits::Limits;
use crate::registry::{CallContext, Control, Method, Registry, Snapshot};
use crate::xmlrpc::{EncodeOptions, EncodeStyle, Fault, Items, Resources, Value, View, code};
use std::sync::Arc;
use std::time::Instant;

/// Finds methods and calls them, within the limits.
pub struct Dispatcher {
    registry: Arc<Registry>,
    limits: Limits,
    encode: EncodeOptions,
    control: Option<Arc<dyn Control>>,
    concurrency: Arc<Concurrency>,
}

/// What one request sees: one set of methods and the server's own affairs, as far as its caller may.
#[derive(Clone, Copy)]
struct Scope<'a> {
    snapshot: &'a Snapshot,
    context: &'a CallContext,
    permit: &'a Permit,
    control: Option<&'a dyn Control>,
    concurrency: &'a Concurrency,
}

impl Dispatcher {
    /// A dispatcher over this registry.
    pub fn new(registry: Arc<Registry>, limits: Limits) -> Self {
        let encode = EncodeOptions { bytes_max: limits.response_bytes_max, ..EncodeOptions::default() };
        Self { registry, limits, encode, control: None, concurrency: Arc::default() }
    }

    /// The same for responses that are written in this style: a batch must know which of its results can be.
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

    /// Answers one call. A batch reserves memory from `resources` for its results.
    ///
    /// # Errors
    /// -32004 for a name that the caller may not call, whether it exists or not, -32601 for a name that nobody registered or that is for operators when the caller is none, -32000 when the deadline passed before the method began or before it answered,
    /// -32602 for parameters that a method of the server's own does not take, and whatever the method answers.
    pub fn call<'a>(
        &self,
        method: &str,
        params: impl Into<Items<'a>>,
        context: &CallContext,
        permit: &Permit,
        resources: &dyn Resources,
    ) -> Result<Value, Fault> {
        let snapshot = self.registry.snapshot();
        let scope = Scope {
            snapshot: &snapshot,
            context,
            permit,
            control: self.control.as_deref(),
            concurrency: &self.concurrency,
        };
        scope.check(method)?;
        match method {
            multicall::NAME => multicall::run(&scope, params.into(), &self.limits, &self.encode, resources),
            _ => call_one(&scope, method, params.into()),
        }
    }

    /// Answers one call if it is of a method that keeps its promise to be quick, and has what it answers written: that counts as
    /// its time too. None for any other, of which nothing has been called then.
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
        let watch = quick::Watch::start();
        let result = invoke(found, params.into(), context, &self.concurrency);
        let written = write(result);
        watch.stop(found);
        Some(written)
    }
}

impl Scope<'_> {
    /// Says no more than that: whoever may not call a method need not know whether there is one.
    fn check(&self, method: &str) -> Result<(), Fault> {
        if self.permit.allows(method) {
            return Ok(());
        }
        Err(Fault::new(code::FORBIDDEN, format!("this caller may not call {:?}", shown(method))))
    }
}

/// Answers any call but a multicall.
fn call_one(scope: &Scope<'_>, method: &str, params: Items<'_>) -> Result<Value, Fault> {
    let own = system::call(scope, method, params).or_else(|| control::call(scope, method, params));
    if let Some(answer) = own {
        return answer;
    }
    let Some(found) = scope.snapshot.get(method) else {
        return Err(method_not_found(method));
    };
    invoke(found, params, scope.context, scope.concurrency)
}

/// Calls a method within the deadline, if it may be called once more at this time.
fn invoke(
    found: &Method,
    params: Items<'_>,
    context: &CallContext,
    concurrency: &Concurrency,
) -> Result<Value, Fault> {
    if Instant::now() >= context.deadline {
        return Err(Fault::new(code::DEADLINE, "the call's deadline passed before it could begin"));
    }
    let _running = concurrency.enter(&found.info.name)?;
    let result = found.instance.invoke(found.index, params, context);
    if Instant::now() >= context.deadline {
        return Err(Fault::new(code::DEADLINE, "the call's deadline passed before it was answered"));
    }
    result
}

/// The parameter, if there is just one.
fn only<'a>(params: Items<'a>) -> Option<View<'a>> {
    let mut params = params.iter();
    let first = params.next()?.view().ok()?;
    params.next().is_none().then_some(first)
}

fn method_not_found(method: &str) -> Fault {
    let shown = shown(method);
    Fault::new(
        code::METHOD_NOT_FOUND,
        format!("method {shown:?} not found; system.listMethods lists those there are"),
    )
}

fn shown(method: &str) -> String {
    /// A name is repeated to its caller up to here.
    const ECHOED_CHARS_MAX: usize = 100;
    method.chars().take(ECHOED_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
