//! The SDK without a server: a plugin in this binary, driven through its ABI table by a small host of the test's own.
#![allow(unsafe_code, reason = "stands in for the host's side of the ABI")]

mod conversions;
mod faults;
mod host;
mod life;
#[forbid(unsafe_code)]
mod plugin;
mod table;
