//! Time slices of threads: how soon a thread that wakes gets a processor. Must not know what the
//! threads do.
//!
//! Since Linux 6.12 a thread may choose its slice without a privilege. Of the threads that wait for
//! a processor, one with a short slice is served before those with longer ones, and interrupts
//! them. It gets no more time than they do in all. Older kernels ignore the choice.
#![allow(unsafe_code, reason = "sched_setattr, which no crate that we have offers")]

use libc::sched_attr;
use std::io;
use std::sync::Once;

/// The shortest slice that the kernel grants. Its default is about 3 ms.
const SHORT_NS: u64 = 100_000;

/// How long a thread runs before others have their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slice {
    /// As long as most threads on this machine.
    Usual,
    /// For threads that have little to do each time, and should do it soon.
    Short,
}

impl Slice {
    /// Gives the calling thread this slice. Threads that it starts have the usual one.
    pub(crate) fn choose(self) {
        static TOLD: Once = Once::new();
        if let Err(error) = self.set() {
            TOLD.call_once(|| log::debug!("threads keep their usual time slices: {error}"));
        }
    }

    fn set(self) -> io::Result<()> {
        let mut attributes = attributes()?;
        // Other policies have no slices, and an operator chose them.
        if attributes.sched_policy != libc::SCHED_OTHER.cast_unsigned() {
            return Ok(());
        }
        attributes.sched_flags = u64::from(libc::SCHED_FLAG_RESET_ON_FORK.cast_unsigned());
        attributes.sched_runtime = match self {
            Self::Usual => 0,
            Self::Short => SHORT_NS,
        };
        // SAFETY: the kernel reads as many bytes as `size` says, and 0 is the calling thread.
        let status = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// The calling thread's.
fn attributes() -> io::Result<sched_attr> {
    let size = u32::try_from(size_of::<sched_attr>()).map_err(io::Error::other)?;
    let mut attributes = sched_attr {
        size,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel writes `size` bytes at most, and 0 is the calling thread.
    let status = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    if status == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// 0 on kernels without slices of threads.
    fn slice() -> u64 {
        attributes().unwrap().sched_runtime
    }

    #[test]
    fn a_thread_has_the_slice_that_it_chose_and_those_that_it_starts_the_usual_one() {
        let slices = thread::spawn(|| {
            let usual = slice();
            Slice::Short.choose();
            let short = slice();
            let child = thread::spawn(slice).join().unwrap();
            Slice::Usual.choose();
            [usual, short, child, slice()]
        });
        let [usual, short, child, again] = slices.join().unwrap();
        assert!(short == SHORT_NS || usual == 0, "{short}");
        assert_eq!([child, again], [usual; 2]);
    }
}
