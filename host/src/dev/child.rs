//! One child process at a time, which another thread may end.

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a child may print to a captured standard output.
const STDOUT_BYTES_MAX: u64 = 64 << 20;

/// The child that runs, if one does.
#[derive(Debug, Default)]
pub(super) struct Children(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Not reaped while it stands here, so that the number names no other process.
    running: Option<Pid>,
    /// No further child may start.
    ended: bool,
}

/// Why a child gave no result.
#[derive(Debug)]
pub(super) enum ChildError {
    /// [`Children::end`] was called.
    Ended,
    /// The system refused.
    System(io::Error),
}

impl Children {
    /// Runs a command to its end and gives its status and what it printed to standard output, if
    /// that was piped.
    pub(super) fn run(&self, command: &mut Command) -> Result<(ExitStatus, Vec<u8>), ChildError> {
        let mut state = self.lock();
        if state.ended {
            return Err(ChildError::Ended);
        }
        let mut child = command.stdin(Stdio::null()).spawn().map_err(ChildError::System)?;
        let pid = Pid::from_child(&child);
        state.running = Some(pid);
        drop(state);

        let mut printed = Vec::new();
        let read = match child.stdout.take() {
            // Dropping the pipe at the limit ends a child that prints on.
            Some(stdout) => stdout.take(STDOUT_BYTES_MAX).read_to_end(&mut printed).map(drop),
            None => Ok(()),
        };
        let exited = rustix::io::retry_on_intr(|| {
            waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        });

        let mut state = self.lock();
        state.running = None;
        let status = child.wait().map_err(ChildError::System)?;
        if state.ended {
            return Err(ChildError::Ended);
        }
        drop(state);
        read.map_err(ChildError::System)?;
        exited.map_err(|error| ChildError::System(error.into()))?;
        Ok((status, printed))
    }

    /// Asks the child that runs to end, and lets none start any more.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        signal(&state, Signal::TERM);
    }

    /// Kills the child that runs.
    pub(super) fn kill(&self) {
        signal(&self.lock(), Signal::KILL);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn signal(state: &State, signal: Signal) {
    if let Some(pid) = state.running
        && let Err(error) = kill_process(pid, signal)
    {
        log::warn!("cannot end the build, process {pid:?}: {error}");
    }
}
