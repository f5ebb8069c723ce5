//! Listening sockets, and the threads that accept from them.

use super::Error;
use super::connection::{self, Gate};
use super::stream::Socket;
use super::tls::Tls;
use rustix::fs::Mode;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// HTTPS on an address; port 0 picks a free one.
    Https(SocketAddr),
    /// Plain HTTP on an address; port 0 picks a free one.
    Http(SocketAddr),
    /// Plain HTTP on a Unix socket of mode 0600. A stale socket file is replaced.
    Unix(PathBuf),
}

/// How often an accepting thread looks whether the server drains. The kernel accepts meanwhile.
const ACCEPT_WAIT: Duration = Duration::from_millis(100);
/// Rest after `accept` failed: descriptors may come free.
const ACCEPT_RETRY_WAIT: Duration = Duration::from_millis(100);
/// A connection's thread waits and copies, and calls OpenSSL: that needs no more.
const STACK_BYTES: usize = 256 << 10;
/// Only the owner may connect to a Unix socket.
const UNIX_SOCKET_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// As many connections to a Unix socket wait to be accepted as the system lets wait.
const BACKLOG: i32 = i32::MAX;

enum Acceptor {
    Tcp(TcpListener, Option<Arc<Tls>>),
    Unix(UnixListener, PathBuf),
}

/// A bound socket that can be served.
pub(super) struct Listener {
    url: String,
    acceptor: Acceptor,
}

impl Listener {
    pub(super) fn bind(bind: &Bind, tls: Option<&Arc<Tls>>) -> Result<Self, Error> {
        match bind {
            Bind::Http(address) => {
                let (socket, address) = bind_tcp(*address)?;
                Ok(Self { url: format!("http://{address}/RPC2"), acceptor: Acceptor::Tcp(socket, None) })
            }
            Bind::Https(address) => {
                let tls = tls.ok_or_else(|| {
                    Error::Tls(format!("https on {address} needs a certificate: give --cert and --key"))
                })?;
                let (socket, address) = bind_tcp(*address)?;
                Ok(Self {
                    url: format!("https://{address}/RPC2"),
                    acceptor: Acceptor::Tcp(socket, Some(Arc::clone(tls))),
                })
            }
            Bind::Unix(path) => {
                let failed = |source| Error::Bind { what: path.display().to_string(), source };
                let socket = bind_unix(path).map_err(failed)?;
                let path = std::path::absolute(path).map_err(failed)?;
                Ok(Self { url: format!("unix:{}", path.display()), acceptor: Acceptor::Unix(socket, path) })
            }
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

fn bind_tcp(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let bound = TcpListener::bind(address).and_then(|socket| {
        socket.set_nonblocking(true)?;
        Ok((socket.local_addr()?, socket))
    });
    let (local, socket) = bound.map_err(|source| Error::Bind { what: address.to_string(), source })?;
    Ok((socket, local))
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if let Ok(meta) = fs::symlink_metadata(path) {
        if !meta.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file there is not a socket"));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens there"));
        }
        fs::remove_file(path)?;
    }
    let socket = listen_privately(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Listens on a Unix socket to which nobody else can connect, whatever the umask, not even for a moment.
pub(super) fn listen_privately(path: &Path) -> io::Result<UnixListener> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // On Linux `bind` makes the file with the socket's own mode, less the umask. A `chmod` after `bind` would come too late
    // for whoever connects in between.
    rustix::fs::fchmod(&socket, UNIX_SOCKET_MODE)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Accepts on a thread of its own until the drain.
pub(super) fn serve(listener: Listener, gate: Arc<Gate>) -> Result<JoinHandle<()>, Error> {
    let accept = move || {
        while !gate.is_draining() {
            match listener.acceptor.accept() {
                Ok(Some((socket, address))) => welcome(&gate, &listener.acceptor, socket, address),
                Ok(None) => {}
                Err(error) => {
                    log::warn!("{}: cannot accept: {error}; trying again", listener.url);
                    thread::sleep(ACCEPT_RETRY_WAIT);
                }
            }
        }
        if let Acceptor::Unix(_, path) = &listener.acceptor {
            drop(fs::remove_file(path));
        }
    };
    thread::Builder::new().name("accept".into()).spawn(accept).map_err(Error::Thread)
}

impl Acceptor {
    /// The next connection, or `None` when none came for a while.
    fn accept(&self) -> io::Result<Option<(Socket, Option<SocketAddr>)>> {
        let accepted = match self {
            Self::Tcp(listener, _) => {
                wait(listener)?;
                listener.accept().and_then(|(socket, address)| {
                    socket.set_nonblocking(false)?;
                    socket.set_nodelay(true)?;
                    Ok((Socket::Tcp(socket), Some(address)))
                })
            }
            Self::Unix(listener, _) => {
                wait(listener)?;
                listener.accept().and_then(|(socket, _)| {
                    socket.set_nonblocking(false)?;
                    Ok((Socket::Unix(socket), None))
                })
            }
        };
        match accepted {
            Ok(accepted) => Ok(Some(accepted)),
            // The client went before it was its turn, or nobody came.
            Err(error) if is_no_connection(error.kind()) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_no_connection(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(kind, WouldBlock | Interrupted | ConnectionAborted | ConnectionReset)
}

/// Waits until somebody connects, or for [`ACCEPT_WAIT`].
fn wait(listener: &impl std::os::fd::AsFd) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let timeout = Timespec::try_from(ACCEPT_WAIT).map_err(|_| io::ErrorKind::InvalidInput)?;
    match poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Gives a connection its thread. One that finds no place is closed at once.
fn welcome(gate: &Arc<Gate>, acceptor: &Acceptor, socket: Socket, address: Option<SocketAddr>) {
    let name = address.map(|address| address.to_string()).unwrap_or_default();
    let tls = match acceptor {
        Acceptor::Tcp(_, tls) => tls.as_deref().map(Tls::context),
        Acceptor::Unix(..) => None,
    };
    let served = gate.admit(&socket, address.as_ref().map(SocketAddr::ip)).and_then(|place| {
        let serve = move || connection::serve(&place, socket, tls.as_deref(), &name);
        thread::Builder::new().name("connection".into()).stack_size(STACK_BYTES).spawn(serve)
    });
    if let Err(error) = served {
        let ip: Option<IpAddr> = address.map(|address| address.ip());
        log::warn!(
            "a connection{} is closed: {error}",
            ip.map_or_else(String::new, |ip| format!(" from {ip}"))
        );
    }
}
