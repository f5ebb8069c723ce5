//! Write Hotcall plugins in Rust.

pub mod abi;
pub mod tree;
mod value;

pub use value::{DateTime, Value};
