//! The commands, as people type them.

use crate::trial::trial;
use hotcall::xmlrpc::Value;
use hotcall_tests::{Server, Setup, artifacts, repository, wait_for, wait_until};
use libtest_mimic::Trial;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("cli::call_takes_and_prints_json", call_takes_and_prints_json),
        trial("cli::call_sends_dates_as_they_were_typed", call_sends_dates_as_they_were_typed),
        trial("cli::call_says_what_went_wrong", call_says_what_went_wrong),
        trial("cli::methods_lists_and_explains", methods_lists_and_explains),
        trial("cli::check_passes_good_files_and_names_defects", check_names_defects),
        trial("cli::dev_rebuilds_what_changes", dev_rebuilds_what_changes),
        trial("cli::usage_errors_exit_2_and_help_exits_0", usage),
    ]
}

fn hotcall(arguments: &[&str]) -> Output {
    Command::new(artifacts::hotcall()).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// `hotcall call` over HTTPS with the server's certificate: what it prints.
fn call(server: &Server, arguments: &[&str]) -> Result<String, String> {
    let ca = server.ca();
    let all = [&["call", "--cacert", ca.to_str().unwrap(), server.url()], arguments].concat();
    let output = hotcall(&all);
    match output.status.code() {
        Some(0) => Ok(text(&output.stdout).trim_end().to_owned()),
        Some(1) => Err(text(&output.stderr)),
        other => panic!("{all:?}: {other:?} {}", text(&output.stderr)),
    }
}

fn both() -> Server {
    let arithmetic = artifacts::plugin("arithmetic");
    Setup::new()
        .plugin("arithmetic.so", arithmetic)
        .plugin("echo.so", artifacts::plugin("echo"))
        .start()
}

fn call_takes_and_prints_json() {
    let server = both();
    let bytes = server.beside("bytes");
    fs::write(&bytes, [0, 1, 255]).unwrap();
    let from_file = format!("base64:@{}", bytes.display());
    let cases: [(&[&str], &str); 14] = [
        (&["add", "2", "3"], "5"),
        (&["add", "-2", "-3.5"], "-5.5"),
        (&["echo", "null"], "null"),
        (&["echo", "true"], "true"),
        (&["echo", "\"a \\u00e9\""], "\"a é\""),
        (&["echo", "string:5"], "\"5\""),
        (&["echo", "5000000000"], "5000000000"),
        (&["echo.types", "[5, 5.5, 5000000000]"], "[\"int\",\"double\",\"i8\"]"),
        (&["echo", "i8:5"], "5"),
        (&["echo", "double:5"], "5.0"),
        (&["echo", "date:2026-01-31T12:00:00"], "2026-01-31T12:00:00"),
        (&["echo", &from_file], "AAH/"),
        (&["echo", "{\"b\": 1, \"a\": [null]}"], "{\"b\":1,\"a\":[null]}"),
        (&["--xml", "add", "2", "3"], "<methodResponse>"),
    ];
    for (arguments, wanted) in cases {
        let printed =
            call(&server, arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        let folded: String = printed.split('\n').map(str::trim).collect::<Vec<_>>().join("");
        let spaceless = folded.replace("\": ", "\":");
        assert!(spaceless.contains(wanted), "{arguments:?}: {printed}, wanted {wanted}");
    }
}

fn call_sends_dates_as_they_were_typed() {
    let server = Setup::new().plugin("echo.so", artifacts::plugin("echo"));
    let server = server.config("[xmlrpc]\ndates = 'exact'\n").start();
    for date in ["2026-01-31T12:00:00", "2026-01-31T12:00:00.5+01:00", "2026-01-31T12:00:00Z"] {
        let printed = call(&server, &["echo", &format!("date:{date}")]).unwrap();
        assert_eq!(printed.trim(), format!("\"{date}\""));
    }
}

fn call_says_what_went_wrong() {
    let server = both();
    let fault = call(&server, &["divide", "1", "0"]).unwrap_err();
    assert!(
        fault.starts_with("hotcall: ") && fault.contains("-32602") && fault.contains("zero"),
        "{fault}"
    );
    assert_eq!(fault.lines().count(), 1, "{fault}");
    let not_json = call(&server, &["echo", "plain"]).unwrap_err();
    assert!(not_json.contains("string:plain"), "{not_json}");
    let missing = call(&server, &["echo", "base64:@/nonexistent"]).unwrap_err();
    assert!(missing.contains("/nonexistent"), "{missing}");

    let untrusted = hotcall(&["call", server.url(), "add", "2", "3"]);
    assert_eq!(untrusted.status.code(), Some(1));
    let says = text(&untrusted.stderr);
    assert!(says.contains("--cacert") && says.lines().count() == 1, "{says}");
    let insecure = hotcall(&["call", "--insecure", server.url(), "add", "2", "3"]);
    assert_eq!(text(&insecure.stdout).trim(), "5", "{}", text(&insecure.stderr));
    // Port 1 of loopback: nobody listens there.
    let nobody = hotcall(&["call", "http://127.0.0.1:1", "add", "2", "3"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("127.0.0.1:1"), "{}", text(&nobody.stderr));
    let slow = call(&server, &["--timeout", "0.3", "echo.sleep", "60000"]).unwrap_err();
    assert!(slow.contains("time"), "{slow}");
}

fn methods_lists_and_explains() {
    let server = both();
    let ca = server.ca();
    let connection = ["methods", "--cacert", ca.to_str().unwrap(), server.url()];
    let all = text(&hotcall(&connection).stdout);
    for part in ["add", "echo.sleep", "system.listMethods"] {
        assert!(all.lines().any(|line| line.contains(part)), "{part}: {all}");
    }
    let one = text(&hotcall(&[&connection[..], &["echo.sleep"]].concat()).stdout);
    assert!(one.contains("Answers after this many milliseconds") && one.contains("int"), "{one}");
    let none = hotcall(&[&connection[..], &["nope"]].concat());
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("nope"));
}

fn check_names_defects() {
    let root = tempfile::tempdir().unwrap();
    let good = artifacts::plugin("arithmetic").to_str().unwrap();
    let bad = root.path().join("bad.so");
    let bytes = fs::read(good).unwrap();
    fs::write(&bad, &bytes[..bytes.len() / 3]).unwrap();
    let state = root.path().join("state");
    let check = |files: &[&str]| {
        hotcall(&[&["check", "--state-dir", state.to_str().unwrap()], files].concat())
    };
    let passed = check(&[good, artifacts::text_c().to_str().unwrap()]);
    let table = text(&passed.stdout);
    assert_eq!(passed.status.code(), Some(0), "{table}{}", text(&passed.stderr));
    let description = "description  The bundled arithmetic plugin: add,";
    for part in ["arithmetic", "add", "int", "text-c", "upper", "1.0", description] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let failed = check(&[good, bad.to_str().unwrap()]);
    assert_eq!(failed.status.code(), Some(1));
    let both = text(&failed.stdout) + &text(&failed.stderr);
    assert!(both.contains("bad.so") && both.contains("is cut off"), "{both}");
    assert_eq!(check(&["/nonexistent.so"]).status.code(), Some(1));
}

/// A running `hotcall dev`.
struct Dev {
    child: Child,
    url: String,
}

impl Dev {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new(artifacts::hotcall())
            .args(["dev", "sources", "--state-dir", "state", "--https", "127.0.0.1:0"])
            .current_dir(directory)
            .env("CARGO_TARGET_DIR", directory.join("target"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let url = lines.find_map(|line| line.strip_prefix("listening ").map(ToOwned::to_owned));
        Self { child, url: url.expect("dev serves") }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process};
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        drop(self.child.wait());
    }
}

fn dev_rebuilds_what_changes() {
    let root = tempfile::tempdir().unwrap();
    let arithmetic = root.path().join("sources/arithmetic");
    copy_crate(&repository().join("plugins/arithmetic"), &arithmetic);
    let text_c = root.path().join("sources/text-c");
    fs::create_dir_all(&text_c).unwrap();
    for name in ["Makefile", "text_c.c"] {
        fs::copy(repository().join("plugins/text-c").join(name), text_c.join(name)).unwrap();
    }
    let dev = Dev::start(root.path());
    let certificate = root.path().join("state/dev-cert.pem");
    let client = hotcall_tests::client(&dev.url).ca_file(certificate).build().unwrap();
    let add = || client.call("add", vec![Value::Int(2), Value::Int(3)]).ok();
    assert_eq!(wait_for("add", add), Value::Int(5));

    let source = arithmetic.join("src/lib.rs");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, "this is not Rust\n").unwrap();
    assert_eq!(add(), Some(Value::Int(5)), "a build that fails changes nothing");
    let method = "\n/// Answers 42.\n#[hotcall_plugin::method]\nfn answer() -> i32 { 42 }\n";
    fs::write(&source, text.replacen("methods: [", "methods: [answer, ", 1) + method).unwrap();
    wait_until("the edited plugin", || {
        client.call::<Value>("answer", vec![]).is_ok_and(|value| value == Value::Int(42))
    });
    assert_eq!(add(), Some(Value::Int(5)));
}

/// A copy of a bundled crate that stands alone, outside the workspace.
fn copy_crate(from: &Path, to: &Path) {
    copy_folder(&from.join("src"), &to.join("src"));
    let api = repository().join("plugin-api");
    let manifest = format!(
        "[package]\nname = \"arithmetic\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\n\
         crate-type = [\"cdylib\"]\n\n[dependencies]\nhotcall-plugin = {{ path = {:?} }}\n",
        api.to_str().unwrap()
    );
    fs::write(to.join("Cargo.toml"), manifest).unwrap();
    fs::copy(repository().join("Cargo.lock"), to.join("Cargo.lock")).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn usage() {
    for arguments in [&[][..], &["nonsense"], &["call"], &["serve", "--nonsense"]] {
        let output = hotcall(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
    for command in ["serve", "dev", "call", "methods", "check", "new"] {
        let output = hotcall(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert!(text(&output.stdout).contains("Usage: hotcall"), "{command}");
    }
    let version = text(&hotcall(&["--version"]).stdout);
    assert_eq!(version.trim(), format!("hotcall {}", env!("CARGO_PKG_VERSION")));
}
