//! Listening sockets, and the threads that move tiny_http's requests into the queue.

use super::Error;
use super::tls::Identity;
use super::workers::Queue;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tiny_http::{Server, SslConfig};

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

/// How long a receiving thread waits for a request before it looks whether the server is draining. While
/// draining, the same time without a request ends it.
const RECEIVE_WAIT: Duration = Duration::from_millis(100);
/// Rest before a failed accept thread is replaced.
const ACCEPT_RETRY_WAIT: Duration = Duration::from_secs(1);
/// Accept threads replaced in one listener's life.
const ACCEPT_RETRIES_MAX: u32 = 1_000;
/// Only the owner may connect to a Unix socket.
const UNIX_SOCKET_MODE: u32 = 0o600;

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A bound socket that can be served.
pub(super) struct Listener {
    url: String,
    socket: Socket,
    ssl: Option<SslConfig>,
}

impl Listener {
    pub(super) fn bind(bind: &Bind, identity: Option<&Identity>) -> Result<Self, Error> {
        match bind {
            Bind::Http(address) => {
                let (socket, address) = bind_tcp(*address)?;
                Ok(Self { url: format!("http://{address}/RPC2"), socket, ssl: None })
            }
            Bind::Https(address) => {
                let identity = identity.ok_or_else(|| {
                    Error::Tls(format!("https on {address} needs a certificate: give --cert and --key"))
                })?;
                let (socket, address) = bind_tcp(*address)?;
                let ssl = SslConfig {
                    certificate: identity.certificate.clone(),
                    private_key: identity.key.clone(),
                };
                Ok(Self { url: format!("https://{address}/RPC2"), socket, ssl: Some(ssl) })
            }
            Bind::Unix(path) => {
                let what = || path.display().to_string();
                let socket = bind_unix(path).map_err(|source| Error::Bind { what: what(), source })?;
                Ok(Self { url: format!("unix:{}", path.display()), socket: Socket::Unix(socket), ssl: None })
            }
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Whether only this machine's own users can reach it, by the permissions of a file.
    const fn is_local(&self) -> bool {
        matches!(self.socket, Socket::Unix(_))
    }

    /// A tiny_http server on this socket. Its accept thread ends at the first error of `accept`, so there may
    /// be several in a listener's life.
    fn server(&self) -> Result<Server, Error> {
        let listener = match &self.socket {
            Socket::Tcp(socket) => socket.try_clone().map(tiny_http::Listener::from),
            Socket::Unix(socket) => socket.try_clone().map(tiny_http::Listener::from),
        };
        let listener = listener.map_err(|source| Error::Bind { what: self.url.clone(), source })?;
        Server::from_listener(listener, self.ssl.clone())
            .map_err(|source| Error::Tls(format!("{}: {source}", self.url)))
    }
}

fn bind_tcp(address: SocketAddr) -> Result<(Socket, SocketAddr), Error> {
    let bound = TcpListener::bind(address).and_then(|socket| Ok((socket.local_addr()?, socket)));
    let (local, socket) = bound.map_err(|source| Error::Bind { what: address.to_string(), source })?;
    Ok((Socket::Tcp(socket), local))
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if path.exists() {
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens there"));
        }
        let is_socket = std::os::unix::fs::FileTypeExt::is_socket(&fs::metadata(path)?.file_type());
        if !is_socket {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file there is not a socket"));
        }
        fs::remove_file(path)?;
    }
    let socket = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(UNIX_SOCKET_MODE))?;
    Ok(socket)
}

/// Serves a listener on a thread of its own, until the drain.
pub(super) fn serve(
    listener: Listener,
    queue: Queue,
    draining: Arc<AtomicBool>,
) -> Result<JoinHandle<()>, Error> {
    let first = listener.server()?;
    thread::Builder::new()
        .name("accept".into())
        .spawn(move || {
            thread::scope(|scope| receive(scope, &listener, first, &queue, &draining, 0));
        })
        .map_err(Error::Thread)
}

/// Moves requests of one tiny_http server into the queue. When its accept thread fails, a successor is started
/// on the same socket, and this one goes on with the connections that it has.
fn receive<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    listener: &'scope Listener,
    server: Server,
    queue: &'scope Queue,
    draining: &'scope AtomicBool,
    retries: u32,
) {
    loop {
        match server.recv_timeout(RECEIVE_WAIT) {
            Ok(Some(request)) => queue.put(request, listener.is_local()),
            Ok(None) if draining.load(Ordering::Acquire) => return,
            Ok(None) => {}
            Err(error) => {
                log::error!("{}: cannot accept: {error}; trying again", listener.url);
                let successor = move || succeed(scope, listener, queue, draining, retries + 1);
                let spawned = thread::Builder::new().name("accept".into()).spawn_scoped(scope, successor);
                if let Err(error) = spawned {
                    log::error!("{}: no new connections: {error}; restart the server", listener.url);
                }
            }
        }
    }
}

fn succeed<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    listener: &'scope Listener,
    queue: &'scope Queue,
    draining: &'scope AtomicBool,
    retries: u32,
) {
    for attempt in retries..ACCEPT_RETRIES_MAX {
        thread::sleep(ACCEPT_RETRY_WAIT);
        if draining.load(Ordering::Acquire) {
            return;
        }
        match listener.server() {
            Ok(server) => return receive(scope, listener, server, queue, draining, attempt),
            Err(error) => log::error!("{error}; trying again"),
        }
    }
    log::error!(
        "{}: no new connections after {ACCEPT_RETRIES_MAX} failures; restart the server",
        listener.url
    );
}
