//! The threads that run calls, and who waits for the answers. Must not know connections.

pub(super) mod call;
pub(super) mod direct;
mod effort;
pub(super) mod job;
mod job_id;
pub(super) mod join;
mod lanes;
pub(super) mod pool;
mod queues;
pub(super) mod thread_pool;
pub(super) mod ticket;
