//! A server under test: the real binary with directories of its own, on loopback.

use crate::artifacts;
use crate::shared::{WAIT_MAX, client, repository, wait_for};
use hotcall::client::Client;
use hotcall::xmlrpc::Value;
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

/// The config file's name, in the directory of the server's own.
const CONFIG: &str = "hotcall.toml";

/// What is logged: with the life cycle's looks, which tests count.
const LOG: &str = "debug,hotcall::plugin::lifecycle=trace";

/// Limits of the server that are longer than [`WAIT_MAX`] unless a test sets them: a busy machine
/// must not pass them. They are shorter than the hour for which some tests let a plugin hang.
const PATIENT_LIMITS: [&str; 6] = [
    "handshake_ms_max",
    "request_ms_max",
    "idle_ms_max",
    "call_ms_max",
    "probe_ms_max",
    "drain_ms_max",
];
const PATIENT_MS: u128 = 2 * WAIT_MAX.as_millis();
/// Variable with limits for all servers under test, as lines of TOML. A server that is built with a
/// sanitizer needs higher ones.
const LIMITS: &str = "HOTCALL_TESTS_LIMITS";

/// What a server is started with.
#[derive(Default)]
pub struct Setup {
    plugins: Vec<(String, PathBuf)>,
    arguments: Vec<String>,
    config: Option<String>,
    state_dir: Option<PathBuf>,
    plugins_dir: Option<PathBuf>,
    program: Option<PathBuf>,
    prelude: Option<String>,
    log: Option<String>,
    without_directory: bool,
    ca: Option<PathBuf>,
    inherited: Vec<String>,
    is_log_unread: bool,
}

impl Setup {
    /// Nothing but HTTPS on a free port of loopback.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a copy of this plugin file under this name.
    #[must_use]
    pub fn plugin(mut self, name: &str, file: &Path) -> Self {
        self.plugins.push((name.to_owned(), file.to_owned()));
        self
    }

    /// With one more argument of `serve`.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// With this config file, to which the limits of time that it does not set are added.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }

    /// With another state directory than its own.
    #[must_use]
    pub fn state_dir(mut self, path: &Path) -> Self {
        self.state_dir = Some(path.to_owned());
        self
    }

    /// With another plugins directory than its own. It must exist.
    #[must_use]
    pub fn plugins_dir(mut self, path: &Path) -> Self {
        self.plugins_dir = Some(path.to_owned());
        self
    }

    /// With another build or copy of the program.
    #[must_use]
    pub fn program(mut self, path: &Path) -> Self {
        self.program = Some(path.to_owned());
        self
    }

    /// Started by a shell that has run these commands first, as a service's script does.
    #[must_use]
    pub fn after(mut self, prelude: &str) -> Self {
        self.prelude = Some(prelude.to_owned());
        self
    }

    /// With listening sockets that are handed over as systemd does it. Each is a name and an
    /// address of TCP, or a path with a mode: `https=127.0.0.1:0`, `x=/run/s@666`. It listens
    /// nowhere else unless an argument says so.
    #[must_use]
    pub fn inherited(mut self, sockets: &[&str]) -> Self {
        self.inherited = sockets.iter().map(|&socket| socket.to_owned()).collect();
        self
    }

    /// Logging less: `filter` is what `RUST_LOG` takes.
    #[must_use]
    pub fn log(mut self, filter: &str) -> Self {
        self.log = Some(filter.to_owned());
        self
    }

    /// Nobody reads its log until [`Server::read_log`].
    #[must_use]
    pub fn unread_log(mut self) -> Self {
        self.is_log_unread = true;
        self
    }

    /// With a plugins directory that does not exist.
    #[must_use]
    pub fn without_directory(mut self) -> Self {
        self.without_directory = true;
        self
    }

    /// With a certificate of one's own, which clients trust by this file.
    #[must_use]
    pub fn ca(mut self, path: &Path) -> Self {
        self.ca = Some(path.to_owned());
        self
    }

    /// What the shell runs before it becomes the server.
    fn full_prelude(&self) -> Option<String> {
        if self.inherited.is_empty() {
            return self.prelude.clone();
        }
        let script = repository().join("tests/foreign/python/systemd.py");
        let own = self.prelude.as_deref().map_or_else(String::new, |own| format!("{own}; "));
        Some(format!(
            "{own}exec python3 -I {} {} -- \"$0\" \"$@\"",
            script.display(),
            self.inherited.join(" ")
        ))
    }

    /// Starts it and waits until it listens.
    pub fn start(self) -> Server {
        Server::start(self)
    }
}

/// A running server. Dropping it ends it; in a failed test that also prints the scene.
pub struct Server {
    root: tempfile::TempDir,
    plugins: PathBuf,
    state: PathBuf,
    ca: PathBuf,
    child: Child,
    command: String,
    urls: Vec<String>,
    log: Arc<Mutex<Vec<u8>>>,
    /// Where the log waits that nobody reads yet.
    unread: Option<ChildStderr>,
}

impl Server {
    fn start(setup: Setup) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let prelude = setup.full_prelude();
        let plugins = setup.plugins_dir.unwrap_or_else(|| root.path().join("plugins"));
        if !setup.without_directory && !plugins.exists() {
            fs::create_dir(&plugins).unwrap();
        }
        for (name, file) in &setup.plugins {
            fs::copy(file, plugins.join(name)).unwrap();
        }
        let program = setup.program.as_deref().unwrap_or_else(|| artifacts::hotcall());
        let mut command = Command::new(if prelude.is_some() { Path::new("sh") } else { program });
        if let Some(prelude) = &prelude {
            command.arg("-c").arg(format!("{prelude}; exec \"$0\" \"$@\"")).arg(program);
        }
        command.arg("serve").arg("--plugins").arg(&plugins);
        let state = setup.state_dir.unwrap_or_else(|| root.path().join("state"));
        command.arg("--state-dir").arg(&state);
        if !setup.arguments.iter().any(|argument| argument.starts_with("--config")) {
            let path = root.path().join(CONFIG);
            fs::write(&path, patient(setup.config.as_deref().unwrap_or_default())).unwrap();
            command.arg("--config").arg(path);
        }
        let is_told_where = |argument: &String| argument.starts_with("--http");
        if setup.inherited.is_empty() && !setup.arguments.iter().any(is_told_where) {
            command.arg("--https=127.0.0.1:0");
        }
        command.args(&setup.arguments).env("RUST_LOG", setup.log.as_deref().unwrap_or(LOG));
        let ca = setup.ca.unwrap_or_else(|| state.join("dev-cert.pem"));
        let mut server =
            Self::spawn(root, plugins, state, command, setup.inherited.len(), setup.is_log_unread);
        server.ca = ca;
        server
    }

    fn spawn(
        root: tempfile::TempDir,
        plugins: PathBuf,
        state: PathBuf,
        mut command: Command,
        inherited: usize,
        is_log_unread: bool,
    ) -> Self {
        let shown = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let unread = child.stderr.take();
        let listening = lines_of(child.stdout.take().unwrap());
        let ca = PathBuf::new();
        let mut server =
            Self { root, plugins, state, ca, child, command: shown, urls: Vec::new(), log, unread };
        if !is_log_unread {
            server.read_log();
        }
        let listeners = inherited
            + server.command.matches("--http").count()
            + server.command.matches("--unix").count();
        while server.urls.len() < listeners {
            let line = listening.recv_timeout(WAIT_MAX).expect("the server says where it listens");
            let url = line
                .strip_prefix("listening ")
                .unwrap_or_else(|| panic!("unexpected line {line:?}"));
            server.urls.push(url.to_owned());
        }
        server
    }

    /// Where its first listener is reached.
    pub fn url(&self) -> &str {
        &self.urls[0]
    }

    /// Where all its listeners are reached.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The certificate that clients trust.
    pub fn ca(&self) -> PathBuf {
        self.ca.clone()
    }

    /// The plugins directory.
    pub fn plugins(&self) -> PathBuf {
        self.plugins.clone()
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.state.clone()
    }

    /// A place beside the plugins directory, on the same file system.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Puts a copy of a plugin's file into its directory, by one rename.
    pub fn put(&self, file: &Path, name: &str) {
        fs::copy(file, self.beside("incoming")).unwrap();
        fs::rename(self.beside("incoming"), self.plugins().join(name)).unwrap();
    }

    /// Replaces its config file, as [`Setup::config`] wrote it.
    pub fn configure(&self, text: &str) {
        fs::write(self.root.path().join(CONFIG), patient(text)).unwrap();
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().unwrap()).into_owned()
    }

    /// The log's bytes as they came.
    pub fn log_bytes(&self) -> Vec<u8> {
        self.log.lock().unwrap().clone()
    }

    /// Reads its log from now on.
    pub fn read_log(&mut self) {
        if let Some(unread) = self.unread.take() {
            collect(unread, self.log.clone());
        }
    }

    /// Fills the pipe that its log goes to with empty lines, until not a byte fits.
    ///
    /// # Panics
    /// The log is read.
    pub fn fill_log(&self) {
        fill(self.unread.as_ref().expect("a log that nobody reads"));
    }

    /// Waits until the log has a line with all these parts, and gives it.
    pub fn wait_for_log(&self, parts: &[&str]) -> String {
        wait_for(format!("a log line with {parts:?}"), || {
            let log = self.log();
            let line = log.lines().find(|line| parts.iter().all(|part| line.contains(part)));
            line.map(ToOwned::to_owned)
        })
    }

    /// A client of its own.
    pub fn client(&self) -> Client {
        client(self.url()).ca_file(self.ca()).build().expect("a client")
    }

    /// Calls a method, as one client would.
    pub fn call(&self, method: &str, params: Vec<Value>) -> Result<Value, hotcall::client::Error> {
        self.client().call(method, params)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
        kill_process(pid, signal).expect("the server's own process");
    }

    /// How it has ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("the server's end", || self.child.try_wait().unwrap())
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            // A second panic would end the process: this must not fail, whatever becomes of those
            // files.
            let listed = Command::new("ls").arg("-lR").arg(self.root.path()).output();
            let list = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            let list = list.unwrap_or_else(|error| error.to_string());
            eprintln!(
                "=== command: {}\n=== files:\n{list}\n=== log:\n{}",
                self.command,
                self.log()
            );
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// Fills a pipe with empty lines until not a byte fits, by any of its ends.
pub fn fill(pipe: &impl AsRawFd) {
    // A descriptor of its own: only this writer must not wait.
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut pipe = fs::File::options().write(true).custom_flags(flags).open(path).expect("a pipe");
    for piece in [&[b'\n'; 4096][..], b"\n"] {
        while pipe.write(piece).is_ok() {}
    }
}

/// The text of a config file with the limits of the environment and [`PATIENT_LIMITS`], as far as
/// it does not set them itself.
fn patient(config: &str) -> String {
    const TABLE: &str = "[limits]\n";
    let given = std::env::var(LIMITS).unwrap_or_default();
    let mut lines = String::new();
    let patient = PATIENT_LIMITS.iter().map(|key| format!("{key} = {PATIENT_MS}"));
    for line in given.lines().map(str::to_owned).chain(patient) {
        let key = line.split([' ', '=']).next().unwrap_or_default();
        if !key.is_empty() && !config.contains(key) && !lines.contains(key) {
            lines += &(line + "\n");
        }
    }
    match config.split_once(TABLE) {
        Some((before, after)) => format!("{before}{TABLE}{lines}{after}"),
        None => format!("{config}\n{TABLE}{lines}"),
    }
}

fn collect(mut from: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            into.lock().unwrap().extend_from_slice(&buffer[..count]);
        }
    });
}

fn lines_of(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
