//! Dispatch: from a method's name and parameters to a value or a fault. Knows no HTTP, no XML and
//! no plugins: an instance is a [`registry::Instance`](crate::registry::Instance).
//!
//! The `dispatcher` takes a snapshot of the registry and enforces the limits. A `multicall` is
//! many `single` calls. Each is of `system.*`, of an instance, or of `hotcall.*` through a
//! [`Control`](crate::registry::Control); `builtins` has the common parts of the server's own. A
//! `scope` is what the request may see. `concurrency` limits single methods, and `quick` measures
//! those that promise to be.

mod builtins;
mod concurrency;
mod control;
mod dispatcher;
mod invocation;
mod multicall;
mod quick;
mod scope;
mod single;
mod system;
#[cfg(test)]
mod tests;

pub use concurrency::Concurrency;
pub use dispatcher::{Dispatcher, queue_of};
pub use invocation::Invocation;
pub use quick::QuickCall;
