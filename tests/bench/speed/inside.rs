//! What Hotcall does while it is under load: its system calls for each answer, and where its
//! processor time goes. perf looks at it.

use crate::documents::{self, Exchange};
use crate::peers::Programs;
use crate::rounds::look_at_one;
use crate::target::Target;
use crate::wrk::{Counted, Wrk, counted};
use hotcall_tests::Server;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// What is counted apart, and what it is for where its name does not say so.
pub const CALLS: [(&str, &str); 10] = [
    ("recvfrom", ""),
    ("sendto", ""),
    ("read", ""),
    ("write", ", which wakes a thread"),
    ("sendmsg", ""),
    ("epoll_wait", ""),
    ("epoll_ctl", ""),
    ("futex", ""),
    ("sched_yield", ""),
    ("pread64", ", of the time that others ran"),
];
const ALL: &str = "raw_syscalls:sys_enter";
/// What differs between a long run and a short one is answers only: both make the same connections.
const SHORT_S: u64 = 2;
const LONG_S: u64 = 4;
const WARM_UP: Duration = Duration::from_secs(1);
/// Runs a command and waits until the server has closed its connections too, or they would be in
/// one run and not in another.
const LINGERING: &str = "\"$@\"; status=$?; sleep 0.3; exit $status";
/// How often in a second the profile looks: no multiple of anything that a server does regularly.
const LOOKS_PER_SECOND: &str = "999";
/// Whose load is profiled.
const PROFILED: usize = 16;

/// What was seen, or why nothing was.
pub struct Inside {
    /// For each load, what it is, and how often each of [`CALLS`] and any other was made for an
    /// answer.
    pub calls: Result<Vec<(String, Vec<f64>)>, String>,
    /// Shares of processor time in percent, by whose code ran.
    pub profile: Result<Vec<(&'static str, f64)>, String>,
}

/// A load with TLS, over kept connections.
struct Load<'a> {
    server: &'a Server,
    wrk: Wrk,
    connections: usize,
    reply_bytes: usize,
}

impl Inside {
    /// Looks, on a server of its own. Without perf, or where it is not permitted, there is nothing
    /// to see.
    pub fn look(programs: &Programs) -> Self {
        let server = programs.setup(true, "").start();
        let profiled = Load::of(&server, &documents::add(), PROFILED);
        Self {
            calls: calls(programs, &server),
            profile: profiled.and_then(|load| load.profile(programs)),
        }
    }
}

fn calls(programs: &Programs, server: &Server) -> Result<Vec<(String, Vec<f64>)>, String> {
    let mut columns = Vec::new();
    for (name, exchange) in [("`add`", documents::add()), ("by a worker", documents::identity())] {
        for connections in [16, 256] {
            let load = Load::of(server, &exchange, connections)?;
            columns.push((
                format!("{name}, {connections} connections"),
                load.calls_per_answer(programs)?,
            ));
        }
    }
    Ok(columns)
}

impl<'a> Load<'a> {
    fn of(server: &'a Server, exchange: &Exchange, connections: usize) -> Result<Self, String> {
        let reply_bytes = look_at_one(&Target::of(server.url()), exchange)?.bytes;
        Ok(Self { server, wrk: Wrk::new(&exchange.document), connections, reply_bytes })
    }

    fn calls_per_answer(&self, programs: &Programs) -> Result<Vec<f64>, String> {
        // What a server has from the system for its first so many connections, it has once.
        self.wrk.warm_up(self.server.url(), self.connections, WARM_UP)?;
        let (short_replies, short) = self.count(programs, SHORT_S)?;
        let (long_replies, long) = self.count(programs, LONG_S)?;
        let replies = long_replies - short_replies;
        if replies <= 0.0 {
            return Err(format!(
                "{LONG_S} s had {long_replies} answers, and {SHORT_S} s {short_replies}"
            ));
        }
        Ok(long.iter().zip(short).map(|(long, short)| (long - short) / replies).collect())
    }

    /// Answers, and how often the server made each of [`CALLS`] and any other meanwhile.
    fn count(&self, programs: &Programs, seconds: u64) -> Result<(f64, Vec<f64>), String> {
        let file = programs.directory().join("perf.csv");
        let mut perf = Command::new("perf");
        let named = CALLS.map(|(call, _)| format!("syscalls:sys_enter_{call}"));
        let events = named.iter().map(String::as_str).chain([ALL]).collect::<Vec<_>>();
        perf.args(["stat", "--field-separator", ";", "--event", &events.join(","), "--output"])
            .arg(&file);
        let Counted { replies, .. } = self.under(perf, seconds)?;
        let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let count = |event: &&str| {
            let line = text.lines().find(|line| line.split(';').nth(2) == Some(event));
            let count = line.and_then(|line| line.split(';').next()?.parse::<f64>().ok());
            count.ok_or_else(|| format!("perf has no count of {event}: {text}"))
        };
        let mut counts = events.iter().map(count).collect::<Result<Vec<_>, _>>()?;
        let all = counts.pop().unwrap_or_default();
        counts.push(all - counts.iter().sum::<f64>());
        Ok((replies, counts))
    }

    fn profile(&self, programs: &Programs) -> Result<Vec<(&'static str, f64)>, String> {
        let file = programs.directory().join("perf.data");
        let mut perf = Command::new("perf");
        // Virtual machines have no counters in hardware.
        perf.args([
            "record",
            "--quiet",
            "--event",
            "cpu-clock",
            "--freq",
            LOOKS_PER_SECOND,
            "--output",
        ]);
        self.under(perf.args([&file]), LONG_S)?;
        let mut report = Command::new("perf");
        report.args(["report", "--stdio", "--sort", "dso", "--input"]).arg(&file);
        let output = report.output().map_err(|error| format!("perf: {error}"))?;
        let mut shares = OWNERS.map(|owner| (owner, 0.0));
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Some((share, object)) = line.trim().split_once('%') else { continue };
            let Ok(share) = share.parse::<f64>() else { continue };
            let owner = owner_of(object.trim());
            shares.iter_mut().filter(|(name, _)| *name == owner).for_each(|(_, sum)| *sum += share);
        }
        if shares.iter().all(|(_, share)| *share == 0.0) {
            return Err(format!(
                "perf has no profile: {}",
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        Ok(shares.to_vec())
    }

    /// Has perf look at the server from wrk's start until the end of its connections.
    fn under(
        &self,
        mut perf: impl std::borrow::BorrowMut<Command>,
        seconds: u64,
    ) -> Result<Counted, String> {
        let perf = perf.borrow_mut();
        let wrk = self.wrk.command(self.server.url(), self.connections, seconds);
        perf.args(["--pid", &self.server.pid().to_string(), "--", "sh", "-c", LINGERING, "sh"]);
        perf.arg(wrk.get_program()).args(wrk.get_args());
        perf.envs(wrk.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = perf.output().map_err(|error| format!("perf: {error}"))?;
        if !output.status.success() {
            return Err(format!("perf: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        counted(&String::from_utf8_lossy(&output.stdout), self.connections, self.reply_bytes)
    }
}

const OWNERS: [&str; 5] =
    ["the kernel", "OpenSSL", "the C library", "Hotcall", "the plugin and the rest"];

/// Whose an object is, as perf names it.
fn owner_of(object: &str) -> &'static str {
    let [kernel, openssl, c, ours, rest] = OWNERS;
    match object {
        object if object.starts_with("[kernel") => kernel,
        object if object.starts_with("libcrypto.") || object.starts_with("libssl.") => openssl,
        object if object.starts_with("libc.") => c,
        "hotcall" => ours,
        _ => rest,
    }
}
