//! For whoever chooses an XML-RPC library: what Hotcall does where others do something else. Holds no code.
//!
#![doc = include_str!("docs/comparison.md")]

pub mod deploy;
