//! From a complete HTTP request to its response, and no I/O.
//!
//! The `app` routes `/` and `/RPC2` to calls and says clearly why anything else is not answered. It
//! asks `admission` whether the sender may call; `content` is about codings of bodies, `allowance`
//! about time and memory, `cross_origin` about pages of other sites. Knows no sockets and no plugins.

mod admission;
mod allowance;
mod app;
mod content;
mod cross_origin;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod response;
#[cfg(test)]
mod tests;

pub use app::{App, Begun, Done, Work};
pub use response::Response;
