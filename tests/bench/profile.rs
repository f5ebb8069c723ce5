//! The instructions that one `add` over a kept connection without TLS takes in the server, by
//! function.
//!
//! `make profile`. Callgrind counts instructions, so the figures repeat on any machine, also on a
//! busy one. It does not see the kernel, and it counts nothing for waiting.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that cannot run has nothing to report"
)]

use hotcall_tests::wire::{Wire, post};
use hotcall_tests::{Server, Setup, artifacts};
use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

/// After so many calls, tables and buffers have the size that they keep.
const WARM_UP_CALLS: usize = 200;
const CALLS: usize = 2_000;
/// How many functions are printed.
const SHOWN: usize = 30;

/// Instructions by function.
type Costs = BTreeMap<String, u64>;

fn main() {
    let program = std::env::args().skip(1).find(|given| !given.starts_with("--"));
    let program = program.map_or_else(|| artifacts::release("hotcall", &[]), PathBuf::from);
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::start(&program, directory.path().join("callgrind"));
    let (same, other) = (add("2", "3"), add("20", "30"));
    for (title, requests) in [
        ("of two lengths in turn, so that each has another head", [&same, &other]),
        ("the same each time", [&same, &same]),
    ] {
        scene.costs(requests, WARM_UP_CALLS);
        let once = scene.costs(requests, CALLS);
        let twice = scene.costs(requests, 2 * CALLS);
        print(title, &once, &twice);
    }
}

/// A request, and the sum that answers it.
fn add(one: &str, other: &str) -> (String, i32) {
    let param = |int: &str| format!("<param>\n<value><int>{int}</int></value>\n</param>\n");
    let document = format!(
        "<?xml version='1.0'?>\n<methodCall>\n<methodName>add</methodName>\n<params>\n{}{}\
         </params>\n</methodCall>\n",
        param(one),
        param(other)
    );
    let sum = [one, other].iter().map(|int| int.parse::<i32>().unwrap()).sum();
    (post("Content-Type: text/xml\r\n", &document), sum)
}

/// The server, a connection to it, and where callgrind writes.
struct Scene {
    server: Server,
    wire: Wire<TcpStream>,
    dumps: PathBuf,
    dumps_written: u32,
}

impl Scene {
    fn start(program: &Path, dumps: PathBuf) -> Self {
        let server = serve(program, &dumps);
        let wire = Wire::to(&server);
        Self { server, wire, dumps, dumps_written: 0 }
    }

    /// The costs of so many calls, and of all else that the server did since the last dump.
    fn costs(&mut self, requests: [&(String, i32); 2], calls: usize) -> Costs {
        for (request, sum) in requests.into_iter().cycle().take(calls) {
            self.wire.send(request);
            let answer = self.wire.answer();
            assert!(answer.is_int(*sum), "{answer:?}");
        }
        dump(&self.server);
        self.dumps_written += 1;
        let file = format!("{}.{}", self.dumps.display(), self.dumps_written);
        costs(&std::fs::read_to_string(file).unwrap())
    }
}

/// Starts the server under callgrind. The trial of a plugin is off: it runs this program again,
/// which under valgrind is valgrind itself.
fn serve(program: &Path, dumps: &Path) -> Server {
    let callgrind = format!(
        "exec valgrind --quiet --tool=callgrind --compress-strings=no --compress-pos=no \
         --callgrind-out-file='{}' \"$0\" \"$@\"",
        dumps.display()
    );
    Setup::new()
        .program(program)
        .plugin("arithmetic.so", &artifacts::release("arithmetic", &[]))
        .config("probe = false\n")
        .argument("--http=127.0.0.1:0")
        .log("warn")
        .after(&callgrind)
        .start()
}

/// Has callgrind write what it counted since the last dump.
fn dump(server: &Server) {
    let pid = server.pid().to_string();
    artifacts::run(Command::new("callgrind_control").args(["--dump", &pid]));
}

/// Adds up a dump by function, without what the functions called. The format is in valgrind's
/// manual, "Callgrind Format Specification".
fn costs(dump: &str) -> Costs {
    let mut costs = Costs::new();
    let mut function = "";
    let mut lines = dump.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = name;
        } else if line.starts_with("calls=") {
            // The next line is the cost of the functions called.
            lines.next();
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            let cost = line.split(' ').nth(1).map_or(0, |cost| cost.parse().expect("a cost"));
            *costs.entry(function.to_owned()).or_default() += cost;
        }
    }
    costs
}

/// Prints what more calls cost more, so that the costs of a dump and of a start cancel out.
fn print(title: &str, once: &Costs, twice: &Costs) {
    let per_call = |twice: u64, once: u64| (twice as f64 - once as f64) / CALLS as f64;
    let mut functions: Vec<_> = twice
        .iter()
        .map(|(name, cost)| (per_call(*cost, once.get(name).copied().unwrap_or(0)), name))
        .collect();
    functions.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    let total = per_call(twice.values().sum(), once.values().sum());
    println!("instructions per call of add, {title}: {total:.0}");
    for (cost, name) in functions.iter().take(SHOWN) {
        println!("{cost:8.0}  {:4.1} %  {name}", 100.0 * cost / total);
    }
}
