//! For readers who choose an XML-RPC library: a comparison of Hotcall with others. Holds no code.
//!
#![doc = include_str!("docs/comparison.md")]

pub mod deploy;
