//! One created plugin: its calls, what it may ask of the host, and its health.
//! Must not know the directory's slots or the life cycle.

pub(crate) mod breaker;
pub(crate) mod candidate;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub(crate) mod health;
pub(crate) mod host_table;
pub(crate) mod lend;
pub(crate) mod live;
pub(crate) mod thread_names;
