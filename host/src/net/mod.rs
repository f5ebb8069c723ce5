//! The network side: sockets, TLS, HTTP framing and the one bounded worker pool. Must not know
//! XML, the registry or plugins: a [`Handler`] answers requests.
//!
//! - `front` starts and drains all of it.
//! - `listen` accepts connections.
//! - `conn` drives them. A few reactors serve all connections and wait for nothing but events.
//!   Each connection vets and completes its requests, and enforces every limit and deadline.
//! - `relay` passes all but plain calls through tiny_http, over a private Unix socket.
//! - `workers` runs calls that may take long. Calls go there directly (the **direct lane**).
//! - `http1` turns bytes into requests, and responses into bytes.
//! - `tls` holds the certificates and makes handshakes.
//! - `body_budget` counts the memory of bodies.
//!
//! A room names only rooms below it in this list.

mod bind;
mod body_budget;
mod conn;
mod error;
mod front;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod handler;
mod http1;
mod listen;
mod relay;
mod seldom;
pub mod tls;
mod unix;
mod workers;

pub use crate::net::conn::heartbeat::{Heartbeat, Woken};
pub use crate::net::listen::inherited::InheritedSocket;
pub use bind::{Bind, check};
pub use body_budget::Budget;
pub use error::Error;
pub use front::{Front, Listeners, Settings, bind, start};
pub use handler::Handler;
pub use unix::UnixAccess;
