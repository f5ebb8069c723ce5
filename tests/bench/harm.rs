//! How long the calls of a good plugin take while bad ones are put into the same directory, beside
//! how long they take in quiet. Prints the figures of RELOAD.md and fails when a call failed. No
//! limit is set on the times: they are the machine's too.
//!
//! `make bench-harm`, or `cargo bench --package hotcall-tests --bench harm`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that cannot run has nothing to report"
)]

use hotcall::client::Client;
use hotcall::xmlrpc::Value;
use hotcall_tests::good::Good;
use hotcall_tests::load::End;
use hotcall_tests::{Server, Setup, WAIT_MAX, artifacts, repository, wait_until};
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

const CLIENTS: usize = 4;
const WARM_UP: Duration = Duration::from_secs(3);
const QUIET: Duration = Duration::from_secs(10);
/// What each harm is watched for at least, however soon it is refused.
const HARM_MIN: Duration = Duration::from_secs(2);

/// A fixture, and the macro that makes its defect.
const HARMS: [(&str, &str); 17] = [
    ("broken.c", "MAGIC=1u"),
    ("broken.c", "NOTE_MAJOR=2u"),
    ("broken.c", "TABLE_SIZE=64"),
    ("broken.c", "METHODS_LEN=0"),
    ("broken.c", "METHODS_LEN=2"),
    ("broken.c", "METHOD=\"\\377\""),
    ("broken.c", "INVOKE=0"),
    ("broken.c", "UNDEFINED_SYMBOL"),
    ("harmful.c", "CONSTRUCTOR=crash"),
    ("harmful.c", "CONSTRUCTOR=give_up"),
    ("harmful.c", "CONSTRUCTOR=leave"),
    ("harmful.c", "CONSTRUCTOR=hang"),
    ("harmful.c", "CREATE=crash"),
    ("harmful.c", "CREATE=give_up"),
    ("harmful.c", "CREATE=leave"),
    ("harmful.c", "CREATE=hang"),
    ("harmful.c", "CREATE=print_without_end"),
];

fn main() -> ExitCode {
    let program = artifacts::release("hotcall", &[]);
    let folder = tempfile::tempdir().unwrap();
    let version = folder.path().join("version.so");
    artifacts::compile_c(
        &repository().join("tests/fixtures/version.c"),
        &version,
        &["-DVERSION=1"],
    );
    let server = Setup::new().program(&program).log("warn").plugin("version.so", &version).start();
    let good = Good::default();
    let is_right = |client: &Client| matches!(client.call("version", ()), Ok(Value::Int(1)));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| good.call_on(&server.client(), is_right));
        }
        let _end = End(&good.done);
        thread::sleep(WARM_UP);
        Good::print_heading();
        good.during("quiet", || thread::sleep(QUIET));
        for (number, (fixture, define)) in HARMS.iter().enumerate() {
            let file = folder.path().join(format!("harm-{number}.so"));
            let source = repository().join("host/tests/fixtures").join(fixture);
            artifacts::compile_c(&source, &file, &["-Wno-error", &format!("-D{define}")]);
            good.during(define, || harm(&server, &file));
        }
        good.during("quiet again", || thread::sleep(QUIET));
    });
    match good.failed.into_inner() {
        0 => ExitCode::SUCCESS,
        failed => {
            eprintln!("{failed} calls failed:\n{}", server.log());
            ExitCode::FAILURE
        }
    }
}

/// Puts the file into the directory, and waits until it is refused.
fn harm(server: &Server, file: &Path) {
    let (name, began) = (file.file_name().unwrap().to_str().unwrap(), Instant::now());
    fs::copy(file, server.beside("incoming")).unwrap();
    fs::rename(server.beside("incoming"), server.plugins().join(name)).unwrap();
    let is_refused =
        || server.log().lines().any(|line| line.contains(name) && line.contains("is not served"));
    wait_until(format!("the refusal of {name} within {WAIT_MAX:?}"), is_refused);
    thread::sleep(HARM_MIN.saturating_sub(began.elapsed()));
}
