//! Client libraries: how many calls of `add` each makes on kept connections to the same server of
//! ours. wrk, which neither writes nor reads XML, shows what is in reach.
//!
//! Each library runs in a process of its own, so that all take the same settings of OpenSSL.

use crate::documents;
use crate::peers::{Programs, python};
use crate::pinned;
use crate::plan::{Form, HOTCALL_PLAIN, HOTCALL_TLS};
use crate::rounds::look_at_one;
use crate::samples::Samples;
use crate::tables::{cells, line, median};
use crate::target::Target;
use crate::wrk::{Counted, Wrk};
use hotcall::client::{Client, Error};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// How many threads or tasks share one client.
const SHARED: u32 = 16;
/// Calls for this part of the time before what counts.
const WARM_UP_PART: u32 = 4;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// `hotcall::client`.
    Hotcall,
    /// dxr_client, on reqwest.
    Dxr,
    /// `xmlrpc.client`.
    Python,
    /// wrk with one connection.
    Wrk,
}

/// The rates of one way to call.
struct Row {
    name: &'static str,
    is_tls: bool,
    callers: u32,
    by: BTreeMap<Caller, Samples>,
}

/// What all clients reach.
pub struct Clients(Vec<Row>);

/// A bound: which row, how many times the rate of whom.
pub struct Bound {
    /// The row.
    pub what: &'static str,
    /// The other client.
    pub other: &'static str,
    /// Our rate as a multiple of its.
    pub got: Samples,
    /// What that must be.
    pub least: f64,
}

impl Caller {
    const ALL: [Self; 4] = [Self::Hotcall, Self::Dxr, Self::Python, Self::Wrk];

    const fn name(self) -> &'static str {
        match self {
            Self::Hotcall => "Hotcall's client",
            Self::Dxr => "dxr_client",
            Self::Python => "Python's xmlrpc.client",
            Self::Wrk => "wrk",
        }
    }

    /// Whether it can share one client among so many.
    const fn is_for(self, callers: u32) -> bool {
        callers == 1 || matches!(self, Self::Hotcall | Self::Dxr)
    }

    /// How many times its rate ours must be.
    const fn bound(self, callers: u32) -> Option<f64> {
        match (self, callers) {
            (Self::Hotcall, _) => None,
            (Self::Dxr, 1) => Some(1.5),
            (Self::Dxr, _) => Some(1.0),
            (Self::Python, _) => Some(8.0),
            (Self::Wrk, _) => Some(0.8),
        }
    }
}

impl Default for Clients {
    fn default() -> Self {
        let row = |name, is_tls, callers| Row { name, is_tls, callers, by: BTreeMap::new() };
        Self(vec![
            row("client, `add`, plain", false, 1),
            row("client, `add`, TLS", true, 1),
            row("client shared by 16 threads, `add`, plain", false, SHARED),
            row("client shared by 16 threads, `add`, TLS", true, SHARED),
        ])
    }
}

impl Clients {
    /// Measures each once more, in an order that turns.
    ///
    /// # Errors
    /// The server does not start.
    pub fn run(&mut self, programs: &Programs, form: &Form, round: usize) -> Result<(), String> {
        let openssl_conf = programs.directory().join("clients.cnf");
        fs::write(&openssl_conf, pinned::openssl_conf()).map_err(|error| error.to_string())?;
        for row in &mut self.0 {
            let running = programs.start(if row.is_tls { HOTCALL_TLS } else { HOTCALL_PLAIN })?;
            let mut callers = Caller::ALL;
            callers.rotate_left(round % Caller::ALL.len());
            for caller in callers.into_iter().filter(|caller| caller.is_for(row.callers)) {
                let url = &running.url;
                let rate = match caller {
                    Caller::Wrk => by_wrk(url, form),
                    _ => by_library(caller, programs, &openssl_conf, url, row.callers, form),
                };
                let shown = match &rate {
                    Ok(rate) => format!("{rate:>10.1}/s"),
                    Err(why) => format!("void: {why}"),
                };
                eprintln!("{:<44} {:<24} {shown}", row.name, caller.name());
                row.by.entry(caller).or_default().add(rate);
            }
        }
        Ok(())
    }

    /// What the rates must reach.
    pub fn bounds(&self) -> Vec<Bound> {
        let of_row = |row: &'_ Row| {
            let ours = row.by.get(&Caller::Hotcall).cloned().unwrap_or_default();
            let bound = |(caller, theirs): (&Caller, &Samples)| {
                let least = caller.bound(row.callers)?;
                let got = ours.of(Caller::Hotcall.name()).ratios_to(&theirs.of(caller.name()));
                Some(Bound { what: row.name, other: caller.name(), got, least })
            };
            row.by.iter().filter_map(bound).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of_row).collect()
    }

    /// A table for each row.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for row in &self.0 {
            line(&mut text, format_args!("### {}\n", row.name));
            text += "| | calls/s | least to most | Hotcall's, as a multiple |\n|---|---|---|---|\n";
            let ours = row.by.get(&Caller::Hotcall).cloned().unwrap_or_default();
            for (caller, rates) in &row.by {
                let is_ours = *caller == Caller::Hotcall;
                let multiple = if is_ours { String::new() } else { median(&ours.ratios_to(rates)) };
                let cells = cells(rates).join(" | ");
                line(&mut text, format_args!("| {} | {cells} | {multiple} |", caller.name()));
            }
            text.push('\n');
        }
        text
    }
}

/// The answers that wrk gets on one connection.
fn by_wrk(url: &str, form: &Form) -> Result<f64, String> {
    let exchange = documents::add();
    let reply = look_at_one(&Target::of(url), &exchange)?;
    let wrk = Wrk::new(&exchange.document);
    wrk.warm_up(url, 1, form.warm_up)?;
    let Counted { replies, seconds } = wrk.run(url, 1, reply.bytes, form.point_s)?;
    Ok(replies / seconds)
}

/// The calls that a library makes in its own process, which looks at each result.
fn by_library(
    caller: Caller,
    programs: &Programs,
    openssl_conf: &Path,
    url: &str,
    callers: u32,
    form: &Form,
) -> Result<f64, String> {
    let mut command = match caller {
        Caller::Dxr => programs.dxr(),
        Caller::Python => python(),
        _ => Command::new(this_program()?),
    };
    command.env("OPENSSL_CONF", openssl_conf).arg("client").arg(url).arg(programs.ca());
    command.arg(callers.to_string()).arg((form.point_s * 1_000).to_string());
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let failed = |_| format!("{text}{}", String::from_utf8_lossy(&output.stderr));
    text.trim().parse().map_err(failed)
}

fn this_program() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| error.to_string())
}

/// Our library, in the process that [`by_library`] starts: calls per second.
///
/// # Errors
/// A call failed.
pub fn call(url: &str, ca: &str, callers: u32, time: Duration) -> Result<f64, Error> {
    let client = Client::builder(url).ca_file(ca).build()?;
    call_until(&client, Instant::now() + time / WARM_UP_PART)?;
    let began = Instant::now();
    let calls = thread::scope(|scope| {
        let calling = |_| scope.spawn(|| call_until(&client, began + time));
        let callers: Vec<_> = (0..callers).map(calling).collect();
        let joined = callers.into_iter().map(|caller| caller.join().expect("a caller panicked"));
        joined.sum::<Result<u32, _>>()
    })?;
    Ok(f64::from(calls) / began.elapsed().as_secs_f64())
}

fn call_until(client: &Client, end: Instant) -> Result<u32, Error> {
    let mut calls = 0;
    while Instant::now() < end {
        let sum: i32 = client.call("add", (2, 3))?;
        assert_eq!(sum, 5);
        calls += 1;
    }
    Ok(calls)
}
