//! The rounds: in each, every workload is put on every peer once, one peer after the other, in an
//! order that turns.

use crate::documents::Exchange;
use crate::http::Reply;
use crate::latency::{self, Latencies, Percentiles, Schedule};
use crate::load::{Caller, Load, Way};
use crate::peers::{Programs, Running};
use crate::plan::{ADD_16, Form, Generator, LATENCY_PEERS, PEERS, Peer, Workload};
use crate::processor;
use crate::samples::Samples;
use crate::target::Target;
use crate::wrk::{Counted, Wrk};
use hotcall::xmlrpc::{DecodeLimits, Value, decode_response};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Why there are no results.
pub const STOPPED: &str = "it was stopped by a signal";

/// What was measured.
#[derive(Default)]
pub struct Measured {
    /// By workload and peer.
    figures: BTreeMap<(&'static str, &'static str), Figures>,
    /// By peer.
    latencies: BTreeMap<&'static str, Latencies>,
}

/// Of one workload on one peer.
#[derive(Default)]
pub struct Figures {
    /// Calls per second.
    pub rates: Samples,
    /// Microseconds of processor time that the server took for each; only of wrk's loads.
    pub processor_us: Samples,
}

/// Those of one round.
struct Round {
    rate: f64,
    processor_us: Option<f64>,
}

impl Measured {
    /// Of a workload on a peer; none when it makes no sense there.
    pub fn of(&self, workload: &Workload, peer: &Peer) -> Option<&Figures> {
        self.figures.get(&(workload.name, peer.name))
    }

    /// Latencies of [`ADD_16`] on a peer; none when they were not measured.
    pub fn latencies_of(&self, peer: &Peer) -> Option<&Latencies> {
        self.latencies.get(peer.name)
    }

    /// The rate that is put on a peer for its latencies, from what it reached in this round.
    ///
    /// # Errors
    /// Why that is not known.
    fn half_rate(&self, peer: &Peer) -> Result<f64, String> {
        let rate = self.of(&ADD_16, peer).and_then(|figures| figures.rates.last());
        let rate = rate.ok_or_else(|| format!("{} was not measured", ADD_16.name))?;
        rate.clone().map(|rate| rate * latency::SHARE)
    }

    fn add_latencies(
        &mut self,
        peer: &Peer,
        rate: Result<f64, String>,
        measured: Result<Percentiles, String>,
    ) {
        let name = "latency at half of the rate";
        match &measured {
            Ok(percentiles) => eprintln!("{name:<30} {:<26} {}", peer.name, percentiles.shown()),
            Err(why) => eprintln!("{name:<30} {:<26} void: {why}", peer.name),
        }
        self.latencies.entry(peer.name).or_default().add(rate, measured);
    }

    fn add(&mut self, workload: &Workload, peer: &Peer, round: Result<Round, String>) {
        let (workload, peer) = (workload.name, peer.name);
        let figures = self.figures.entry((workload, peer)).or_default();
        match round {
            Ok(Round { rate, processor_us }) => {
                let shown =
                    processor_us.map_or_else(String::new, |time| format!(", {time:.1} us each"));
                eprintln!("{workload:<30} {peer:<26} {rate:>10.1}/s{shown}");
                figures.rates.add(Ok(rate));
                processor_us.into_iter().for_each(|time| figures.processor_us.add(Ok(time)));
            }
            Err(why) => {
                eprintln!("{workload:<30} {peer:<26} void: {why}");
                figures.rates.add(Err(why.clone()));
                figures.processor_us.add(Err(why));
            }
        }
    }
}

/// Runs one round with peers that are started for it.
///
/// # Errors
/// A peer does not start, or somebody wants the bench to end.
pub fn run(
    programs: &Programs,
    form: &Form,
    round: usize,
    measured: &mut Measured,
    stop: &AtomicBool,
) -> Result<(), String> {
    let running: Result<Vec<_>, _> = PEERS.into_iter().map(|peer| programs.start(peer)).collect();
    let mut running = running?;
    for (number, workload) in form.workloads.iter().enumerate() {
        let exchange = (workload.exchange)();
        let turn = (round + number) % running.len();
        running.rotate_left(turn);
        for running in running.iter().filter(|running| workload.is_for(&running.peer)) {
            if stop.load(Ordering::Relaxed) {
                return Err(STOPPED.to_owned());
            }
            let round = measure(form, running, workload, &exchange);
            measured.add(workload, &running.peer, round);
        }
        running.rotate_right(turn);
    }
    let turn = round % running.len();
    running.rotate_left(turn);
    for running in running.iter().filter(|running| LATENCY_PEERS.contains(&running.peer)) {
        if stop.load(Ordering::Relaxed) {
            return Err(STOPPED.to_owned());
        }
        let rate = measured.half_rate(&running.peer);
        let percentiles = rate.clone().and_then(|rate| latencies(form, running, rate));
        measured.add_latencies(&running.peer, rate, percentiles);
    }
    Ok(())
}

/// The latencies of [`ADD_16`] at this rate.
fn latencies(form: &Form, running: &Running, rate: f64) -> Result<Percentiles, String> {
    let exchange = (ADD_16.exchange)();
    let target = Target::of(&running.url);
    let reply = look_at_one(&target, &exchange)?;
    let schedule = Schedule {
        target: &target,
        document: &exchange.document,
        body_bytes: reply.body.len(),
        connections: u32::try_from(ADD_16.connections).unwrap(),
        rate,
    };
    schedule.run(form.warm_up, Duration::from_secs(form.point_s))
}

fn measure(
    form: &Form,
    running: &Running,
    workload: &Workload,
    exchange: &Exchange,
) -> Result<Round, String> {
    let target = Target::of(&running.url);
    let reply = look_at_one(&target, exchange)?;
    let seconds = form.point_s * workload.stretch;
    match workload.generator {
        Generator::Wrk => {
            let wrk = Wrk::new(&exchange.document);
            let (url, connections) = (&running.url, workload.connections);
            wrk.warm_up(url, connections, form.warm_up)?;
            let before = processor::taken_by(running.pid())?;
            let Counted { replies, seconds } = wrk.run(url, connections, reply.bytes, seconds)?;
            let taken = processor::taken_by(running.pid())?.saturating_sub(before);
            Ok(Round {
                rate: replies / seconds,
                processor_us: Some(taken.as_secs_f64() * 1e6 / replies),
            })
        }
        Generator::Own(way) => {
            let load = Load {
                target: &target,
                document: &exchange.document,
                body_bytes: reply.body.len(),
                connections: workload.connections,
                way,
            };
            let rate = load.run(form.warm_up, Duration::from_secs(seconds))?;
            Ok(Round { rate, processor_us: None })
        }
    }
}

/// Calls once and compares the result.
///
/// # Errors
/// The call failed, or its result is another.
pub fn look_at_one(target: &Target, exchange: &Exchange) -> Result<Reply, String> {
    let reply = Caller::new(target, Way::Kept)?.call(&target.post(&exchange.document, false))?;
    let got = decode_response(reply.body.as_slice(), &DecodeLimits::default());
    match got.map(|answer| answer.map(sorted)) {
        Ok(Ok(result)) if result == sorted(exchange.result.clone()) => Ok(reply),
        Ok(Ok(result)) => {
            let shown: String = format!("{result:?}").chars().take(100).collect();
            Err(format!("a wrong result: {shown}"))
        }
        Ok(Err(fault)) => Err(format!("a fault: {fault:?}")),
        Err(error) => Err(format!("no XML-RPC: {error}")),
    }
}

/// With the members of each struct in the order of their names: XML-RPC has none.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Struct(members) => {
            let mut members: Vec<_> =
                members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Struct(members)
        }
        scalar => scalar,
    }
}
