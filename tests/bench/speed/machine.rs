//! What the figures were measured on and with.

use crate::plan::Form;
use hotcall_tests::repository;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

/// Lines of a table: what, and which.
pub struct Machine(Vec<(&'static str, String)>);

/// Processor time since the machine's start, in ticks.
#[derive(Clone, Copy)]
pub struct Taken {
    all: f64,
    idle: f64,
    interrupts: f64,
    stolen: f64,
    ours: f64,
}

impl Taken {
    /// Until now: by everybody, and by this process and the children that it has waited for.
    pub fn now() -> Self {
        let stat = |file| fs::read_to_string(file).unwrap_or_default();
        let numbers = |text: &str| {
            text.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<f64>>()
        };
        // user nice system idle iowait irq softirq steal, and guests, which are in user and nice
        // already.
        let machine = numbers(stat("/proc/stat").lines().next().unwrap_or_default());
        let machine =
            |from: usize, count: usize| machine.iter().skip(from).take(count).sum::<f64>();
        // The name, which may hold anything, ends with a parenthesis. utime is the 11th number
        // behind it, and stime, cutime and cstime follow.
        let own = stat("/proc/self/stat");
        let own = numbers(own.rsplit_once(')').map_or("", |(_, numbers)| numbers));
        Self {
            all: machine(0, 8),
            idle: machine(3, 2),
            interrupts: machine(5, 2),
            stolen: machine(7, 1),
            ours: own.iter().skip(10).take(4).sum(),
        }
    }
}

impl Machine {
    /// With who has had the processor since then. What is measured beside others is theirs too.
    pub fn add_taken(&mut self, since: &Taken) {
        let now = Taken::now();
        let share = |part: fn(&Taken) -> f64| {
            format!("{:.1} %", (part(&now) - part(since)) / (now.all - since.all) * 100.0)
        };
        self.0.extend([
            (
                "of the processor time in the rounds: the bench, its servers and generators",
                share(|taken| taken.ours),
            ),
            ("of it: nobody", share(|taken| taken.idle)),
            ("of it: stolen by the machine's host", share(|taken| taken.stolen)),
            ("of it: interrupts, which no process has", share(|taken| taken.interrupts)),
            (
                "of it: others, which is what is left; below 0 if the kernel counts processes by \
                 finer steps than the machine",
                share(|taken| {
                    taken.all - taken.idle - taken.stolen - taken.interrupts - taken.ours
                }),
            ),
        ]);
    }

    /// As the rows of a table in Markdown.
    pub fn rows(&self) -> String {
        self.0.iter().fold(String::new(), |mut rows, (what, which)| {
            writeln!(rows, "| {what} | {which} |").expect("a string takes it");
            rows
        })
    }
}

/// Asks the system and each program.
pub fn describe(form: &Form) -> Machine {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let crates = ["dxr", "dxr_server", "dxr_client", "axum", "hyper", "reqwest", "tokio-openssl"];
    let dxr = locked("tests/bench/peers/dxr/Cargo.lock", &crates);
    let npm = fs::read_to_string(repository().join("tests/foreign/node/package.json"))
        .unwrap_or_default();
    let npm: serde_json::Value = serde_json::from_str(&npm).unwrap_or_default();
    let npm = npm["dependencies"]["xmlrpc"].as_str().unwrap_or("unknown").to_owned();
    let node = said(Command::new("node").arg("--version"));
    let seconds = form.point_s;
    Machine(vec![
        ("date", said(Command::new("date").args(["--utc", "+%Y-%m-%d %H:%M UTC"]))),
        ("hotcall", format!("{} at {}", env!("CARGO_PKG_VERSION"), commit())),
        ("processor", format!("{cores} cores of {}", field("/proc/cpuinfo", "model name"))),
        ("memory", field("/proc/meminfo", "MemTotal")),
        ("load average at the start", load_average()),
        ("Linux", said(Command::new("uname").arg("-r"))),
        ("C library", said(Command::new("getconf").arg("GNU_LIBC_VERSION"))),
        ("rustc", said(Command::new("rustc").arg("--version"))),
        ("OpenSSL", openssl::version::version().to_owned()),
        ("wrk", said(Command::new("wrk").arg("-v"))),
        ("perf", said(Command::new("perf").arg("--version"))),
        ("nginx", said(Command::new("nginx").arg("-v"))),
        ("dxr + axum", dxr),
        ("Python", said(Command::new("python3").arg("--version"))),
        ("xmlrpc-c", said(Command::new("xmlrpc-c-config").arg("--version"))),
        ("Node, npm's xmlrpc", format!("{node}, {npm}")),
        ("rounds, seconds for each measurement", format!("{}, {seconds}", form.rounds)),
    ])
}

/// The first line that a program prints, whatever its exit status: wrk's is 1 for its version, and
/// nginx prints on standard error.
fn said(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return "unknown".to_owned() };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or("unknown");
    let line = line.split(" Copyright").next().unwrap_or(line);
    line.trim_start_matches("nginx version: ").trim().to_owned()
}

fn field(file: &str, key: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(':'));
    line.unwrap_or("unknown").trim().to_owned()
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// The commit, and whether anything differs from it.
fn commit() -> String {
    let git =
        |arguments: &[&str]| said(Command::new("git").current_dir(repository()).args(arguments));
    let sources =
        ["status", "--porcelain", "--untracked-files=no", "--", ".", ":!tests/bench/RESULTS.md"];
    let is_changed = !matches!(git(&sources).as_str(), "" | "unknown");
    format!(
        "{}{}",
        git(&["rev-parse", "--short", "HEAD"]),
        if is_changed { ", with changes" } else { "" }
    )
}

/// The versions of crates in a lock file.
fn locked(file: impl AsRef<Path>, crates: &[&str]) -> String {
    let text = fs::read_to_string(repository().join(file)).unwrap_or_default();
    let version = |name: &&str| {
        let entry = text.split_once(&format!("name = \"{name}\"\nversion = \""))?.1;
        Some(format!("{name} {}", entry.split('"').next()?))
    };
    crates.iter().filter_map(version).collect::<Vec<_>>().join(", ")
}
