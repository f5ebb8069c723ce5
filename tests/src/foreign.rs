//! Programs of others that some tests need.

use crate::artifacts::run;
use crate::{Server, repository};
use std::process::{Command, Stdio};

/// Whether tests that need `program` are left out: when it is not installed. Never with `CI=true`, where a
/// missing program is a failure.
pub fn is_left_out(program: &str) -> bool {
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    !in_ci && !is_installed(program)
}

fn is_installed(program: &str) -> bool {
    let mut version = Command::new(program);
    version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok()
}

/// Runs one of `tests/python` against a server; the script gets the URL and the CA file and fails by raising.
pub fn python(script: &str, server: &Server) {
    let path = repository().join("tests/python").join(script);
    run(Command::new("python3").arg(path).arg(server.url()).arg(server.ca()).arg(server.plugins()));
}
