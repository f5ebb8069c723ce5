//! The server's side of a trial: starts the child, reads its report and judges how it ended. Must
//! not know the ABI.
//!
//! The child reports its steps in lines, so a refusal names the step and the signal.

use super::guard::Guard;
use super::line::Line;
use super::settings;
use super::verdict::Verdict;
use crate::limits::Limits;
use crate::plugin::clock::later;
use crate::plugin::config::{Config, ReloadMode};
use crate::plugin::refusal::Refusal;
use crate::text;
use crate::xmlrpc::Value;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, waitid};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

/// The hidden command that makes the program a probe.
pub const COMMAND: &str = "probe-plugin";
/// What a probe finds set in its environment.
const MARK: &str = "HOTCALL_PROBE";
/// All that a probe gets of the environment, with `LC_*`: what finds and loads libraries, and what
/// decides about languages, times and places. Neither the service manager's sockets nor anybody's
/// secrets.
const KEPT_VARIABLES: [&str; 14] = [
    "GLIBC_TUNABLES",
    "HOME",
    "LANG",
    "LANGUAGE",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LOGNAME",
    "PATH",
    "RUST_BACKTRACE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "USER",
];

/// The report of one probe, in bytes; what comes after is not read.
const REPORT_BYTES_MAX: usize = 256 << 10;
/// How much of the end of the plugin's own output is kept.
const OUTPUT_BYTES_MAX: usize = 4 << 10;
/// How much of that a refusal repeats.
const SAID_BYTES_MAX: usize = 200;
/// The longest wait between two looks whether the child has ended.
const TICK: Duration = Duration::from_millis(5);
/// How often a content is tried in all while its probe takes too long: a machine that is overloaded
/// for a moment makes any plugin slow.
pub(crate) const TRIES_MAX: u32 = 3;
/// From the first try to the second; twice as long to the third.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long a killed child may take to end: one that hangs in the kernel is not waited for.
const KILL_WAIT: Duration = Duration::from_secs(1);

/// The program that this process runs, also when its file has been replaced or removed since.
pub fn this_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// Loads, creates and destroys the plugin in a child process, and waits for that; not for long once
/// `is_cancelled`, and then the verdict says nothing of the plugin. A plugin is not created when
/// one of those that live must not be met: they are by their names, with whether they declare that.
pub(crate) fn run(
    copy: &Path,
    scratch: &Path,
    config: &Config,
    living: &BTreeMap<String, bool>,
    is_cancelled: &AtomicBool,
) -> Verdict {
    let deadline = later(Instant::now(), config.limits.probe_max());
    let mut trial = match Trial::start(copy, scratch, config) {
        Ok(trial) => trial,
        Err(error) => return Verdict::none("start its probe", error),
    };
    let ended = trial.follow(deadline, config, living, is_cancelled);
    trial.end();
    match ended {
        Ok(ended) => trial.verdict(ended.as_ref(), &config.limits),
        Err(error) => Verdict::none("watch its probe", error),
    }
}

/// A probe under way. All of its group is killed when this goes.
struct Trial {
    guard: Guard,
    child: Child,
    /// Readable once the child has ended. Where the kernel offers none, each tick looks.
    exit: Option<OwnedFd>,
    report: Option<ChildStdout>,
    output: Option<ChildStderr>,
    input: Option<ChildStdin>,
    /// What is still to be written to `input`, which is closed after it; None before the child has
    /// named its plugin.
    unsent: Option<Vec<u8>>,
    /// It has been told its plugin's settings.
    is_answered: bool,
    /// The report's last line as far as it has come.
    partial: Vec<u8>,
    report_bytes: usize,
    /// The end of what the plugin printed.
    printed: Vec<u8>,
    story: Story,
}

/// What the child has told so far.
#[derive(Default)]
struct Story {
    at: At,
    plugin: Option<String>,
    is_exclusive: bool,
    warnings: Vec<String>,
    refusal: Option<Refusal>,
}

/// What the child is doing, by the last line that it wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Start,
    Load,
    Table,
    Create,
    Destroy,
    Exit,
}

impl Trial {
    fn start(copy: &Path, scratch: &Path, config: &Config) -> io::Result<Self> {
        let limits = serde_json::to_string(&config.limits)?;
        let kept = |name: &str| KEPT_VARIABLES.contains(&name) || name.starts_with("LC_");
        let variables = env::vars_os().filter(|(name, _)| name.to_str().is_some_and(kept));
        // First, so that nothing of the plugin runs unguarded.
        let guard = Guard::start(&config.program)?;
        let mut child = Command::new(&config.program)
            .arg0("hotcall")
            .arg(COMMAND)
            .args([copy, scratch])
            .arg(limits)
            .env_clear()
            .envs(variables)
            .env(MARK, "1")
            // What the plugin starts ends with its guard's group.
            .process_group(guard.group().as_raw_nonzero().get())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let exit = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).ok();
        let (report, output, input) =
            (child.stdout.take(), child.stderr.take(), child.stdin.take());
        let (partial, printed) = (Vec::new(), Vec::new());
        let trial = Self {
            guard,
            child,
            exit,
            report,
            output,
            input,
            unsent: None,
            is_answered: false,
            partial,
            report_bytes: 0,
            printed,
            story: Story::default(),
        };
        trial.unblock()?;
        Ok(trial)
    }

    /// Makes the pipes non-blocking: nothing here waits for the processes at their other ends.
    fn unblock(&self) -> io::Result<()> {
        let ends = [
            self.report.as_ref().map(AsFd::as_fd),
            self.output.as_ref().map(AsFd::as_fd),
            self.input.as_ref().map(AsFd::as_fd),
        ];
        ends.into_iter().flatten().try_for_each(|end| Ok(rustix::io::ioctl_fionbio(end, true)?))
    }

    /// Reads and answers until the child has ended or has refused, or the time is over.
    fn follow(
        &mut self,
        deadline: Instant,
        config: &Config,
        living: &BTreeMap<String, bool>,
        is_cancelled: &AtomicBool,
    ) -> io::Result<Option<WaitIdStatus>> {
        loop {
            let ended = self.ended()?;
            self.read();
            if ended.is_some() || self.story.refusal.is_some() {
                return Ok(ended);
            }
            self.answer(config, living)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || is_cancelled.load(Ordering::Relaxed) {
                return Ok(None);
            }
            self.wait(left.min(TICK))?;
        }
    }

    /// How the child has ended, if it has. It stays a zombie, so that its id is still its own.
    fn ended(&self) -> io::Result<Option<WaitIdStatus>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(Pid::from_child(&self.child)), options)?)
    }

    fn wait(&self, left: Duration) -> io::Result<()> {
        let mut ends = Vec::with_capacity(4);
        ends.extend(self.exit.as_ref().map(|end| PollFd::new(end, PollFlags::IN)));
        ends.extend(self.report.as_ref().map(|end| PollFd::new(end, PollFlags::IN)));
        ends.extend(self.output.as_ref().map(|end| PollFd::new(end, PollFlags::IN)));
        let unsent = self.input.as_ref().filter(|_| self.unsent.is_some());
        ends.extend(unsent.map(|end| PollFd::new(end, PollFlags::OUT)));
        if ends.is_empty() {
            thread::sleep(left);
            return Ok(());
        }
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut ends, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes what has come.
    fn read(&mut self) {
        let mut buffer = [0; 4 << 10];
        while let Some(count) = take(&mut self.report, &mut buffer) {
            self.partial.extend(buffer.iter().take(count));
            self.report_bytes += count;
            while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.partial.drain(..=end).collect();
                self.story.hear(Line::parse(&line));
            }
            if self.report_bytes > REPORT_BYTES_MAX {
                self.report = None;
            }
        }
        // As much at once as a full pipe has, so that a plugin that prints without end does not
        // hold up the clock.
        for _ in 0..16 {
            let Some(count) = take(&mut self.output, &mut buffer) else { break };
            self.printed.extend(buffer.iter().take(count));
            let excess = self.printed.len().saturating_sub(OUTPUT_BYTES_MAX);
            self.printed.drain(..excess);
        }
    }

    /// Sends the plugin's settings once its name is known, and closes the pipe after them.
    fn answer(&mut self, config: &Config, living: &BTreeMap<String, bool>) -> io::Result<()> {
        if let Some(name) = self.story.plugin.as_ref().filter(|_| !self.is_answered) {
            let empty = Value::Struct(Vec::new());
            let settings = config.settings.get(name).unwrap_or(&empty);
            let must_not_meet = living.get(name).is_some_and(|is_exclusive| {
                let mode = config.options.get(name).and_then(|options| options.reload);
                mode.map_or(self.story.is_exclusive || *is_exclusive, |mode| {
                    mode == ReloadMode::Exclusive
                })
            });
            let document = if must_not_meet { Vec::new() } else { settings::encode(settings)? };
            (self.unsent, self.is_answered) = (Some(document), true);
        }
        let (Some(input), Some(unsent)) = (&mut self.input, &mut self.unsent) else {
            return Ok(());
        };
        while !unsent.is_empty() {
            match input.write(unsent) {
                Ok(count) => drop(unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Its end says more than its closed pipe.
                Err(_) => break,
            }
        }
        (self.input, self.unsent) = (None, None);
        Ok(())
    }

    /// Kills the child with all that it started, and what it has told is complete.
    fn end(&mut self) {
        self.guard.kill();
        // It may have left its group.
        if let Err(error) = self.child.kill() {
            log::debug!("cannot kill a probe: {error}");
        }
        let patience = Instant::now() + KILL_WAIT;
        while !matches!(self.child.try_wait(), Ok(Some(_))) {
            if Instant::now() >= patience {
                log::warn!(
                    "probe process {} does not end though it was killed; it is left",
                    self.child.id()
                );
                break;
            }
            thread::sleep(TICK);
        }
        self.read();
        log::debug!(
            "the probe's output ended with: {}",
            text::line_of(&self.printed, OUTPUT_BYTES_MAX)
        );
    }

    fn verdict(mut self, ended: Option<&WaitIdStatus>, limits: &Limits) -> Verdict {
        let plugin = self.story.plugin.take();
        let outcome = match self.story.refusal.take() {
            Some(refusal) => Err(refusal),
            None => self.outcome(ended, limits),
        };
        Verdict { plugin, outcome }
    }

    fn outcome(
        self,
        ended: Option<&WaitIdStatus>,
        limits: &Limits,
    ) -> Result<Vec<String>, Refusal> {
        let at = self.story.at;
        let how = how_it_ended(ended, at, limits.probe_ms_max);
        let is_orderly = ended.is_some_and(|status| status.exit_status() == Some(0));
        match at {
            // What the library does at the exit, it would do at the server's.
            At::Exit if is_orderly => Ok(self.story.warnings),
            At::Start => {
                let why = format!("{how}{}; is the probe's program a hotcall?", self.last_words());
                Err(Refusal::Io { what: "probe it", source: io::Error::other(why) })
            }
            _ => {
                let what = format!("{how}{}; {}", self.last_words(), at.advice(ended));
                match ended {
                    Some(_) => Err(Refusal::Probe(what)),
                    None => Err(Refusal::Overran { what, tries_left: 0 }),
                }
            }
        }
    }

    /// The last line that was printed, which often is why.
    fn last_words(&self) -> String {
        let last =
            self.printed.rsplit(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty());
        last.map_or_else(String::new, |line| {
            format!(", saying \"{}\"", text::line_of(line, SAID_BYTES_MAX))
        })
    }
}

impl Story {
    fn hear(&mut self, line: Option<Line>) {
        match line {
            Some(Line::Ready) => self.at = At::Load,
            Some(Line::Loaded) => self.at = At::Table,
            Some(Line::Named(plugin)) => (self.at, self.plugin) = (At::Create, Some(plugin)),
            Some(Line::Exclusive) => self.is_exclusive = true,
            Some(Line::Created) => self.at = At::Destroy,
            Some(Line::Destroyed) => self.at = At::Exit,
            Some(Line::Warning(text)) => self.warnings.push(text),
            Some(Line::Refused(text)) => self.refusal = Some(Refusal::Probe(text)),
            Some(Line::Failed(text)) => {
                self.refusal =
                    Some(Refusal::Io { what: "probe it", source: io::Error::other(text) });
            }
            None => log::debug!("a probe wrote a line that is not understood"),
        }
    }
}

impl At {
    /// As it follows "in".
    const fn place(self) -> &'static str {
        match self {
            Self::Start => "the probe's own start",
            Self::Load => "its constructors",
            Self::Table => "the reading of its table",
            Self::Create => "create",
            Self::Destroy => "destroy",
            Self::Exit => "its destructors, at the exit of the process",
        }
    }

    const fn advice(self, ended: Option<&WaitIdStatus>) -> &'static str {
        match (self, ended) {
            (_, None) => "correct the plugin, or raise probe_ms_max if it needs that long",
            (Self::Load, _) => "correct the plugin, or copy it again if the file is damaged",
            _ => "correct the plugin",
        }
    }
}

fn how_it_ended(ended: Option<&WaitIdStatus>, at: At, ms_max: u64) -> String {
    let place = at.place();
    let Some(status) = ended else { return format!("it did not finish {place} in {ms_max} ms") };
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("it ended the process with status {code} in {place}"),
        (None, Some(signal)) => {
            let name = signal_hook::low_level::signal_name(signal);
            let name = name.map_or_else(|| format!("signal {signal}"), str::to_owned);
            format!("it crashed ({name}) in {place}")
        }
        (None, None) => format!("it ended the process in {place}"),
    }
}

/// Reads what is there; closes the pipe at its end. None when nothing is there.
fn take(pipe: &mut Option<impl Read>, buffer: &mut [u8]) -> Option<usize> {
    match pipe.as_mut()?.read(buffer) {
        Ok(count @ 1..) => return Some(count),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
        Ok(_) | Err(_) => *pipe = None,
    }
    None
}
