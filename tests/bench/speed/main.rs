//! How fast Hotcall is beside other servers on the same machine, in the same run, under the same
//! load; and beside what nginx does with an answer that it need not compute. Writes RESULTS.md and
//! a chart.
//!
//! `make bench`, or `make bench-short` for one round of short measurements, whose results go to
//! `target/bench`. `--clients` measures the client libraries alone and prints their tables.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that cannot run has nothing to report"
)]
#![allow(clippy::indexing_slicing, reason = "as in tests")]

mod allocations;
mod chart;
mod claims;
mod clients;
mod costs;
mod decode;
mod dispatch;
mod documents;
mod http;
mod inside;
mod latency;
mod load;
mod machine;
mod memory;
mod nginx;
mod peers;
mod pinned;
mod plan;
mod process;
mod processor;
mod report;
mod resident;
mod rounds;
mod samples;
mod shapes;
mod tables;
mod target;
mod tickets;
mod wrk;

use allocations::PerCall;
use claims::Results;
use clients::Clients;
use decode::Decoders;
use hotcall_tests::{artifacts, repository};
use inside::Inside;
use machine::Taken;
use memory::Memory;
use peers::Programs;
use plan::Form;
use rounds::Measured;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // As this program starts itself.
    if let [first, url, ca, callers, milliseconds] = arguments.as_slice()
        && first == "client"
    {
        return call(url, ca, callers, milliseconds);
    }
    // cargo passes --bench.
    let has = |flag| arguments.iter().any(|argument| argument == flag);
    let form = if has("--short") { Form::SHORT } else { Form::FULL };
    let done = if has("--clients") {
        measure_clients(&form)
    } else {
        measure(&form).and_then(|results| write(&form, &results))
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("the bench has no results: {why}");
            ExitCode::FAILURE
        }
    }
}

fn call(url: &str, ca: &str, callers: &str, milliseconds: &str) -> ExitCode {
    let time = Duration::from_millis(milliseconds.parse().unwrap());
    match clients::call(url, ca, callers.parse().unwrap(), time) {
        Ok(rate) => {
            println!("{rate:.1}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn measure_clients(form: &Form) -> Result<(), String> {
    let programs = Programs::build();
    let mut clients = Clients::default();
    for round in 0..form.rounds {
        clients.run(&programs, form, round)?;
    }
    println!("{}\n{}", report::claims(&claims::of_clients(&clients)), clients.table());
    Ok(())
}

/// Runs all of it. Servers end with the values that hold them, which a signal that ended the
/// process at once would not drop.
fn measure(form: &Form) -> Result<Results, String> {
    let stop = Arc::<AtomicBool>::default();
    for signal in [SIGINT, SIGTERM] {
        // The second one ends the process.
        let shutdown = signal_hook::flag::register_conditional_shutdown(signal, 1, stop.clone());
        shutdown.and_then(|_| signal_hook::flag::register(signal, stop.clone())).unwrap();
    }
    let programs = Programs::build();
    programs.prove_wrk()?;
    let mut machine = machine::describe(form);
    let taken = Taken::now();
    let (mut measured, mut decoders) = (Measured::default(), Decoders::default());
    let mut clients = Clients::default();
    for round in 0..form.rounds {
        eprintln!("--- round {} of {}", round + 1, form.rounds);
        rounds::run(&programs, form, round, &mut measured, &stop)?;
        decoders.run(&programs, form);
        clients.run(&programs, form, round)?;
    }
    machine.add_taken(&taken);
    if stop.load(Ordering::Relaxed) {
        return Err(rounds::STOPPED.to_owned());
    }
    let memory = Memory::measure(&programs)?;
    Ok(Results {
        workloads: form.workloads,
        measured,
        decoders,
        clients,
        dispatch_ns: dispatch::measure(),
        allocations: PerCall::count(),
        inside: Inside::look(&programs),
        memory,
        machine,
    })
}

fn write(form: &Form, results: &Results) -> Result<(), String> {
    let directory = if form.is_full {
        repository().join("tests/bench")
    } else {
        artifacts::target().join("bench")
    };
    let text = report::text(results);
    println!("{text}");
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    for (name, content) in [("RESULTS.md", text), ("results.svg", chart::draw(&results.measured))] {
        let path: PathBuf = directory.join(name);
        fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}
