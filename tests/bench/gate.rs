//! What bad clients do to a good one: how long its calls take while thousands of others are silent
//! or slow, whether those are gone by their deadlines, what an idle connection costs, and what
//! slowhttptest says. Prints the figures of GATE.md and fails when a claim of it does not hold.
//!
//! `make bench-gate`, or `cargo bench --package hotcall-tests --bench gate`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that cannot run has nothing to report"
)]

use hotcall::client::Client;
use hotcall::xmlrpc::Value;
use hotcall_tests::good::Good;
use hotcall_tests::idle::{Idle, connect, connector, status};
use hotcall_tests::load::End;
use hotcall_tests::wire::address;
use hotcall_tests::{Server, Setup, artifacts, repository};
use openssl::ssl::SslStream;
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

const SILENT: usize = 2_000;
const SLOW: usize = 500;
const IDLE: usize = 5_000;
/// From one byte of a slow client to its next.
const DRIP: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(10);
/// The server's limits, lower than its defaults, because the bench waits for each, and all
/// different, so that each shows.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
const IDLE_MAX: Duration = Duration::from_secs(20);
const REQUEST_MAX: Duration = Duration::from_secs(15);
/// What the server adds to a deadline at most: a last answer may take a second to be written, and
/// another to be read. And what this process may be late in noticing.
const LATE_MAX: Duration = Duration::from_secs(4);
/// The median and the 99th percentile under attack may be so many times what they were in quiet,
/// and so many milliseconds more.
const MEDIAN_MAX: (f64, f64) = (2.0, 2.0);
const P99_MAX: (f64, f64) = (3.0, 10.0);
/// What an idle connection with TLS may cost.
const IDLE_KB_MAX: f64 = 64.0;

const CALL: &str = "<methodCall><methodName>version</methodName></methodCall>";

/// A bad client: when its deadline began, and when it was closed.
struct Bad {
    stream: SslStream<TcpStream>,
    began: Instant,
    gone: Option<Duration>,
}

/// What must hold, and whether it did.
struct Claims(Vec<(String, bool)>);

fn main() -> ExitCode {
    let program = artifacts::release("hotcall", &[]);
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("version.so");
    artifacts::compile_c(&repository().join("tests/fixtures/version.c"), &plugin, &["-DVERSION=1"]);
    let ms = |limit: Duration| limit.as_millis();
    let (handshake, idle, request) = (ms(HANDSHAKE_MAX), ms(IDLE_MAX), ms(REQUEST_MAX));
    let deadlines = format!(
        "connections_per_address_max = 10_000\nhandshake_ms_max = {handshake}\n\
         idle_ms_max = {idle}\nrequest_ms_max = {request}\n"
    );
    let start = |limits: &str| {
        // Workers are started as calls need them, so with one the number of threads is of the
        // connections alone.
        let config = format!("workers = 1\n[limits]\n{limits}");
        Setup::new()
            .program(&program)
            .log("warn")
            .plugin("version.so", &plugin)
            .config(&config)
            .start()
    };
    let mut claims = Claims(Vec::new());
    attack(&start(&deadlines), &mut claims);
    hold(&start("connections_per_address_max = 10_000\n"), &mut claims);
    run_slowhttptest(&start(""), folder.path(), &mut claims);
    claims.report()
}

impl Claims {
    fn add(&mut self, what: impl Into<String>, holds: bool) {
        self.0.push((what.into(), holds));
    }

    fn report(&self) -> ExitCode {
        println!();
        for (what, holds) in &self.0 {
            println!("{:<8} {what}", if *holds { "holds" } else { "BROKEN" });
        }
        if self.0.iter().all(|(_, holds)| *holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Thousands that are silent before the handshake and after it, and hundreds that send a byte a
/// second.
fn attack(server: &Server, claims: &mut Claims) {
    let good = Good::default();
    let is_right = |client: &Client| matches!(client.call("version", ()), Ok(Value::Int(1)));
    thread::scope(|scope| {
        scope.spawn(|| good.call_on(&server.client(), is_right));
        let _end = End(&good.done);
        Good::print_heading();
        let (_, quiet) = good.during("quiet", || thread::sleep(QUIET));
        let threads = status(server, "Threads:");
        let (bad, _) = good.during("while they come", || come(server));
        let came = status(server, "Threads:");
        let ((gone, stayed), busy) = good.during("while they stay", || stay(server, bad));
        let (_, calm) = good.during("after they are gone", || thread::sleep(QUIET));
        println!(
            "threads                          {threads} before, {came} and up to {stayed} with {} \
             clients",
            2 * SILENT + SLOW
        );
        // The quieter of the two: other work on the machine must not make the attack look harmless.
        let limits = [("median", MEDIAN_MAX), ("99th percentile", P99_MAX)];
        for (((what, (times, more)), busy), quiet) in limits
            .into_iter()
            .zip(busy)
            .zip(quiet.into_iter().zip(calm).map(|(one, other)| one.min(other)))
        {
            let holds = busy <= quiet.mul_add(times, more);
            claims.add(
                format!("the {what} is at most {times} times that in quiet, and {more} ms more"),
                holds,
            );
        }
        claims.add("the number of threads does not change", came == threads && stayed == threads);
        for (what, limit, times) in gone {
            let last = times.iter().flatten().max().copied().unwrap_or_default();
            println!(
                "{what:<32} gone after {:.1} s at most; the limit is {} s",
                last.as_secs_f64(),
                limit.as_secs()
            );
            let are_gone =
                times.iter().all(|time| time.is_some_and(|time| time <= limit + LATE_MAX));
            claims.add(format!("each that is {what} is gone by its deadline"), are_gone);
        }
    });
    claims.add("no call of the good client fails", good.failed.into_inner() == 0);
}

/// Opens the bad clients' connections: those that are silent before the handshake, those that are
/// silent after it, and the slow.
fn come(server: &Server) -> [Vec<Bad>; 3] {
    let connector = connector();
    let shaken = |_| Bad { stream: connect(server, &connector), began: Instant::now(), gone: None };
    let idle = (0..SILENT).map(shaken).collect();
    let slow = (0..SLOW).map(shaken).collect();
    let ssl = connector.configure().unwrap().into_ssl("localhost").unwrap();
    let context = ssl.ssl_context().to_owned();
    let unshaken = |_| {
        let stream = TcpStream::connect(address(server.url())).unwrap();
        let ssl = openssl::ssl::Ssl::new(&context).unwrap();
        Bad { stream: SslStream::new(ssl, stream).unwrap(), began: Instant::now(), gone: None }
    };
    [(0..SILENT).map(unshaken).collect(), idle, slow]
}

type Gone = (&'static str, Duration, Vec<Option<Duration>>);

/// Waits for the end of each, or for long enough: when they were gone, and the most threads that
/// the server had meanwhile.
fn stay(server: &Server, mut bad: [Vec<Bad>; 3]) -> ([Gone; 3], u64) {
    const PATIENCE: Duration = Duration::from_secs(60);
    let began = Instant::now();
    let mut threads = 0;
    let mut header =
        b"POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nX: ".iter().chain([b'x'; 1].iter().cycle());
    let [_, _, slow] = &mut bad;
    for client in slow.iter_mut() {
        client.began = Instant::now();
    }
    let mut dripped = None::<Instant>;
    while bad.iter().flatten().any(|client| client.gone.is_none()) && began.elapsed() < PATIENCE {
        if dripped.is_none_or(|last| last.elapsed() >= DRIP) {
            dripped = Some(Instant::now());
            let byte = [*header.next().unwrap()];
            let [_, _, slow] = &mut bad;
            for client in slow.iter_mut().filter(|client| client.gone.is_none()) {
                drop(client.stream.write(&byte));
            }
        }
        wait_for_ends(bad.iter_mut().flatten().filter(|client| client.gone.is_none()).collect());
        threads = threads.max(status(server, "Threads:"));
    }
    let times = |clients: &[Bad]| clients.iter().map(|client| client.gone).collect();
    let [unshaken, idle, slow] = &bad;
    let gone = [
        ("silent before the handshake", HANDSHAKE_MAX, times(unshaken)),
        ("silent after it", IDLE_MAX, times(idle)),
        ("slow", REQUEST_MAX, times(slow)),
    ];
    (gone, threads)
}

/// Waits a moment for something to happen, and notes whose connections have ended.
fn wait_for_ends(mut clients: Vec<&mut Bad>) {
    let mut polled: Vec<_> =
        clients.iter().map(|client| PollFd::new(client.stream.get_ref(), PollFlags::IN)).collect();
    let wait = rustix::time::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    poll(&mut polled, Some(&wait)).unwrap();
    let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
    for (client, _) in clients.iter_mut().zip(ready).filter(|(_, is_ready)| *is_ready) {
        // What comes before the end, tickets and alerts, is of no interest.
        let stream = client.stream.get_mut();
        stream.set_nonblocking(true).unwrap();
        let end = loop {
            match stream.read(&mut [0; 4_096]) {
                Ok(1..) => {}
                Ok(0) => break true,
                Err(error) => break error.kind() != ErrorKind::WouldBlock,
            }
        };
        stream.set_nonblocking(false).unwrap();
        client.gone = end.then(|| client.began.elapsed());
    }
}

/// Thousands of connections that have shaken hands, and then do nothing until they are asked
/// whether they are still served.
fn hold(server: &Server, claims: &mut Claims) {
    let idle = Idle::hold(server, IDLE, CALL, |answer| answer.is_int(1));
    println!(
        "{IDLE} idle connections with TLS  {} kB resident without them; {:.1} kB each before a \
         call, {:.1} kB each after one",
        idle.before,
        idle.each_fresh(),
        idle.each_used()
    );
    claims.add(format!("{IDLE} idle connections are still served"), idle.served == IDLE);
    claims.add(format!("each costs at most {IDLE_KB_MAX} kB"), idle.each_used() <= IDLE_KB_MAX);
}

/// slowhttptest's own verdict, in each of its ways to be slow, on the default limits.
fn run_slowhttptest(server: &Server, folder: &Path, claims: &mut Claims) {
    for (way, what) in [("-H", "headers"), ("-B", "bodies"), ("-X", "reads")] {
        let mut test = Command::new("slowhttptest");
        test.current_dir(folder)
            .args([way, "-c", "900", "-r", "300", "-i", "1", "-l", "15", "-x", "1", "-p", "2"]);
        test.args(["-t", "POST", "-u", server.url()]);
        let Ok(output) = test.output() else {
            claims.add("slowhttptest can be run: install the Debian package", false);
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let verdicts: Vec<bool> = text
            .lines()
            .filter_map(|line| line.split_once("service available:"))
            .map(|(_, verdict)| verdict.contains("YES"))
            .collect();
        println!(
            "slowhttptest, slow {what}: available in {} of {} looks",
            verdicts.iter().filter(|v| **v).count(),
            verdicts.len()
        );
        claims.add(
            format!("slowhttptest finds the service available beside slow {what}"),
            !verdicts.is_empty() && verdicts.iter().all(|verdict| *verdict),
        );
    }
}
