//! Checks that documents are decoded in linear time, whatever they are made of:
//! `make bench-linear`. Exits with 1 when a construct fails.
//!
//! Each construct is timed at three lengths, by whichever decoder takes it and by xml-rs alone. The
//! bench uses processor time and the best of several runs, so that other processes disturb it
//! little. A construct that fails is timed again.
#![allow(clippy::cast_precision_loss, reason = "documents have a few megabytes")]

use hotcall::fuzz::constructs::{CONSTRUCTS, for_xml_rs};
use hotcall::xmlrpc::{DecodeLimits, Store, Unlimited, decode_call_in};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

/// The most that four times the length may take, relative to the shortest. Quadratic growth has 16.
const RATIO_MAX: f64 = 6.5;
/// The most that a byte may cost, relative to a byte of text. Elements with as many namespaces in
/// force as allowed reach 18.
const FACTOR_MAX: f64 = 40.0;
/// The shortest document takes at least this long, unless the longest would exceed `BYTES_MAX`.
const TIMED_MIN: Duration = Duration::from_millis(2);
const BYTES_MAX: usize = 16 << 20;
/// Pieces in the first document that is tried.
const PIECES: usize = 2_000;
const RUNS: usize = 5;
const TRIES: usize = 3;
/// The construct that the others are compared with.
const TEXT: &str = "one text";

/// A construct's times.
struct Timed {
    /// One for each length: n, 2n and 4n.
    times: [Duration; 3],
    bytes: usize,
}

fn main() -> ExitCode {
    // cargo passes `--bench`; a further argument selects constructs by name.
    let wanted =
        std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let Some((_, text)) = CONSTRUCTS.iter().find(|(name, _)| *name == TEXT) else {
        eprintln!("no construct is called {TEXT:?}");
        return ExitCode::FAILURE;
    };
    let text_ns = Timed::new(&|pieces| for_xml_rs(&text(pieces))).ns_each();
    let mut failed = 0;
    println!(
        "{:<54} {:>10} {:>6} {:>6} {:>9} {:>8}",
        "construct", "bytes", "x 2", "x 4", "ns/byte", "x text"
    );
    for (name, document) in CONSTRUCTS.iter().filter(|(name, _)| name.contains(&wanted)) {
        for (decoder, prepared) in
            [("", <[u8]>::to_vec as fn(&[u8]) -> Vec<u8>), (", by xml-rs", for_xml_rs)]
        {
            let document = |pieces| prepared(&document(pieces));
            let mut timed = Timed::new(&document);
            for _ in 1..TRIES {
                if timed.fault(text_ns).is_some() {
                    timed = Timed::new(&document);
                }
            }
            let fault = timed.fault(text_ns);
            failed += usize::from(fault.is_some());
            let (bytes, ns) = (timed.bytes, timed.ns_each());
            println!(
                "{:<54} {bytes:>10} {:>6.2} {:>6.2} {ns:>9.1} {:>8.1} {}",
                format!("{name}{decoder}"),
                timed.ratio(1),
                timed.ratio(2),
                ns / text_ns,
                fault.unwrap_or_default()
            );
        }
    }
    if failed == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!("{failed} constructs cost too much");
    ExitCode::FAILURE
}

impl Timed {
    fn new(document: &dyn Fn(usize) -> Vec<u8>) -> Self {
        let mut pieces = PIECES;
        let mut shortest = document(pieces);
        while time(&shortest) < TIMED_MIN && 8 * shortest.len() <= BYTES_MAX {
            pieces *= 2;
            shortest = document(pieces);
        }
        let documents = [shortest, document(2 * pieces), document(4 * pieces)];
        let mut times = [Duration::MAX; 3];
        // In turn, so that a slow moment does not hit one length alone.
        for _ in 0..RUNS {
            for (best, document) in times.iter_mut().zip(&documents) {
                *best = (*best).min(time(document));
            }
        }
        let [.., longest] = documents;
        Self { times, bytes: longest.len() }
    }

    /// What is wrong. Constructs cheaper than text pass: their growth depends on the processor's
    /// caches.
    fn fault(&self, text_ns: f64) -> Option<&'static str> {
        if self.ns_each() > FACTOR_MAX * text_ns {
            return Some("COSTS TOO MUCH");
        }
        (self.ns_each() > text_ns && self.ratio(2) > RATIO_MAX).then_some("IS NOT LINEAR")
    }

    /// The time at this length, relative to the shortest.
    fn ratio(&self, length: usize) -> f64 {
        let [shortest, ..] = self.times;
        self.times.get(length).map_or(f64::NAN, |time| time.as_secs_f64() / shortest.as_secs_f64())
    }

    fn ns_each(&self) -> f64 {
        let [.., longest] = self.times;
        longest.as_secs_f64() * 1e9 / self.bytes as f64
    }
}

/// The processor time to decode a document, also one that is refused.
fn time(document: &[u8]) -> Duration {
    // The default limits would end a long document early.
    let limits = DecodeLimits {
        values_max: usize::MAX,
        text_bytes_max: usize::MAX,
        ..DecodeLimits::default()
    };
    let started = worked();
    Store::with(|store| {
        let call = decode_call_in(document, &limits, store, &Unlimited);
        let _ = black_box(call.map(|call| call.params.items().len()));
    });
    worked().saturating_sub(started)
}

fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}
