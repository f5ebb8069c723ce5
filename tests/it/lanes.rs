//! Both lanes give the same answer to the same bytes: calls that go straight to the workers, and
//! calls that go through tiny_http.

use crate::trial::trial;
use flate2::Compression;
use flate2::write::GzEncoder;
use hotcall_tests::corpus::{Case, Kind, cases};
use hotcall_tests::requests::{BODY_BYTES_MAX, End, rows};
use hotcall_tests::wire::{Answer, Wire, call, post};
use hotcall_tests::{Server, Setup, artifacts};
use libtest_mimic::Trial;
use std::io::Write;
use std::net::{Shutdown, TcpStream};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("lanes::each_document_gets_the_same_answer", each_document),
        trial("lanes::each_kind_of_request_gets_the_same_answer", each_kind_of_request),
        trial("lanes::each_bad_request_gets_the_same_answer", each_bad_request),
    ]
}

/// Two servers that differ in nothing but the lane.
struct Lanes([Server; 2]);

impl Lanes {
    fn start(body_bytes_max: usize) -> Self {
        Self([true, false].map(|direct_lane| {
            Setup::new()
                .argument("--http=127.0.0.1:0")
                .config(&format!(
                    "direct_lane = {direct_lane}\n[limits]\nbody_bytes_max = {body_bytes_max}\n"
                ))
                .plugin("arithmetic.so", artifacts::plugin("arithmetic"))
                .plugin("interop.so", artifacts::plugin("interop"))
                .plugin("echo.so", artifacts::plugin("echo"))
                .log("warn")
                .start()
        }))
    }

    fn wires(&self) -> [Wire<TcpStream>; 2] {
        self.0.each_ref().map(Wire::to)
    }
}

/// Without what depends on the moment.
fn comparable(mut answer: Answer) -> Answer {
    for (name, value) in &mut answer.fields {
        if name == "Date" {
            value.clear();
        }
    }
    answer
}

fn each_document() {
    let lanes = Lanes::start(1_000_000);
    let mut wires = lanes.wires();
    let cases = cases();
    assert!(cases.len() >= 500, "only {} documents", cases.len());
    let mut different = Vec::new();
    for case in &cases {
        let request = request(case);
        // One connection for all: none of them may leave it out of step.
        let [direct, relayed] = wires.each_mut().map(|wire| {
            wire.send(&request);
            comparable(wire.answer())
        });
        if direct != relayed {
            different.push(format!("{}:\n  {direct:?}\n  {relayed:?}", case.name));
        }
    }
    assert!(
        different.is_empty(),
        "{} of {}:\n{}",
        different.len(),
        cases.len(),
        different.join("\n")
    );
}

/// A value is sent to a method that answers with it.
fn request(case: &Case) -> Vec<u8> {
    let document = match case.kind {
        Kind::Value => replaced(&case.bytes, b"<methodName>m<", b"<methodName>echo<"),
        Kind::Call | Kind::Response => case.bytes.clone(),
    };
    let content_type = match case.content_type() {
        "" => String::new(),
        given => format!("Content-Type: {given}\r\n"),
    };
    request_of(&content_type, &document)
}

fn request_of(fields: &str, document: &[u8]) -> Vec<u8> {
    let length = document.len();
    let head = format!(
        "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{fields}\r\n"
    );
    [head.as_bytes(), document].concat()
}

fn replaced(bytes: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    match bytes.windows(what.len()).position(|window| window == what) {
        Some(at) => [&bytes[..at], with, &bytes[at + what.len()..]].concat(),
        None => bytes.to_owned(),
    }
}

fn gzipped(document: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(document.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn each_kind_of_request() {
    let lanes = Lanes::start(1_000_000);
    let long = call("echo.text", 100_000);
    let (add, version) =
        (call("echo", 7), call("echo.version", 0).replace("<value><int>0</int></value>", ""));
    let plain = |line: &str, fields: &str| {
        format!("{line}\r\nHost: localhost\r\n{fields}\r\n").into_bytes()
    };
    let http10 = |fields: &str| post(fields, &add).replace("HTTP/1.1", "HTTP/1.0").into_bytes();
    let chunked = format!(
        "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n\
         {add}\r\n0\r\n\r\n",
        add.len()
    );
    let gzip = "Content-Encoding: gzip\r\n";
    let requests = [
        post("", &add).into_bytes(),
        post("", &version).into_bytes(),
        post("", &long).into_bytes(),
        post("Accept-Encoding: gzip\r\n", &add).into_bytes(),
        post("Accept-Encoding: gzip\r\n", &long).into_bytes(),
        post("Accept-Encoding: gzip;q=0, *\r\n", &long).into_bytes(),
        post("Accept-Encoding: br, x-gzip\r\nTE: gzip\r\n", &long).into_bytes(),
        post("", &call("echo.nothing", 1)).into_bytes(),
        post("Connection: close\r\n", &add).into_bytes(),
        post("Connection: keep-alive\r\n", &add).into_bytes(),
        post("Connection: Upgrade\r\nUpgrade: h2c\r\n", &add).into_bytes(),
        post("Expect: 100-continue\r\n", &add).into_bytes(),
        post("Expect: 100-continue\r\nConnection: close\r\n", &long).into_bytes(),
        http10(""),
        http10("Connection: keep-alive\r\n"),
        http10("Connection: close\r\n"),
        http10("Accept-Encoding: gzip\r\n"),
        chunked.into_bytes(),
        request_of(gzip, &gzipped(&add)),
        request_of("Content-Encoding: x-gzip\r\nAccept-Encoding: gzip\r\n", &gzipped(&long)),
        request_of(gzip, b"not gzip at all"),
        request_of(gzip, &gzipped(&" ".repeat(2_000_000))),
        request_of("Content-Encoding: deflate\r\n", b"\x00"),
        request_of("Content-Encoding: br\r\n", add.as_bytes()),
        request_of("Content-Type: text/xml; charset=klingon\r\n", add.as_bytes()),
        request_of("Content-Type: application/json\r\n", b"{}"),
        request_of("", b""),
        plain("OPTIONS /RPC2 HTTP/1.1", ""),
        plain("OPTIONS * HTTP/1.1", ""),
        plain("GET /RPC2 HTTP/1.1", ""),
        plain("GET /RPC2 HTTP/1.0", ""),
        plain("GET /elsewhere HTTP/1.1", "Accept-Encoding: gzip\r\n"),
        plain("PUT /RPC2 HTTP/1.1", "Content-Length: 0\r\nConnection: close\r\n"),
        plain("DELETE /RPC2 HTTP/1.1", ""),
        plain("BREW /RPC2 HTTP/1.1", ""),
        plain("POST /elsewhere HTTP/1.1", "Content-Length: 0\r\n"),
        plain("POST /RPC2 HTTP/1.1", "Content-Length: 0\r\nOrigin: https://elsewhere.example\r\n"),
        plain("POST /RPC2 HTTP/1.1", "Content-Length: 0\r\nAuthorization: Basic YW5uOmFubg==\r\n"),
        plain("POST http://elsewhere.example/ HTTP/1.1", "Content-Length: 0\r\n"),
    ];
    for request in &requests {
        assert_same(&lanes, request, false);
    }
    for line in ["HEAD /RPC2 HTTP/1.1", "HEAD /elsewhere HTTP/1.1", "HEAD /RPC2 HTTP/1.0"] {
        assert_same(&lanes, &plain(line, ""), true);
    }
}

/// Sends a request over both lanes, and then a call, which is answered in both or in neither.
fn assert_same(lanes: &Lanes, request: &[u8], is_head: bool) {
    let [direct, relayed] = lanes.wires().map(|mut wire| {
        wire.send(request);
        let first = wire.next(is_head).map(comparable);
        let is_kept =
            first.as_ref().is_some_and(|first| first.field("Connection") == Some("keep-alive"));
        if is_kept {
            wire.send(post("", &call("echo", 8)));
        }
        let second = wire.next(false).map(comparable);
        assert_eq!(second.is_some_and(|second| second.is_int(8)), is_kept, "{first:?}");
        first
    });
    assert!(direct.is_some(), "{:?}", String::from_utf8_lossy(request));
    assert_eq!(direct, relayed, "{:?}", String::from_utf8_lossy(request));
}

fn each_bad_request() {
    let lanes = Lanes::start(BODY_BYTES_MAX);
    for row in rows() {
        let [direct, relayed] = lanes.wires().map(|mut wire| {
            let mut answers = row.send(&mut wire, None);
            if row.end != End::Closed {
                drop(wire.stream().shutdown(Shutdown::Write));
            }
            // Nothing more comes on either.
            answers.push(wire.next(false));
            answers.into_iter().map(|answer| answer.map(comparable)).collect::<Vec<_>>()
        });
        assert_eq!(direct, relayed, "{}", row.name);
    }
}
