//! The log: no thread waits for its reader, and lost lines are counted.

use crate::trial::trial;
use hotcall::xmlrpc::{Value, code};
use hotcall_tests::wire::{Wire, address, call, post};
use hotcall_tests::{Server, Setup, WAIT_MAX, artifacts, fill, repository, wait_for, wait_until};
use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("log::one_that_nobody_reads_holds_up_nothing", nobody_reads),
        trial("log::panics_hold_up_nothing_though_nobody_reads", panics),
        trial("log::a_reader_that_comes_late_is_told_what_it_missed", late_reader),
        trial("log::all_of_it_is_written_at_the_end", nothing_is_lost),
        trial("log::a_start_that_fails_ends_though_nobody_reads", failed_start),
        trial("log::standard_output_that_nobody_reads_holds_up_nothing", unread_output),
    ]
}

/// A version of tests/fixtures/version.c.
fn version(root: &Path, number: i32) -> PathBuf {
    let built = root.join(format!("v{number}.so"));
    artifacts::compile_c(
        &repository().join("tests/fixtures/version.c"),
        &built,
        &[&format!("-DVERSION={number}")],
    );
    built
}

fn setup() -> Setup {
    Setup::new().argument("--http=127.0.0.1:0").plugin("echo.so", artifacts::plugin("echo"))
}

fn http(server: &Server) -> Wire<TcpStream> {
    let url = server.urls().iter().find(|url| url.starts_with("http:")).unwrap();
    let stream = TcpStream::connect(address(url)).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    Wire::on(stream)
}

/// A call of a method with one text.
fn call_with(method: &str, text: &str) -> String {
    let parameter = format!("<params><param><value>{text}</value></param></params>");
    post("", &format!("<methodCall><methodName>{method}</methodName>{parameter}</methodCall>"))
}

fn nobody_reads() {
    let root = tempfile::tempdir().unwrap();
    let config = "[limits]\ncall_ms_max = 500\ndrain_ms_max = 2_000\n";
    let mut server = setup()
        .argument("--https=127.0.0.1:0")
        .plugin("version.so", &version(root.path(), 1))
        .config(config)
        .log("trace")
        .unread_log()
        .start();
    server.fill_log();
    let never = server.beside("never");
    let mut stuck: Vec<_> = (0..4).map(|_| http(&server)).collect();
    stuck.iter_mut().for_each(|wire| wire.send(call_with("echo.until", never.to_str().unwrap())));
    assert!(
        stuck.iter_mut().all(|wire| wire.answer().is_int(-32000)),
        "answered at their deadlines"
    );
    for number in 0..8 {
        let mut wire = http(&server);
        wire.send(post("", &call("echo", number)));
        assert!(wire.answer().is_int(number));
        assert_eq!(
            server.call("echo", vec![Value::Int(number)]).unwrap(),
            Value::Int(number),
            "over TLS"
        );
    }
    for (request, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET /RPC2 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 405),
        (post("", "<methodCall>"), 200),
    ] {
        let mut wire = http(&server);
        wire.send(&request);
        assert_eq!(wire.answer().status, status, "{request}");
    }
    fs::rename(version(root.path(), 2), server.plugins().join("version.so")).unwrap();
    wait_until("the new version", || matches!(server.call("version", vec![]), Ok(Value::Int(2))));
    assert_eq!(server.stop().code(), Some(1), "it ends, although calls are stuck");
}

/// The hooks of the plugin and of the server print a panic's message, on workers and other threads.
fn panics() {
    const PANICS: i32 = 8;
    let config = "[limits]\npanics_max = 1_000\ncaller_panics_max = 1_000\n";
    let mut server = setup().config(config).log("trace").unread_log().start();
    server.fill_log();
    let message = "x".repeat(16 << 10);
    let mut wire = http(&server);
    for number in 0..PANICS {
        wire.send(call_with("echo.panic", &message));
        assert!(wire.answer().is_int(code::PLUGIN_PANICKED));
        wire.send(call_with("echo.panic_elsewhere", &message));
        let answer = wire.answer();
        assert!(answer.text().contains("<boolean>1</boolean>"), "{}", answer.text());
        wire.send(post("", &call("echo", number)));
        assert!(wire.answer().is_int(number));
    }
    assert_eq!(server.stop().code(), Some(0));
}

fn late_reader() {
    const LINES: usize = 2_000;
    let config = "[limits]\nlog_queue_bytes_max = 16_384\n";
    let mut server = setup().config(config).log("plugin=info").unread_log().start();
    server.fill_log();
    let mut wire = http(&server);
    let mut say = |text: &str| {
        wire.send(call_with("echo.log", text));
        assert_eq!(wire.answer().status, 200);
    };
    (0..LINES).for_each(|number| say(&format!("number {number}.")));
    server.read_log();
    let notice = server.wait_for_log(&["log lines were dropped"]);
    say("afterwards");
    server.wait_for_log(&["afterwards"]);
    let log = server.log();
    let numbers = || log.lines().filter_map(|line| line.split_once("number ")?.1.strip_suffix('.'));
    let came = numbers().count();
    assert!(
        numbers().eq((0..came).map(|number| number.to_string())),
        "the first ones, in order: {log}"
    );
    assert!(
        came > 0 && notice.contains(&format!(" {} log lines were dropped", LINES - came)),
        "{notice}"
    );
    let at = |what: &str| log.find(what).unwrap();
    assert!(
        at(&format!("number {}.", came - 1)) < at(&notice) && at(&notice) < at("afterwards"),
        "{log}"
    );
}

fn nothing_is_lost() {
    const LINES: usize = 5_000;
    let mut server = setup().log("plugin=info").start();
    let mut wire = http(&server);
    let text = "x".repeat(1_000);
    for number in 0..LINES {
        wire.send(call_with("echo.log", &format!("{text} {number}.")));
    }
    for _ in 0..LINES {
        assert_eq!(wire.answer().status, 200);
    }
    assert_eq!(server.stop().code(), Some(0));
    wait_until("the last line", || server.log().contains(&format!(" {}.", LINES - 1)));
    assert_eq!(server.log().matches(&text).count(), LINES);
}

fn failed_start() {
    let root = tempfile::tempdir().unwrap();
    let config = root.path().join("hotcall.toml");
    fs::write(&config, "check_permissions = false\nhttp = [\"0.0.0.0:0\"]\n").unwrap();
    let serve = |errors: Stdio| {
        let mut serve = Command::new(artifacts::hotcall());
        serve
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .arg("--state-dir")
            .arg(root.path().join("state"));
        serve.stdin(Stdio::null()).stderr(errors).spawn().unwrap()
    };
    let output = serve(Stdio::piped()).wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let last = said.lines().last().unwrap();
    assert!(said.contains("WARN"), "{said}");
    assert!(last.starts_with("hotcall: anyone who reaches 0.0.0.0:0"), "{said}");
    let (_reader, writer) = std::io::pipe().unwrap();
    fill(&writer);
    let mut child = serve(writer.into());
    assert_eq!(wait_for("its end", || child.try_wait().unwrap()).code(), Some(1));
}

/// The server says on standard output where it listens.
fn unread_output() {
    let root = tempfile::tempdir().unwrap();
    let socket = root.path().join("hotcall.sock");
    let (_reader, writer) = std::io::pipe().unwrap();
    fill(&writer);
    let log = root.path().join("log");
    let mut serve = Command::new(artifacts::hotcall());
    serve.arg("serve").arg("--unix").arg(&socket).arg("--plugins").arg(root.path());
    serve.arg("--state-dir").arg(root.path().join("state")).env("RUST_LOG", "info");
    serve.stdin(Stdio::null()).stdout(writer).stderr(fs::File::create(&log).unwrap());
    let mut child = serve.spawn().unwrap();
    let stream = wait_for("the socket", || UnixStream::connect(&socket).ok());
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    let mut wire = Wire::on(stream);
    wire.send(post("", "<methodCall><methodName>system.identity</methodName></methodCall>"));
    assert!(wire.answer().text().contains("Hotcall/"));
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::HUP).unwrap();
    wait_until("the reload", || fs::read_to_string(&log).unwrap().contains("SIGHUP"));
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(wait_for("its end", || child.try_wait().unwrap()).code(), Some(0));
}
