//! A process of another maker's program, for as long as it is held.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long it may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(5);

/// Runs until it is dropped, or until the thread that started it ends, however that comes.
pub struct Process(Child);

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// It is not there, or setpriv, of util-linux, is not.
    pub fn start(command: &mut Command) -> Result<Self, String> {
        let mut bound = Command::new("setpriv");
        // SIGTERM, because the workers of nginx outlive a master that is killed.
        bound
            .args(["--pdeathsig", "TERM", "--"])
            .arg(command.get_program())
            .args(command.get_args());
        bound.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        bound.stdin(Stdio::null()).stdout(Stdio::piped());
        bound.spawn().map(Self).map_err(|error| format!("{bound:?}: {error}"))
    }

    /// The URL that it prints once it listens.
    ///
    /// # Errors
    /// It ended or printed something else.
    pub fn url(&mut self) -> Result<String, String> {
        let out: ChildStdout = self.0.stdout.take().ok_or("it was asked already")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).map_err(|error| error.to_string())?;
        let url = line.trim().strip_prefix("listening ");
        url.map(ToOwned::to_owned)
            .ok_or_else(|| format!("a peer says {line:?} instead of where it listens"))
    }

    /// The process's id: setpriv becomes the program.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it runs still.
    pub fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.0.id().cast_signed()).filter(|_| self.is_running()) {
            _ = kill_process(pid, Signal::TERM);
        }
        let asked = Instant::now();
        while self.is_running() && asked.elapsed() < END_MAX {
            thread::sleep(POLL);
        }
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
