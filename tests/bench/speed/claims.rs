//! What the figures must reach, and whether they do.

use crate::decode::Decoders;
use crate::machine::Machine;
use crate::memory::{IDLE, Memory};
use crate::plan::{
    ABYSS, ADD_16, ADD_256, DXR_PLAIN, DXR_TLS, HOTCALL_PLAIN, HOTCALL_TLS, NEW_FULL, NGINX_TLS, PYTHON_TLS,
    Peer, Workload,
};
use crate::rounds::Rates;
use crate::samples::Samples;

/// All that was measured.
pub struct Results {
    /// What was put on the peers.
    pub workloads: &'static [Workload],
    /// Calls per second.
    pub rates: Rates,
    /// Of the long array.
    pub decoders: Decoders,
    /// Of `add`, without XML.
    pub dispatch_ns: Samples,
    /// Resident.
    pub memory: Memory,
    /// On what.
    pub machine: Machine,
}

/// One line of the table.
pub struct Claim {
    /// What is measured.
    pub what: String,
    /// The bound, in words.
    pub wanted: String,
    /// The figure; none when a measurement is void.
    pub got: Option<f64>,
    /// Whether it is within the bound.
    pub is_reached: bool,
}

impl Results {
    /// All lines.
    pub fn claims(&self) -> Vec<Claim> {
        let mut claims = Vec::new();
        for workload in [ADD_16, ADD_256] {
            for (other, least) in [(NGINX_TLS, 0.75), (DXR_TLS, 1.2), (PYTHON_TLS, 8.0)] {
                claims.push(self.ratio(&workload, &HOTCALL_TLS, &other, least));
            }
        }
        for (other, least) in [(DXR_PLAIN, 1.1), (ABYSS, 1.5)] {
            claims.push(self.ratio(&ADD_16, &HOTCALL_PLAIN, &other, least));
        }
        claims.push(self.ratio(&NEW_FULL, &HOTCALL_TLS, &NGINX_TLS, 0.8));
        let decoders = &self.decoders;
        for (name, other, least) in [("dxr", &decoders.dxr, 5.0), ("Python", &decoders.python, 30.0)] {
            let ratio = quotient(other.median(), decoders.hotcall.median());
            claims.push(at_least("100,000 ints decoded".to_owned(), name, ratio, least));
        }
        let memory = &self.memory;
        claims.extend([
            below("dispatch of `add`, without XML", 150.0, "ns", self.dispatch_ns.median()),
            below("idle, resident", 12.0, "MB", Some(memory.idle.resident_mb)),
            below(
                &format!("each of {IDLE} idle connections with TLS"),
                40.0,
                "kB",
                Some(memory.connection_kb[1]),
            ),
            below("peak for a request of 16 MiB", 3.0, "times its size", Some(memory.request_peak)),
        ]);
        claims
    }

    fn ratio(&self, workload: &Workload, ours: &Peer, other: &Peer, least: f64) -> Claim {
        let median = |peer| self.rates.of(workload, peer).and_then(Samples::median);
        let transport = if ours.is_tls { "TLS" } else { "plain" };
        let what = format!("{}, {transport}", workload.name);
        at_least(what, other.name, quotient(median(ours), median(other)), least)
    }
}

fn quotient(dividend: Option<f64>, divisor: Option<f64>) -> Option<f64> {
    Some(dividend? / divisor?)
}

fn at_least(what: String, other: &str, got: Option<f64>, least: f64) -> Claim {
    let wanted = format!("at least {least} × {other}");
    Claim { what, wanted, got, is_reached: got.is_some_and(|got| got >= least) }
}

fn below(what: &str, most: f64, unit: &str, got: Option<f64>) -> Claim {
    let wanted = format!("under {most} {unit}");
    Claim { what: what.to_owned(), wanted, got, is_reached: got.is_some_and(|got| got < most) }
}
