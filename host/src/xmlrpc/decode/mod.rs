//! Documents to calls and answers. Must not know of sockets, methods or plugins.
//!
//! `encoding` finds out how a document is encoded, and `charset` converts it to UTF-8, which can be
//! read in two `ways`. `fast` reads what clients really send. It is tried first; xml-rs reads from
//! the start whatever `fast` leaves: `reader` has its events, `elements` joins them, `values` and
//! `grammar` know which elements there may be. `namespaces` limits declarations, `scalars` reads
//! the text of one scalar, `doctype` refuses entities, and `passed` tells which limit of XML's own
//! a document passed. The result is a `call`, an answer, or an `error`.

mod call;
mod charset;
#[cfg(test)]
mod costs;
mod doctype;
mod elements;
mod encoding;
mod error;
mod fast;
mod fault;
mod grammar;
mod limits;
mod namespaces;
mod passed;
mod reader;
mod scalars;
#[cfg(test)]
mod tests;
mod values;
mod ways;

pub use call::{BorrowedCall, Call, Params};
pub use encoding::Document;
pub use error::DecodeError;
pub(crate) use fault::fault_of;
pub use limits::DecodeLimits;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use ways::{call_both_ways, response_both_ways};
pub use ways::{
    decode_call, decode_call_in, decode_call_quickly, decode_response, decode_response_in,
};
