//! The descriptors that a probe's process inherited: the parent of the server may have left some
//! open, and every child gets them too. Knows numbers, not what they lead to.
#![allow(
    unsafe_code,
    reason = "closes descriptors by their numbers, which nothing in a new process owns"
)]

use rustix::fd::RawFd;
use std::fs;
use std::io;
use std::path::Path;

/// The last of the standard streams.
const STANDARD_MAX: RawFd = 2;
const LISTING: &str = "/proc/self/fd";

/// Closes all but the standard streams, so that no plugin's code finds a file that was opened for
/// somebody else. Must be the first thing that a process does.
///
/// # Errors
/// The process's descriptors cannot be listed, or it has done something before: it has threads.
pub(super) fn close() -> io::Result<()> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("threads run already, so this is no new process"));
    }
    let number =
        |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok();
    let listed: Vec<RawFd> = fs::read_dir(LISTING)?.filter_map(number).collect();
    // The listing's own is among them, and closed by now.
    let is_open =
        |number: &RawFd| Path::new(LISTING).join(number.to_string()).symlink_metadata().is_ok();
    for number in listed.into_iter().filter(|number| *number > STANDARD_MAX).filter(is_open) {
        // SAFETY: it was open a moment ago, and there is no other thread to close it. It came with
        // the process: `child::run` calls this before it opens anything, and what came with a
        // process no value in it owns.
        unsafe { rustix::io::close(number) };
    }
    Ok(())
}
