//! An XML-RPC client. Knows documents (`xmlrpc`) and HTTP, and nothing of the server's inside.
//!
//! # Examples
//! Parameters and results are Rust types, converted as `hotcall_plugin` converts a plugin's:
//! ```no_run
//! use hotcall::client::Client;
//! use hotcall_plugin::FromValue;
//!
//! #[derive(FromValue)]
//! struct Stats {
//!     mean: f64,
//!     count: i32,
//! }
//!
//! let client = Client::builder("https://127.0.0.1:8443").ca_file("state/dev-cert.pem").build()?;
//! let sum: i64 = client.call("add", (2, 3))?;
//! let stats: Stats = client.call("stats", (vec![1.5, 2.5],))?;
//! # Ok::<(), hotcall::client::Error>(())
//! ```
//! Where types are only known at run time, there is [`Value`](crate::xmlrpc::Value); many calls go in
//! one request with [`Client::multicall`]:
//! ```no_run
//! # use hotcall::client::Client;
//! # let client = Client::builder("https://127.0.0.1:8443").build()?;
//! use hotcall::xmlrpc::Value;
//! let mut batch = client.multicall();
//! batch.add("add", (2, 3))?.add("upper", "hot")?;
//! for result in batch.send::<Value>()? {
//!     match result {
//!         Ok(value) => println!("{value:?}"),
//!         Err(fault) => println!("{fault}"),
//!     }
//! }
//! # Ok::<(), hotcall::client::Error>(())
//! ```
//!
//! # When a call is sent twice
//! Connections are kept for the next call, and a server may close one at the moment when a call is sent over it. Such
//! a call is sent once more, on a new connection, when all of this is so:
//! - an earlier call was answered on its connection, which leads to the server and not to a proxy;
//! - no byte of an answer came;
//! - the call could not be written whole, or the server's machine refused it: by a reset within a second.
//!
//! Calls are POSTs, which must not be repeated unless there is reason to believe that they were not executed (RFC 9110,
//! section 9.2.2). A reset is such a reason: that is how an operating system ends a connection on which something came that no
//! program has read. One on which all was read it ends in order, also when the program crashed in the midst of the call.
//! So a call whose connection ended in order after the server's machine had taken it is never sent again, and neither is any call on a
//! new connection, or one that was in the server's hands for longer than a second: that is an error with [`Cause::Broken`], and only
//! the caller knows whether the call may be made again.
//!
//! What this cannot tell apart is a server, or a machine between, that aborts a connection on purpose after it has read
//! the call from it (`SO_LINGER`), and does so within that second: it gets the call twice. Python's client repeats in that
//! case too, and in those above. A client that makes one call never sends it twice.

mod address;
mod builder;
mod connect;
mod error;
mod handle;
mod headers;
mod http;
mod introspect;
mod multicall;
mod params;
mod pem;
mod proxy;
mod socket;
#[cfg(test)]
mod tests;
mod tunnel;

pub use builder::{Builder, CONNECT_TIMEOUT, TIMEOUT};
pub use error::{Cause, Error};
pub use handle::{Client, Exchange};
pub use introspect::{Capability, Signature};
pub use multicall::{MULTICALL_CALLS_MAX, MultiCall};
pub use params::Params;
