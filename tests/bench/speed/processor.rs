//! Processor time of servers. What else runs, the load generator too, has no share in it.

use nix::sys::time::TimeValLike;
use nix::time::ClockId;
use nix::unistd::Pid;
use std::fs;
use std::time::Duration;

/// What a process and those that it has started have taken until now, threads that have ended too.
/// Of processes that have ended nothing is known, so it is for servers whose processes stay.
///
/// # Errors
/// One of them does not run.
pub fn taken_by(pid: u32) -> Result<Duration, String> {
    let failed = |error| format!("the processor time of process {pid}: {error}");
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.cast_signed())).map_err(failed)?;
    let own = clock.now().map_err(failed)?.num_nanoseconds();
    let own = Duration::from_nanos(u64::try_from(own).unwrap_or(0));
    children(pid).into_iter().try_fold(own, |sum, child| Ok(sum + taken_by(child)?))
}

/// Each belongs to the thread that started it.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}
