//! Dispatch: from a method's name and parameters to a value or a fault. Knows no HTTP, no XML and no
//! plugins: an instance is a [`registry::Instance`](crate::registry::Instance).
//!
//! The `dispatcher` takes a snapshot of the registry and holds calls to the limits. A `multicall` is
//! many `single` calls: of `system.*`, of `hotcall.*` through a [`Control`](crate::registry::Control),
//! which have `builtins` in common, or of an instance. A `scope` is what the request may see;
//! `concurrency` limits single methods, and `quick` watches those that promise to be.

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
pub use dispatcher::Dispatcher;
pub use invocation::Invocation;
pub use quick::QuickCall;
