//! A client's connection as bytes, with or without TLS. It never waits.
//!
//! A response is one write, head and body, as far as the socket takes it. OpenSSL encrypts 16 KiB
//! at a time and writes each record separately. The socket below it therefore holds up to four
//! records and sends them together. It sends them before the connection waits for anything but
//! room. An idle connection has no such buffer.

use crate::net::tls::{Context, RECORD_ADDED_BYTES_MAX, RECORD_BYTES_MAX};
use crate::request::Way;
use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use openssl::error::ErrorStack;
use openssl::ssl::{ErrorCode, Ssl, SslStream};
use rustix::net::sockopt::{set_socket_linger, socket_peercred};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use rustix::process::{Uid, geteuid};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

/// What is read at once when nobody wants it.
const DISCARD_BYTES: usize = 16 << 10;
/// What a connection holds of an answer that is encrypted and has not gone yet: four records, which
/// go as one.
const HELD_BYTES_MAX: usize = 4 * (RECORD_BYTES_MAX + RECORD_ADDED_BYTES_MAX);

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Socket {
    kind: Kind,
    /// All that had come was read. Until something more happens, which the reactor is told, asking
    /// again would only say so.
    is_drained: bool,
    /// The client has closed its side. No further event tells of that end, which is behind whatever
    /// is still to be read.
    is_ended: bool,
    /// There only while an answer is written: idle connections keep no memory.
    held: Option<Box<Held>>,
}

/// What is encrypted and waits for more to go with it.
#[derive(Debug)]
struct Held(VecDeque<u8>);

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What a connection is read from and written to. What would have to wait is an error of kind
/// `WouldBlock`.
pub(crate) enum Stream {
    Plain(Socket),
    Tls(SslStream<Socket>),
}

impl From<TcpStream> for Socket {
    fn from(socket: TcpStream) -> Self {
        Self::new(Kind::Tcp(socket))
    }
}

impl From<UnixStream> for Socket {
    fn from(socket: UnixStream) -> Self {
        Self::new(Kind::Unix(socket))
    }
}

impl Socket {
    const fn new(kind: Kind) -> Self {
        Self { kind, is_drained: false, is_ended: false, held: None }
    }

    /// How it came here. A listener on all addresses has connections of both kinds, and so has a
    /// Unix socket whose mode lets others in.
    pub(crate) fn way(&self) -> Way {
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

    /// From now on holds what is written, until it is flushed: a record now, of so many bytes that
    /// are left.
    ///
    /// # Errors
    /// What is held already has to go first, and the socket does not take it.
    fn hold(&mut self, bytes_left: usize) -> io::Result<()> {
        let held_bytes = self.held.as_ref().map_or(0, |held| held.0.len());
        if held_bytes + RECORD_BYTES_MAX + RECORD_ADDED_BYTES_MAX > HELD_BYTES_MAX {
            self.send_held()?;
        }
        self.held.get_or_insert_with(|| {
            let added =
                bytes_left.div_ceil(RECORD_BYTES_MAX).saturating_mul(RECORD_ADDED_BYTES_MAX);
            let bytes = bytes_left.saturating_add(added).min(HELD_BYTES_MAX);
            Box::new(Held(VecDeque::with_capacity(bytes)))
        });
        Ok(())
    }

    /// Sends all that is held.
    ///
    /// # Errors
    /// The socket does not take it all; what is left stays held.
    fn send_held(&mut self) -> io::Result<()> {
        let Self { kind, held: Some(held), .. } = self else { return Ok(()) };
        let Held(held) = &mut **held;
        while !held.is_empty() {
            let (front, back) = held.as_slices();
            match kind.send(&[IoSlice::new(front), IoSlice::new(back)]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => drop(held.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
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

impl Kind {
    fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut nothing = SendAncillaryBuffer::default();
        // Not writev, which raises SIGPIPE when the client is gone: a plugin may have had that end
        // the process.
        Ok(match self {
            Self::Tcp(socket) => sendmsg(socket, parts, &mut nothing, SendFlags::NOSIGNAL),
            Self::Unix(socket) => sendmsg(socket, parts, &mut nothing, SendFlags::NOSIGNAL),
        }?)
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
        // A stream that gives less than there is room for has no more (epoll(7), question 9), but
        // for its end.
        self.is_drained = !self.is_ended && matches!(read, Ok(count) if count < buffer.len());
        read
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(held) = &mut self.held {
            held.0.extend(bytes);
            return Ok(bytes.len());
        }
        match &mut self.kind {
            Kind::Tcp(socket) => socket.write(bytes),
            Kind::Unix(socket) => socket.write(bytes),
        }
    }

    /// OpenSSL does this too, behind what is not to wait, as alerts.
    fn flush(&mut self) -> io::Result<()> {
        self.send_held()?;
        self.held = None;
        Ok(())
    }
}

impl Stream {
    /// With TLS when there is something to shake hands with.
    ///
    /// # Errors
    /// OpenSSL is out of memory.
    pub(crate) fn new(socket: Socket, tls: Option<&Context>) -> io::Result<Self> {
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
    pub(crate) fn shake_hands(&mut self) -> Result<bool, openssl::ssl::Error> {
        let Self::Tls(tls) = self else { return Ok(true) };
        forget_errors();
        match tls.accept() {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Who is at the other end, as the handshake has proven; empty when it has not.
    ///
    /// # Errors
    /// A certificate that says nobody's name.
    pub(crate) fn caller_name(&self, tls: Option<&Context>) -> Result<String, &'static str> {
        match (self, tls) {
            (Self::Tls(stream), Some(context)) => context.caller_name(stream.ssl()),
            _ => Ok(String::new()),
        }
    }

    /// Says that no more will be written. The client may still be writing.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if let Self::Tls(tls) = self {
            forget_errors();
            // A client that takes no more misses nothing by missing this.
            drop(tls.shutdown());
        }
        self.socket().shutdown(Shutdown::Write)
    }

    /// Has the connection reset once this is dropped: the kernel then frees at once what it still
    /// holds for the client.
    pub(crate) fn abort(&self) {
        if let Kind::Tcp(socket) = &self.socket().kind
            && let Err(error) = set_socket_linger(socket, Some(Duration::ZERO))
        {
            log::debug!("a connection is not reset, but closed: {error}");
        }
    }

    /// Reads once and forgets what came; how much that was, and 0 is the connection's end. Nothing
    /// else can be read afterwards: what TLS has encrypted is not decrypted, because that would
    /// cost the most.
    pub(crate) fn discard(&mut self) -> io::Result<usize> {
        let bytes = &mut [0; DISCARD_BYTES];
        match self {
            Self::Plain(socket) => socket.read(bytes),
            Self::Tls(tls) => tls.get_mut().read(bytes),
        }
    }

    /// Something has happened: there may be more to read. `is_ended`: the client has closed its
    /// side.
    pub(crate) fn hear(&mut self, is_ended: bool) {
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

/// OpenSSL keeps its errors for each thread, and what one connection left there passes for an error
/// of the next that has to wait.
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
            Self::Tls(tls) => encrypt(tls, bytes, bytes.len()),
        }
    }

    /// With TLS it writes of the first that is not empty, and asks the others only how much
    /// follows.
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.kind.send(parts),
            Self::Tls(tls) => {
                let first = parts.iter().find(|part| !part.is_empty()).map_or(&[][..], |part| part);
                encrypt(tls, first, parts.iter().map(|part| part.len()).sum())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(tls) => tls.get_mut().flush(),
        }
    }
}

/// Writes one record, as OpenSSL does when it may write less than all, and each with a write of its
/// own. So one of several waits in the socket for the others, until `flush`.
fn encrypt(tls: &mut SslStream<Socket>, bytes: &[u8], bytes_left: usize) -> io::Result<usize> {
    let socket = tls.get_mut();
    if bytes_left > RECORD_BYTES_MAX || socket.held.is_some() {
        socket.hold(bytes_left)?;
    }
    forget_errors();
    tls.write(bytes)
}

impl Source for Stream {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.source().register(registry, token, interests)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.source().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().deregister(registry)
    }
}

#[cfg(test)]
mod tests;
