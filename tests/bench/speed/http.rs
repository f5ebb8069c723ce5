//! One connection of a client: HTTP/1.1 over TCP or TLS, as little of it as the peers' answers
//! need, so that the client takes little of the processor that it shares with the server.

use crate::target::Target;
use openssl::ssl::{ShutdownState, SslConnector, SslSession, SslStream};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The longest that one read or write may take.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// An answer that is longer is none of the bench's.
const REPLY_BYTES_MAX: usize = 64 << 20;
/// What a record of TLS holds.
const PIECE_BYTES: usize = 16 << 10;

trait Stream: Read + Write + Send {
    /// What must be done before the socket is closed.
    fn end(&mut self) {}
}

impl Stream for TcpStream {}

impl Stream for SslStream<TcpStream> {
    /// Without this OpenSSL takes the connection for one that failed, and its session is never
    /// resumed. Nothing is sent, as with many clients.
    fn end(&mut self) {
        self.set_shutdown(ShutdownState::SENT | ShutdownState::RECEIVED);
    }
}

/// An open connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    /// The same socket as the stream's.
    socket: TcpStream,
    come: Vec<u8>,
    piece: Box<[u8]>,
    is_resumed: bool,
}

/// An answer with status 200.
pub struct Reply {
    /// Head and body as they came.
    pub bytes: usize,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the connection ends with it.
    pub is_last: bool,
}

/// How the body of an answer ends.
enum Length {
    Known(usize),
    Chunked,
}

impl Connection {
    /// Connects, and shakes hands if it is with TLS.
    ///
    /// # Errors
    /// The connection or the handshake failed, or the handshake came to something else than it
    /// should.
    pub fn open(
        target: &Target,
        connector: &SslConnector,
        session: Option<&SslSession>,
    ) -> Result<Self> {
        let stream = TcpStream::connect(&target.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(WAIT_MAX))?;
        stream.set_write_timeout(Some(WAIT_MAX))?;
        let socket = stream.try_clone()?;
        if !target.is_tls {
            return Ok(Self::on(stream, socket, false));
        }
        let mut configured = connector.configure()?;
        if let Some(session) = session {
            super::tickets::offer(&mut configured, session)?;
        }
        let stream = configured
            .connect("localhost", stream)
            .map_err(|error| Error::other(error.to_string()))?;
        super::pinned::check(stream.ssl()).map_err(Error::other)?;
        let is_resumed = stream.ssl().session_reused();
        Ok(Self::on(stream, socket, is_resumed))
    }

    fn on(stream: impl Stream + 'static, socket: TcpStream, is_resumed: bool) -> Self {
        let piece = vec![0; PIECE_BYTES].into_boxed_slice();
        Self { stream: Box::new(stream), socket, come: Vec::new(), piece, is_resumed }
    }

    /// Whether the handshake took up a session of before.
    pub const fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// The socket, to be waited for.
    pub const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// From now on nothing waits: [`Connection::send`] and [`Connection::try_answer`] may be used.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_nonblocking(&self) -> Result<()> {
        self.socket.set_nonblocking(true)
    }

    /// Sends a request, which fits into the socket's buffer.
    ///
    /// # Errors
    /// The connection ended.
    pub fn send(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request)
    }

    /// Reads once, and gives the length of the answer's body when all of it has come. The answer
    /// must say that length.
    ///
    /// # Errors
    /// Those of [`Connection::call`].
    pub fn try_answer(&mut self) -> Result<Option<usize>> {
        match self.read() {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        let Some(at) = find(&self.come, b"\r\n\r\n") else { return Ok(None) };
        let head_bytes = at + 4;
        let (length, _) = understand(&self.come[..head_bytes])?;
        let Length::Known(length) = length else {
            return Err(Error::other("the peer's answer has no length"));
        };
        if self.come.len() < head_bytes + length {
            return Ok(None);
        }
        self.come.drain(..head_bytes + length);
        Ok(Some(length))
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// The connection ended or was silent for too long, or the answer is not one with status 200.
    pub fn call(&mut self, request: &[u8]) -> Result<Reply> {
        self.stream.write_all(request)?;
        let head_bytes = loop {
            if let Some(at) = find(&self.come, b"\r\n\r\n") {
                break at + 4;
            }
            self.read()?;
        };
        let (length, is_last) = understand(&self.come[..head_bytes])?;
        self.come.drain(..head_bytes);
        let (body, body_bytes) = match length {
            Length::Known(length) => {
                self.read_up_to(length)?;
                (self.come.drain(..length).collect(), length)
            }
            Length::Chunked => self.chunks()?,
        };
        Ok(Reply { bytes: head_bytes + body_bytes, body, is_last })
    }

    /// A body in chunks, and how many bytes it took with their lengths.
    fn chunks(&mut self) -> Result<(Vec<u8>, usize)> {
        let (mut body, mut bytes) = (Vec::new(), 0);
        loop {
            let line = loop {
                if let Some(at) = find(&self.come, b"\r\n") {
                    break at;
                }
                self.read()?;
            };
            let length = std::str::from_utf8(&self.come[..line]).ok();
            let length = length.and_then(|digits| usize::from_str_radix(digits, 16).ok());
            let length = length.filter(|length| body.len() + length <= REPLY_BYTES_MAX);
            let length = length.ok_or_else(|| Error::other("the peer's answer has a bad chunk"))?;
            let end = line + 2 + length + 2;
            self.read_up_to(end)?;
            body.extend_from_slice(&self.come[line + 2..end - 2]);
            self.come.drain(..end);
            bytes += end;
            if length == 0 {
                return Ok((body, bytes));
            }
        }
    }

    fn read_up_to(&mut self, count: usize) -> Result<()> {
        while self.come.len() < count {
            self.read()?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        let count = self.stream.read(&mut self.piece)?;
        if count == 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "the peer closed the connection"));
        }
        self.come.extend_from_slice(&self.piece[..count]);
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stream.end();
    }
}

/// How the body ends of the answer with this head, and whether the connection ends with it.
fn understand(head: &[u8]) -> Result<(Length, bool)> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200 ") {
        let status = head.lines().next().unwrap_or_default();
        return Err(Error::other(format!("the peer answered {status}")));
    }
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let is_last = field("connection:") == Some("close");
    match field("content-length:").map(str::parse) {
        Some(Ok(length)) if length <= REPLY_BYTES_MAX => Ok((Length::Known(length), is_last)),
        None if field("transfer-encoding:") == Some("chunked") => Ok((Length::Chunked, is_last)),
        _ => Err(Error::other(format!("the peer's answer has no length: {head}"))),
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
