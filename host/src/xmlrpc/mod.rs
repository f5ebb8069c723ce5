//! XML-RPC as documents: values, faults, decode and encode. Pure: no I/O, no clock, no plugins.
//!
//! Reading is liberal (what clients really send is a wide family), writing is strict: whatever
//! [`encode_response`] returns is XML 1.0 that every parser reads, or there is a fault instead.

mod binary;
mod borrowed;
mod chars;
mod date;
mod decode;
mod encode;
mod extensions;
mod fault;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
#[cfg(test)]
mod properties;
mod resources;
mod style;
#[cfg(test)]
mod tests;
mod unique;

pub use borrowed::Store;
pub use date::parse_date_time;
pub(crate) use decode::fault_of;
pub use decode::{
    BorrowedCall, Call, DecodeError, DecodeLimits, Document, Params, decode_call, decode_call_in,
    decode_call_quickly, decode_response, decode_response_in,
};
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use decode::{call_both_ways, response_both_ways};
pub use encode::{EncodeOptions, Unwritten};
pub use encode::{encode_call, encode_fault, encode_response, encode_result};
pub(crate) use encode::{encoded_len, fault_value};
pub use fault::{Fault, code};
pub use hotcall_plugin::tree::{Defect, Items, ReadLimits, Tree, View};
pub use hotcall_plugin::{DateTime, Value};
#[cfg(test)]
pub(crate) use resources::Counted;
pub(crate) use resources::Meter;
pub use resources::{Resources, Stop, Unlimited};
pub use style::{Dates, EncodeStyle, I8Style, InvalidChars, NilStyle};
