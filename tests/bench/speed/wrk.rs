//! wrk, which puts the load of many kept connections on a peer.

use crate::pinned;
use crate::process::Process;
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// As many as share the machine with the server.
const THREADS_MAX: usize = 2;
/// wrk counts an answer that takes longer as an error.
const TIMEOUT_S: u32 = 10;
/// Longer than any warm-up or trial, which end it.
const UNTIL_ENDED_S: u64 = 60;

const SCRIPT: &str = include_str!("post.lua");

/// wrk with its script, its settings of TLS, and a document.
pub struct Wrk(TempDir);

/// What wrk has counted.
pub struct Counted {
    /// Answers.
    pub replies: f64,
    /// In which time they came.
    pub seconds: f64,
}

impl Wrk {
    /// Writes them into a directory of its own.
    pub fn new(document: &str) -> Self {
        let wrk = Self(tempfile::tempdir().unwrap());
        fs::write(wrk.file("post.lua"), SCRIPT).unwrap();
        fs::write(wrk.file("openssl.cnf"), pinned::openssl_conf()).unwrap();
        fs::write(wrk.file("document.xml"), document).unwrap();
        wrk
    }

    /// Puts the load on for so long, and counts nothing.
    ///
    /// # Errors
    /// There is no wrk.
    pub fn warm_up(&self, url: &str, connections: usize, time: Duration) -> Result<(), String> {
        let _wrk = Process::start(&mut self.endless(url, connections))?;
        thread::sleep(time);
        Ok(())
    }

    /// Puts the load on for `seconds`, on new connections.
    ///
    /// # Errors
    /// What wrk says of errors, or that answers are not of that length, head and all: such a
    /// measurement is none.
    pub fn run(
        &self,
        url: &str,
        connections: usize,
        reply_bytes: usize,
        seconds: u64,
    ) -> Result<Counted, String> {
        let output =
            self.command(url, connections, seconds).output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let counted = counted(&text, connections, reply_bytes);
        counted.map_err(|why| {
            format!("{why} {}", String::from_utf8_lossy(&output.stderr)).trim().to_owned()
        })
    }

    /// A command that calls until it is ended.
    pub fn endless(&self, url: &str, connections: usize) -> Command {
        self.command(url, connections, UNTIL_ENDED_S)
    }

    /// The command.
    pub fn command(&self, url: &str, connections: usize, seconds: u64) -> Command {
        let mut wrk = Command::new("wrk");
        wrk.env("OPENSSL_CONF", self.file("openssl.cnf"));
        wrk.args(["--threads", &connections.min(THREADS_MAX).to_string()]);
        wrk.args(["--connections", &connections.to_string(), "--duration", &format!("{seconds}s")]);
        wrk.args(["--timeout", &format!("{TIMEOUT_S}s"), "--script"]).arg(self.file("post.lua"));
        wrk.arg(url).arg("--").arg(self.file("document.xml"));
        wrk
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// From what the script prints.
///
/// # Errors
/// As [`Wrk::run`].
pub fn counted(text: &str, connections: usize, reply_bytes: usize) -> Result<Counted, String> {
    let line = text.lines().find_map(|line| line.strip_prefix("counted "));
    let line = line.ok_or_else(|| format!("wrk did not run: {text}"))?;
    let numbers: HashMap<_, f64> = line
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .filter_map(|(key, number)| Some((key, number.parse().ok()?)))
        .collect();
    let number =
        |key: &str| numbers.get(key).copied().ok_or_else(|| format!("wrk said no {key}: {line}"));
    for error in ["connect", "read", "write", "timeout", "status"] {
        let count = number(error)?;
        if count > 0.0 {
            return Err(format!("{count} {error} errors of wrk"));
        }
    }
    let (replies, bytes) = (number("replies")?, number("bytes")?);
    if replies == 0.0 {
        return Err("no answer".to_owned());
    }
    // Every answer is as long as the one that was looked at. At the end each connection may have
    // read a part of one more.
    let unfinished = replies.mul_add(-(reply_bytes as f64), bytes);
    if unfinished < 0.0 || unfinished >= connections as f64 * reply_bytes as f64 {
        return Err(format!("{replies} answers of {reply_bytes} bytes had {bytes} bytes together"));
    }
    Ok(Counted { replies, seconds: number("microseconds")? / 1e6 })
}
