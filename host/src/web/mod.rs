//! From a complete HTTP request to its response, and no I/O. Knows no sockets and no plugins.
//!
//! The `app` routes `/` and `/RPC2` to calls and says clearly why anything else is not answered.
//! It asks `admission` whether the sender may call. `content` is about codings of bodies,
//! `allowance` about time and memory, `outcome` about faults, and `cross_origin` about pages of
//! other sites.

mod admission;
mod allowance;
mod app;
mod content;
mod cross_origin;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod outcome;
mod response;
#[cfg(test)]
mod tests;

pub use app::{App, Begun, Done, Work};
pub use response::{Header, Response};
