//! How much the jobs of a queue compute, and so which time slice their workers get: a job that has
//! little to do should not wait behind those that compute. Knows no jobs.

use crate::slice::Slice;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// From here on a job computes much.
const MUCH: Duration = Duration::from_millis(1);
/// How many jobs it takes to forget one.
const MEMORY: u32 = 8;

/// What the last jobs of a queue took of a processor.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effort {
    average: Duration,
    /// Whether the time on a processor is read. The clock on the wall is cheaper, and enough for
    /// jobs that take no time.
    is_measured: bool,
}

/// What one job took of a processor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spent {
    /// No more than this.
    Little(Duration),
    Measured(Duration),
    /// It took long, but may have waited.
    Unknown,
}

/// Measures one job.
pub(super) struct Stopwatch {
    began: Instant,
    on_processor: Option<Duration>,
}

impl Effort {
    /// Of jobs that are known to compute much.
    pub(super) const MUCH: Self = Self { average: Duration::from_secs(1), is_measured: true };

    /// What the workers of such jobs get.
    pub(super) fn slice(self) -> Slice {
        if self.average < MUCH { Slice::Short } else { Slice::Usual }
    }

    pub(super) fn start(self) -> Stopwatch {
        let on_processor = self.is_measured.then(on_processor);
        Stopwatch { began: Instant::now(), on_processor }
    }

    pub(super) fn note(&mut self, spent: Spent) {
        let (time, is_measured) = match spent {
            Spent::Little(time) => (time, false),
            Spent::Measured(time) => (time, true),
            Spent::Unknown => (self.average, true),
        };
        self.average = (self.average * (MEMORY - 1) + time) / MEMORY;
        self.is_measured = is_measured;
    }
}

impl Stopwatch {
    pub(super) fn stop(self) -> Spent {
        let elapsed = self.began.elapsed();
        match self.on_processor {
            _ if elapsed < MUCH => Spent::Little(elapsed),
            Some(began) => Spent::Measured(on_processor().saturating_sub(began)),
            None => Spent::Unknown,
        }
    }
}

/// The time that this thread has run.
fn on_processor() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn after(jobs: &[Spent]) -> Effort {
        let mut effort = Effort::default();
        jobs.iter().for_each(|spent| effort.note(*spent));
        effort
    }

    #[test]
    fn workers_of_jobs_that_compute_much_have_the_usual_slice() {
        let quick = Spent::Little(Duration::from_micros(50));
        let long = Spent::Measured(Duration::from_millis(50));
        assert_eq!(after(&[]).slice(), Slice::Short);
        assert_eq!(after(&[quick, long]).slice(), Slice::Usual);
        assert_eq!(after(&[&[long][..], &[quick; 40]].concat()).slice(), Slice::Short);
        assert_eq!(Effort::MUCH.slice(), Slice::Usual);
    }

    #[test]
    fn jobs_that_wait_compute_nothing() {
        let mut effort = Effort::default();
        for _ in 0..3 {
            let watch = effort.start();
            thread::sleep(2 * MUCH);
            effort.note(watch.stop());
        }
        assert!(effort.is_measured);
        assert_eq!(effort.slice(), Slice::Short);
    }

    #[test]
    fn the_time_on_a_processor_is_read_after_a_job_that_took_long() {
        let mut effort = Effort::default();
        let compute = |effort: &mut Effort| {
            let watch = effort.start();
            let began = on_processor();
            while on_processor().saturating_sub(began) < 20 * MUCH {}
            effort.note(watch.stop());
        };
        compute(&mut effort);
        assert_eq!(effort.slice(), Slice::Short, "it may have waited");
        compute(&mut effort);
        assert_eq!(effort.slice(), Slice::Usual);
    }
}
