//! Write Hotcall plugins in Rust: functions in a shared library that any XML-RPC client can call.
//!
//! A plugin is a crate of type `cdylib` whose functions carry an attribute. Nothing in it is
//! `unsafe` and nothing of it knows XML.
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! hotcall-plugin = { path = "hotcall-plugin" } # as `hotcall new` makes it
//! ```
//! ```
//! #![forbid(unsafe_code)]
//! use hotcall_plugin::{Fault, method, plugin};
//!
//! /// Adds two integers.
//! #[method]
//! fn add(a: i32, b: i32) -> Result<i32, Fault> {
//!     a.checked_add(b).ok_or_else(|| Fault::invalid_params("the sum exceeds 32 bits"))
//! }
//!
//! /// The mean of some numbers.
//! #[method(name = "stats.mean", idempotent)]
//! fn mean(numbers: Vec<f64>) -> Result<f64, Fault> {
//!     match numbers.len() {
//!         0 => Err(Fault::invalid_params("an empty array has no mean")),
//!         count => Ok(numbers.iter().sum::<f64>() / count as f64),
//!     }
//! }
//!
//! plugin! { name: "example", methods: [add, mean] }
//!
//! # fn main() {
//! assert_eq!(add(2, 3), Ok(5)); // in a test
//! # }
//! ```
//!
//! Build it, and put the library into the server's plugin directory. A function with the attribute
//! is still that function, so tests call it directly. The doc comment is what `system.methodHelp`
//! answers; the types are what `system.methodSignature` answers.
//!
//! # Parameters and results
//!
//! | XML-RPC | parameter | result |
//! |---|---|---|
//! | `boolean` | `bool` | `bool` |
//! | `int` | `i8` `i16` `i32` `u8` `u16`; also takes an `i8` that fits | the same |
//! | `i8` | `i64` `u32`; also takes an `int` that fits | the same |
//! | `double` | `f64`; also takes an `int` | `f64` |
//! | `string` | `&str` `String` `Cow<str>` | the same |
//! | `base64` | `&[u8]` [`Bytes`] | the same |
//! | `dateTime.iso8601` | [`DateTime`] | [`DateTime`] |
//! | `array` | `Vec<T>`, tuples of 1 to 8 | the same, `[T; N]` |
//! | `struct` | `#[derive(FromValue)]`, `HashMap`, `BTreeMap`, [`Members`] | `#[derive(IntoValue)]`, the maps, [`Members`] |
//! | `nil` | `Option<T>`, `()` | the same |
//! | any | [`Value`], or your own [`FromValue`] | [`Value`], or your own [`IntoValue`] |
//!
//! - `&str` and `&[u8]` borrow from the request and copy nothing.
//! - `Vec<u8>` is an array of ints, as every other `Vec`; binary data is [`Bytes`].
//! - `Option` parameters at the end may be left out by the client. Elsewhere they may be nil.
//! - Several results are a tuple, which clients see as an array. A function that returns nothing
//!   answers nil.
//! - A wrong argument never reaches the function: the client gets a fault such as
//!   `add: parameter 2 (b) wants int, got string`.
//! - [`Value::of`] and [`Value::to`] convert outside a call too, for clients and tests.
//! - A first parameter of type `&`[`Call`] is not one of the client's: it tells who calls, how long
//!   they wait, and logs. It is known by the name of its type, so do not import it under another.
//!
//! # Faults
//!
//! A method returns its result, or a `Result` of it with an error that becomes a [`Fault`]: a fault
//! itself, a `String`, a `&'static str` or a `Box<dyn Error>`. [`Fault::new`] carries a code of
//! your own; without one the client sees -32500.
//!
//! # State
//!
//! A plugin that keeps something between calls names a type that implements [`State`]. It is
//! created when the plugin is loaded, with a [`Host`] that holds the plugin's configuration and
//! data directory; methods take it as `&self`.
//!
//! # Threads
//!
//! The server calls methods on many threads at once, the same one too. State is shared, so it
//! guards what changes with a lock or an atomic; the compiler sees to it. A method may block, but
//! should look at [`Call::cancelled`] or [`Call::remaining`] when it takes long.
//!
//! # Reload
//!
//! A new version of the file is loaded beside the old one and takes over all new calls at once. The
//! old state then gets [`State::quiesce`], its last calls end, and it is dropped. What should
//! survive goes through [`Handover`] or into the data directory. When the new version cannot be
//! created, the old one goes on.
//!
//! A plugin that must be the only one says `reload: exclusive` in [`plugin!`]: one that binds a
//! port, takes a lock file, or keeps a database with its own copy of SQLite or LMDB. Its calls then
//! wait while the old state is saved, gets [`State::quiesce`] and is dropped, and the new one is
//! created and loaded; they go on in the new one, and no call fails. When the new version cannot be
//! created, the old one is created again, with its state.
//!
//! # Known problems
//!
//! - Every loaded version has its own statics. A counter in a `static` starts again with each
//!   reload; two versions run side by side for a moment and do not see each other's.
//! - A thread that the plugin starts runs the old version's code until it ends. Stop it in
//!   [`State::quiesce`] or in `Drop`, and join it there.
//! - A `thread_local!` with a destructor lives as long as the server's thread, past the instance.
//!   Keep state in the [`State`].
//! - A panic is caught and becomes fault -32003, with its text in the server's log only. It needs
//!   `panic = "unwind"`, the default; with `"abort"` a plugin does not build. A stack overflow,
//!   `process::abort` and a panic during a panic end the server: nothing can catch them.
//! - The message of every panic goes to the server's log, with the plugin's name and the request's
//!   id, also on threads that the plugin started. The SDK sets a panic hook for that before
//!   [`State::create`]. A hook that the plugin sets itself replaces it.
//! - The server's log escapes control and invisible characters. `println!` and `eprintln!` do not:
//!   they write to the server's standard output and standard error as they are, so do not print a
//!   client's text with them.
//! - The macros name this crate `::hotcall_plugin`: do not rename the dependency.

pub mod abi;
mod arena;
mod bytes;
mod call;
mod convert;
mod copy;
mod export;
mod fault;
mod from_value;
mod host;
mod into_value;
mod members;
mod method;
mod panics;
mod state;
pub mod tree;
mod types;
mod value;
pub mod walk;

// Where `unsafe` is: `abi` and `tree` read the bytes of the ABI, `arena` writes them, `call` and
// `host` call the server, and `export` is called by it. Everything else is safe code.

pub use arena::{Arena, Built};
pub use bytes::Bytes;
pub use call::{Call, Level};
pub use fault::Fault;
pub use from_value::{FromValue, Mismatch};
pub use host::Host;
pub use hotcall_plugin_macros::{FromValue, IntoValue, method, plugin};
pub use into_value::{IntoValue, Outcome};
pub use members::Members;
pub use state::{Handover, State};
pub use tree::{Tree, View};
pub use types::Type;
pub use value::{DateTime, Value};

/// The ABI's C header, `hotcall_plugin.h`, for tools that hand it on. A plugin in Rust has no use
/// for it.
pub const C_HEADER: &str = include_str!("../include/hotcall_plugin.h");

/// What the macros' code names. No part of the API: it may change with any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::abi::{METHOD_IDEMPOTENT, METHOD_QUICK, Note, Plugin};
    pub use crate::export::{
        About, AnyPlugin, Listed, Method, MethodOf, first_of_its_name, list, stateful,
        stateful_with_handover, stateless,
    };
    pub use crate::from_value::{member, members, present};
    pub use crate::into_value::Outcome;
    pub use crate::method::{Arguments, Parameter, Spec, callable, signature, signatures};
}
