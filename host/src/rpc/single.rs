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
    let mut result = counted(found, params, arena, context, concurrency);
    if let Err(late) = check_answered(context, Instant::now()) {
        result = Err(late);
    }
    result
}

/// Calls a method, which counts as running until its result has been read. The result is made where
/// the caller wants it: moving it costs more than looking at the clock.
#[inline]
pub(super) fn counted<'a>(
    found: &'a Method,
    params: Items<'a>,
    arena: &'a Arena,
    context: &'a CallContext,
    concurrency: &Concurrency,
) -> Result<Answer<'a>, Fault> {
    let running = concurrency.enter(&found.info.name)?;
    let mut result = found.instance.invoke(found.index, params, arena, context);
    if let (Ok(answer), Some(running)) = (&mut result, running) {
        answer.hold(running);
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
