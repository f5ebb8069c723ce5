//! One call that is to be made. Must not know how it is.

use crate::access::Permit;
use crate::registry::CallContext;
use crate::xmlrpc::Items;

/// What is to be called, with what, and for whom.
#[derive(Clone, Copy)]
pub struct Invocation<'a> {
    /// The method's name.
    pub method: &'a str,
    /// The parameters.
    pub params: Items<'a>,
    /// When and for whom.
    pub context: &'a CallContext,
    /// What the caller may call.
    pub permit: &'a Permit,
}
