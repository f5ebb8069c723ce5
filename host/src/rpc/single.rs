//! One call: of a method of the server's own, or of an instance. Must not know batches.

use super::concurrency::Concurrency;
use super::scope::{Scope, method_not_found};
use super::{control, system};
use crate::arena::Arena;
use crate::registry::{Answer, CallContext, Method};
use crate::xmlrpc::{Fault, Items, code};
use std::time::Instant;

/// Answers any call but a multicall.
pub(super) fn call_one<'a>(
    scope: &Scope<'a>,
    method: &str,
    params: Items<'a>,
    arena: &'a Arena,
) -> Result<Answer<'a>, Fault> {
    let own = system::call(scope, method, params).or_else(|| control::call(scope, method, params));
    if let Some(answer) = own {
        return answer.map(Answer::Owned);
    }
    let Some(found) = scope.snapshot.get(method) else {
        return Err(method_not_found(method));
    };
    invoke(found, params, arena, scope.context, scope.concurrency)
}

/// Calls a method within the deadline, if it may be called once more at this time.
pub(super) fn invoke<'a>(
    found: &'a Method,
    params: Items<'a>,
    arena: &'a Arena,
    context: &'a CallContext,
    concurrency: &Concurrency,
) -> Result<Answer<'a>, Fault> {
    if Instant::now() >= context.deadline {
        return Err(Fault::new(code::DEADLINE, "the call's deadline passed before it could begin"));
    }
    match concurrency.enter(&found.info.name) {
        Ok(_running) => in_time(found, params, arena, context),
        Err(fault) => Err(fault),
    }
}

/// The result is made where the caller wants it: moving it costs more than looking at the clock.
fn in_time<'a>(
    found: &'a Method,
    params: Items<'a>,
    arena: &'a Arena,
    context: &'a CallContext,
) -> Result<Answer<'a>, Fault> {
    let mut result = found.instance.invoke(found.index, params, arena, context);
    if let Err(late) = check_answered(context, Instant::now()) {
        result = Err(late);
    }
    result
}

/// # Errors
/// The call's deadline has passed, and this is the answer.
#[inline]
pub(super) fn check_answered(context: &CallContext, now: Instant) -> Result<(), Fault> {
    if now < context.deadline {
        return Ok(());
    }
    Err(Fault::new(code::DEADLINE, "the call's deadline passed before it was answered"))
}
