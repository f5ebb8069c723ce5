//! Resident memory: of a server that does nothing, of connections that do nothing, the most for one
//! large request, and what stays of many.

use crate::documents;
use crate::load::{Caller, Way};
use crate::peers::Programs;
use crate::plan::ECHO;
use crate::process::Process;
use crate::resident::{Resident, status_mb};
use crate::rounds::look_at_one;
use crate::shapes::{SHAPES, Shape};
use crate::target::Target;
use hotcall_tests::idle::{Idle, page_faults};
use hotcall_tests::{Server, Setup, artifacts};
use std::thread;
use std::time::Duration;

/// Connections that do nothing.
pub const IDLE: usize = 5_000;
/// From a server's start, or from its last call, until it does nothing.
pub const SETTLE: Duration = Duration::from_secs(5);
/// How often one server gets all shapes.
pub const TURNS: usize = 2;
/// What `make plugins` builds in Rust.
const BUNDLED: [&str; 4] = ["arithmetic", "counter", "interop", "validator1"];

/// What was measured.
pub struct Memory {
    /// Of a server with the bundled plugins, after one call.
    pub idle: Resident,
    /// Of `openssl s_server`, which has no more than TLS, in MB.
    pub s_server_mb: Result<f64, String>,
    /// Of each connection with TLS, before its first call and after it, in kB.
    pub connection_kb: [f64; 2],
    /// Of each shape.
    pub peaks: Vec<Peak>,
    /// Of one server before it got all shapes, one after the other, and when it has done nothing
    /// for a while after them, in MB.
    pub around_all_mb: [f64; 2],
    /// Pages that a call with 1 MiB of base64 touches afresh, over HTTP and over HTTPS.
    pub faults_per_echo: [f64; 2],
}

/// The most beyond what was resident before one request.
pub struct Peak {
    /// What the request is.
    pub what: &'static str,
    /// The most that is wanted of `times`.
    pub times_max: Option<f64>,
    /// The request's size in MB.
    pub request_mb: f64,
    /// How many times that was resident.
    pub times: f64,
}

impl Memory {
    /// Measures it all, each on a server of its own.
    ///
    /// # Errors
    /// A call fails.
    pub fn measure(programs: &Programs) -> Result<Self, String> {
        let server = programs.setup(true, "").start();
        let idle = Idle::hold(&server, IDLE, &documents::add().document, |answer| answer.is_int(5));
        if idle.served != IDLE {
            return Err(format!(
                "of {IDLE} idle connections only {} were still served",
                idle.served
            ));
        }
        drop(server);
        Ok(Self {
            idle: resident_idle(programs)?,
            s_server_mb: resident_s_server(programs),
            connection_kb: [idle.each_fresh(), idle.each_used()],
            peaks: SHAPES.iter().map(|shape| peak(programs, shape)).collect::<Result<_, _>>()?,
            around_all_mb: around_all(programs)?,
            faults_per_echo: [faults_per_echo(programs, false)?, faults_per_echo(programs, true)?],
        })
    }
}

fn resident_idle(programs: &Programs) -> Result<Resident, String> {
    let setup = Setup::new()
        .program(programs.hotcall())
        .log("warn")
        .plugin("text-c.so", artifacts::text_c());
    let setup = BUNDLED.iter().fold(setup, |setup, name| {
        setup.plugin(&format!("lib{name}.so"), &artifacts::release(name, &[]))
    });
    let server = setup.start();
    // The start's pages are returned to the kernel. A call maps those that a call needs.
    call_add(&Target::of(server.url()))?;
    thread::sleep(SETTLE);
    // Plugins are loaded from copies, which are in the state directory.
    Resident::of(server.pid(), &server.state().to_string_lossy())
}

fn resident_s_server(programs: &Programs) -> Result<f64, String> {
    let process = Process::start(&mut programs.s_server())?;
    thread::sleep(SETTLE);
    status_mb(process.pid(), "VmRSS:")
}

fn peak(programs: &Programs, shape: &Shape) -> Result<Peak, String> {
    let (server, target) = warm(programs)?;
    let exchange = (shape.exchange)();
    let before = status_mb(server.pid(), "VmRSS:")?;
    look_at_one(&target, &exchange).map_err(|why| format!("{}: {why}", shape.what))?;
    let most = status_mb(server.pid(), "VmHWM:")? - before;
    let request_mb = exchange.document.len() as f64 / 1e6;
    let Shape { what, times_max, .. } = *shape;
    let peak = Peak { what, times_max, request_mb, times: most / request_mb };
    eprintln!("{:<57} {:>10.2} times its size", peak.what, peak.times);
    Ok(peak)
}

fn around_all(programs: &Programs) -> Result<[f64; 2], String> {
    let (server, target) = warm(programs)?;
    let before = status_mb(server.pid(), "VmRSS:")?;
    for shape in (0..TURNS).flat_map(|_| &SHAPES) {
        look_at_one(&target, &(shape.exchange)())
            .map_err(|why| format!("{}: {why}", shape.what))?;
    }
    thread::sleep(SETTLE);
    Ok([before, status_mb(server.pid(), "VmRSS:")?])
}

/// Kept blocks of memory are used again, so only the first calls touch fresh pages.
fn faults_per_echo(programs: &Programs, is_tls: bool) -> Result<f64, String> {
    /// They take less than the seconds for which the server keeps memory.
    const CALLS: u32 = 50;
    let server = programs.setup(is_tls, "").start();
    let target = Target::of(server.url());
    let request = target.post(&(ECHO.exchange)().document, false);
    let mut caller = Caller::new(&target, Way::Kept)?;
    let mut call = || (0..CALLS).try_for_each(|_| caller.call(&request).map(drop));
    call()?;
    let before = page_faults(server.pid())?;
    call()?;
    Ok((page_faults(server.pid())? - before) as f64 / f64::from(CALLS))
}

/// A server that has been called: what comes with the first call and stays is not the large one's.
fn warm(programs: &Programs) -> Result<(Server, Target), String> {
    let server = programs.setup(true, "").start();
    let target = Target::of(server.url());
    call_add(&target)?;
    Ok((server, target))
}

fn call_add(target: &Target) -> Result<(), String> {
    let add = documents::add();
    Caller::new(target, Way::Kept)?.call(&target.post(&add.document, false)).map(drop)
}
