//! Starts the peers, each on a free port of loopback and with the same certificate.

use crate::nginx;
use crate::pinned;
use crate::plan::{Maker, Peer};
use crate::process::Process;
use crate::target::Target;
use crate::wrk::Wrk;
use hotcall_tests::authority::{Authority, Issued};
use hotcall_tests::{Server, Setup, artifacts, foreign, repository};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Plugins whose methods are called: the bundled one, and the rest.
const PLUGINS: [&str; 2] = ["arithmetic", "benched"];

/// What all peers are started from, built once.
pub struct Programs {
    directory: tempfile::TempDir,
    authority: Authority,
    issued: Issued,
    hotcall: PathBuf,
    plugins: Vec<PathBuf>,
    dxr: PathBuf,
    abyss: PathBuf,
    reply: String,
}

/// A running peer.
pub struct Running {
    /// Which.
    pub peer: Peer,
    /// Where.
    pub url: String,
    held: Held,
}

enum Held {
    Server(Box<Server>),
    Process(Process),
}

impl Running {
    /// The id of its process, which may have more below it.
    pub fn pid(&self) -> u32 {
        match &self.held {
            Held::Server(server) => server.pid(),
            Held::Process(process) => process.pid(),
        }
    }
}

impl Programs {
    /// Builds what must be built. `reply` is what nginx answers.
    pub fn build() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let issued = authority.issue("server", "localhost", &["localhost", "127.0.0.1"]);
        let abyss = directory.path().join("abyss");
        let mut cc = Command::new("cc");
        cc.args([
            "-std=c11",
            "-D_POSIX_C_SOURCE=200809L",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-o",
        ]);
        cc.arg(&abyss).arg(source("abyss.c"));
        cc.args([
            "-lxmlrpc_server_abyss",
            "-lxmlrpc_server",
            "-lxmlrpc_abyss",
            "-lxmlrpc",
            "-lxmlrpc_util",
        ]);
        artifacts::run(&mut cc);
        let mut programs = Self {
            directory,
            authority,
            issued,
            hotcall: artifacts::release("hotcall", &[]),
            plugins: PLUGINS.map(|plugin| artifacts::release(plugin, &[])).to_vec(),
            dxr: artifacts::release_beside(&source("dxr/Cargo.toml"), "hotcall-peer-dxr"),
            abyss,
            reply: String::new(),
        };
        programs.reply = programs.reply_of_hotcall();
        programs
    }

    /// A directory for what is written.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A command of dxr's program.
    pub fn dxr(&self) -> Command {
        Command::new(&self.dxr)
    }

    /// The authority that issued the servers' certificate: its file.
    pub fn ca(&self) -> PathBuf {
        self.authority.ca()
    }

    /// Hotcall's binary.
    pub fn hotcall(&self) -> &Path {
        &self.hotcall
    }

    /// A server that has no more than TLS.
    pub fn s_server(&self) -> Command {
        let mut openssl = Command::new("openssl");
        openssl
            .args(["s_server", "-quiet", "-accept", "127.0.0.1:0", "-cert"])
            .arg(&self.issued.cert);
        openssl.arg("-key").arg(&self.issued.key);
        openssl
    }

    /// Proves that wrk offers what all clients must offer, and nothing else. Of our own generator
    /// each handshake is looked at.
    ///
    /// # Errors
    /// It does not.
    pub fn prove_wrk(&self) -> Result<(), String> {
        let wrk = Wrk::new(&crate::documents::add().document);
        let proof = pinned::prove(|url| wrk.endless(url, 1), &self.issued.cert, &self.issued.key);
        proof.map_err(|why| format!("what wrk offers of TLS is not what it should: {why}"))
    }

    /// A server of ours with the methods of the bench, not started yet.
    pub fn setup(&self, is_tls: bool, config: &str) -> Setup {
        let Issued { cert, key } = &self.issued;
        let config = format!(
            "cert = {cert:?}\nkey = {key:?}\n{config}\n[limits]\n\
             connections_per_address_max = 10_000\n"
        );
        // However this process ends, the server ends too.
        let setup = Setup::new().after("exec setpriv --pdeathsig TERM -- \"$0\" \"$@\"");
        let setup =
            setup.program(&self.hotcall).log("warn").ca(&self.authority.ca()).config(&config);
        let setup =
            setup.argument(if is_tls { "--https=127.0.0.1:0" } else { "--http=127.0.0.1:0" });
        self.plugins.iter().fold(setup, |setup, file| {
            setup.plugin(file.file_name().and_then(|name| name.to_str()).unwrap(), file)
        })
    }

    /// Starts a peer and waits until it listens.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn start(&self, peer: Peer) -> Result<Running, String> {
        let (url, held) = match peer.maker {
            Maker::Hotcall { is_direct } => {
                let server = self.setup(peer.is_tls, &format!("direct_lane = {is_direct}")).start();
                (server.url().to_owned(), Held::Server(Box::new(server)))
            }
            Maker::Nginx => {
                let tls = peer.is_tls.then_some(&self.issued);
                let (url, process) = nginx::start(self.directory(), &self.reply, tls)?;
                (url, Held::Process(process))
            }
            _ => {
                let mut process = Process::start(&mut self.command(peer))?;
                (process.url()?, Held::Process(process))
            }
        };
        Ok(Running { peer, url, held })
    }

    fn command(&self, peer: Peer) -> Command {
        let (mut command, has_plain) = match peer.maker {
            Maker::Dxr => (self.dxr(), true),
            Maker::Python => (python(), true),
            Maker::Node => {
                let mut node = Command::new("node");
                node.arg(source("node.js")).env("NODE_PATH", foreign::node_modules());
                (node, false)
            }
            _ => (Command::new(&self.abyss), false),
        };
        match (peer.is_tls, has_plain) {
            (true, true) => drop(command.arg("tls").arg(&self.issued.cert).arg(&self.issued.key)),
            (true, false) => drop(command.arg(&self.issued.cert).arg(&self.issued.key)),
            (false, true) => drop(command.arg("plain")),
            (false, false) => {}
        }
        command
    }

    /// What our server answers to `add(2, 3)`, byte by byte.
    fn reply_of_hotcall(&self) -> String {
        let server = self.setup(false, "").start();
        let exchange = crate::documents::add();
        let target = Target::of(server.url());
        let mut caller = crate::load::Caller::new(&target, crate::load::Way::Kept).unwrap();
        let reply = caller.call(&target.post(&exchange.document, false)).unwrap();
        String::from_utf8(reply.body).unwrap()
    }
}

/// A command of Python's program.
pub fn python() -> Command {
    let mut python = Command::new("python3");
    python.arg(source("python.py"));
    python
}

fn source(name: &str) -> PathBuf {
    repository().join("tests/bench/peers").join(name)
}
