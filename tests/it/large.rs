//! What a client hears whose request is too large: clients write all of it before they look for an
//! answer.

use crate::trial::trial;
use hotcall::client::Error;
use hotcall_tests::foreign::{self, Language};
use hotcall_tests::wire::{Wire, address};
use hotcall_tests::{Server, Setup, artifacts};
use libtest_mimic::Trial;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

pub fn trials() -> Vec<Trial> {
    let needing = |language: Language, name, test: fn()| {
        trial(name, test).with_ignored_flag(language.is_left_out())
    };
    vec![
        needing(Language::Python, "large::python_is_told_that_its_call_is_too_large", python),
        needing(Language::Node, "large::node_is_told_that_its_call_is_too_large", node),
        trial("large::hotcall_is_told_that_its_call_is_too_large", hotcall),
        trial(
            "large::whoever_writes_all_first_is_told_why_it_is_refused",
            whoever_writes_all_first,
        ),
        trial("large::nobody_is_listened_to_for_ever", nobody_is_listened_to_for_ever),
    ]
}

/// Past the default limit of 16 MiB, and more than twice that.
const SIZES: [usize; 2] = [17_000_000, 40_000_000];

/// With all limits as they are by default, over HTTP and over HTTPS.
fn server() -> Server {
    Setup::new().argument("--http=127.0.0.1:0").argument("--https=127.0.0.1:0").start()
}

fn python() {
    let server = server();
    for url in server.urls() {
        foreign::python_at("too_large", url, &server);
    }
}

fn node() {
    let server = server();
    for url in server.urls() {
        foreign::node_at("too_large.js", url, &server);
    }
}

fn hotcall() {
    let server = server();
    let file = server.beside("large");
    for url in server.urls() {
        let client = hotcall_tests::client(url).ca_file(server.ca()).build().unwrap();
        match client.call::<i32>("add", "x".repeat(SIZES[0])) {
            Err(Error::Http { status: 413, first_line }) => {
                assert!(first_line.contains("at most 16777216 bytes"), "{first_line}");
            }
            other => panic!("{url}: {other:?}"),
        }
        for size in SIZES {
            // In base64 it is so much.
            fs::write(&file, vec![0; size * 3 / 4]).unwrap();
            let mut call = Command::new(artifacts::hotcall());
            call.arg("call").arg("--cacert").arg(server.ca()).args([url, "add"]);
            let told = call.arg(format!("base64:@{}", file.display())).output().unwrap();
            let error = String::from_utf8_lossy(&told.stderr);
            assert!(
                error.contains("HTTP status 413: Request too large: "),
                "{url}: {size} bytes: {error}"
            );
        }
    }
}

/// Requests that are refused before they have come whole: by their head, and in the midst of a
/// body.
fn whoever_writes_all_first() {
    let server = server();
    let head = |fields: &str| format!("POST / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    for size in SIZES {
        let body = "x".repeat(size);
        let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20)).repeat((size >> 20) + 1);
        let requests = [
            (413, head(&format!("Content-Length: {size}\r\n")) + &body),
            (413, head("Transfer-Encoding: chunked\r\n") + &chunk + "0\r\n\r\n"),
            (411, head("") + &body),
            (400, head("Content-Length: 1\r\nContent-Length: 1\r\n") + &body),
            (431, head(&format!("X: {}", "x".repeat(20_000))) + &body),
        ];
        for (status, request) in requests {
            let [secure, plain] = server.urls() else {
                panic!("two listeners: {:?}", server.urls())
            };
            is_told(TcpStream::connect(address(plain)).unwrap(), &request, status);
            is_told(shake_hands(address(secure)), &request, status);
        }
    }
}

fn is_told(mut stream: impl Read + Write, request: &str, status: u16) {
    let sent = stream.write_all(request.as_bytes());
    sent.unwrap_or_else(|error| panic!("{status}, {} bytes: {error}", request.len()));
    let mut wire = Wire::on(stream);
    let answer = wire.answer();
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.field("Connection"), Some("close"));
    assert!(wire.is_closed(), "nothing follows a refusal");
}

fn shake_hands(address: &str) -> openssl::ssl::SslStream<TcpStream> {
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    connector.build().connect("localhost", TcpStream::connect(address).unwrap()).unwrap()
}

/// What a client sends in spite of the answer has its limit, and none of it is kept.
fn nobody_is_listened_to_for_ever() {
    const PIECE: usize = 1 << 20;
    /// Sockets' buffers hold some of it.
    const PIECES_MAX: usize = 64;
    let server = Setup::new()
        .argument("--http=127.0.0.1:0")
        .config("[limits]\nbody_bytes_max = 10_000\n")
        .start();
    let mut stream = TcpStream::connect(address(server.url())).unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10001\r\n\r\n")
        .unwrap();
    let taken = (0..PIECES_MAX).take_while(|_| stream.write_all(&vec![0; PIECE]).is_ok()).count();
    assert!((1..PIECES_MAX).contains(&taken), "{taken} pieces were taken");
}
