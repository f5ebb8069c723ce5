//! What a reload costs: a plugin in Rust is replaced a thousand times, two versions in turn, while
//! clients call it over HTTPS. Before that it is replaced without clients, by a rename and in place
//! in turn. Prints the figures of RELOAD.md and fails when a call failed, an answer was wrong, or
//! something leaks.
//!
//! `make bench-reload`, or `cargo bench --package hotcall-tests --bench reload -- [RELOADS]`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that cannot run has nothing to report"
)]

use hotcall::client::Client;
use hotcall::xmlrpc::Value;
use hotcall_tests::{Server, Setup, WAIT_MAX, artifacts};
use std::fs;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const RELOADS: u64 = 1_000;
/// Reloads without clients, of each kind.
const QUIET_RELOADS: usize = 30;
const CLIENTS: usize = 8;
const WARM_UP: Duration = Duration::from_secs(3);
const METHOD: &str = "echo.version";
/// Between two questions of the client that waits for the new version.
const ASK_GAP: Duration = Duration::from_millis(1);
/// Before each reload without clients.
const QUIET_GAP: Duration = Duration::from_millis(200);
/// What resident memory may grow by in RELOADS reloads.
const GROWTH_KB_MAX: u64 = 60 << 10;

/// What the clients and the replacer tell each other.
#[derive(Default)]
struct Shared {
    /// Twice the number of finished reloads, and one more while a reload is under way.
    phase: AtomicU64,
    calls: AtomicU64,
    failed: AtomicU64,
    wrong: AtomicU64,
    done: AtomicBool,
}

/// What the process holds.
#[derive(Clone, Copy)]
struct Holds {
    resident_kb: u64,
    descriptors: u64,
    threads: u64,
}

struct Load {
    reload_times: Vec<Duration>,
    elapsed: Duration,
}

fn main() -> ExitCode {
    // cargo passes --bench.
    let reloads =
        std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(RELOADS);
    let program = artifacts::release("hotcall", &[]);
    let folder = tempfile::tempdir().unwrap();
    let versions = ["0", "1"].map(|version| {
        let kept = folder.path().join(format!("version-{version}.so"));
        fs::copy(artifacts::release("echo", &[("ECHO_VERSION", version)]), &kept).unwrap();
        fs::read(kept).unwrap()
    });
    let server = Setup::new()
        .program(&program)
        .log("warn")
        // Workers are started as calls need them: with one, each thread more is a leak. The method
        // is quick and needs none.
        .argument("--workers=1")
        .plugin("echo.so", &folder.path().join("version-0.so"))
        .start();

    report_quiet(quiet_reloads(&server, &versions));

    // Threads and buffers that come with the first clients and stay are no leak.
    run(&server, &Shared::default(), |_| thread::sleep(WARM_UP));
    let before = settled(&server, None);
    let shared = Shared::default();
    let load = run(&server, &shared, |shared| reload(&server, shared, &versions, reloads));
    let after = settled(&server, Some(before));
    report(reloads, &shared, load, before, after, versions[0].len())
}

/// Runs `work` while the clients call.
fn run<R>(server: &Server, shared: &Shared, work: impl FnOnce(&Shared) -> R) -> R {
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| call_on(&server.client(), shared));
        }
        let result = work(shared);
        shared.done.store(true, Ordering::Release);
        result
    })
}

fn call_on(client: &Client, shared: &Shared) {
    while !shared.done.load(Ordering::Acquire) {
        let before = shared.phase.load(Ordering::Acquire);
        let answer = client.call(METHOD, vec![]);
        let after = shared.phase.load(Ordering::Acquire);
        shared.calls.fetch_add(1, Ordering::Relaxed);
        match answer {
            Ok(answer) if is_right(&answer, before, after) => {}
            Ok(_) => drop(shared.wrong.fetch_add(1, Ordering::Relaxed)),
            Err(_) => drop(shared.failed.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// A call that no reload touched has one right answer; another may have either.
fn is_right(answer: &Value, before: u64, after: u64) -> bool {
    let is = |version: u64| *answer == Value::from(version.to_string().as_str());
    if before == after && before.is_multiple_of(2) { is(before / 2 % 2) } else { is(0) || is(1) }
}

/// Replaces the plugin, each time once the version before has answered.
fn reload(server: &Server, shared: &Shared, versions: &[Vec<u8>; 2], reloads: u64) -> Load {
    let (client, file, beside) =
        (server.client(), server.plugins().join("echo.so"), server.beside("incoming"));
    let began = Instant::now();
    let mut reload_times = Vec::new();
    for number in 1..=reloads {
        let (version, content) =
            if number.is_multiple_of(2) { ("0", &versions[0]) } else { ("1", &versions[1]) };
        fs::write(&beside, content).unwrap();
        shared.phase.fetch_add(1, Ordering::AcqRel);
        let placed = Instant::now();
        fs::rename(&beside, &file).unwrap();
        while client.call::<Value>(METHOD, vec![]).expect("the server answers")
            != Value::from(version)
        {
            assert!(
                placed.elapsed() < WAIT_MAX,
                "reload {number} did not come to serve:\n{}",
                server.log()
            );
            thread::sleep(ASK_GAP);
        }
        reload_times.push(placed.elapsed());
        shared.phase.fetch_add(1, Ordering::AcqRel);
        if number.is_multiple_of(100) {
            eprintln!("{number} reloads, {} kB resident", Holds::of(server).resident_kb);
        }
    }
    Load { reload_times, elapsed: began.elapsed() }
}

/// From the change of the file to the new version's first answer while nobody else calls: renamed
/// and written in place.
fn quiet_reloads(server: &Server, versions: &[Vec<u8>; 2]) -> [Vec<Duration>; 2] {
    let (client, file, beside) =
        (server.client(), server.plugins().join("echo.so"), server.beside("incoming"));
    let rename: &dyn Fn() = &|| fs::rename(&beside, &file).unwrap();
    let write: &dyn Fn() = &|| {
        fs::copy(&beside, &file).unwrap();
    };
    let mut version = 0;
    [rename, write].map(|replace| {
        let mut times = Vec::new();
        for _ in 0..QUIET_RELOADS {
            version = 1 - version;
            fs::write(&beside, &versions[version]).unwrap();
            // What the last reload left to do is done by then.
            thread::sleep(QUIET_GAP);
            let placed = Instant::now();
            replace();
            let expected = Value::from(version.to_string().as_str());
            while client.call::<Value>(METHOD, vec![]).expect("the server answers") != expected {
                assert!(placed.elapsed() < WAIT_MAX, "never reloaded:\n{}", server.log());
                thread::sleep(ASK_GAP);
            }
            times.push(placed.elapsed());
        }
        times
    })
}

fn report_quiet(times: [Vec<Duration>; 2]) {
    let [renamed, written] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e3
    });
    println!("median of {QUIET_RELOADS} reloads without clients");
    println!("  by a rename          {renamed:.0} ms, {:.2} of the next", renamed / written);
    println!("  in place             {written:.0} ms");
}

impl Holds {
    fn of(server: &Server) -> Self {
        let process = format!("/proc/{}", server.pid());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        let descriptors = fs::read_dir(format!("{process}/fd")).unwrap().count() as u64;
        Self { resident_kb: value("VmRSS:"), threads: value("Threads:"), descriptors }
    }
}

/// What the process holds when the clients' connections are gone: threads and descriptors as in
/// `before`, or when they have stayed the same for a while.
fn settled(server: &Server, before: Option<Holds>) -> Holds {
    const SAME_FOR: Duration = Duration::from_secs(10);
    let mut held = Holds::of(server);
    let mut since = Instant::now();
    while since.elapsed() < SAME_FOR {
        thread::sleep(Duration::from_millis(100));
        let now = Holds::of(server);
        if (now.descriptors, now.threads) != (held.descriptors, held.threads) {
            since = Instant::now();
        }
        held = now;
        if before.is_some_and(|before| {
            held.descriptors <= before.descriptors && held.threads <= before.threads
        }) {
            break;
        }
    }
    held
}

fn report(
    reloads: u64,
    shared: &Shared,
    load: Load,
    before: Holds,
    after: Holds,
    plugin_bytes: usize,
) -> ExitCode {
    let Load { mut reload_times, elapsed } = load;
    reload_times.sort_unstable();
    let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
    let [calls, failed, wrong] = [&shared.calls, &shared.failed, &shared.wrong]
        .map(|counter| counter.load(Ordering::Relaxed));
    let growth_kb = after.resident_kb.saturating_sub(before.resident_kb);
    println!("reloads                {reloads}, of a plugin of {} kB", plugin_bytes >> 10);
    println!(
        "clients                {CLIENTS} over HTTPS, and one that waits for each new version"
    );
    println!("calls                  {calls} in {:.1} s", elapsed.as_secs_f64());
    println!("failed calls           {failed}");
    println!("wrong answers          {wrong}");
    println!("calls/s                {:.0}", calls as f64 / elapsed.as_secs_f64());
    println!("reload, median         {:.0} ms", ms(reload_times.get(reload_times.len() / 2)));
    println!("reload, longest        {:.0} ms", ms(reload_times.last()));
    println!(
        "resident memory        {} kB before, {} kB after",
        before.resident_kb, after.resident_kb
    );
    println!(
        "growth                 {growth_kb} kB, {:.1} kB a generation",
        growth_kb as f64 / reloads as f64
    );
    println!("descriptors            {} before, {} after", before.descriptors, after.descriptors);
    println!("threads                {} before, {} after", before.threads, after.threads);
    let is_kept = failed == 0
        && wrong == 0
        && growth_kb < GROWTH_KB_MAX
        && after.descriptors <= before.descriptors
        && after.threads <= before.threads;
    if is_kept {
        ExitCode::SUCCESS
    } else {
        eprintln!(
            "a requirement is not kept: no failed call, no wrong answer, growth below \
             {GROWTH_KB_MAX} kB, no leak"
        );
        ExitCode::FAILURE
    }
}
