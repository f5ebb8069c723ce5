//! The commands of the `hotcall` binary.

pub mod dev;
