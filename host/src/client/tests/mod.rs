//! The client against servers of a few lines.

mod answers;
mod early;
mod gzip;
mod idle;
mod proxy;
mod retry;
mod tls;
mod typed;

use super::*;
use crate::xmlrpc::{DecodeLimits, EncodeOptions, Fault, Value, encode_fault, encode_response};
use hotcall_plugin::FromValue;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Answers one connection's requests with these bytes, one after the other, and returns what it
/// read.
fn serve(answers: Vec<Vec<u8>>) -> (SocketAddr, JoinHandle<Vec<Request>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        answers
            .iter()
            .map(|answer| {
                let request = read_request(&mut reader);
                stream.write_all(answer).unwrap();
                request
            })
            .collect()
    });
    (address, server)
}

struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    fn body(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The value of a header.
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

fn read_request(reader: &mut impl BufRead) -> Request {
    let head = read_head(reader);
    let mut request = Request { head, body: Vec::new() };
    request.body = vec![0; request.header("content-length").unwrap().parse().unwrap()];
    reader.read_exact(&mut request.body).unwrap();
    request
}

fn read_head(reader: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
    }
    head
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn result(value: &Value) -> Vec<u8> {
    answer("200 OK", &encode_response(value, &EncodeOptions::default()).unwrap())
}

fn client(address: SocketAddr) -> Client {
    Client::builder(&format!("http://{address}")).timeout(Duration::from_secs(20)).build().unwrap()
}

/// The cause of a call's failure.
fn cause(error: &Error) -> Cause {
    let Error::Transport { cause, .. } = error else { panic!("{error:?}") };
    *cause
}
