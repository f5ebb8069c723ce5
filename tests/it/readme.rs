//! README.md, run: each snippet does what the text says, so that the text stays true.

use crate::trial::{trial, trial_with};
use hotcall::xmlrpc::Value;
use hotcall_tests::artifacts::{self, run};
use hotcall_tests::{Setup, repository, wait_for, wait_until};
use libtest_mimic::Trial;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub fn trials() -> Vec<Trial> {
    vec![
        trial_with("python3", "readme::the_python_session_runs_as_printed", python_session),
        trial("readme::the_plugin_in_rust_builds_loads_and_reloads", plugin_in_rust),
        trial("readme::the_plugin_in_c_builds_and_loads", plugin_in_c),
        trial("readme::the_config_file_serves", config_file),
        trial("readme::make_run_serves_the_bundled_plugins", make_run),
        trial("readme::every_snippet_has_a_test", every_snippet_has_a_test),
    ]
}

/// The blocks of one language, in order.
fn blocks(language: &str) -> Vec<String> {
    let text = fs::read_to_string(repository().join("README.md")).unwrap();
    let opening = format!("```{language}\n");
    let block = |rest: &str| rest.split("```").next().unwrap().to_owned();
    text.split(opening.as_str()).skip(1).map(block).collect()
}

fn only(language: &str) -> String {
    let [block] = &blocks(language)[..] else { panic!("one {language} block wanted") };
    block.clone()
}

fn every_snippet_has_a_test() {
    let text = fs::read_to_string(repository().join("README.md")).unwrap();
    let known = ["sh", "python", "toml", "rust", "c"].map(|language| blocks(language).len());
    assert_eq!(known, [4, 1, 3, 1, 1], "a new snippet needs a test here");
    assert_eq!(
        text.matches("\n```").count(),
        known.iter().sum::<usize>() * 2,
        "all blocks name their language"
    );
}

/// Each line with a comment `# value` must give that value; `…` in it stands for anything.
fn python_session() {
    let server = Setup::new()
        .plugin("arithmetic.so", artifacts::plugin("arithmetic"))
        .plugin("text-c.so", artifacts::text_c())
        .start();
    let session = only("python")
        .replace("target/hotcall/dev-cert.pem", server.ca().to_str().unwrap())
        .replace("https://127.0.0.1:8443/RPC2", server.url());
    let mut script = String::new();
    let mut checks = 0;
    for line in session.lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        match line.split_once("  # ") {
            Some((code, wanted)) if !wanted.starts_with("what") => {
                let wanted = wanted.split('…').next().unwrap();
                script += &format!("{indent}got = repr({})\n", code.trim());
                script += &format!("{indent}assert got.startswith({wanted:?}), got\n");
                checks += 1;
            }
            _ => script += &format!("{line}\n"),
        }
    }
    assert_eq!(checks, 6, "{session}");
    run(Command::new("python3").args(["-I", "-c"]).arg(script));
}

/// `sh`, in `directory`, with this build's `hotcall` first on the path.
fn sh(script: &str, directory: &Path) -> Command {
    let bin = artifacts::hotcall().parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.arg("-euc").arg(script).current_dir(directory).env("PATH", path);
    shell
}

/// Types the commands of "Hot reload" as they are printed, but for the port.
fn plugin_in_rust() {
    let root = tempfile::tempdir().unwrap();
    let package = root.path();
    fs::create_dir(package.join("src")).unwrap();
    let manifest = blocks("toml")[0].replace("../hotcall", repository().to_str().unwrap());
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    // The versions that this repository is tested with, without asking a registry.
    fs::copy(repository().join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let source = only("rust");
    assert!(source.lines().count() < 30 && !source.contains("unsafe"));
    fs::write(package.join("src/lib.rs"), &source).unwrap();

    let printed = blocks("sh");
    let mut serve = sh(&format!("{} --https 127.0.0.1:0", printed[2].trim()), package);
    serve.env("RUST_LOG", "warn");
    let served = Served::start(serve, "listening ");
    let url = served.line.strip_prefix("listening ").unwrap();
    let bring = printed[3].replace("https://127.0.0.1:8443", url);
    assert_eq!(run(&mut sh(&bring, package)).trim(), "\"Hello, world!\"");
    let client =
        hotcall_tests::client(url).ca_file(package.join("state/dev-cert.pem")).build().unwrap();
    let loud: String = client.call("greet", ("world", true)).unwrap();
    assert_eq!(loud, "HELLO, WORLD!");
    assert!(
        client.call::<String>("greet", "").unwrap_err().to_string().contains("nobody to greet")
    );

    fs::write(package.join("src/lib.rs"), source.replace("\"Hello, ", "\"Goodbye, ")).unwrap();
    run(&mut sh(&bring, package));
    wait_until("the new greeting", || {
        client.call::<String>("greet", "world").is_ok_and(|got| got == "Goodbye, world!")
    });
}

fn plugin_in_c() {
    let root = tempfile::tempdir().unwrap();
    let source = only("c");
    assert!(source.lines().count() < 30);
    fs::write(root.path().join("count.c"), source).unwrap();
    let build = blocks("sh")[1].replace("../hotcall", repository().to_str().unwrap());
    run(&mut sh(&build, root.path()));
    let server = Setup::new().plugin("count.so", &root.path().join("count.so")).start();
    assert_eq!(server.call("vowels", vec!["hot reload".into()]).unwrap(), Value::Int(4));
}

fn config_file() {
    let config = blocks("toml")[1..].concat();
    let config = config.replace(":8443", ":0").replace("\"plugins\"", "\"so\"");
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("hotcall.toml"), config).unwrap();
    let mut serve = Command::new(artifacts::hotcall());
    serve.args(["serve", "--config", "hotcall.toml"]).current_dir(root.path());
    let served = Served::start(serve, "listening ");
    assert!(served.line.starts_with("listening https://127.0.0.1:"), "{}", served.line);
    assert!(root.path().join("state/dev-cert.pem").exists(), "state_dir is beside the file");
}

/// `make run`, as README.md has it, but a debug build on a free port, so that the test is quick and
/// alone.
fn make_run() {
    assert!(blocks("sh")[0].starts_with("make run "));
    let state = tempfile::tempdir().unwrap();
    let mut make = Command::new("make");
    make.arg("run").arg("PROFILE=dev").arg(format!("STATE_DIR={}", state.path().display()));
    make.arg("ARGS=--https 127.0.0.1:0").current_dir(repository());
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("MAKEOVERRIDES");
    let served = Served::start(make, "listening ");
    let url = served.line.strip_prefix("listening ").unwrap();
    let client =
        hotcall_tests::client(url).ca_file(state.path().join("dev-cert.pem")).build().unwrap();
    let call = |method: &str, params: Vec<Value>| {
        wait_for(method, || client.call::<Value>(method, params.clone()).ok())
    };
    assert_eq!(call("add", vec![Value::Int(2), Value::Int(3)]), Value::Int(5));
    assert_eq!(call("upper", vec!["hot".into()]), Value::from("HOT"));
}

/// A command in a process group of its own, ended as a whole.
struct Served {
    child: Child,
    line: String,
}

impl Served {
    fn start(mut command: Command, prefix: &str) -> Self {
        let shown = format!("{command:?}");
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.into_iter().find(|line| line.starts_with(prefix));
        let mut served = Self { child, line: String::new() };
        served.line = line.unwrap_or_else(|| panic!("{shown} ended without a line {prefix:?}"));
        served
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process_group};
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::TERM);
        }
        drop(self.child.wait());
    }
}
