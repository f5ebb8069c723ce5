//! Starts the peers, each on a free port of loopback and with the same certificate.

use crate::http::Target;
use crate::plan::{Maker, Peer};
use crate::process::Process;
use hotcall_tests::authority::{Authority, Issued};
use hotcall_tests::{Server, Setup, WAIT_MAX, artifacts, foreign, repository};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Plugins whose methods are called: the bundled one, and the rest.
const PLUGINS: [&str; 2] = ["arithmetic", "benched"];
const POLL: Duration = Duration::from_millis(5);

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
    _process: Held,
}

enum Held {
    Server { _server: Box<Server> },
    Process { _process: Process },
}

impl Programs {
    /// Builds what must be built. `reply` is what nginx answers.
    pub fn build() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let issued = authority.issue("server", "localhost", &["localhost", "127.0.0.1"]);
        let abyss = directory.path().join("abyss");
        let mut cc = Command::new("cc");
        cc.args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]);
        cc.arg(&abyss).arg(source("abyss.c"));
        cc.args(["-lxmlrpc_server_abyss", "-lxmlrpc_server", "-lxmlrpc_abyss", "-lxmlrpc", "-lxmlrpc_util"]);
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

    /// Hotcall's binary.
    pub fn hotcall(&self) -> &Path {
        &self.hotcall
    }

    /// A server of ours with the methods of the bench, not started yet.
    pub fn setup(&self, is_tls: bool, config: &str) -> Setup {
        let Issued { cert, key } = &self.issued;
        let config = format!(
            "cert = {cert:?}\nkey = {key:?}\n{config}\n[limits]\nconnections_per_address_max = 10_000\n"
        );
        // However this process ends, the server ends too.
        let setup = Setup::new().after("exec setpriv --pdeathsig TERM -- \"$0\" \"$@\"");
        let setup = setup.program(&self.hotcall).log("warn").ca(&self.authority.ca()).config(&config);
        let setup = setup.argument(if is_tls { "--https=127.0.0.1:0" } else { "--http=127.0.0.1:0" });
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
                (server.url().to_owned(), Held::Server { _server: Box::new(server) })
            }
            Maker::Nginx => self.start_nginx(peer)?,
            _ => {
                let mut process = Process::start(&mut self.command(peer))?;
                (process.url()?, Held::Process { _process: process })
            }
        };
        Ok(Running { peer, url, _process: held })
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

    fn start_nginx(&self, peer: Peer) -> Result<(String, Held), String> {
        // nginx does not say which port it has got, so it is told one that was free a moment before.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap();
        let directory = self.directory.path().join(format!("nginx-{}", address.port()));
        fs::create_dir(&directory).unwrap();
        let config = directory.join("nginx.conf");
        fs::write(&config, self.nginx_config(&address.to_string(), peer.is_tls)).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(&directory).arg("-c").arg(&config).arg("-e").arg(directory.join("error.log"));
        let mut process = Process::start(&mut nginx)?;
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if !process.is_running() || began.elapsed() > WAIT_MAX {
                let log = fs::read_to_string(directory.join("error.log")).unwrap_or_default();
                return Err(format!("nginx does not listen on {address}: {log}"));
            }
            thread::sleep(POLL);
        }
        let scheme = if peer.is_tls { "https" } else { "http" };
        Ok((format!("{scheme}://{address}/RPC2"), Held::Process { _process: process }))
    }

    fn nginx_config(&self, address: &str, is_tls: bool) -> String {
        let Issued { cert, key } = &self.issued;
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let reply = self.reply.replace('\\', "\\\\").replace('\'', "\\'");
        let listen = if is_tls { "ssl" } else { "" };
        format!(
            "daemon off;\nworker_processes {workers};\npid nginx.pid;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\n\
             access_log off;\nkeepalive_requests 1000000000;\nkeepalive_timeout 1h;\n\
             client_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\n\
             uwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\n\
             ssl_protocols TLSv1.2 TLSv1.3;\nssl_certificate {cert:?};\nssl_certificate_key {key:?};\n\
             server {{\nlisten {address} {listen};\ndefault_type text/xml;\nreturn 200 '{reply}';\n}}\n\
             }}\n"
        )
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
