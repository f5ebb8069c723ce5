//! The `hotcall` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    hotcall::cli::run()
}
