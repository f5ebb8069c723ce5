//! What busy plugins do to a quiet one: how long the calls of an echo take while other plugins are
//! asked for what sleeps, for what computes, and for documents of 16 MiB, each alone and all at
//! once. Prints the figures of NEIGHBOURS.md and fails when a claim of it does not hold.
//!
//! `make bench-neighbours`, or `cargo bench --package hotcall-tests --bench neighbours`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that cannot run has nothing to report"
)]

use hotcall::client::Client;
use hotcall::xmlrpc::Value;
use hotcall_tests::good::Good;
use hotcall_tests::load::End;
use hotcall_tests::wire::{Wire, call, post};
use hotcall_tests::{Server, Setup, artifacts, repository};
use rustix::process::setpriority_process;
use rustix::thread::gettid;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const WARM_UP: Duration = Duration::from_secs(2);
const PHASE: Duration = Duration::from_secs(15);
const SLEEPERS: usize = 100;
const COMPUTERS: usize = 100;
const SENDERS: usize = 20;
/// The priority of the busy callers: the least.
const NICE: i32 = 19;
/// What the server asks of a refused caller.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const DOCUMENT_BYTES: usize = 16 << 20;
/// The calm median may grow by so much.
const MEDIAN_TIMES_MAX: f64 = 3.0;
const P99_MS_MAX: f64 = 25.0;

/// Callers of a busy plugin, and what they send.
struct Busy {
    what: &'static str,
    callers: usize,
    request: String,
}

fn main() -> ExitCode {
    let server = serve();
    let kinds = [
        Busy { what: "sleeps 2 s", callers: SLEEPERS, request: request("slow.nap", 2_000) },
        Busy { what: "computes 50 ms", callers: COMPUTERS, request: request("busy.compute", 50) },
        Busy { what: "16 MiB documents", callers: SENDERS, request: document() },
    ];
    let good = Good::default();
    let client = hotcall_tests::client(server.url()).build().unwrap();
    let is_echo = |client: &Client| matches!(client.call("quiet.echo", (7,)), Ok(Value::Int(7)));
    let (calm, busy) = thread::scope(|scope| {
        scope.spawn(|| good.call_on(&client, is_echo));
        let _end = End(&good.done);
        thread::sleep(WARM_UP);
        Good::print_heading();
        let calm = good.during("calm", || thread::sleep(PHASE)).1;
        let mut busy: Vec<_> = kinds.iter().map(|kind| beside(&good, &server, &[kind])).collect();
        busy.push(beside(&good, &server, &kinds.each_ref()));
        (calm, busy)
    });
    let failed = good.failed.into_inner();
    let median = busy.iter().map(|[median, _]| median / calm[0]).fold(0.0, f64::max);
    let p99 = busy.iter().map(|[_, p99]| *p99).fold(0.0, f64::max);
    println!("\nmedian, at most {median:.1} times the calm one; 99 % within {p99:.1} ms");
    println!("failed calls of the echo: {failed}");
    if failed == 0 && median <= MEDIAN_TIMES_MAX && p99 <= P99_MS_MAX {
        return ExitCode::SUCCESS;
    }
    eprintln!("more than {MEDIAN_TIMES_MAX} times, {P99_MS_MAX} ms or 0 calls\n{}", server.log());
    ExitCode::FAILURE
}

/// A server with a plugin of each kind, and room for all documents at once.
fn serve() -> Server {
    let program = artifacts::release("hotcall", &[]);
    let folder = tempfile::tempdir().unwrap();
    let mut setup =
        Setup::new().program(&program).log("warn").argument("--http=127.0.0.1:0").config(
            "[limits]\nbodies_bytes_max = 2_000_000_000\nbodies_per_address_percent_max = 100\n",
        );
    for name in ["slow", "busy", "large", "quiet"] {
        let file = folder.path().join(format!("{name}.so"));
        let define = format!("-DPLUGIN=\"{name}\"");
        artifacts::compile_c(&repository().join("tests/fixtures/neighbour.c"), &file, &[&define]);
        setup = setup.plugin(&format!("{name}.so"), &file);
    }
    setup.start()
}

/// The times of the good calls while the callers of these are busy.
fn beside(good: &Good, server: &Server, kinds: &[&Busy]) -> [f64; 2] {
    let (done, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let what: Vec<_> = kinds.iter().map(|kind| kind.what).collect();
    let times = thread::scope(|scope| {
        for kind in kinds {
            for _ in 0..kind.callers {
                scope.spawn(|| call_on(server, &kind.request, &done, &answered));
            }
        }
        let _end = End(&done);
        thread::sleep(WARM_UP);
        good.during(&what.join(", "), || thread::sleep(PHASE)).1
    });
    println!("  ({} answers to the busy callers)", answered.into_inner());
    times
}

/// Sends a request again and again. A refused caller waits first, as the server asks.
fn call_on(server: &Server, request: &str, done: &AtomicBool, answered: &AtomicU64) {
    // Elsewhere they would have a processor of their own.
    setpriority_process(Some(gettid()), NICE).unwrap();
    let mut wire = Wire::to(server);
    while !done.load(Ordering::Relaxed) {
        wire.send(request);
        match wire.answer() {
            answer if answer.status == 503 => thread::sleep(RETRY_AFTER),
            answer => {
                assert!(answer.text().contains("<int>"), "{answer:?}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn request(method: &str, number: i32) -> String {
    post("", &call(method, number))
}

fn document() -> String {
    const ITEM: &str = "<value><int>1234567</int></value>";
    let items = ITEM.repeat(DOCUMENT_BYTES / ITEM.len() - 10);
    let document = format!(
        "<methodCall><methodName>large.take</methodName><params><param><value><array><data>{items}\
         </data></array></value></param></params></methodCall>"
    );
    post("", &document)
}
