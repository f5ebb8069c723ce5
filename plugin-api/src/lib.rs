//! Write Hotcall plugins in Rust.

pub mod abi;
mod arena;
mod bytes;
mod call;
mod export;
mod fault;
mod from_value;
mod host;
mod into_value;
mod method;
mod state;
pub mod tree;
mod types;
mod value;

pub use arena::{Arena, Built};
pub use bytes::Bytes;
pub use call::{Call, Level};
pub use fault::Fault;
pub use from_value::{FromValue, Mismatch};
pub use host::Host;
pub use hotcall_plugin_macros::{FromValue, IntoValue, method, plugin};
pub use into_value::{IntoValue, Outcome};
pub use state::{Handover, State};
pub use tree::{Tree, View};
pub use types::Type;
pub use value::{DateTime, Value};

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
