//! The way through tiny_http, over a private Unix socket. Nothing else runs tiny_http.
//!
//! tiny_http cannot face a network alone:
//!
//! - it does TLS handshakes on its accept thread;
//! - it has no timeouts;
//! - it allocates the length that a client declares, even for a body that nobody reads;
//! - its accept thread ends at the first error of `accept`.
//!
//! So it gets complete, vetted requests from the gate. A plain call, a vetted POST, needs nothing
//! that tiny_http does and takes the direct lane. tiny_http stays the reference: both ways give
//! the same response to the same bytes.

pub(super) mod carried;
pub(super) mod carriers;
pub(super) mod upstream;
