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
//! Where types are only known at run time, there is [`Value`](crate::xmlrpc::Value); many calls go
//! in one request with [`Client::multicall`]:
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
//! Connections are kept for the next call, and a server may close one just when a call is sent over
//! it. The client sends such a call once more, on a new connection, when all of this is true:
//! - an earlier call was answered on its connection, which leads to the server and not to a proxy;
//! - no byte of an answer came;
//! - the call could not be written whole, or the server's kernel refused it by a reset within a
//!   second.
//!
//! Calls are POSTs. They must not be repeated unless there is reason to believe that they were not
//! executed (RFC 9110, section 9.2.2). A reset is such a reason. A kernel resets a connection when
//! no socket can take the bytes, or when the socket closes before the program has read them. If the
//! program has read everything, its connection ends in order, even when it crashes during the call.
//!
//! So these calls are never sent again, and fail with [`Cause::Broken`]:
//! - a call whose connection ended in order after the server's kernel had taken it;
//! - a call on a new connection;
//! - a call that the server had for longer than a second. Servers close connections that they
//!   believe to be idle within about that time.
//!
//! Only the caller knows whether such a call may be made again.
//!
//! The client cannot recognise a server, or a machine between, that reads a call and then aborts
//! the connection on purpose (`SO_LINGER`) within that second. It gets the call twice. Python's
//! client repeats in that case too, and in those above. A client that makes one call never sends it
//! twice.

mod address;
mod builder;
mod connect;
mod deadline;
mod error;
mod handle;
mod headers;
mod http;
mod idle;
mod introspect;
mod multicall;
mod names;
mod params;
mod pem;
mod proxy;
mod race;
mod socket;
#[cfg(test)]
mod tests;
mod tunnel;
mod watched;

pub use builder::{Builder, CONNECT_TIMEOUT, TIMEOUT};
pub use error::{Cause, Error};
pub use handle::{Client, Exchange};
pub use introspect::{Capability, Signature};
pub use multicall::{MULTICALL_CALLS_MAX, MultiCall};
pub use params::Params;
