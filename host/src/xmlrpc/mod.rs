//! XML-RPC as documents: values, faults, decode and encode. Pure: no I/O, no clock, no plugins.

mod fault;

pub use fault::{Fault, code};
pub use hotcall_plugin::{DateTime, Value};
