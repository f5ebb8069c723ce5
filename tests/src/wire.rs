//! HTTP as one client's bytes: what it sends is sent as it is, and what comes back is taken apart,
//! so that tests may send what no library would and see what a library hides.

use crate::server::Server;
use crate::shared::WAIT_MAX;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// One answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The version and the status.
    pub version: String,
    /// Such as 200.
    pub status: u16,
    /// The header fields, in order.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A connection.
pub struct Wire<S> {
    stream: S,
    /// What has come and is not used yet.
    come: Vec<u8>,
}

/// `host:port` of a URL.
pub fn address(url: &str) -> &str {
    url.split("//")
        .nth(1)
        .and_then(|rest| rest.strip_suffix("/RPC2"))
        .expect("the URL of a listener")
}

/// A POST of this document with these header fields, each with its line's end.
pub fn post(fields: &str, document: &str) -> String {
    let length = document.len();
    format!(
        "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{fields}\r\n\
         {document}"
    )
}

/// A call with one whole number.
pub fn call(method: &str, number: i32) -> String {
    format!(
        "<methodCall><methodName>{method}</methodName>\
         <params><param><value><int>{number}</int></value></param></params></methodCall>"
    )
}

/// A call with one string, without characters that XML escapes.
pub fn call_with_text(method: &str, text: &str) -> String {
    format!(
        "<methodCall><methodName>{method}</methodName>\
         <params><param><value>{text}</value></param></params></methodCall>"
    )
}

impl Wire<TcpStream> {
    /// To a server's first listener, which speaks plain HTTP.
    pub fn to(server: &Server) -> Self {
        Self::over(TcpStream::connect(address(server.url())).expect("a connection"))
    }

    /// To the same listener, from this loopback address.
    pub fn from(source: [u8; 4], server: &Server) -> Self {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&socket, &SocketAddr::from((source, 0))).expect("an address of loopback");
        let address: SocketAddr = address(server.url()).parse().expect("an address");
        connect(&socket, &address).expect("a connection");
        Self::over(TcpStream::from(socket))
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(WAIT_MAX)).expect("a timeout");
        Self::on(stream)
    }
}

impl<S: Read + Write> Wire<S> {
    /// On a stream that is connected.
    pub const fn on(stream: S) -> Self {
        Self { stream, come: Vec::new() }
    }

    /// The stream.
    pub const fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Sends bytes, as far as the server takes them: it may have closed the connection already.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(self.stream.write_all(bytes.as_ref()));
    }

    /// The next answer.
    ///
    /// # Panics
    /// The connection ended, or what came is no answer.
    pub fn answer(&mut self) -> Answer {
        self.next(false).expect("an answer before the connection's end")
    }

    /// The next answer, to HEAD or not; `None` when the connection ended before it. One that only
    /// says "go on" is none.
    ///
    /// # Panics
    /// What came is half an answer, or none.
    pub fn next(&mut self, is_to_head: bool) -> Option<Answer> {
        let head = loop {
            match self.come.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(at) => {
                    let head = self.take(at + 4);
                    if !head.starts_with(b"HTTP/1.1 100 ") {
                        break head;
                    }
                }
                None if self.read() => {}
                None => {
                    assert!(
                        self.come.is_empty(),
                        "half a head: {:?}",
                        String::from_utf8_lossy(&self.come)
                    );
                    return None;
                }
            }
        };
        let head = String::from_utf8(head).expect("a head is text");
        let mut lines = head.trim_end().split("\r\n");
        let mut words = lines.next().expect("a status line").splitn(3, ' ');
        let (version, status) = (words.next().expect("a version"), words.next().expect("a status"));
        let field = |line: &str| {
            line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        let fields: Vec<_> =
            lines.map(|line| field(line).unwrap_or_else(|| panic!("{head}"))).collect();
        let mut answer = Answer {
            version: version.to_owned(),
            status: status.parse().unwrap_or_else(|_| panic!("{head}")),
            fields,
            body: Vec::new(),
        };
        let length = answer.field("Content-Length").and_then(|length| length.parse().ok());
        let length =
            if is_to_head { 0 } else { length.unwrap_or_else(|| panic!("no length: {head}")) };
        while self.come.len() < length {
            assert!(self.read(), "half a body after {head}");
        }
        answer.body = self.take(length);
        Some(answer)
    }

    /// Whether the server closes the connection, without another byte.
    pub fn is_closed(&mut self) -> bool {
        self.come.is_empty() && !self.read()
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        self.come.drain(..count).collect()
    }

    /// Reads once. `false` at the connection's end.
    fn read(&mut self) -> bool {
        let mut piece = [0; 16 << 10];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return false,
                Ok(count) => {
                    self.come.extend_from_slice(&piece[..count]);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    panic!("waited {WAIT_MAX:?} in vain for the server")
                }
                Err(_) => return false,
            }
        }
    }
}

impl Answer {
    /// The value of a header field, by the name as the server writes it.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the body says that the result is this whole number.
    pub fn is_int(&self, number: i32) -> bool {
        self.text().contains(&format!("<int>{number}</int>"))
    }
}
