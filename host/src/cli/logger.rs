//! The log: formats records and writes them to standard error.
//!
//! A command that serves queues its lines, and one thread writes them. No other thread, reactors
//! included, waits for the reader of standard error. The queue's lock is held to copy a line and
//! never across I/O.
//!
//! - A full queue drops lines until the thread takes it, and a line in their place says how many.
//! - The thread starts after root is given up, because threads would keep root. Until then lines
//!   wait.
//! - The process waits up to 2 s for the queue before it ends. A crash loses queued lines.
//! - A plugin that prints, and Rust's own abort messages, do not pass the queue.
//!
//! The other commands and the probe write each line at once.

use super::output::Failure;
use crate::limits::Limits;
use crate::text;
use anstream::AutoStream;
use env_logger::fmt::{ConfigurableFormat, Formatter};
use env_logger::{Builder, Env, Target};
use memchr::{memchr, memchr_iter, memrchr};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{env, thread};

/// How long the end of the process waits until queued lines are written.
const FLUSH_MAX: Duration = Duration::from_secs(2);
/// How long a thread that panics waits for that: the process may go on, and others may wait for the
/// thread.
const PANIC_FLUSH_MAX: Duration = Duration::from_millis(100);
/// A pipe takes this much in one piece (`PIPE_BUF`), so that what others write to it does not stand
/// within a line.
const PIECE_BYTES_MAX: usize = 4_096;
/// Memory that the queue keeps when it is empty.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// This process' queue.
static QUEUE: Queue = Queue::new();

struct Queue {
    state: Mutex<State>,
    has_lines: Condvar,
    is_written: Condvar,
}

struct State {
    phase: Phase,
    lines: Vec<u8>,
    bytes_max: usize,
    /// Lines that were dropped behind `lines`.
    dropped: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Lines are not queued.
    Direct,
    /// No thread writes yet.
    Waiting,
    /// The thread has written what it took.
    Idle,
    Writing,
}

/// Logs from now on, by `RUST_LOG` or else this filter. With a queue, lines wait for [`start`] or
/// [`flush`].
pub(super) fn init(filter: &str, is_queued: bool) {
    let mut builder = Builder::from_env(Env::default().default_filter_or(filter));
    if is_queued {
        let mut state = QUEUE.lock();
        (state.phase, state.bytes_max) = (Phase::Waiting, Limits::default().log_queue_bytes_max);
        drop(state);
        builder.target(Target::Pipe(Box::new(&QUEUE)));
        if !matches!(env::var("RUST_LOG_STYLE").as_deref(), Ok("always" | "never")) {
            // What env_logger would choose for standard error.
            builder.write_style(AutoStream::choice(&io::stderr()).into());
        }
    }
    builder.format(write_record).init();
    panic::set_hook(Box::new(report_panic));
}

/// Writes a log record as one clean line.
fn write_record(to: &mut Formatter, record: &log::Record<'_>) -> io::Result<()> {
    let text = record.args().to_string();
    let args = format_args!("{}", text::line(&text));
    let record =
        log::Record::builder().level(record.level()).target(record.target()).args(args).build();
    ConfigurableFormat::default().format(to, &record)
}

/// Takes the queue's limit from a configuration.
pub(super) fn limit(limits: &Limits) {
    QUEUE.lock().bytes_max = limits.log_queue_bytes_max;
}

/// Starts the thread that writes queued lines.
///
/// # Errors
/// The system has no thread.
pub(super) fn start() -> Result<(), Failure> {
    let mut state = QUEUE.lock();
    if state.phase == Phase::Waiting {
        let write = || {
            let (mut lines, mut output) = (Vec::new(), Output::new(write_all));
            loop {
                QUEUE.take(&mut lines);
                output.write(&lines);
            }
        };
        thread::Builder::new().name("log".into()).spawn(write).map_err(|error| {
            Failure::new(format!("cannot start the thread that writes the log: {error}"))
        })?;
        state.phase = Phase::Idle;
    }
    Ok(())
}

/// Writes a line that is not part of the log, behind all that was logged.
pub(super) fn say(line: &str) {
    if QUEUE.lock().phase == Phase::Direct {
        // A standard error that is closed has nobody to tell.
        let _ = writeln!(io::stderr(), "{line}");
    } else {
        QUEUE.change(|state| state.append(&format!("{line}\n")));
    }
}

/// Waits until queued lines are written, but not for long: nobody may read them. To be called
/// before the process ends.
pub(super) fn flush() {
    flush_within(FLUSH_MAX);
}

fn flush_within(max: Duration) {
    if start().is_err() {
        let mut lines = Vec::new();
        QUEUE.lock().give(&mut lines);
        return Output::new(write_all).write(&lines);
    }
    let is_unwritten = |state: &mut State| state.phase == Phase::Writing || !state.is_empty();
    drop(QUEUE.is_written.wait_timeout_while(QUEUE.lock(), max, is_unwritten));
}

/// Logs a panic of the server's own code. It may end the process, so this waits a moment for the
/// log.
fn report_panic(info: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("without a name");
    let place = info.location().map_or_else(String::new, |place| format!(" at {place}"));
    log::error!(
        "thread {name} panicked{place}: {}",
        info.payload_as_str().unwrap_or("a panic without text")
    );
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        trace.to_string().lines().for_each(|line| log::error!("{line}"));
    }
    flush_within(if name == "main" { FLUSH_MAX } else { PANIC_FLUSH_MAX });
}

/// Where lines are written, and how many could not be: a full disk may have room again.
struct Output<W> {
    write: W,
    lost: u64,
}

impl<W: FnMut(&[u8]) -> Result<(), Errno>> Output<W> {
    const fn new(write: W) -> Self {
        Self { write, lost: 0 }
    }

    /// Writes lines in pieces, however long that takes. A line that does not fit into a piece is
    /// written by itself.
    fn write(&mut self, mut lines: &[u8]) {
        // The last piece may have been written in part.
        if self.lost > 0 && (self.write)(format!("\n{}", notice(self.lost)).as_bytes()).is_ok() {
            self.lost = 0;
        }
        while self.lost == 0 && !lines.is_empty() {
            let piece = lines.get(..PIECE_BYTES_MAX).unwrap_or(lines);
            let end = memrchr(b'\n', piece).or_else(|| memchr(b'\n', lines));
            let (piece, rest) = lines.split_at(end.map_or(lines.len(), |end| end + 1));
            if (self.write)(piece).is_err() {
                break;
            }
            lines = rest;
        }
        self.lost += memchr_iter(b'\n', lines).map(|_| 1).sum::<u64>();
    }
}

/// A line about dropped ones, as `env_logger` formats it, but whatever the filter.
fn notice(dropped: u64) -> String {
    let (now, target) = (jiff::Timestamp::now(), module_path!());
    format!(
        "[{now:.0} WARN  {target}] {dropped} log lines were dropped here: standard error did not \
         take them (see log_queue_bytes_max)\n"
    )
}

/// Without the standard library's lock, for which a panic of a thread would wait.
fn write_all(mut bytes: &[u8]) -> Result<(), Errno> {
    let stderr = io::stderr();
    while !bytes.is_empty() {
        match rustix::io::write(&stderr, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Another process that shares it may have made it non-blocking.
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Queue {
    const fn new() -> Self {
        let state = State { phase: Phase::Direct, lines: Vec::new(), bytes_max: 0, dropped: 0 };
        Self { state: Mutex::new(state), has_lines: Condvar::new(), is_written: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock, so a poisoned queue is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something into the queue, and wakes the thread if it sleeps.
    fn change(&self, put: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        put(&mut state);
        let is_idle = state.phase == Phase::Idle;
        drop(state);
        if is_idle {
            self.has_lines.notify_one();
        }
    }

    /// For the thread that writes: it has written what it took, and takes what there is, or waits
    /// for it.
    fn take(&self, lines: &mut Vec<u8>) {
        let mut state = self.lock();
        state.phase = Phase::Idle;
        self.is_written.notify_all();
        while state.is_empty() {
            state = self.has_lines.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.phase = Phase::Writing;
        state.give(lines);
    }
}

impl State {
    const fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0
    }

    /// Adds a line of the log, or drops it when the queue is full. Once one is dropped so is each
    /// that follows, until the queue is taken: the number that were dropped has one place.
    fn push(&mut self, line: &[u8]) {
        if self.dropped > 0 || self.lines.len() + line.len() > self.bytes_max {
            self.dropped += 1;
        } else {
            self.lines.extend_from_slice(line);
        }
    }

    /// Adds a line, however full the queue is.
    fn append(&mut self, line: &str) {
        self.note_dropped();
        self.lines.extend_from_slice(line.as_bytes());
    }

    /// Exchanges all lines for an empty list.
    fn give(&mut self, lines: &mut Vec<u8>) {
        self.note_dropped();
        lines.clear();
        lines.shrink_to(KEPT_BYTES_MAX);
        std::mem::swap(&mut self.lines, lines);
    }

    fn note_dropped(&mut self) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            self.lines.extend_from_slice(notice(dropped).as_bytes());
        }
    }
}

/// Where `env_logger` writes each line, whole.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.change(|state| state.push(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    fn state(bytes_max: usize) -> State {
        State { phase: Phase::Waiting, lines: Vec::new(), bytes_max, dropped: 0 }
    }

    fn given(state: &mut State) -> String {
        let mut lines = b"those before".to_vec();
        state.give(&mut lines);
        assert!(state.is_empty());
        String::from_utf8(lines).unwrap()
    }

    #[test]
    fn lines_past_the_limit_are_counted_where_they_would_stand() {
        let mut state = state(10);
        for line in ["one\n", "two\n", "three\n", "4\n", "5\n"] {
            state.push(line.as_bytes());
        }
        let lines = given(&mut state);
        assert!(lines.starts_with("one\ntwo\n[2"), "{lines}");
        let notice = lines.lines().last().unwrap();
        assert!(
            notice.contains("Z WARN  hotcall::cli::logger] 3 log lines were dropped here: "),
            "{lines}"
        );
        state.push(b"six\n");
        assert_eq!(given(&mut state), "six\n");
        state.push(b"longer than all\n");
        assert!(!state.is_empty(), "the thread must write that it was dropped");
        assert!(given(&mut state).contains(" 1 log lines"));
    }

    #[test]
    fn what_is_said_last_comes_last_and_is_never_dropped() {
        let mut state = state(4);
        state.push(b"one\n");
        state.push(b"two\n");
        state.append("hotcall: why\n");
        let lines = given(&mut state);
        let lines: Vec<_> = lines.lines().collect();
        assert!(
            matches!(lines[..], ["one", notice, "hotcall: why"] if notice.contains(" 1 log lines")),
            "{lines:?}"
        );
    }

    #[test]
    fn lines_are_written_whole() {
        let mut written = Vec::new();
        let mut output = Output::new(|piece: &[u8]| {
            written.push(piece.to_vec());
            Ok(())
        });
        let long = "x".repeat(2 * PIECE_BYTES_MAX) + "\n";
        let lines = format!("{long}{}end", "short\n".repeat(PIECE_BYTES_MAX / 5));
        output.write(lines.as_bytes());
        assert!(written.concat() == lines.as_bytes());
        assert!(written[0] == long.as_bytes());
        let is_whole = |piece: &Vec<u8>| piece.len() <= PIECE_BYTES_MAX && piece.ends_with(b"\n");
        assert!(written.len() > 3 && written[1..written.len() - 1].iter().all(is_whole));
    }

    #[test]
    fn lines_that_could_not_be_written_are_counted() {
        let (written, has_room) = (RefCell::new(String::new()), Cell::new(true));
        let mut output = Output::new(|piece: &[u8]| {
            if !has_room.get() {
                return Err(Errno::NOSPC);
            }
            written.borrow_mut().push_str(std::str::from_utf8(piece).unwrap());
            Ok(())
        });
        output.write(b"one\n");
        has_room.set(false);
        output.write(b"two\nthree\n");
        output.write(b"four\n");
        has_room.set(true);
        output.write(b"five\n");
        output.write(b"six\n");
        let written = written.borrow();
        let lines: Vec<_> = written.lines().collect();
        assert!(
            matches!(
                lines[..],
                ["one", "", notice, "five", "six"] if notice.contains("] 3 log lines were")
            ),
            "{lines:?}"
        );
    }
}
