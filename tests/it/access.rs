//! Who may call, and from where.

use crate::http::{connect, exchange};
use crate::trial::trial;
use hotcall::client::{Client, Error};
use hotcall_tests::{Server, Setup, artifacts, wait_until};
use libtest_mimic::Trial;
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("access::browsers_are_kept_from_what_is_not_theirs", browsers_are_kept_out),
        trial("access::a_listed_page_may_read_what_it_is_answered", a_listed_page_may_read),
        trial("access::users_are_asked_for_their_passwords", users_are_asked),
        trial("access::wrong_passwords_are_slowed_down", wrong_passwords_are_slowed_down),
        trial("access::whatever_is_wrong_with_credentials_counts", whatever_is_wrong_counts),
        trial("access::many_wrong_passwords_are_few_lines_in_the_log", few_lines),
        trial("access::passwords_leave_workers_to_who_is_known", passwords_leave_workers),
        trial("access::passwd_asks_twice_without_echo", passwd_asks_twice),
    ]
}

const ADD: &str = "<methodCall><methodName>add</methodName>\
    <params><param><value><int>2</int></value></param><param><value><i4>3</i4></value></param>\
    </params></methodCall>";

fn plain() -> Setup {
    Setup::new()
        .argument("--http=127.0.0.1:0")
        .plugin("arithmetic.so", artifacts::plugin("arithmetic"))
}

fn post(line: &str, fields: &str) -> String {
    format!(
        "POST {line}\r\nConnection: keep-alive\r\nContent-Length: {}\r\n{fields}\r\n{ADD}",
        ADD.len()
    )
}

/// What only browsers run into: names that are pointed at the server, and pages of other sites.
fn browsers_are_kept_out() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("hotcall.sock");
    let config = "hosts = ['api.example.com']\norigins = ['https://app.example.com']\n";
    let server = plain().argument(format!("--unix={}", path.display())).config(config).start();
    let rows = [
        ("/ HTTP/1.1", "Host: localhost:1", [200, 200], "<int>5</int>"),
        ("/ HTTP/1.1", "Host: 127.0.0.1", [200, 200], ""),
        ("/ HTTP/1.1", "Host: API.example.com", [200, 200], ""),
        ("/ HTTP/1.1", "Host: evil.example", [421, 200], ""),
        ("/ HTTP/1.0", "X: no host", [200, 200], ""),
        ("http://evil.example/ HTTP/1.1", "Host: evil.example", [421, 200], ""),
        ("http://localhost/ HTTP/1.1", "Host: localhost", [200, 200], ""),
        ("/ HTTP/1.1", "Host: localhost\r\nHotcall-Host: evil.example", [200, 200], ""),
        ("/ HTTP/1.1", "Host: evil.example\r\nHotcall-Host: localhost", [421, 200], ""),
        ("/ HTTP/1.1", "Host: localhost\r\nOrigin: http://localhost", [200, 200], ""),
        (
            "/ HTTP/1.1",
            "Host: localhost\r\nOrigin: http://evil.example",
            [403, 403],
            "under origins",
        ),
        ("/ HTTP/1.1", "Host: localhost\r\nOrigin: https://app.example.com", [200, 200], ""),
        ("/ HTTP/1.1", "Host: localhost\r\nSec-Fetch-Site: cross-site", [403, 403], "another site"),
    ];
    let (mut tcp, mut unix) = (connect(&server), UnixStream::connect(&path).unwrap());
    for (line, fields, [by_tcp, by_unix], has) in rows {
        let request = post(line, &format!("{fields}\r\n"));
        let (status, head, body) = exchange(&mut tcp, &request);
        assert_eq!(status, by_tcp, "{request}\n{head}{body}");
        assert!(body.contains(has), "{request}\n{head}{body}");
        assert_eq!(exchange(&mut unix, &request).0, by_unix, "{request}");
    }

    let config = server.beside("hotcall.toml");
    fs::write(&config, "hosts = ['evil.example']\n").unwrap();
    server.signal(Signal::HUP);
    let request = post("/ HTTP/1.1", "Host: evil.example\r\n");
    wait_until("the new hosts", || exchange(&mut tcp, &request).0 == 200);
    fs::write(&config, "hosts = ['http://a']\n").unwrap();
    server.signal(Signal::HUP);
    server.wait_for_log(&["SIGHUP", "hosts has \"http://a\"", "everything stays as it is"]);
    assert_eq!(exchange(&mut tcp, &request).0, 200);
}

/// What a browser asks before the call of a page elsewhere, and needs to see before it hands over
/// the answer.
fn a_listed_page_may_read() {
    let server = plain().config("origins = ['https://app.example.com']\n").start();
    let mut stream = connect(&server);
    let head = |stream: &mut _, request: &str| exchange(stream, request).1.to_ascii_lowercase();
    let question = "OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example.com\r\n\
                    Access-Control-Request-Method: POST\r\n\
                    Access-Control-Request-Headers: content-type\r\n\r\n";
    let asked = head(&mut stream, question);
    for field in [
        "access-control-allow-origin: https://app.example.com",
        "access-control-allow-methods: post",
        "access-control-allow-headers: authorization, content-type",
        "access-control-max-age: ",
        "vary: origin",
    ] {
        assert!(asked.contains(&format!("\r\n{field}")), "{field}: {asked}");
    }
    let call = |origin: &str| post("/ HTTP/1.1", &format!("Host: localhost\r\n{origin}"));
    let called = head(&mut stream, &call("Origin: https://app.example.com\r\n"));
    assert!(
        called.contains("\r\naccess-control-allow-origin: https://app.example.com\r\n"),
        "{called}"
    );
    for unlisted in ["", "Origin: http://localhost\r\n", "Origin: https://evil.example\r\n"] {
        let called = head(&mut stream, &call(unlisted));
        assert!(!called.contains("access-control"), "{unlisted}: {called}");
    }
}

/// Sets a user's password.
pub fn passwd(file: &Path, name: &str, password: &str) -> Output {
    let mut command = Command::new(artifacts::hotcall());
    command.arg("passwd").arg(file).arg(name);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    child.wait_with_output().unwrap()
}

/// A client of one of the server's listeners, with a name or without.
pub fn asked(server: &Server, index: usize, user: Option<(&str, &str)>) -> Client {
    let url = &server.urls()[index];
    let builder = hotcall_tests::client(url);
    let builder = if url.starts_with("https:") { builder.ca_file(server.ca()) } else { builder };
    match user {
        Some((name, password)) => builder.basic(name, password).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

/// Whom a plugin is told that it serves, or the HTTP status.
fn name_seen(client: &Client) -> Result<String, u16> {
    match client.call::<Vec<String>>("echo.caller", ()) {
        Ok(caller) => Ok(caller[0].clone()),
        Err(Error::Http { status, .. }) => Err(status),
        Err(error) => panic!("{error}"),
    }
}

fn users_are_asked() {
    let root = tempfile::tempdir().unwrap();
    let (users, socket) = (root.path().join("users"), root.path().join("s"));
    for (name, password) in [("ann", "first secret"), ("B\u{e4}r", "p\u{e4}ss:word")] {
        let done = passwd(&users, name, password);
        assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    }
    let refused = passwd(&users, "a:b", "x");
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("no colon")
    );
    let server = Setup::new()
        .argument("--https=127.0.0.1:0")
        .argument("--http=127.0.0.1:0")
        .argument(format!("--unix={}", socket.display()))
        .plugin("echo.so", artifacts::plugin("echo"))
        .config(&format!("users = {users:?}"))
        .start();
    for (listener, anonymous) in [(0, Err(401)), (1, Err(401)), (2, Ok(String::new()))] {
        assert_eq!(name_seen(&asked(&server, listener, None)), anonymous, "{listener}");
        let rows = [
            (("ann", "first secret"), Ok("ann".to_owned())),
            (("B\u{e4}r", "p\u{e4}ss:word"), Ok("B\u{e4}r".to_owned())),
            (("ann", "wrong secret"), Err(401)),
            (("nobody", "first secret"), Err(401)),
        ];
        for (user, seen) in rows {
            assert_eq!(
                name_seen(&asked(&server, listener, Some(user))),
                seen,
                "{listener} {user:?}"
            );
        }
    }

    assert!(passwd(&users, "ann", "second secret").status.success());
    server.signal(Signal::HUP);
    let anew = asked(&server, 0, Some(("ann", "second secret")));
    wait_until("the new password", || name_seen(&anew).is_ok());
    assert_eq!(
        name_seen(&asked(&server, 0, Some(("ann", "first secret")))),
        Err(401),
        "not remembered"
    );
    fs::write(&users, "ann:second secret").unwrap();
    server.signal(Signal::HUP);
    server.wait_for_log(&["SIGHUP", "line 1", "everything stays as it is"]);
    assert_eq!(name_seen(&anew), Ok("ann".to_owned()));
    let log = server.log();
    assert!(log.contains("a wrong name or password from 127.0.0.1"), "{log}");
    assert!(!log.contains("secret") && !log.contains("argon2id$"), "{log}");
}

fn wrong_passwords_are_slowed_down() {
    let root = tempfile::tempdir().unwrap();
    let users = root.path().join("users");
    assert!(passwd(&users, "ann", "right").status.success());
    let server = plain().config(&format!("users = {users:?}")).start();
    let mut stream = connect(&server);
    let head = post("/ HTTP/1.1", "Host: localhost\r\n");
    let (status, head, body) = exchange(&mut stream, &head);
    assert_eq!(status, 401, "{body}");
    assert!(
        head.contains("WWW-Authenticate: Basic realm=\"Hotcall\", charset=\"UTF-8\""),
        "{head}"
    );

    let add =
        |password: &str| asked(&server, 0, Some(("ann", password))).call::<i32>("add", (2, 3));
    assert_eq!(add("right").unwrap(), 5);
    let status = |password: &str| match add(password) {
        Err(Error::Http { status, .. }) => status,
        other => panic!("{other:?}"),
    };
    let first =
        (0..100).map(|number| status(&format!("wrong {number}"))).find(|status| *status != 401);
    assert_eq!(first, Some(429));
    assert_eq!(add("right").unwrap(), 5, "who is known goes on");
    // `ann:wrong`
    let (status, head, _) = exchange(
        &mut stream,
        &post("/ HTTP/1.1", "Host: localhost\r\nAuthorization: Basic YW5uOndyb25n\r\n"),
    );
    assert!(status == 429 && head.contains("Retry-After: 60"), "{head}");
}

/// A hash that no password has, and that is quick to compute.
const QUICK_HASH: &str = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Writes a users file with `ann`, whose password nobody knows.
fn quick_users(path: &Path) {
    fs::write(path, format!("ann:{QUICK_HASH}\n")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn basic(user: impl AsRef<[u8]>) -> String {
    format!("Authorization: Basic {}\r\n", openssl::base64::encode_block(user.as_ref()))
}

/// A connection from another address of this machine.
fn connect_from(address: [u8; 4], server: &Server) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let to: SocketAddr = server.url().split('/').nth(2).unwrap().parse().unwrap();
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((address, 0))).unwrap();
    connect(&socket, &to).unwrap();
    socket.into()
}

/// From outside, all wrong credentials look alike.
fn whatever_is_wrong_counts() {
    let root = tempfile::tempdir().unwrap();
    let users = root.path().join("users");
    quick_users(&users);
    let rows = [
        ("a password", basic("ann:wrong")),
        ("a password of 1,025 bytes", basic(format!("ann:{}", "x".repeat(1_025)))),
        ("a password of 9,000 bytes", basic(format!("ann:{}", "x".repeat(9_000)))),
        ("a name", basic("nobody:wrong")),
        ("a name of 9,000 bytes", basic(format!("{}:wrong", "x".repeat(9_000)))),
        ("no name", basic(":wrong")),
        ("neither", basic(":")),
        ("no password", basic("ann")),
        ("not UTF-8", basic(b"ann:\xff")),
        ("not base64", "Authorization: Basic !\r\n".into()),
        ("nothing", "Authorization: Basic\r\n".into()),
        ("two, each readable", basic("ann:wrong") + &basic("ann:wrong")),
        ("not ASCII", "Authorization: Basic \u{e9}\r\n".into()),
    ];
    let dateless = |head: String| -> String {
        head.lines().filter(|line| !line.starts_with("Date: ")).collect::<Vec<_>>().join("\n")
    };
    for direct_lane in [true, false] {
        for users_there in [true, false] {
            if !users_there {
                fs::write(&users, "").unwrap();
            }
            let config =
                format!("users = {users:?}\nallow_anonymous = true\ndirect_lane = {direct_lane}\n");
            let server = plain().config(&config).start();
            let (mut first, mut last) = (None, None);
            for (number, (what, field)) in (2..).zip(&rows) {
                let mut stream = connect_from([127, 0, 0, number], &server);
                let request = post("/ HTTP/1.1", &format!("Host: localhost\r\n{field}"));
                for number in 1..=11 {
                    let (status, head, body) = exchange(&mut stream, &request);
                    let scene = format!("{what}, number {number}, {direct_lane} {users_there}");
                    assert_eq!(
                        status,
                        if number > 10 { 429 } else { 401 },
                        "{scene}: {head}{body}"
                    );
                    let answer = (dateless(head), body);
                    let like = if number > 10 { &mut last } else { &mut first };
                    assert_eq!(&answer, like.get_or_insert_with(|| answer.clone()), "{scene}");
                }
            }
            quick_users(&users);
        }
    }
}

/// An address is throttled, so it logs little. A Unix socket has no address.
fn few_lines() {
    const TRIES: usize = 1_000;
    let root = tempfile::tempdir().unwrap();
    let (users, socket) = (root.path().join("users"), root.path().join("s"));
    quick_users(&users);
    let server = plain()
        .argument(format!("--unix={}", socket.display()))
        .config(&format!("users = {users:?}\n"))
        .start();
    let long = basic(format!("ann:{}", "x".repeat(1_025)));
    let [long, malformed] = [long, basic("ann")]
        .map(|field| post("/ HTTP/1.1", &format!("Host: localhost\r\n{field}")));
    let (mut tcp, mut unix) = (connect(&server), UnixStream::connect(&socket).unwrap());
    for _ in 0..TRIES / 10 {
        assert!([401, 429].contains(&exchange(&mut tcp, &long).0));
        assert!([401, 429].contains(&exchange(&mut tcp, &malformed).0));
    }
    for _ in 0..TRIES {
        assert_eq!(exchange(&mut unix, &long).0, 401);
    }
    server.wait_for_log(&["from a Unix socket: number 256 within a minute"]);
    let log = server.log();
    let lines = |from: &str| log.matches(&format!("a wrong name or password from {from}")).count();
    assert_eq!(lines("127.0.0.1"), 10, "{log}");
    assert!(lines("a Unix socket") < TRIES / 5, "{log}");
}

/// In both lanes, with many workers and with the fewest.
fn passwords_leave_workers() {
    const WRONG: usize = 30;
    let root = tempfile::tempdir().unwrap();
    let users = root.path().join("users");
    for name in ["ann", "bert"] {
        assert!(passwd(&users, name, "right").status.success());
    }
    for (workers, direct_lane) in [(4, true), (4, false), (1, true), (1, false)] {
        let config =
            format!("users = {users:?}\nworkers = {workers}\ndirect_lane = {direct_lane}\n");
        let server = plain().config(&config).start();
        let ann = asked(&server, 0, Some(("ann", "right")));
        assert_eq!(ann.call::<i32>("add", (2, 3)).unwrap(), 5);
        // `bert:wrong`, which all of them would wait for.
        let wrong =
            post("/ HTTP/1.1", "Host: localhost\r\nAuthorization: Basic YmVydDp3cm9uZw==\r\n");
        let mut streams: Vec<_> = (0..WRONG).map(|_| connect(&server)).collect();
        for stream in &mut streams {
            stream.write_all(wrong.as_bytes()).unwrap();
        }
        assert_eq!(ann.call::<i32>("add", (2, 3)).unwrap(), 5, "who is known waits for nobody");
        let mut answers: Vec<_> = streams.iter_mut().map(|stream| exchange(stream, "")).collect();
        answers.retain(|(status, ..)| ![401, 429].contains(status));
        // With one worker they wait for each other in a queue.
        let is_any_refused = !answers.is_empty();
        assert!(is_any_refused || workers == 1, "{direct_lane}: all were verified");
        for (status, head, body) in answers {
            assert!(status == 503 && head.contains("Retry-After: 1"), "{status} {head}{body}");
            assert!(body.contains("too many passwords are being verified"), "{body}");
        }
    }
}

fn passwd_asks_twice() {
    let root = tempfile::tempdir().unwrap();
    let users = root.path().join("users");
    let rows = [("secret\nsecret\n", true), ("secret\nother\n", false), ("\u{3}\n\u{3}\n", false)];
    for (typed, is_taken) in rows {
        drop(fs::remove_file(&users));
        let (shown, status) = at_terminal(&users, typed);
        assert_eq!(status, is_taken, "{typed:?}: {shown}");
        assert_eq!(users.exists(), is_taken, "{typed:?}");
        assert!(shown.contains("New password: ") && shown.contains("Once more: "), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}

/// What a terminal shows while somebody types, and whether the command succeeded.
fn at_terminal(users: &Path, typed: &str) -> (String, bool) {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    let end = || OpenOptions::new().read(true).write(true).open(&name).unwrap();
    let mut command = Command::new(artifacts::hotcall());
    command.arg("passwd").arg(users).arg("ann").stdin(end()).stdout(end()).stderr(end());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut terminal = File::from(controller);
    let mut shown = String::new();
    let mut buffer = [0; 256];
    for (prompt, line) in
        ["New password: ", "Once more: "].into_iter().zip(typed.split_inclusive('\n'))
    {
        // The prompt comes after the echo is off.
        while !shown.ends_with(prompt) {
            let count = terminal.read(&mut buffer).expect("a prompt");
            shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        terminal.write_all(line.as_bytes()).unwrap();
    }
    let status = child.wait().unwrap();
    // Nobody has the other end any more: what was written comes, and then an error.
    while let Ok(count @ 1..) = terminal.read(&mut buffer) {
        shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    (shown, status.success())
}
