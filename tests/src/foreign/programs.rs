//! The programs, and the languages that they are written in: how each is built and run.

use crate::artifacts::{run, target};
use crate::server::Server;
use crate::shared::repository;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian's package libaxmlrpc-java puts it.
const AXMLRPC: &str = "/usr/share/java/axmlrpc.jar";

/// Whether tests that need `program` are left out: when it is not installed. Never with `CI=true`,
/// where a missing program is a failure.
pub fn is_left_out(program: &str) -> bool {
    !in_ci() && !succeeds(Command::new(program).arg("--version"))
}

/// Whether the tests run where nothing may be left out.
pub fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

fn succeeds(probe: &mut Command) -> bool {
    let probe = probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// Runs one of `tests/foreign/python` against a server. The module gets the URL and the CA file,
/// and fails by raising.
pub fn python(module: &str, server: &Server) {
    python_at(module, server.url(), server);
}

/// As [`python`], against another listener of the server.
pub fn python_at(module: &str, url: &str, server: &Server) {
    run(python_module(module).arg(url).arg(server.ca()));
}

/// Python that runs one of `tests/foreign/python` as a module of a package. A script would put its
/// directory on the module path, where our `types.py` shadows Python's own.
pub fn python_module(name: &str) -> Command {
    let mut python = Command::new("python3");
    python.arg("-m").arg(format!("python.{name}")).env("PYTHONPATH", source(""));
    // Keeps the current directory off the module path, and bytecode out of the source tree.
    python.env("PYTHONSAFEPATH", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// Python that runs a script which imports only Python's own modules.
pub fn python_alone(script: &Path) -> Command {
    let mut python = Command::new("python3");
    python.arg("-I").arg(script);
    python
}

/// Runs one of `tests/foreign/node` against a listener of a server.
pub fn node_at(script: &str, url: &str, server: &Server) {
    let mut node = Command::new("node");
    node.arg(source("node").join(script)).arg(url).arg(server.ca());
    run(node.env("NODE_PATH", node_modules()));
}

/// A language with an XML-RPC library that its programmers use.
#[derive(Clone, Copy, Debug)]
pub enum Language {
    /// xmlrpc.client and xmlrpc.server of its standard library.
    Python,
    /// RPC::XML.
    Perl,
    /// The xmlrpc extension.
    Php,
    /// The gem xmlrpc.
    Ruby,
    /// npm's xmlrpc, which `make` installs.
    Node,
    /// xmlrpc-c.
    C,
    /// aXMLRPC.
    Java,
}

impl Language {
    /// As [`is_left_out`]: when the language or the library is not installed.
    pub fn is_left_out(self) -> bool {
        if in_ci() {
            return false;
        }
        let (program, arguments): (&str, &[&str]) = match self {
            Self::Python => ("python3", &["-c", "import xmlrpc.server"]),
            Self::Perl => ("perl", &["-MRPC::XML::Client", "-MRPC::XML::Server", "-e1"]),
            Self::Php => ("php", &["-r", "exit(extension_loaded('xmlrpc') ? 0 : 1);"]),
            Self::Ruby => ("ruby", &["-rxmlrpc/client", "-e0"]),
            Self::Node => ("node", &["-e", "require('xmlrpc')"]),
            Self::C => ("xmlrpc-c-config", &["--version"]),
            Self::Java => ("java", &["--version"]),
        };
        let has_library = !matches!(self, Self::Java) || Path::new(AXMLRPC).exists();
        let mut probe = Command::new(program);
        !(has_library && succeeds(probe.args(arguments).env("NODE_PATH", node_modules())))
    }

    /// Runs its client against a server. Each trusts that server's certificate and no other.
    ///
    /// # Panics
    /// When the client fails: with all that it printed.
    pub fn client(self, server: &Server) {
        let build = tempfile::tempdir().expect("a temporary directory");
        let mut client = match self {
            Self::Python => python_module("client"),
            Self::Perl => script("perl", "perl/client.pl"),
            Self::Php => script("php", "php/client.php"),
            Self::Ruby => script("ruby", "ruby/client.rb"),
            Self::Node => script("node", "node/client.js"),
            Self::C => {
                let libraries = ["-lxmlrpc_client", "-lxmlrpc", "-lxmlrpc_util"];
                Command::new(compiled("c/client.c", build.path(), &libraries))
            }
            Self::Java => {
                let mut java = Command::new("java");
                java.args(["-cp", AXMLRPC]).arg(source("java/Client.java"));
                java
            }
        };
        run(client.arg(server.url()).arg(server.ca()).env("NODE_PATH", node_modules()));
    }
}

/// Runs xmlrpc-c's command line program, which can do scalars only and trusts whom it is told to
/// trust blindly.
pub fn xmlrpc_program(server: &Server, method: &str, arguments: &[&str]) -> String {
    let mut xmlrpc = Command::new("xmlrpc");
    run(xmlrpc.arg(server.url()).arg(method).args(arguments).arg("-curlnoverifypeer=yes"))
}

/// A file or a directory of `tests/foreign`.
fn source(name: &str) -> PathBuf {
    repository().join("tests/foreign").join(name)
}

pub(super) fn script(interpreter: &str, name: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(source(name));
    command
}

/// Compiles a program in C.
pub(super) fn compiled(name: &str, directory: &Path, libraries: &[&str]) -> PathBuf {
    let program = directory.join("program");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]);
    run(cc.arg(&program).arg(source(name)).args(libraries));
    program
}

/// Where `make` installs what `tests/foreign/node` needs.
pub fn node_modules() -> PathBuf {
    target().join("foreign/node/node_modules")
}
