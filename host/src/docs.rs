//! A comparison for readers who choose an XML-RPC library. Holds no code.
//!
#![doc = include_str!("docs/comparison.md")]

pub mod deploy;
