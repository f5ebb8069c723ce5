//! The SDK without a server: a plugin in this binary, driven through its ABI table by a small host
//! of the test's own.
#![allow(unsafe_code, reason = "stands in for the host's side of the ABI")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::cast_possible_truncation, reason = "the sizes of the ABI's tables are small")]

mod conversions;
mod faults;
mod host;
mod life;
#[forbid(unsafe_code)]
mod plugin;
mod table;
