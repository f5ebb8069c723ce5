//! Resident memory: of a server that does nothing, of connections that do nothing, and the most for one large request.

use crate::documents::{self, Exchange};
use crate::http::Target;
use crate::load::{Caller, Way};
use crate::peers::Programs;
use hotcall_tests::idle::{Idle, status};
use hotcall_tests::{Setup, artifacts};
use std::thread;
use std::time::Duration;

/// Connections that do nothing.
pub const IDLE: usize = 5_000;
/// The default limit of a request.
const REQUEST_BYTES: usize = 16 << 20;
/// From a server's start until it does nothing.
const SETTLE: Duration = Duration::from_secs(3);
/// What `make plugins` builds in Rust.
const BUNDLED: [&str; 4] = ["arithmetic", "counter", "interop", "validator1"];

/// What was measured.
pub struct Memory {
    /// Of a server with the bundled plugins.
    pub idle: Resident,
    /// Of each connection with TLS, before its first call and after it, in kB.
    pub connection_kb: [f64; 2],
    /// The most beyond what was resident before a text of 16 MiB came in and its length went out, as a multiple of 16 MiB.
    pub request_peak: f64,
    /// The same for 12 MiB in base64 that come in and go out: each way 16 MiB.
    pub echo_peak: f64,
}

/// What a process holds.
pub struct Resident {
    /// All of it, in MB.
    pub resident_mb: f64,
    /// What no file backs, in MB.
    pub anonymous_mb: f64,
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
            return Err(format!("of {IDLE} idle connections only {} were still served", idle.served));
        }
        drop(server);
        Ok(Self {
            idle: resident_idle(programs),
            connection_kb: [idle.each_fresh(), idle.each_used()],
            request_peak: peak(programs, &documents::length(REQUEST_BYTES))?,
            echo_peak: peak(programs, &documents::large_echo(REQUEST_BYTES))?,
        })
    }
}

fn resident_idle(programs: &Programs) -> Resident {
    let setup = Setup::new().program(programs.hotcall()).log("warn").plugin("text-c.so", artifacts::text_c());
    let setup = BUNDLED
        .iter()
        .fold(setup, |setup, name| setup.plugin(&format!("lib{name}.so"), &artifacts::release(name, &[])));
    let server = setup.start();
    thread::sleep(SETTLE);
    let mb = |key| status(&server, key) as f64 * 1024.0 / 1e6;
    Resident { resident_mb: mb("VmRSS:"), anonymous_mb: mb("RssAnon:") }
}

fn peak(programs: &Programs, exchange: &Exchange) -> Result<f64, String> {
    let server = programs.setup(true, "").start();
    let target = Target::of(server.url());
    let add = documents::add();
    // What comes with the first call and stays is not the large one's.
    Caller::new(&target, Way::Kept)?.call(&target.post(&add.document, false))?;
    let before = status(&server, "VmRSS:");
    crate::rounds::look_at_one(&target, exchange)?;
    let most = status(&server, "VmHWM:").saturating_sub(before);
    Ok(most as f64 * 1024.0 / REQUEST_BYTES as f64)
}
