//! The `hotcall` binary.

fn main() {}
