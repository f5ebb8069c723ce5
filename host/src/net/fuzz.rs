//! The rules that hold for any bytes that a client sends. Must not know of the fuzzer.

mod heads;
mod requests;

pub(crate) use heads::http_head;
pub(crate) use requests::{framing, vet};
