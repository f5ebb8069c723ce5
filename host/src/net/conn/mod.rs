//! Connections and the threads that drive them, which wait for nothing but events. Must not know
//! what answers.

pub(super) mod connection;
pub(super) mod connection_limits;
pub(super) mod heartbeat;
pub(super) mod progress;
pub(super) mod reactor;
pub(super) mod service;
pub(super) mod stream;
pub(super) mod timers;
