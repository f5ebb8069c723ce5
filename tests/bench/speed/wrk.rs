//! wrk, which puts the load of many kept connections on a peer.

use crate::process::Process;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// As many as share the machine with the server.
const THREADS_MAX: usize = 2;
/// wrk counts an answer that takes longer as an error.
const TIMEOUT_S: u32 = 10;
/// How far the mean length of answers may be from the one that was looked at. A fault is half as long again.
const LENGTH_ERROR_MAX: f64 = 0.1;

const SCRIPT: &str = include_str!("post.lua");

/// wrk with its script and a document.
pub struct Wrk {
    script: PathBuf,
    document: PathBuf,
}

impl Wrk {
    /// Writes both into the directory.
    pub fn new(directory: &Path, document: &str) -> Self {
        let [script, kept] = ["post.lua", "document.xml"].map(|name| directory.join(name));
        fs::write(&script, SCRIPT).unwrap();
        fs::write(&kept, document).unwrap();
        Self { script, document: kept }
    }

    /// Puts the load on for `warm_up` and then, on new connections, for `seconds`: calls per second of the latter.
    ///
    /// # Errors
    /// What wrk says of errors, or that answers are not of that length, head and all: such a measurement is none.
    pub fn run(
        &self,
        url: &str,
        connections: usize,
        reply_bytes: usize,
        warm_up: Duration,
        seconds: u64,
    ) -> Result<f64, String> {
        let warming = Process::start(&mut self.command(url, connections, 60))?;
        thread::sleep(warm_up);
        drop(warming);
        let output = self.command(url, connections, seconds).output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let counted = text.lines().find_map(|line| line.strip_prefix("counted "));
        let counted = counted
            .ok_or_else(|| format!("wrk did not run: {text} {}", String::from_utf8_lossy(&output.stderr)))?;
        rate(counted, reply_bytes)
    }

    fn command(&self, url: &str, connections: usize, seconds: u64) -> Command {
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", &connections.min(THREADS_MAX).to_string()]);
        wrk.args(["--connections", &connections.to_string(), "--duration", &format!("{seconds}s")]);
        wrk.args(["--timeout", &format!("{TIMEOUT_S}s"), "--script"]).arg(&self.script);
        wrk.arg(url).arg("--").arg(&self.document);
        wrk
    }
}

/// From what the script prints.
fn rate(counted: &str, reply_bytes: usize) -> Result<f64, String> {
    let numbers: HashMap<_, f64> = counted
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .filter_map(|(key, number)| Some((key, number.parse().ok()?)))
        .collect();
    let number = |key: &str| numbers.get(key).copied().ok_or_else(|| format!("wrk said no {key}: {counted}"));
    for error in ["connect", "read", "write", "timeout", "status"] {
        let count = number(error)?;
        if count > 0.0 {
            return Err(format!("{count} {error} errors of wrk"));
        }
    }
    let replies = number("replies")?;
    if replies == 0.0 {
        return Err("no answer".to_owned());
    }
    let (mean, looked_at) = (number("bytes")? / replies, reply_bytes as f64);
    if (mean - looked_at).abs() > LENGTH_ERROR_MAX * looked_at {
        return Err(format!("answers of {mean:.0} bytes instead of {reply_bytes}"));
    }
    Ok(replies / (number("microseconds")? / 1e6))
}
