//! A client's connection as bytes, never waiting: TCP or Unix socket, with or without TLS.

use super::tls::Context;
use crate::web::Way;
use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use openssl::error::ErrorStack;
use openssl::ssl::{ErrorCode, Ssl, SslStream};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Uid, geteuid};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

/// What is read at once when nobody wants it.
const DISCARD_BYTES: usize = 16 << 10;

/// A connected socket.
#[derive(Debug)]
pub(super) struct Socket {
    kind: Kind,
    /// All that had come was read. Until something more happens, which the reactor is told, asking again would only say so.
    is_drained: bool,
    /// The client has closed its side. No further event tells of that end, which is behind whatever is still to be read.
    is_ended: bool,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What a connection is read from and written to. What would have to wait is an error of kind `WouldBlock`.
pub(super) enum Stream {
    Plain(Socket),
    Tls(SslStream<Socket>),
}

impl From<TcpStream> for Socket {
    fn from(socket: TcpStream) -> Self {
        Self { kind: Kind::Tcp(socket), is_drained: false, is_ended: false }
    }
}

impl From<UnixStream> for Socket {
    fn from(socket: UnixStream) -> Self {
        Self { kind: Kind::Unix(socket), is_drained: false, is_ended: false }
    }
}

impl Socket {
    /// How it came here. A listener on all addresses has connections of both kinds, and so has a Unix socket whose mode lets
    /// others in.
    pub(super) fn way(&self) -> Way {
        match &self.kind {
            Kind::Unix(socket) => match socket_peercred(socket) {
                Ok(peer) if [Uid::ROOT, geteuid()].contains(&peer.uid) => Way::Owner,
                _ => Way::Unix,
            },
            Kind::Tcp(socket) => match socket.local_addr() {
                Ok(here) if here.ip().to_canonical().is_loopback() => Way::Loopback,
                _ => Way::Network,
            },
        }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match &self.kind {
            Kind::Tcp(socket) => socket.shutdown(how),
            Kind::Unix(socket) => socket.shutdown(how),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match &mut self.kind {
            Kind::Tcp(socket) => socket,
            Kind::Unix(socket) => socket,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_drained {
            return Err(ErrorKind::WouldBlock.into());
        }
        let read = match &mut self.kind {
            Kind::Tcp(socket) => socket.read(buffer),
            Kind::Unix(socket) => socket.read(buffer),
        };
        // A stream that gives less than there is room for has no more (epoll(7), question 9), but for its end.
        self.is_drained = !self.is_ended && matches!(read, Ok(count) if count < buffer.len());
        read
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.kind {
            Kind::Tcp(socket) => socket.write(bytes),
            Kind::Unix(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream {
    /// With TLS when there is something to shake hands with.
    ///
    /// # Errors
    /// OpenSSL is out of memory.
    pub(super) fn new(socket: Socket, tls: Option<&Context>) -> io::Result<Self> {
        match tls {
            None => Ok(Self::Plain(socket)),
            Some(context) => {
                let ssl = Ssl::new(context.acceptor().context())?;
                Ok(Self::Tls(SslStream::new(ssl, socket)?))
            }
        }
    }

    /// Goes on with the handshake, as far as it goes. `true` when it is done.
    ///
    /// # Errors
    /// The client does not speak TLS, or no kind that is spoken here.
    pub(super) fn shake_hands(&mut self) -> Result<bool, openssl::ssl::Error> {
        let Self::Tls(tls) = self else { return Ok(true) };
        forget_errors();
        match tls.accept() {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE) => Ok(false),
            Err(error) => Err(error),
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
        if let Self::Tls(tls) = self {
            forget_errors();
            // A client that takes no more misses nothing by missing this.
            drop(tls.shutdown());
        }
        self.socket().shutdown(Shutdown::Write)
    }

    /// Reads once and forgets what came; how much that was, and 0 is the connection's end. Nothing else can be read
    /// afterwards: what TLS has encrypted is not decrypted, because that would cost the most.
    pub(super) fn discard(&mut self) -> io::Result<usize> {
        let bytes = &mut [0; DISCARD_BYTES];
        match self {
            Self::Plain(socket) => socket.read(bytes),
            Self::Tls(tls) => tls.get_mut().read(bytes),
        }
    }

    /// Something has happened: there may be more to read. `is_ended`: the client has closed its side.
    pub(super) fn hear(&mut self, is_ended: bool) {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.get_mut(),
        };
        socket.is_drained = false;
        socket.is_ended |= is_ended;
    }

    fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.get_ref(),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Plain(socket) => socket.source(),
            Self::Tls(tls) => tls.get_mut().source(),
        }
    }
}

/// OpenSSL keeps its errors for each thread, and what one connection left there passes for an error of the next that has to wait.
fn forget_errors() {
    drop(ErrorStack::get());
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => {
                forget_errors();
                tls.read(buffer)
            }
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => {
                forget_errors();
                tls.write(bytes)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.source().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.source().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().deregister(registry)
    }
}
