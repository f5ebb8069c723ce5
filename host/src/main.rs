//! The `hotcall` binary.

use std::process::ExitCode;

// With the feature `fuzz`, the library has an allocator that counts.
#[cfg(not(feature = "fuzz"))]
#[global_allocator]
static ALLOCATOR: hotcall::server::Allocator = hotcall::server::Allocator;

fn main() -> ExitCode {
    hotcall::cli::run()
}
