//! What HTTP says of bodies: compressed ones, none where there must be none, and the connection in
//! step after each.

use crate::trial::trial;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::{GzEncoder, ZlibEncoder};
use hotcall::xmlrpc::{DecodeLimits, EncodeOptions, Value, decode_response, encode_call};
use hotcall_tests::{Server, Setup, artifacts};
use libtest_mimic::Trial;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("content::each_coding_is_read_and_gzip_is_sent_when_asked_for", codings),
        trial("content::what_inflates_past_the_limit_is_refused", bomb),
        trial("content::head_and_options_leave_the_connection_in_step", head_and_options),
    ]
}

fn serve() -> Server {
    let setup =
        Setup::new().argument("--http=127.0.0.1:0").config("[limits]\nbody_bytes_max = 200_000\n");
    setup.plugin("echo.so", artifacts::plugin("echo")).start()
}

/// A kept connection on which whole responses are read.
struct Connection(BufReader<TcpStream>);

struct Response {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Connection {
    fn open(server: &Server) -> Self {
        let address =
            server.url().strip_prefix("http://").and_then(|rest| rest.strip_suffix("/RPC2"));
        Self(BufReader::new(TcpStream::connect(address.unwrap()).unwrap()))
    }

    fn send(&mut self, line: &str, fields: &str, body: &[u8]) -> Response {
        let head = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{fields}\r\n",
            body.len()
        );
        self.0.get_mut().write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "the response ends early: {head}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .lines()
            .find_map(|field| field.strip_prefix("Content-Length: "))
            .expect("a length");
        let mut body = vec![0; if line.starts_with("HEAD") { 0 } else { length.parse().unwrap() }];
        self.0.read_exact(&mut body).unwrap();
        Response { status, head, body }
    }
}

impl Response {
    fn result(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.head);
        let is_gzip = self.head.contains("Content-Encoding: gzip\r\n");
        let mut document = Vec::new();
        match is_gzip {
            true => drop(MultiGzDecoder::new(&*self.body).read_to_end(&mut document).unwrap()),
            false => document.clone_from(&self.body),
        }
        decode_response(&document, &DecodeLimits::default()).unwrap().unwrap()
    }
}

fn echo(text: &str) -> Vec<u8> {
    encode_call("echo", &[Value::from(text)], &EncodeOptions::default()).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn codings() {
    let server = serve();
    let mut connection = Connection::open(&server);
    let long = "é".repeat(5_000);
    let zlib = {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&echo(&long)).unwrap();
        encoder.finish().unwrap()
    };
    for (fields, body) in [
        ("", echo(&long)),
        ("Content-Encoding: gzip\r\n", gzip(&echo(&long))),
        ("Content-Encoding: deflate\r\nAccept-Encoding: deflate\r\n", zlib),
    ] {
        let response = connection.send("POST /RPC2", fields, &body);
        assert_eq!(response.result(), Value::from(&*long), "{fields}");
        assert!(
            !response.head.contains("Content-Encoding")
                && response.head.contains("Vary: Accept-Encoding")
        );
    }
    let response =
        connection.send("POST /RPC2", "Accept-Encoding: gzip, deflate\r\n", &echo(&long));
    assert!(
        response.head.contains("Content-Encoding: gzip") && response.body.len() < long.len() / 10
    );
    assert_eq!(response.result(), Value::from(&*long));
    let short = connection.send("POST /RPC2", "Accept-Encoding: gzip\r\n", &echo("short"));
    assert!(!short.head.contains("Content-Encoding"), "{}", short.head);

    let refused = connection.send("POST /RPC2", "Content-Encoding: br\r\n", &echo("x"));
    assert_eq!(refused.status, 415);
    assert!(refused.head.contains("Accept-Encoding: gzip, deflate, identity"), "{}", refused.head);
    let damaged = connection.send("POST /RPC2", "Content-Encoding: gzip\r\n", &echo("x"));
    assert_eq!(damaged.status, 400);
    assert!(String::from_utf8(damaged.body).unwrap().contains("Content-Encoding"));
    assert_eq!(
        connection.send("POST /RPC2", "", &echo("still here")).result(),
        Value::from("still here")
    );

    let client = hotcall_tests::client(server.url()).gzip(true).build().unwrap();
    assert_eq!(client.call::<String>("echo", long.as_str()).unwrap(), long);
}

fn bomb() {
    let server = serve();
    let mut connection = Connection::open(&server);
    let body = gzip(&echo(&" ".repeat(4 << 20)));
    assert!(body.len() < 100_000);
    let response = connection.send("POST /RPC2", "Content-Encoding: gzip\r\n", &body);
    assert_eq!(response.status, 413);
    assert!(String::from_utf8(response.body).unwrap().contains("200000 bytes, also inflated"));
    assert_eq!(connection.send("POST /RPC2", "", &echo("on")).result(), Value::from("on"));
}

fn head_and_options() {
    let server = serve();
    let mut connection = Connection::open(&server);
    for target in ["/", "/RPC2", "*"] {
        let options = connection.send(&format!("OPTIONS {target}"), "", b"");
        assert_eq!(
            (options.status, options.head.contains("Allow: OPTIONS, POST")),
            (200, true),
            "{target}"
        );
    }
    for method in ["HEAD", "GET", "PUT", "DELETE", "PATCH"] {
        let refused = connection.send(&format!("{method} /RPC2"), "", b"");
        assert_eq!(
            (refused.status, refused.head.contains("Allow: OPTIONS, POST")),
            (405, true),
            "{method}"
        );
    }
    assert_eq!(connection.send("HEAD /elsewhere", "", b"").status, 404);
    assert_eq!(
        connection.send("POST /RPC2", "", &echo("in step")).result(),
        Value::from("in step")
    );
}
