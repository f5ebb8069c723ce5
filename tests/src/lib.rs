//! The harness of Hotcall's end-to-end tests: builds what is tested, runs it on loopback, and shows
//! the whole scene when a test fails.

pub mod artifacts;
pub mod authority;
pub mod corpus;
pub mod foreign;
pub mod good;
pub mod idle;
pub mod load;
pub mod loaded;
pub mod notation;
pub mod requests;
mod server;
mod shared;
pub mod wire;

pub use server::{Server, Setup, fill};
pub use shared::{WAIT_MAX, client, repository, wait_for, wait_until};
