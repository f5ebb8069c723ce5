//! What the figures must reach, and whether they do.

use crate::allocations::PerCall;
use crate::clients::{Bound, Clients};
use crate::decode::Decoders;
use crate::inside::Inside;
use crate::machine::Machine;
use crate::memory::{IDLE, Memory};
use crate::plan::{
    ABYSS, ADD_16, ADD_256, DXR_PLAIN, DXR_TLS, ECHO, HOTCALL_PLAIN, HOTCALL_TLS, NEW_FULL,
    NGINX_PLAIN, NGINX_TLS, PYTHON_TLS, Peer, Workload,
};
use crate::rounds::Measured;
use crate::samples::Samples;

/// All that was measured.
pub struct Results {
    /// What was put on the peers.
    pub workloads: &'static [Workload],
    /// By workload and peer.
    pub measured: Measured,
    /// Of the long array.
    pub decoders: Decoders,
    /// Of client libraries.
    pub clients: Clients,
    /// Of `add`, without XML.
    pub dispatch_ns: Samples,
    /// Of a whole `add`.
    pub allocations: Result<PerCall, String>,
    /// What the server does meanwhile.
    pub inside: Inside,
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
    /// The figures, of which the median counts.
    pub got: Samples,
    /// Whether that is within the bound.
    pub verdict: Verdict,
}

/// Whether a claim holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Reached,
    /// It does not.
    Missed,
    /// Why that is not known. A median of the rounds that went well would be too good.
    Void(String),
}

impl Results {
    /// All lines.
    pub fn claims(&self) -> Vec<Claim> {
        let mut claims = Vec::new();
        for workload in [ADD_16, ADD_256] {
            for (other, least) in [(NGINX_TLS, 1.0), (DXR_TLS, 1.2), (PYTHON_TLS, 8.0)] {
                claims.push(self.ratio(&workload, &HOTCALL_TLS, &other, least));
            }
        }
        for (other, least) in [(DXR_PLAIN, 1.1), (ABYSS, 1.5)] {
            claims.push(self.ratio(&ADD_16, &HOTCALL_PLAIN, &other, least));
        }
        for workload in [ADD_16, ADD_256] {
            claims.push(self.processor_time(&workload));
        }
        claims.push(self.ratio(&NEW_FULL, &HOTCALL_TLS, &NGINX_TLS, 0.8));
        for (ours, other) in [(HOTCALL_TLS, DXR_TLS), (HOTCALL_PLAIN, DXR_PLAIN)] {
            claims.push(self.ratio(&ECHO, &ours, &other, 3.0));
        }
        let decoders = &self.decoders;
        for (name, other, least) in
            [("dxr", &decoders.dxr, 5.0), ("Python", &decoders.python, 30.0)]
        {
            let ratios = other.ratios_to(&decoders.hotcall);
            claims.push(at_least("100,000 ints decoded".to_owned(), name, ratios, least));
        }
        claims.extend(of_clients(&self.clients));
        let memory = &self.memory;
        let idle = format!("each of {IDLE} idle connections with TLS");
        claims.extend([
            below("dispatch of `add`, without XML", 100.0, "ns", self.dispatch_ns.clone()),
            below("idle, resident", 12.0, "MB", memory.idle.all.into()),
            below(&idle, 40.0, "kB", memory.connection_kb[1].into()),
        ]);
        for peak in &memory.peaks {
            let Some(times_max) = peak.times_max else { continue };
            let what = format!("peak for a request of 16 MiB: {}", peak.what);
            claims.push(below(&what, times_max, "times its size", peak.times.into()));
        }
        for (transport, faults) in ["plain", "TLS"].into_iter().zip(memory.faults_per_echo) {
            let what = format!("fresh pages that a call touches: {}, {transport}", ECHO.name);
            claims.push(below(&what, 50.0, "", faults.into()));
        }
        claims
    }

    fn ratio(&self, workload: &Workload, ours: &Peer, other: &Peer, least: f64) -> Claim {
        let rates = |peer: &Peer| {
            self.measured.of(workload, peer).map(|of| of.rates.of(peer.name)).unwrap_or_default()
        };
        let transport = if ours.is_tls { "TLS" } else { "plain" };
        let what = format!("{}, {transport}", workload.name);
        at_least(what, other.name, rates(ours).ratios_to(&rates(other)), least)
    }

    /// Of one call without TLS, beside nginx's.
    fn processor_time(&self, workload: &Workload) -> Claim {
        let times = |peer: &Peer| {
            let figures = self.measured.of(workload, peer);
            figures.map(|figures| figures.processor_us.of(peer.name)).unwrap_or_default()
        };
        let what = format!("{}, plain: processor time of a call", workload.name);
        let ratios = times(&HOTCALL_PLAIN).ratios_to(&times(&NGINX_PLAIN));
        at_most(what, NGINX_PLAIN.name, ratios, 1.0)
    }
}

/// Those of the client libraries.
pub fn of_clients(clients: &Clients) -> Vec<Claim> {
    let claim = |bound: Bound| {
        let Bound { what, other, got, least } = bound;
        at_least(what.to_owned(), other, got, least)
    };
    clients.bounds().into_iter().map(claim).collect()
}

fn at_least(what: String, other: &str, got: Samples, least: f64) -> Claim {
    let wanted = format!("at least {least} × {other}");
    Claim { what, wanted, verdict: verdict(&got, |median| median >= least), got }
}

fn at_most(what: String, other: &str, got: Samples, most: f64) -> Claim {
    let wanted = format!("at most {most} × {other}");
    Claim { what, wanted, verdict: verdict(&got, |median| median <= most), got }
}

fn below(what: &str, most: f64, unit: &str, got: Samples) -> Claim {
    let wanted = format!("under {most} {unit}").trim().to_owned();
    Claim { what: what.to_owned(), wanted, verdict: verdict(&got, |median| median < most), got }
}

fn verdict(got: &Samples, is_within: impl FnOnce(f64) -> bool) -> Verdict {
    match (got.void().first(), got.median()) {
        (Some(why), _) => {
            Verdict::Void(format!("{} of {} rounds: {why}", got.void().len(), got.count()))
        }
        (None, None) => Verdict::Void("it was not measured".to_owned()),
        (None, Some(median)) if is_within(median) => Verdict::Reached,
        (None, Some(_)) => Verdict::Missed,
    }
}
