//! Dispatch: from a method's name and parameters to a value or a fault.
//!
//! Answers `system.*` itself and everything else from one registry snapshot. Knows no HTTP, no XML and no
//! plugins: an instance is a [`registry::Instance`](crate::registry::Instance).

mod multicall;
mod system;

use crate::limits::Limits;
use crate::registry::{CallContext, Registry, Snapshot};
use crate::xmlrpc::{Fault, Value, code};
use std::sync::Arc;
use std::time::Instant;

/// Finds methods and calls them, within the limits.
pub struct Dispatcher {
    registry: Arc<Registry>,
    limits: Limits,
}

impl Dispatcher {
    /// A dispatcher over this registry.
    pub const fn new(registry: Arc<Registry>, limits: Limits) -> Self {
        Self { registry, limits }
    }

    /// The limits that calls are held to.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Answers one call.
    ///
    /// # Errors
    /// -32601 for a name that nobody registered, -32000 when the deadline has passed before the call began,
    /// -32602 for parameters that a `system.*` method does not take, and whatever the method answers.
    pub fn call(&self, method: &str, params: &[Value], context: &CallContext) -> Result<Value, Fault> {
        let snapshot = self.registry.snapshot();
        match method {
            multicall::NAME => multicall::run(&snapshot, params, context, &self.limits),
            _ => call_one(&snapshot, method, params, context),
        }
    }
}

/// Answers any call but a multicall.
fn call_one(
    snapshot: &Snapshot,
    method: &str,
    params: &[Value],
    context: &CallContext,
) -> Result<Value, Fault> {
    if let Some(answer) = system::call(snapshot, method, params) {
        return answer;
    }
    let Some(found) = snapshot.get(method) else {
        return Err(method_not_found(method));
    };
    if Instant::now() >= context.deadline {
        return Err(Fault::new(code::DEADLINE, "the call's deadline passed before it could begin"));
    }
    found.instance.invoke(found.index, params, context)
}

fn method_not_found(method: &str) -> Fault {
    /// A name is repeated to its caller up to here.
    const ECHOED_CHARS_MAX: usize = 100;
    let shown: String = method.chars().take(ECHOED_CHARS_MAX).collect();
    Fault::new(
        code::METHOD_NOT_FOUND,
        format!("method {shown:?} not found; system.listMethods lists those there are"),
    )
}

#[cfg(test)]
mod tests;
