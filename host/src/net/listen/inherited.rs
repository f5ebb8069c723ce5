//! Listening sockets that a service manager opened, such as systemd's.
//!
//! Each appears as a [`Bind`] among the other listeners, so every check of an address covers it
//! too. Knows no environment: the caller finds the sockets.

use crate::net::bind::Bind;
use rustix::net::sockopt::socket_acceptconn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{self, UnixListener};
use std::path::PathBuf;

/// One of them. It does not block.
#[derive(Debug)]
pub struct InheritedSocket(pub(crate) Socket);

#[derive(Debug)]
pub(crate) enum Socket {
    Https(TcpListener, SocketAddr),
    Http(TcpListener, SocketAddr),
    Unix(UnixListener, PathBuf),
}

impl InheritedSocket {
    /// One that speaks HTTPS.
    ///
    /// # Errors
    /// It does not listen.
    pub fn https(socket: TcpListener) -> io::Result<Self> {
        must_listen(&socket)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Self(Socket::Https(socket, address)))
    }

    /// One that speaks plain HTTP.
    ///
    /// # Errors
    /// It does not listen.
    pub fn http(socket: TcpListener) -> io::Result<Self> {
        must_listen(&socket)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Self(Socket::Http(socket, address)))
    }

    /// A Unix socket, whose file stays its maker's.
    ///
    /// # Errors
    /// It does not listen.
    pub fn unix(socket: UnixListener) -> io::Result<Self> {
        must_listen(&socket)?;
        socket.set_nonblocking(true)?;
        let path = path_of(&socket.local_addr()?);
        Ok(Self(Socket::Unix(socket, path)))
    }

    /// What would have to be bound here to have the same.
    pub fn bind(&self) -> Bind {
        match &self.0 {
            Socket::Https(_, address) => Bind::Https(*address),
            Socket::Http(_, address) => Bind::Http(*address),
            Socket::Unix(_, path) => Bind::Unix(path.clone()),
        }
    }
}

/// systemd passes connections instead of listeners when the socket unit says `Accept=yes`.
fn must_listen(socket: impl AsFd) -> io::Result<()> {
    if socket_acceptconn(socket)? {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "it does not listen; a socket unit needs Accept=no",
    ))
}

/// An abstract socket's name is shown as others show it, with an @.
fn path_of(address: &net::SocketAddr) -> PathBuf {
    use std::os::linux::net::SocketAddrExt;
    if let Some(path) = address.as_pathname() {
        return path.to_owned();
    }
    let name = address.as_abstract_name().unwrap_or_default();
    let mut shown = std::ffi::OsString::from("@");
    shown.push(std::ffi::OsStr::from_bytes(name));
    PathBuf::from(shown)
}
