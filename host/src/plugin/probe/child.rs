//! The child process of a probe. It knows one file, one directory and the limits.
//!
//! Its address space, processor time and core files are limited, and the kernel kills it when its
//! parent ends.

use super::line::Line;
use super::{inherited, settings};
use crate::limits::Limits;
use crate::plugin::directory::content::ContentHash;
use crate::plugin::instance::candidate::Candidate;
use crate::plugin::library::{elf, image};
use crate::plugin::refusal::Refusal;
use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit,
};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// How often it is looked whether threads have ended, and the wait in between: a thread that was
/// joined stays listed for a moment.
const THREADS_LOOKS_MAX: u32 = 10;
const THREADS_WAIT: Duration = Duration::from_millis(5);

/// Tries the plugin and tells each step on what was standard output. The plugin's own output goes
/// to standard error. For a process that does nothing else, and has done nothing before.
///
/// # Errors
/// The report cannot be written, or the process cannot be confined.
pub fn run(copy: &Path, data_directory: &Path, limits: &Limits) -> io::Result<()> {
    inherited::close()?;
    let mut report = Report::new()?;
    confine(limits)?;
    report.say(&Line::Ready)?;
    match attempt(copy, data_directory, limits, &mut report) {
        Ok(()) => Ok(()),
        Err(refusal) if refusal.is_of_the_content() => {
            report.say(&Line::Refused(refusal.to_string()))
        }
        Err(refusal) => report.say(&Line::Failed(refusal.to_string())),
    }
}

fn attempt(
    copy: &Path,
    data_directory: &Path,
    limits: &Limits,
    report: &mut Report,
) -> Result<(), Refusal> {
    let bytes = fs::read(copy).map_err(Refusal::io("read its private copy"))?;
    let facts = elf::read(&bytes)?;
    let hash = ContentHash::of(&bytes);
    drop(bytes);
    let mapped = image::map(copy, &facts)?;
    report.tell(&Line::Loaded)?;
    let candidate = Candidate::new(&mapped, 0, hash, facts, limits)?;
    if candidate.is_exclusive() {
        report.tell(&Line::Exclusive)?;
    }
    report.tell(&Line::Named(candidate.descriptor.name.clone()))?;

    let mut document = Vec::new();
    io::stdin().read_to_end(&mut document).map_err(Refusal::io("read its settings"))?;
    if document.is_empty() {
        // An instance lives elsewhere that this one must not meet.
        return report.tell(&Line::Destroyed);
    }
    let config = settings::decode(&document).map_err(Refusal::io("read its settings"))?;
    let (_, live, mut ending) = candidate.create(data_directory, config, limits)?;
    report.tell(&Line::Created)?;
    drop(live);
    ending.quiesce();
    ending.destroy();
    if let Some(threads) = threads_left() {
        let text = format!("it leaves {threads} threads running after destroy; end them there");
        report.tell(&Line::Warning(text))?;
    }
    report.tell(&Line::Destroyed)
}

/// Where the lines go: where standard output went before.
struct Report(File);

impl Report {
    fn new() -> io::Result<Self> {
        let report = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 0)?;
        // What a plugin prints is not a line of the report.
        rustix::stdio::dup2_stdout(io::stderr())?;
        Ok(Self(report.into()))
    }

    fn say(&mut self, line: &Line) -> io::Result<()> {
        self.0.write_all(line.print().as_bytes())
    }

    fn tell(&mut self, line: &Line) -> Result<(), Refusal> {
        self.say(line).map_err(Refusal::io("report to the server"))
    }
}

/// Bounds what a plugin can do to the machine, and lets the process end with the thread that
/// started it.
fn confine(limits: &Limits) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    lower(Resource::As, limits.probe_address_space_bytes_max)?;
    lower(Resource::Core, 0)?;
    // A busy plugin has the time limit on each core; the clock of the server is the one that
    // counts.
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get) as u64;
    lower(Resource::Cpu, (limits.probe_ms_max / 1_000).saturating_add(1).saturating_mul(cores))
}

fn lower(resource: Resource, to: u64) -> io::Result<()> {
    let lowest = getrlimit(resource).maximum.map_or(to, |maximum| maximum.min(to));
    Ok(setrlimit(resource, Rlimit { current: Some(lowest), maximum: Some(lowest) })?)
}

/// How many threads there are besides this one.
fn threads_left() -> Option<usize> {
    let count =
        || fs::read_dir("/proc/self/task").map_or(0, |tasks| tasks.count().saturating_sub(1));
    for _ in 0..THREADS_LOOKS_MAX {
        if count() == 0 {
            return None;
        }
        thread::sleep(THREADS_WAIT);
    }
    Some(count()).filter(|left| *left > 0)
}
