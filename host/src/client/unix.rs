//! The client's connections to a Unix socket, in the place of TCP below ureq's HTTP.
//!
//! ureq does not promise that these traits stay as they are between its minor versions; all that knows them is here.

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Connects to one socket, whatever the URL says.
#[derive(Debug)]
pub(super) struct UnixConnector(pub(super) PathBuf);

/// Resolves nothing: the connector knows where to go.
#[derive(Debug)]
pub(super) struct NoResolver;

/// One connection.
#[derive(Debug)]
pub(super) struct UnixTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        // Of the answers that are none, ureq takes only those with an address.
        let mut addresses = self.empty();
        addresses.push(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)));
        Ok(addresses)
    }
}

impl Connector for UnixConnector {
    type Out = UnixTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<UnixTransport>, ureq::Error> {
        let address = SocketAddrUnix::new(&self.0).map_err(io::Error::from)?;
        let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
        let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None);
        let socket = socket.map_err(io::Error::from)?;
        // A server that accepts nobody keeps its clients waiting; the limit for sending is that for connecting too.
        let limit = details.timeout.not_zero().map(|limit| *limit);
        sockopt::set_socket_timeout(&socket, Timeout::Send, limit).map_err(io::Error::from)?;
        let connected = rustix::net::connect(&socket, &address).map_err(io::Error::from);
        connected.map_err(|error| within(error, &details.timeout))?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(UnixTransport { stream: UnixStream::from(socket), buffers }))
    }
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let timeout = timeout.for_write();
        self.stream.set_write_timeout(timeout.not_zero().map(|limit| *limit))?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output).map_err(|error| within(error, &timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let timeout = timeout.for_read();
        self.stream.set_read_timeout(timeout.not_zero().map(|limit| *limit))?;
        let buffer = self.buffers.input_append_buf();
        let amount = loop {
            match self.stream.read(buffer) {
                // A signal's handler ran: the wait begins anew, with a limit for the whole call still above it.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(|error| within(error, &timeout))?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // Between two answers there is nothing to read: bytes nobody asked for and an end are both reasons to stop.
        let Ok(()) = self.stream.set_nonblocking(true) else { return false };
        let read = self.stream.read(&mut [0]);
        let is_quiet = read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        is_quiet && self.stream.set_nonblocking(false).is_ok()
    }
}

/// The error, or that its limit passed: a socket with a limit says it as if it did not block.
fn within(error: io::Error, timeout: &NextTimeout) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => ureq::Error::Io(error),
    }
}
