//! The methods that one request may see and call. Must not know which methods there are.

use super::concurrency::Concurrency;
use crate::access::Permit;
use crate::registry::{CallContext, Control, Snapshot};
use crate::text::echoed;
use crate::xmlrpc::{Fault, code};

/// What one request sees: one set of methods and the server's own affairs, as far as its caller
/// may.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) context: &'a CallContext,
    pub(super) permit: &'a Permit,
    pub(super) control: Option<&'a dyn Control>,
    pub(super) concurrency: &'a Concurrency,
}

impl Scope<'_> {
    /// Says no more than that: callers must not learn whether a method exists that they may not
    /// call.
    pub(super) fn check(&self, method: &str) -> Result<(), Fault> {
        if self.permit.allows(method) {
            return Ok(());
        }
        Err(Fault::new(code::FORBIDDEN, format!("this caller may not call {:?}", echoed(method))))
    }
}

/// The fault for a method that nobody registered, or that the caller need not know of.
pub(super) fn method_not_found(method: &str) -> Fault {
    let shown = echoed(method);
    Fault::new(
        code::METHOD_NOT_FOUND,
        format!("method {shown:?} not found; system.listMethods lists those there are"),
    )
}
