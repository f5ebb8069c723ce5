//! The client against the real server, as a library and as `hotcall call`.

use crate::trial::trial;
use hotcall::client::{Client, Error};
use hotcall::xmlrpc::{EncodeOptions, Fault, Value, encode_fault, encode_response};
use hotcall_tests::{Server, Setup, artifacts};
use libtest_mimic::Trial;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("client::calls_batches_and_questions_are_typed", calls_batches_and_questions),
        trial("client::threads_share_a_client", threads_share_a_client),
        trial("client::repeat_prints_the_last_result_and_a_tally", repeat),
        trial("client::multicall_prints_a_line_for_each_call", multicall),
        trial("client::a_terminal_sees_how_far_many_calls_are", progress),
        trial("client::arguments_come_from_standard_input", standard_input),
        trial("client::the_proxy_of_the_environment_is_used", proxy_of_the_environment),
        trial("client::headers_and_gzip_reach_the_server", headers_and_gzip),
        trial("client::methods_are_printed_as_their_answers_come", methods_as_they_come),
    ]
}

fn setup() -> Setup {
    Setup::new()
        .plugin("arithmetic.so", artifacts::plugin("arithmetic"))
        .plugin("echo.so", artifacts::plugin("echo"))
}

fn server() -> Server {
    setup().start()
}

fn calls_batches_and_questions() {
    let server = server();
    let client = server.client();
    let sum: i64 = client.call("add", (2, 3)).unwrap();
    assert_eq!(sum, 5);
    assert_eq!(client.call::<Vec<String>>("echo", (vec!["a", "b"],)).unwrap(), ["a", "b"]);
    let wrong = client.call::<i64>("echo", "five").unwrap_err();
    assert_eq!(wrong.to_string(), "the result of echo wants i8, got string");
    assert!(matches!(
        client.call::<i64>("divide", (1, 0)),
        Err(Error::Fault(fault)) if fault.code == -32602
    ));

    // More than the server takes in one request.
    let mut batch = client.multicall();
    for number in 0..1_500 {
        batch.add("add", (number, 1)).unwrap();
    }
    batch.add("echo.fail", (7, "no")).unwrap();
    let sums = batch.send::<i32>().unwrap();
    assert_eq!(sums.len(), 1_501);
    assert!(sums[..1_500].iter().zip(1..).all(|(sum, wanted)| *sum == Ok(wanted)), "{sums:?}");
    assert_eq!(sums[1_500], Err(Fault::new(7, "no")));

    let methods = client.list_methods().unwrap();
    assert!(methods.contains(&"add".to_owned()) && methods.is_sorted(), "{methods:?}");
    assert!(client.method_help("echo").unwrap().contains("its one parameter"));
    assert_eq!(
        client.method_signatures("echo.fail").unwrap()[0].to_string(),
        "(int, string) -> nil"
    );
    let capabilities = client.capabilities().unwrap();
    let xmlrpc = capabilities.iter().find(|capability| capability.name == "xmlrpc").unwrap();
    assert!(xmlrpc.spec_url.starts_with("http"), "{capabilities:?}");
}

fn threads_share_a_client() {
    let server = server();
    let client = server.client();
    let call = |thread: i32| {
        let client: Client = client.clone();
        thread::spawn(move || {
            (0..50)
                .all(|n| client.call::<i32>("echo", thread * 100 + n).unwrap() == thread * 100 + n)
        })
    };
    let threads: Vec<_> = (0..6).map(call).collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}

/// What a command printed.
#[derive(Debug)]
struct Printed {
    status: i32,
    out: String,
    err: String,
}

/// `hotcall call` with these arguments and this on standard input.
fn call(server: &Server, arguments: &[&str], stdin: &str) -> Printed {
    let ca = server.ca();
    let start = ["call", "--cacert", ca.to_str().unwrap(), server.url()];
    run(Command::new(artifacts::hotcall()).args([&start, arguments].concat()), stdin)
}

fn run(command: &mut Command, stdin: &str) -> Printed {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Whoever does not read it has closed its end.
    drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Printed {
        status: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn repeat() {
    let server = server();
    let done = call(&server, &["--repeat", "20", "add", "2", "3"], "");
    assert_eq!((done.status, done.out.as_str()), (0, "5\n"), "{done:?}");
    assert!(
        done.err.starts_with("20 calls, 0 failed, in ") && done.err.contains("99 % "),
        "{done:?}"
    );
    assert_eq!(done.err.lines().count(), 1, "{done:?}");

    let stopped = call(&server, &["--repeat", "20", "divide", "1", "0"], "");
    assert_eq!((stopped.status, stopped.out.as_str()), (1, ""), "{stopped:?}");
    assert!(stopped.err.starts_with("1 calls, 1 failed, "), "{stopped:?}");
    assert!(stopped.err.contains("hotcall: call 1 of 20: fault -32602: "), "{stopped:?}");

    let went_on = call(&server, &["--repeat", "20", "--keep-going", "divide", "1", "0"], "");
    assert_eq!(went_on.status, 1, "{went_on:?}");
    assert!(
        went_on.err.contains("20 of 20 calls failed; the first was call 1: fault -32602"),
        "{went_on:?}"
    );
    for usage in
        [&["--repeat", "0", "add"][..], &["--repeat", "1000001", "add"], &["--keep-going", "add"]]
    {
        assert_eq!(call(&server, usage, "").status, 2, "{usage:?}");
    }
}

fn multicall() {
    let server = server();
    let lines = "[\"add\", 2, 3]\n\n\
                 {\"method\": \"echo\", \"params\": [{\"b\": [null], \"a\": \"x\\ny\"}]}\n";
    let file = server.beside("calls.jsonl");
    fs::write(&file, lines).unwrap();
    let expected = "5\n{\"b\":[null],\"a\":\"x\\ny\"}\n";
    for (from, stdin) in [(file.to_str().unwrap(), ""), ("-", lines)] {
        let done = call(&server, &["--multicall", from], stdin);
        assert_eq!((done.status, done.out.as_str(), done.err.as_str()), (0, expected, ""));
    }

    // Faults are lines among the others, whatever the size of a batch.
    let mut many = String::new();
    for number in 0..25 {
        many += &format!("[\"divide\", 10, {}]\n", number % 5);
    }
    for batch in ["1", "7", "200"] {
        let done = call(&server, &["--multicall", "-", "--batch", batch], &many);
        assert_eq!(done.status, 1, "{done:?}");
        assert_eq!(done.err, "hotcall: 5 of 25 calls ended in a fault\n");
        let printed: Vec<_> = done.out.lines().collect();
        assert_eq!(printed.len(), 25, "{done:?}");
        assert!(printed[5].starts_with("{\"faultCode\":-32602,\"faultString\":\""), "{done:?}");
        assert_eq!(printed[1..3], ["10.0", "5.0"]);
    }

    // No call is made when a line is none.
    let wrong = call(&server, &["--multicall", "-"], "[\"echo.fail\", 1, \"x\"]\n[1]\n");
    assert_eq!((wrong.status, wrong.out.as_str()), (1, ""), "{wrong:?}");
    assert!(wrong.err.starts_with("hotcall: standard input, line 2 is not a call ("), "{wrong:?}");
    let missing = call(&server, &["--multicall", "/nonexistent"], "");
    assert!(missing.err.contains("cannot open /nonexistent: "), "{missing:?}");
    assert_eq!(call(&server, &["--multicall", "-"], "").out, "");
    assert_eq!(call(&server, &["--multicall", "-", "add"], "").status, 2);
    // The server takes 1,000 in one request.
    let refused =
        call(&server, &["--multicall", "-", "--batch", "2000"], &"[\"echo\", 1]\n".repeat(1_500));
    assert_eq!((refused.status, refused.out.as_str()), (1, ""), "{refused:?}");
    assert!(refused.err.starts_with("hotcall: after 0 of 1500 calls: fault "), "{refused:?}");
    assert!(refused.err.contains("with --batch"), "{refused:?}");
}

fn progress() {
    let server = server();
    let file = server.beside("calls.jsonl");
    for (calls, is_shown) in [(1_200, true), (20, false)] {
        fs::write(&file, "[\"add\", 2, 3]\n".repeat(calls)).unwrap();
        let (mut screen, terminal) = terminal();
        let mut command = Command::new(artifacts::hotcall());
        command.args(["call", "--insecure", "--multicall", file.to_str().unwrap(), server.url()]);
        let mut child = command
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(terminal)
            .spawn()
            .unwrap();
        // Only the child holds the terminal now, so that its end ends the screen.
        drop(command);
        let mut out = child.stdout.take().unwrap();
        let results = thread::spawn(move || io::read_to_string(&mut out).unwrap());
        let mut seen = Vec::new();
        // A terminal that nobody holds any more is an error to read.
        drop(screen.read_to_end(&mut seen));
        let seen = String::from_utf8_lossy(&seen);
        assert!(child.wait().unwrap().success(), "{seen}");
        assert_eq!(results.join().unwrap(), "5\n".repeat(calls));
        assert_eq!(seen.contains(&format!("/{calls} calls")), is_shown, "{seen}");
        assert_eq!(seen.is_empty(), !is_shown, "{seen}");
    }
    // Off a terminal there is nothing of it.
    let done = call(&server, &["--multicall", "-"], &"[\"add\", 2, 3]\n".repeat(1_200));
    assert_eq!((done.status, done.err.as_str()), (0, ""));
}

/// What a terminal shows, and the terminal.
fn terminal() -> (File, File) {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap().into_string().unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let terminal = rustix::fs::open(name, flags | OFlags::CLOEXEC, Mode::empty()).unwrap();
    (screen.into(), terminal.into())
}

fn standard_input() {
    let server = server();
    let done = call(&server, &["add", "-"], "2\n3\n");
    assert_eq!((done.status, done.out.as_str()), (0, "5\n"), "{done:?}");
    assert_eq!(
        call(&server, &["echo", "-"], "{\"a\":\n[1]}").out,
        "{\n  \"a\": [\n    1\n  ]\n}\n"
    );
    assert_eq!(call(&server, &["echo", "base64:@-"], "\u{0}\u{1}").out, "\"AAE=\"\n");
    let wrong = call(&server, &["echo", "-"], "plain");
    assert_eq!(wrong.status, 1);
    assert!(wrong.err.starts_with("hotcall: standard input is not JSON: "), "{wrong:?}");
}

/// A proxy that makes one tunnel, to this server whatever it is asked for. Gives what it was asked.
fn one_tunnel(server: SocketAddr) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = thread::spawn(move || {
        let (mut near, _) = listener.accept().unwrap();
        let mut head = String::new();
        let mut reader = BufReader::new(near.try_clone().unwrap());
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        let mut far = TcpStream::connect(server).unwrap();
        near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let (mut near_too, mut far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let back = thread::spawn(move || {
            drop(io::copy(&mut far_too, &mut near_too));
            drop(near_too.shutdown(Shutdown::Both));
        });
        drop(io::copy(&mut near, &mut far));
        drop(far.shutdown(Shutdown::Both));
        back.join().unwrap();
        head
    });
    (address, proxy)
}

fn proxy_of_the_environment() {
    let server = setup().config("hosts = ['server.invalid']").start();
    let address = server.url().strip_prefix("https://").unwrap().strip_suffix("/RPC2").unwrap();
    let (proxy_address, proxy) = one_tunnel(address.parse().unwrap());
    let command = || {
        let mut command = Command::new(artifacts::hotcall());
        for name in [
            "http_proxy",
            "HTTP_PROXY",
            "https_proxy",
            "HTTPS_PROXY",
            "all_proxy",
            "no_proxy",
            "NO_PROXY",
        ] {
            command.env_remove(name);
        }
        command.args([
            "call",
            "--insecure",
            "--user",
            "ann:secret",
            "https://server.invalid",
            "add",
            "2",
            "3",
        ]);
        command
    };
    let proxy_url = format!("http://{proxy_address}");
    // A name that no resolver knows: only the proxy can lead there.
    let done = run(command().env("HTTPS_PROXY", &proxy_url), "");
    assert_eq!((done.status, done.out.as_str()), (0, "5\n"), "{done:?}");
    let head = proxy.join().unwrap();
    assert!(head.starts_with("CONNECT server.invalid:443 HTTP/1.1\r\n"), "{head}");
    assert!(!head.to_ascii_lowercase().contains("authorization"), "{head}");

    let excepted = run(command().env("HTTPS_PROXY", &proxy_url).env("NO_PROXY", "invalid"), "");
    assert!(excepted.err.contains("there is no host server.invalid"), "{excepted:?}");
    let none = run(command().env("HTTPS_PROXY", &proxy_url).arg("--no-proxy"), "");
    assert!(none.err.contains("there is no host server.invalid"), "{none:?}");
    let socks = run(command().env("ALL_PROXY", "socks5://127.0.0.1:1"), "");
    assert!(
        socks.err.contains("the variable ALL_PROXY is of a kind that is not supported"),
        "{socks:?}"
    );
    let gone = run(command().env("https_proxy", &proxy_url), "");
    assert!(gone.status == 1 && gone.err.contains(&proxy_address.to_string()), "{gone:?}");
}

fn headers_and_gzip() {
    let server = server();
    let done = call(&server, &["--gzip", "--header", "X-A: b:c", "add", "2", "3"], "");
    assert_eq!((done.status, done.out.as_str()), (0, "5\n"), "{done:?}");
    let refused = call(&server, &["--header", "Host: x", "add", "2", "3"], "");
    assert_eq!(refused.status, 1);
    assert!(refused.err.contains("the header \"Host\" is the client's own"), "{refused:?}");
    assert_eq!(call(&server, &["--header", "no colon", "add"], "").status, 2);
    assert_eq!(call(&server, &["--connect-timeout", "0", "add"], "").status, 2);
}

/// Reads a request, and gives its body.
fn read_request(reader: &mut impl BufRead) -> String {
    let (mut line, mut bytes) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the head has an end");
        if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            bytes = length.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; bytes];
    reader.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

fn methods_as_they_come() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let value = |value: Value| encode_response(&value, &EncodeOptions::default()).unwrap();
    let names = ["first", "second", "third"].map(Value::from).to_vec();
    let answers = [
        ("system.listMethods", value(Value::Array(names))),
        ("system.multicall", encode_fault(&Fault::new(1, "no such method"))),
        ("system.methodSignature", value(Value::Nil)),
        ("system.methodHelp", value(Value::from("Is answered."))),
    ];
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        for (method, document) in answers {
            assert!(read_request(&mut reader).contains(method));
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", document.len())
                .unwrap();
            stream.write_all(&document).unwrap();
        }
        assert!(read_request(&mut reader).contains("second"));
        // It is not answered.
        assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap(), 0);
        listener
    });
    let listed =
        run(Command::new(artifacts::hotcall()).args(["methods", &url, "--timeout", "2"]), "");
    assert_eq!(
        (listed.status, listed.out.as_str()),
        (1, "first(...)\n    Is answered.\n"),
        "{listed:?}"
    );
    assert!(listed.err.contains("did not answer in time"), "{listed:?}");
    let listener = server.join().unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "it asks no more");
}
