//! What a server holds: what the kernel says of its process, and what connections cost that do
//! nothing.

use crate::server::Server;
use crate::wire::{Answer, Wire, address, post};
use openssl::ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode};
use std::fs;
use std::net::TcpStream;

/// What comes with the first connections and stays is not theirs.
const FIRST: usize = 50;

/// Resident memory with connections that do nothing, in kB.
pub struct Idle {
    /// How many connections.
    pub connections: usize,
    /// Before them.
    pub before: u64,
    /// When they have shaken hands.
    pub fresh: u64,
    /// When each has called once.
    pub used: u64,
    /// How many were still served then.
    pub served: usize,
}

impl Idle {
    /// Opens connections with TLS that shake hands and then do nothing until they are asked whether
    /// they are still served.
    pub fn hold(
        server: &Server,
        connections: usize,
        document: &str,
        is_right: impl Fn(&Answer) -> bool,
    ) -> Self {
        let connector = connector();
        let is_served = |wire: &mut Wire<SslStream<TcpStream>>| {
            wire.send(post("", document));
            wire.next(false).is_some_and(|answer| is_right(&answer))
        };
        drop(
            (0..FIRST)
                .map(|_| is_served(&mut Wire::on(connect(server, &connector))))
                .collect::<Vec<_>>(),
        );
        let before = status(server, "VmRSS:");
        let mut wires: Vec<_> =
            (0..connections).map(|_| Wire::on(connect(server, &connector))).collect();
        let fresh = status(server, "VmRSS:");
        let served = wires.iter_mut().filter_map(|wire| is_served(wire).then_some(())).count();
        Self { connections, before, fresh, used: status(server, "VmRSS:"), served }
    }

    /// What each costs before its first call, in kB.
    pub fn each_fresh(&self) -> f64 {
        self.each(self.fresh)
    }

    /// What each costs after one, in kB.
    pub fn each_used(&self) -> f64 {
        self.each(self.used)
    }

    fn each(&self, now: u64) -> f64 {
        now.saturating_sub(self.before) as f64 / self.connections as f64
    }
}

/// The numbers that the kernel has of the server, by key: `Threads:`, `VmRSS:` in kB.
pub fn status(server: &Server, key: &str) -> u64 {
    status_of(server.pid(), key).unwrap_or_else(|why| panic!("{why}"))
}

/// The same of any process.
///
/// # Errors
/// It does not run, or the kernel has no such number.
pub fn status_of(pid: u32, key: &str) -> Result<u64, String> {
    let file = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let number = status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| format!("{file} has no number {key}"))
}

/// The pages that a process has touched afresh.
///
/// # Errors
/// It does not run.
pub fn page_faults(pid: u32) -> Result<u64, String> {
    let file = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    // The name of the program may hold blanks. The seventh field behind its state counts them.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace());
    let number = fields.and_then(|mut fields| fields.nth(7)?.parse().ok());
    number.ok_or_else(|| format!("{file} does not count page faults"))
}

/// What connections are made with, whosever the server's certificate is.
pub fn connector() -> SslConnector {
    let mut connector = SslConnector::builder(SslMethod::tls()).expect("TLS");
    connector.set_verify(SslVerifyMode::NONE);
    connector.build()
}

/// A connection to the first listener, hands shaken.
pub fn connect(server: &Server, connector: &SslConnector) -> SslStream<TcpStream> {
    let stream = TcpStream::connect(address(server.url())).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    connector.connect("localhost", stream).expect("a handshake")
}
