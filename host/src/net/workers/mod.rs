//! The threads that run calls, and who waits for the answers. Must not know connections.

pub(super) mod call;
pub(super) mod direct;
pub(super) mod job;
pub(super) mod join;
pub(super) mod pool;
pub(super) mod thread_pool;
pub(super) mod ticket;
