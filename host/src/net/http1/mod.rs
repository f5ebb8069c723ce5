//! HTTP/1 from bytes to messages and back. Must not know sockets or threads.

pub(super) mod buffer;
pub(super) mod fields;
pub(super) mod framing;
pub(super) mod head;
mod last_head;
pub(super) mod origin_headers;
pub(super) mod own_answers;
pub(super) mod refusal;
pub(super) mod reply;
