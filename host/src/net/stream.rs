//! A client's connection as bytes with a deadline: TCP or Unix socket, with or without TLS.

use super::tls::Context;
use crate::web::Way;
use openssl::ssl::{ShutdownResult, SslStream};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A connected socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket that gives up at a moment instead of after a silence, so that a slow drip does not last forever.
#[derive(Debug)]
pub(super) struct Timed {
    socket: Socket,
    deadline: Instant,
}

/// What a connection is read from and written to.
pub(super) enum Stream {
    Plain(Timed),
    Tls(SslStream<Timed>),
}

impl Socket {
    /// Another handle to the same connection.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
        }
    }

    /// How it came here. A listener on all addresses has connections of both kinds.
    pub(super) fn way(&self) -> Way {
        match self {
            Self::Unix(_) => Way::Unix,
            Self::Tcp(socket) => match socket.local_addr() {
                Ok(here) if here.ip().to_canonical().is_loopback() => Way::Loopback,
                _ => Way::Network,
            },
        }
    }

    /// Ends one direction or both.
    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.shutdown(how),
            Self::Unix(socket) => socket.shutdown(how),
        }
    }

    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_read_timeout(Some(timeout)),
            Self::Unix(socket) => socket.set_read_timeout(Some(timeout)),
        }
    }

    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_write_timeout(Some(timeout)),
            Self::Unix(socket) => socket.set_write_timeout(Some(timeout)),
        }
    }
}

impl Timed {
    /// This socket, until `deadline`.
    pub(super) const fn new(socket: Socket, deadline: Instant) -> Self {
        Self { socket, deadline }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// The kernel's word for a passed timeout is "would block", which OpenSSL would take for "ask again".
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        match &mut self.socket {
            Socket::Tcp(socket) => socket.read(buffer),
            Socket::Unix(socket) => socket.read(buffer),
        }
        .map_err(timed_out)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        match &mut self.socket {
            Socket::Tcp(socket) => socket.write(bytes),
            Socket::Unix(socket) => socket.write(bytes),
        }
        .map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream {
    /// Shakes hands when there is something to do it with.
    ///
    /// # Errors
    /// The client does not speak TLS, or not in time.
    pub(super) fn accept(timed: Timed, tls: Option<&Context>) -> Result<Self, String> {
        match tls {
            None => Ok(Self::Plain(timed)),
            Some(context) => {
                context.acceptor().accept(timed).map(Self::Tls).map_err(|error| error.to_string())
            }
        }
    }

    /// From now on reading and writing give up at `deadline`.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        match self {
            Self::Plain(timed) => timed.deadline = deadline,
            Self::Tls(tls) => tls.get_mut().deadline = deadline,
        }
    }

    /// Who is at the other end, as the handshake has proven; empty when it has not.
    ///
    /// # Errors
    /// A certificate that says nobody's name.
    pub(super) fn caller_name(&self, tls: Option<&Context>) -> Result<String, &'static str> {
        match (self, tls) {
            (Self::Tls(stream), Some(context)) => context.caller_name(stream.ssl()),
            _ => Ok(String::new()),
        }
    }

    /// Says that no more will be written. The client may still be writing.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(timed) => timed.socket.shutdown(Shutdown::Write),
            Self::Tls(tls) => match tls.shutdown() {
                Ok(ShutdownResult::Sent | ShutdownResult::Received) | Err(_) => {
                    tls.get_ref().socket.shutdown(Shutdown::Write)
                }
            },
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(timed) => timed.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(timed) => timed.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(timed) => timed.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
