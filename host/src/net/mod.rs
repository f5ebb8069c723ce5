//! The network side: sockets, TLS, HTTP framing and the one bounded worker pool.
//!
//! A **gate** stands before everything: it accepts, does TLS, enforces every limit and deadline, and vets and completes
//! each request. A few reactors do that for all connections, and never wait but for events. What is complete goes to the worker
//! pool: calls straight (the **direct lane**), and everything else through tiny_http, written anew, over a private Unix socket. Knows
//! no XML, no registry and no plugins: what answers is a [`Handler`].
//!
//! `listener` accepts, if `places` has a place, from what `unix` or it has bound or was `handed` over; a `reactor` has each
//! `connection` go on when its `stream` or its `timers` say so; `framing` tells requests apart, which `head` and `claims` vet; a
//! `request` goes to the `thread_pool` of the `pool`, straight or by the `lane` to the `upstream`; a `call` knows who waits for it, and a
//! `reply` is what comes back. The `service` is what connections share; `heartbeat` shows that the threads come round.

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
