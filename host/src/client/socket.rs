//! One connected socket, TCP or Unix, below TLS and ureq's HTTP.
//!
//! ureq hides its own socket, and [`is_reset`] has to ask the kernel about it. TLS may end before
//! its socket does, and an orderly end may be followed by the refusal of a call that crossed it.
//! So `is_reset` listens a little longer. It sends nothing. Our own end would get an answer at
//! once, but a kernel short of memory might reset a call that it had delivered.
//!
//! ureq may change these traits between its minor versions. All that implements them is here and
//! in `connect`.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, recv, send};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, LazyBuffers, NextTimeout, Transport, time};

/// How long [`is_reset`] waits for a socket to end whose TLS has ended.
const CLOSE_WAIT_MAX: Duration = Duration::from_millis(500);

/// A connection that ureq's HTTP or TLS runs over.
#[derive(Debug)]
pub(super) struct SocketTransport {
    socket: Arc<OwnedFd>,
    buffers: LazyBuffers,
}

/// Connects to the first of the addresses that takes us. Each gets its share of what time is left.
pub(super) fn connect_tcp(details: &ConnectionDetails<'_>) -> Result<OwnedFd, ureq::Error> {
    let deadline = Deadline::of_connecting(details);
    let mut left = u32::try_from(details.addrs.len()).unwrap_or(u32::MAX);
    let mut failure = ureq::Error::HostNotFound;
    for address in &details.addrs {
        let share = deadline.left()?.map(|limit| limit / left.max(1));
        match tcp(address, share) {
            Ok(stream) => return Ok(stream.into()),
            Err(error) => failure = deadline.explain(error),
        }
        left = left.saturating_sub(1);
    }
    Err(failure)
}

fn tcp(address: &SocketAddr, limit: Option<Duration>) -> io::Result<TcpStream> {
    let stream = match limit {
        Some(limit) => TcpStream::connect_timeout(address, limit)?,
        None => TcpStream::connect(address)?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects to a Unix socket.
pub(super) fn connect_unix(path: &Path, details: &ConnectionDetails<'_>) -> Result<OwnedFd, ureq::Error> {
    let deadline = Deadline::of_connecting(details);
    let address = SocketAddrUnix::new(path).map_err(io::Error::from)?;
    let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None);
    let socket = socket.map_err(io::Error::from)?;
    // A server that accepts nobody keeps its clients waiting; the limit for sending is that for connecting too.
    sockopt::set_socket_timeout(&socket, Timeout::Send, deadline.left()?).map_err(io::Error::from)?;
    let connected = rustix::net::connect(&socket, &address);
    connected.map_err(|error| deadline.explain(error.into()))?;
    Ok(socket)
}

/// Whether the server's kernel has refused what was last sent on a connection that has ended for its reader, or does so within
/// `patience`.
///
/// It is only listened to: to send something, our own end for example, would bring about a reset in some cases where the
/// call was taken.
pub(super) fn is_reset(socket: &OwnedFd, patience: Duration) -> bool {
    // TLS ends before its socket does, and a server that is asked for nothing more may close that a little later.
    wait(socket, PollFlags::RDHUP, CLOSE_WAIT_MAX);
    // Errors are told unasked, and the end that has come is not.
    wait(socket, PollFlags::empty(), patience);
    matches!(sockopt::socket_error(socket), Ok(Err(Errno::CONNRESET | Errno::PIPE)))
}

/// Until the socket has one of these events or an error, or the time is over.
fn wait(socket: &OwnedFd, events: PollFlags, limit: Duration) {
    let limit = Timespec::try_from(limit).ok();
    let _ = poll(&mut [PollFd::new(socket, events)], limit.as_ref());
}

impl SocketTransport {
    pub(super) fn new(socket: Arc<OwnedFd>, details: &ConnectionDetails<'_>) -> Self {
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Self { socket, buffers }
    }
}

impl Transport for SocketTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let deadline = Deadline::of(&timeout.for_write());
        let mut rest = self.buffers.output().get(..amount).unwrap_or_default();
        while !rest.is_empty() {
            deadline.set(&self.socket, Timeout::Send)?;
            match send(&self.socket, rest, SendFlags::NOSIGNAL) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(deadline.explain(error.into())),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let deadline = Deadline::of(&timeout.for_read());
        let buffer = self.buffers.input_append_buf();
        let amount = loop {
            deadline.set(&self.socket, Timeout::Recv)?;
            match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((amount, _)) => break amount,
                Err(Errno::INTR) => {}
                Err(error) => return Err(deadline.explain(error.into())),
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // Between two answers there is nothing to read: bytes nobody asked for and an end are both reasons to stop.
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(recv(&self.socket, &mut [0_u8], flags), Err(Errno::AGAIN))
    }
}

/// When to give up, if ever, and what that is then called.
#[derive(Debug)]
pub(super) struct Deadline {
    at: Option<Instant>,
    pub(super) reason: ureq::Timeout,
}

impl Deadline {
    fn of(timeout: &NextTimeout) -> Self {
        Self::from(Instant::now(), timeout)
    }

    /// The end of the connect timeout, which began when ureq wanted the connection.
    pub(super) fn of_connecting(details: &ConnectionDetails<'_>) -> Self {
        let began = match details.now {
            time::Instant::Exact(began) => began,
            _ => Instant::now(),
        };
        Self::from(began, &details.timeout)
    }

    fn from(began: Instant, timeout: &NextTimeout) -> Self {
        let at = timeout.not_zero().and_then(|limit| began.checked_add(*limit));
        Self { at, reason: timeout.reason }
    }

    /// What is left: `None` is for ever, and never zero, which the kernel takes for the same.
    pub(super) fn left(&self) -> Result<Option<Duration>, ureq::Error> {
        let Some(at) = self.at else { return Ok(None) };
        match at.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(ureq::Error::Timeout(self.reason)),
            // The kernel counts in microseconds.
            left => Ok(Some(left.max(Duration::from_millis(1)))),
        }
    }

    fn set(&self, socket: &OwnedFd, id: Timeout) -> Result<(), ureq::Error> {
        sockopt::set_socket_timeout(socket, id, self.left()?).map_err(|error| io::Error::from(error).into())
    }

    /// The error, or that its limit passed: a socket with a limit says it as if it did not block.
    fn explain(&self, error: io::Error) -> ureq::Error {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(self.reason),
            _ => ureq::Error::Io(error),
        }
    }
}
