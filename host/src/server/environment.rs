//! Removes from the process's environment what plugins and their programs must not find in it.
#![allow(
    unsafe_code,
    reason = "changes environment variables, which no other thread may read at that moment"
)]

use std::ffi::OsStr;
use std::{env, fs, io};

/// Sets variables, or removes those without a value. For a process that has no other thread yet.
///
/// # Errors
/// There are other threads, or they cannot be counted. Nothing has changed then.
pub(crate) fn change(variables: &[(&str, Option<&OsStr>)]) -> io::Result<()> {
    must_be_alone()?;
    for (name, value) in variables {
        match value {
            // SAFETY: `must_be_alone` has counted one thread, which is this one, and it starts none
            // in between: so nobody reads or changes the environment meanwhile.
            Some(value) => unsafe { env::set_var(name, value) },
            // SAFETY: as above.
            None => unsafe { env::remove_var(name) },
        }
    }
    Ok(())
}

/// Some changes hold for one thread only, or are safe with one only.
///
/// # Errors
/// There is another thread.
pub(super) fn must_be_alone() -> io::Result<()> {
    match fs::read_dir("/proc/self/task")?.count() {
        1 => Ok(()),
        threads => Err(io::Error::other(format!("{threads} threads run already"))),
    }
}
