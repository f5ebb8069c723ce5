//! Listening sockets that whoever started the process has opened for it, as systemd does. Knows no environment: how they
//! are found is the caller's.

use super::Bind;
use rustix::net::sockopt::socket_acceptconn;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;

/// One of them.
#[derive(Debug)]
pub struct Handed {
    /// As if it were to be bound here.
    bind: Bind,
    pub(super) socket: Socket,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Handed {
    /// One that speaks HTTPS.
    ///
    /// # Errors
    /// It does not listen.
    pub fn https(socket: TcpListener) -> io::Result<Self> {
        must_listen(&socket)?;
        Ok(Self { bind: Bind::Https(socket.local_addr()?), socket: Socket::Tcp(socket) })
    }

    /// One that speaks plain HTTP.
    ///
    /// # Errors
    /// It does not listen.
    pub fn http(socket: TcpListener) -> io::Result<Self> {
        must_listen(&socket)?;
        Ok(Self { bind: Bind::Http(socket.local_addr()?), socket: Socket::Tcp(socket) })
    }

    /// A Unix socket, whose file stays its maker's.
    ///
    /// # Errors
    /// It does not listen.
    pub fn unix(socket: UnixListener) -> io::Result<Self> {
        must_listen(&socket)?;
        Ok(Self { bind: Bind::Unix(path_of(&socket.local_addr()?)), socket: Socket::Unix(socket) })
    }

    /// What it is.
    pub const fn bind(&self) -> &Bind {
        &self.bind
    }
}

/// systemd passes connections instead of listeners when the socket unit says `Accept=yes`.
fn must_listen(socket: impl AsFd) -> io::Result<()> {
    if socket_acceptconn(socket)? {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen; a socket unit needs Accept=no"))
}

/// An abstract socket's name is shown as others show it, with an @.
fn path_of(address: &SocketAddr) -> PathBuf {
    use std::os::linux::net::SocketAddrExt;
    if let Some(path) = address.as_pathname() {
        return path.to_owned();
    }
    let name = address.as_abstract_name().unwrap_or_default();
    let mut shown = std::ffi::OsString::from("@");
    shown.push(std::ffi::OsStr::from_bytes(name));
    PathBuf::from(shown)
}
