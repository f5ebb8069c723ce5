//! One connected socket, TCP or Unix, below TLS and ureq's HTTP.
//!
//! ureq hides its own socket, and [`is_reset`] has to ask the kernel about it. TLS may end before
//! its socket does, and an orderly end may be followed by the refusal of a call that crossed it.
//! So `is_reset` listens a little longer. It sends nothing. Our own end would get an answer at
//! once, but a kernel short of memory might reset a call that it had delivered.
//!
//! ureq may change these traits between its minor versions. All that implements them is here and
//! in `connect`.

use super::deadline::Deadline;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, recv, send,
};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, LazyBuffers, NextTimeout, Transport,
};

/// In how many reads the time that is left may be spent before the limit of each is raised.
const READS_MAX: u32 = 8;
/// A time that is left to its end; of a longer one a read gets half.
const EXACT_BELOW: Duration = Duration::from_millis(10);
/// How long [`is_reset`] waits for a socket to end whose TLS has ended.
const CLOSE_WAIT_MAX: Duration = Duration::from_millis(500);

/// A connected socket.
#[derive(Debug)]
pub(super) struct Socket {
    inner: Arc<OwnedFd>,
    /// How long the kernel lets one read wait.
    read_limit: Option<Duration>,
}

/// A socket that ureq's TLS or the request to a proxy runs over.
#[derive(Debug)]
pub(super) struct SocketTransport {
    socket: Socket,
    buffers: LazyBuffers,
}

/// Connects to a Unix socket.
pub(super) fn connect_unix(path: &Path, deadline: &Deadline) -> Result<OwnedFd, Error> {
    let address = SocketAddrUnix::new(path).map_err(io::Error::from)?;
    let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None);
    let socket = socket.map_err(io::Error::from)?;
    // A server that accepts nobody keeps its clients waiting; the limit for sending is that for
    // connecting too.
    sockopt::set_socket_timeout(&socket, Timeout::Send, deadline.left()?)
        .map_err(io::Error::from)?;
    let connected = rustix::net::connect(&socket, &address);
    connected.map_err(|error| deadline.explain(error.into()))?;
    Ok(socket)
}

/// Whether the server's kernel has refused what was last sent on a connection that has ended for
/// its reader, or does so within `patience`.
///
/// It is only listened to: to send something, our own end for example, would bring about a reset in
/// some cases where the call was taken.
pub(super) fn is_reset(socket: &OwnedFd, patience: Duration) -> bool {
    // TLS ends before its socket does, and a server that is asked for nothing more may close that a
    // little later.
    wait(socket, PollFlags::RDHUP, Some(CLOSE_WAIT_MAX));
    // Errors are told unasked, and the end that has come is not.
    wait(socket, PollFlags::empty(), Some(patience));
    matches!(sockopt::socket_error(socket), Ok(Err(Errno::CONNRESET | Errno::PIPE)))
}

/// Until the socket has one of these events or an error, or the time is over.
fn wait(socket: &OwnedFd, events: PollFlags, limit: Option<Duration>) {
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    let _ = poll(&mut [PollFd::new(socket, events)], limit.as_ref());
}

impl Socket {
    pub(super) fn new(inner: Arc<OwnedFd>) -> Self {
        Self { inner, read_limit: None }
    }

    /// Sends all of these bytes.
    pub(super) fn send(&mut self, bytes: &[u8], timeout: NextTimeout) -> Result<(), Error> {
        let deadline = Deadline::of(&timeout.for_write());
        let mut rest = bytes;
        while !rest.is_empty() {
            match send(&self.inner, rest, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait(&self.inner, PollFlags::OUT, deadline.left()?),
                Err(error) => return Err(deadline.explain(error.into())),
            }
        }
        Ok(())
    }

    /// Waits for bytes: how many have come, none at the connection's end.
    pub(super) fn receive(&mut self, into: &mut [u8], limit: NextTimeout) -> Result<usize, Error> {
        let deadline = Deadline::of(&limit.for_read());
        loop {
            self.limit_reads(deadline.left()?)?;
            match recv(&self.inner, &mut *into, RecvFlags::empty()) {
                Ok((amount, _)) => return Ok(amount),
                // A signal, or the part of the time that one read gets.
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(deadline.explain(error.into())),
            }
        }
    }

    /// Whether nothing has come between two answers: surplus bytes and an end are both reasons to
    /// stop.
    pub(super) fn is_open(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(recv(&self.inner, &mut [0_u8], flags), Err(Errno::AGAIN))
    }

    /// Has one read wait no longer than `left`. A read that ends early is made again, so the limit
    /// may be any part of that, and a connection keeps one limit from call to call.
    fn limit_reads(&mut self, left: Option<Duration>) -> Result<(), Error> {
        let is_fit = match (self.read_limit, left) {
            (Some(limit), Some(left)) => limit <= left && left / READS_MAX <= limit,
            (limit, left) => limit == left,
        };
        if !is_fit {
            let limit = left.map(|left| if left > EXACT_BELOW { left / 2 } else { left });
            let set = sockopt::set_socket_timeout(&self.inner, Timeout::Recv, limit);
            set.map_err(io::Error::from)?;
            self.read_limit = limit;
        }
        Ok(())
    }
}

impl SocketTransport {
    pub(super) fn new(socket: Socket, details: &ConnectionDetails<'_>) -> Self {
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Self { socket, buffers }
    }
}

impl Transport for SocketTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.socket.send(self.buffers.output().get(..amount).unwrap_or_default(), timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let amount = self.socket.receive(self.buffers.input_append_buf(), timeout)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.socket.is_open()
    }
}
