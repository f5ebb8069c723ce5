//! Who may call, and from where.

use crate::http::{connect, exchange};
use crate::trial;
use hotcall_tests::{Setup, artifacts};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::os::unix::net::UnixStream;

pub fn trials() -> Vec<Trial> {
    vec![trial("access::browsers_are_kept_from_what_is_not_theirs", browsers_are_kept_out)]
}

const ADD: &str = "<methodCall><methodName>add</methodName><params><param><value><int>2</int></value></param>\
    <param><value><i4>3</i4></value></param></params></methodCall>";

fn plain() -> Setup {
    Setup::new().argument("--http=127.0.0.1:0").plugin("arithmetic.so", artifacts::plugin("arithmetic"))
}

fn post(line: &str, fields: &str) -> String {
    format!("POST {line}\r\nConnection: keep-alive\r\nContent-Length: {}\r\n{fields}\r\n{ADD}", ADD.len())
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
        ("http://evil.example/ HTTP/1.1", "Host: localhost", [421, 200], ""),
        ("/ HTTP/1.1", "Host: localhost\r\nHotcall-Host: evil.example", [200, 200], ""),
        ("/ HTTP/1.1", "Host: evil.example\r\nHotcall-Host: localhost", [421, 200], ""),
        ("/ HTTP/1.1", "Host: localhost\r\nOrigin: http://localhost", [200, 200], ""),
        ("/ HTTP/1.1", "Host: localhost\r\nOrigin: http://evil.example", [403, 403], "under origins"),
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
    std::fs::write(&config, "hosts = ['evil.example']\n").unwrap();
    server.signal(Signal::HUP);
    let request = post("/ HTTP/1.1", "Host: evil.example\r\n");
    hotcall_tests::wait_until("the new hosts", || exchange(&mut tcp, &request).0 == 200);
    std::fs::write(&config, "hosts = ['http://a']\n").unwrap();
    server.signal(Signal::HUP);
    server.wait_for_log(&["SIGHUP", "hosts has \"http://a\"", "everything stays as it is"]);
    assert_eq!(exchange(&mut tcp, &request).0, 200);
}
