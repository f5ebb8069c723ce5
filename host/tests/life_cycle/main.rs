//! The plugin life cycle with real shared libraries, compiled from `tests/fixtures` by the system's
//! C compiler.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod abi;
mod alone;
mod calls;
mod changes;
mod handover;
mod operator;
mod probe;
mod refusals;
mod results;
mod retire;
mod scene;
mod trials;
mod trust;
