//! A server whose answers are chosen by the test, and what they are made of. Must not know what is
//! hostile in them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// A server that answers as a test has it answer.
pub struct Liar {
    pub url: String,
}

impl Liar {
    /// `answer` turns a request's document into a whole response.
    pub fn start(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/RPC2", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let document = read_document(&stream);
                drop((&stream).write_all(&answer(&document)));
            }
        });
        Self { url }
    }

    /// Always answers with this status, these header fields and this document.
    pub fn of(status: &str, fields: &str, document: &str) -> Self {
        Self::start({
            let answer = answer(status, fields, document);
            move |_| answer.clone()
        })
    }
}

pub fn answer(status: &str, fields: &str, document: &str) -> Vec<u8> {
    let length = document.len();
    format!(
        "HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n\
         {document}"
    )
    .into_bytes()
}

/// Reads one request and gives its body.
fn read_document(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
        if let Some(given) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = given.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    drop(reader.read_exact(&mut body));
    String::from_utf8_lossy(&body).into_owned()
}

pub fn xml(content: &str) -> String {
    format!("<?xml version='1.0'?><methodResponse>{content}</methodResponse>")
}

pub fn result(value: &str) -> String {
    xml(&format!("<params><param><value>{value}</value></param></params>"))
}

pub fn array(items: &[&str]) -> String {
    let items = items.iter().map(|item| format!("<value>{item}</value>"));
    format!("<array><data>{}</data></array>", items.collect::<String>())
}

pub fn structure(members: &[(&str, String)]) -> String {
    let members = members
        .iter()
        .map(|(name, value)| format!("<member><name>{name}</name><value>{value}</value></member>"));
    format!("<struct>{}</struct>", members.collect::<String>())
}

pub fn fault(text: &str) -> String {
    let members = [
        ("faultCode", "<int>5</int>".to_owned()),
        ("faultString", format!("<string>{text}</string>")),
    ];
    xml(&format!("<fault><value>{}</value></fault>", structure(&members)))
}
