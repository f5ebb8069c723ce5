//! Hotcall: an XML-RPC server whose methods are compiled plugins.
//!
//! Drop a shared library into a directory, and any XML-RPC client can call its functions over
//! HTTPS. Replace the file, and the new code answers the next call, without a restart or a failed
//! call.
//!
//! Most people run the `hotcall` binary, and write plugins with the crate `hotcall-plugin`. This
//! library is the code of the binary. Two parts of it stand alone: [`client`] calls any XML-RPC
//! server, and [`xmlrpc`] reads and writes its documents.
//!
//! # The parts
//! Data flows one way: `net -> web -> xmlrpc -> rpc -> registry -> plugin` and back as a result.
//! Each part says at its top what it must not know, and a test reads every import.
//!
//! - [`net`]: sockets, TLS, HTTP framing, the bounded worker pool.
//! - [`web`]: from a complete HTTP request to its response.
//! - [`access`]: who may call.
//! - [`request`]: one request's facts, each declared once.
//! - [`cancellation`]: whether a client waits for a call; [`pause`]: what holds it back;
//!   [`memory`]: the budget that bounds it.
//! - `address`: client addresses as limits count them.
//! - [`arena`]: the memory of one call.
//! - [`xmlrpc`]: values, decode, encode, faults; pure.
//! - [`rpc`]: dispatch, `system.*`, multicall.
//! - [`registry`]: an immutable snapshot of methods, swapped atomically.
//! - [`plugin`]: the life cycle of plugin files, the only writer of the registry.
//! - [`server`]: puts these together and takes them apart, by a [`config`] and its [`limits`].
//! - `settings`: how settings are declared.
//! - [`client`]: calls any XML-RPC server.
//! - [`dev`]: builds plugins while their sources change.
//! - [`cli`]: the commands.
//! - `stamp`: whether a file was written or replaced.
//! - [`text`]: escapes text for logs and terminals.
//! - [`docs`]: no code; a comparison with other XML-RPC libraries, and the deployment guide.
//!
//! # Known problems
//! - While the constructors of a plugin's library run in the server, the dynamic loader's lock is
//!   held. A new thread waits for it before its first line. The probe keeps out a constructor that
//!   hangs, but not a slow one.

pub mod access;
mod address;
pub mod arena;
pub mod cancellation;
pub mod cli;
pub mod client;
pub mod config;
pub mod dev;
pub mod docs;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
pub mod limits;
pub mod memory;
pub mod net;
pub mod pause;
pub mod plugin;
pub mod queue;
pub mod registry;
pub mod request;
pub mod rpc;
pub mod server;
mod settings;
mod slice;
mod stamp;
pub mod text;
pub mod web;
pub mod xmlrpc;
