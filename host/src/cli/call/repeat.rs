//! `hotcall call --repeat`: one call many times, and how long it took.

use super::answer::{Answer, Call};
use super::progress::Progress;
use crate::cli::output::Failure;
use std::fmt;
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// How often one command calls at most: each call's time is kept.
pub(super) const REPEAT_MAX: u32 = 1_000_000;

/// Calls, prints the last result, and sums up on standard error.
pub(super) fn run(call: &Call<'_>, times: NonZeroU32, keep_going: bool) -> Result<(), Failure> {
    let mut tally = Tally::default();
    let (last, first_failure) = make(call, times, keep_going, &mut tally);
    if let Some(answer) = &last {
        answer.print()?;
    }
    // A standard error that is closed has nobody to tell.
    let _ = writeln!(io::stderr(), "{tally}");
    match first_failure {
        None => Ok(()),
        Some((number, failure)) if keep_going => {
            let Tally { failed, took, .. } = &tally;
            let calls = took.len();
            Err(Failure::new(format!(
                "{failed} of {calls} calls failed; the first was call {number}: {failure}"
            )))
        }
        Some((number, failure)) => {
            Err(Failure::new(format!("call {number} of {times}: {failure}")))
        }
    }
}

/// Makes the calls: the last result, and the first failure with its number.
fn make(
    call: &Call<'_>,
    times: NonZeroU32,
    keep_going: bool,
    tally: &mut Tally,
) -> (Option<Answer>, Option<(u32, Failure)>) {
    let progress = Progress::new(usize::try_from(times.get()).unwrap_or(usize::MAX));
    let (mut last, mut first_failure) = (None, None);
    let begun = Instant::now();
    for number in 1..=times.get() {
        let started = Instant::now();
        let made = call.make();
        tally.took.push(started.elapsed());
        progress.add(1);
        match made {
            Ok(answer) => last = Some(answer),
            Err(failure) => {
                tally.failed += 1;
                first_failure.get_or_insert((number, failure));
                if !keep_going {
                    break;
                }
            }
        }
    }
    tally.whole = begun.elapsed();
    (last, first_failure)
}

/// How the calls went.
#[derive(Default)]
struct Tally {
    took: Vec<Duration>,
    failed: usize,
    whole: Duration,
}

/// ```text
/// 100 calls, 0 failed, in 0.051 s: 1960.8/s; ms each: 50 % 0.48, 90 % 0.61, 99 % 0.90, most 1.35
/// ```
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { took, failed, whole } = self;
        let mut sorted = took.clone();
        sorted.sort_unstable();
        let (calls, seconds) = (took.len(), whole.as_secs_f64());
        let calls_as_float = f64::from(u32::try_from(calls).unwrap_or(u32::MAX));
        let rate = if seconds > 0.0 { calls_as_float / seconds } else { 0.0 };
        write!(f, "{calls} calls, {failed} failed, in {seconds:.3} s: {rate:.1}/s; ms each:")?;
        for (percent, name) in [(50, "50 %"), (90, "90 %"), (99, "99 %"), (100, "most")] {
            let comma = if percent == 50 { "" } else { "," };
            write!(
                f,
                "{comma} {name} {:.2}",
                percentile(&sorted, percent).as_secs_f64() * 1_000.0
            )?;
        }
        Ok(())
    }
}

/// The shortest time that so many of the calls did not exceed (the nearest rank).
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_reads_as_a_line() {
        let took = (1..=200).rev().map(Duration::from_millis).collect();
        let tally = Tally { took, failed: 3, whole: Duration::from_secs(4) };
        assert_eq!(
            tally.to_string(),
            "200 calls, 3 failed, in 4.000 s: 50.0/s; ms each: 50 % 100.00, 90 % 180.00, 99 % \
             198.00, most 200.00"
        );
        let one = Tally { took: vec![Duration::from_millis(7)], failed: 0, whole: Duration::ZERO };
        assert!(
            one.to_string().ends_with("0.0/s; ms each: 50 % 7.00, 90 % 7.00, 99 % 7.00, most 7.00"),
            "{one}"
        );
    }
}
