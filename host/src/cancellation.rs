//! Whether a client still waits for a call. Must not know calls.
//!
//! A client that closes only its sending half counts as gone: a server cannot tell the two apart
//! until it writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the client that waits for a call has gone. All clones are of one call.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// Nobody waits any more.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether nobody waits any more.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
