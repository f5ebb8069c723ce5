//! Ends a probe when the server was killed: a separate process that waits for the server's end.
//!
//! The kernel ends the probe with the server, but not the processes that the plugin started there.
//! The guard leads the probe's process group and reads a pipe whose other end only the server has.
//! However the server ends, the pipe closes, and the guard kills the group including itself. The
//! guard is no child of the probe, so a plugin that waits for its own children never meets it. A
//! process that leaves the group on purpose is not reached. Knows no plugin.

use rustix::process::{
    Pid, Signal, getpgrp, getpid, kill_current_process_group, kill_process_group,
};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The hidden command that makes the program a guard.
pub const COMMAND: &str = "guard-probe";

/// The server's side. What is in the group is killed when this goes.
pub(super) struct Guard(Child);

impl Guard {
    pub(super) fn start(program: &Path) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg0("hotcall").arg(COMMAND).env_clear().process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn()?))
    }

    /// The group, for what is to be ended with it. Nobody else can have its id while this lives,
    /// because the guard is not waited for before.
    pub(super) fn group(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    /// Kills all that is in the group.
    pub(super) fn kill(&self) {
        if let Err(error) = kill_process_group(self.group(), Signal::KILL) {
            log::debug!("cannot kill a probe's process group: {error}");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.kill();
        // It only ever reads a pipe, so that it ends at once.
        if let Err(error) = self.0.wait() {
            log::debug!("cannot wait for a probe's guard: {error}");
        }
    }
}

/// The process's side: waits until the server is gone, and ends the group.
///
/// # Errors
/// It does not lead its group, which then is not its to kill.
pub fn run() -> io::Result<()> {
    if getpid() != getpgrp() {
        return Err(io::Error::other("it is for servers to start, in a process group of its own"));
    }
    let mut nothing = [0; 1];
    // The server writes nothing; whatever else than an interruption ends the wait, the server is
    // not there any more.
    while matches!(
        io::stdin().read(&mut nothing),
        Err(error) if error.kind() == io::ErrorKind::Interrupted
    ) {}
    Ok(kill_current_process_group(Signal::KILL)?)
}
