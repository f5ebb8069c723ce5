//! A server that others wrote, on loopback, for as long as a test runs.

use super::programs::{Language, compiled, python_module, script};
use crate::artifacts::run;
use crate::shared::client;
use hotcall::client::{Builder, Client, Error};
use hotcall::xmlrpc::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

const CERTIFICATE: &str = "certificate.pem";
const ERRORS: &str = "errors";

/// A running server and a client of Hotcall's for it. Dropping it ends the server; in a failed test
/// that also prints what the server said.
pub struct ForeignServer {
    url: String,
    client: Client,
    process: Process,
}

impl ForeignServer {
    /// Starts the server of a language and waits until it listens.
    ///
    /// # Panics
    /// When it does not come to that.
    pub fn start(language: Language, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = command(language, directory.path());
        let mut process = Process::spawn(command.args(arguments), directory);
        let out = process.child.stdout.take().expect("its standard output");
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).expect("a line");
        let url = line
            .trim()
            .strip_prefix("listening ")
            .unwrap_or_else(|| panic!("no address, but {line:?}"));
        let client = builder(url, &process).build().expect("a client");
        Self { url: url.to_owned(), client, process }
    }

    /// Begins another client.
    pub fn builder(&self) -> Builder {
        builder(&self.url, &self.process)
    }

    /// The client.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Calls a method.
    pub fn call(&self, method: &str, params: &[Value]) -> Result<Value, Error> {
        self.client.exchange(method, params)?.result()
    }
}

fn builder(url: &str, process: &Process) -> Builder {
    let builder = client(url);
    match url.starts_with("https:") {
        true => builder.ca_file(process.directory.path().join(CERTIFICATE)),
        false => builder,
    }
}

/// How the server of a language is run. What it needs is made in the directory.
fn command(language: Language, directory: &Path) -> Command {
    match language {
        Language::Python => {
            let mut python = python_module("server");
            python.args(make_certificate(directory));
            python
        }
        Language::Perl => script("perl", "perl/server.pl"),
        Language::C => {
            let libraries = [
                "-lxmlrpc_server_abyss",
                "-lxmlrpc_server",
                "-lxmlrpc_abyss",
                "-lxmlrpc",
                "-lxmlrpc_util",
            ];
            Command::new(compiled("c/server.c", directory, &libraries))
        }
        other => panic!("there is no server in {other:?}"),
    }
}

/// A certificate for 127.0.0.1 and its key.
fn make_certificate(directory: &Path) -> [PathBuf; 2] {
    let [certificate, key] = [CERTIFICATE, "key.pem"].map(|name| directory.join(name));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]);
    openssl.args([
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]);
    run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate));
    [certificate, key]
}

/// The server's process, ended when it is dropped.
struct Process {
    child: Child,
    directory: tempfile::TempDir,
}

impl Process {
    fn spawn(command: &mut Command, directory: tempfile::TempDir) -> Self {
        let errors = File::create(directory.path().join(ERRORS)).expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, directory }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            let errors = fs::read_to_string(self.directory.path().join(ERRORS));
            eprintln!("=== the server said: {}", errors.unwrap_or_default());
        }
    }
}
