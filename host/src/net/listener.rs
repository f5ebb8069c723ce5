//! Listening sockets, and the thread that accepts from all of them.
//!
//! Accepting is all it does: a connection goes to a reactor at once, or is closed at once when there is no place for it. Nothing
//! that `accept` says ends it.

use super::connection::Connection;
use super::places::Places;
use super::reactor::{Inbox, Message};
use super::request::Peer;
use super::service::Service;
use super::stream::{Socket, Stream};
use super::tls::Tls;
use super::{Bind, Error};
use mio::net::{TcpListener, UnixListener};
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::fs::Mode;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Rest after `accept` failed: descriptors may come free.
const ACCEPT_RETRY_WAIT: Duration = Duration::from_millis(100);
/// The same complaint is logged so often.
const COMPLAINT_WAIT: Duration = Duration::from_secs(10);
/// Only the owner may connect to a Unix socket.
const UNIX_SOCKET_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// As many connections wait to be accepted as the system lets wait.
const BACKLOG: i32 = i32::MAX;
/// No listener has this number.
const STOP: Token = Token(usize::MAX);

/// A bound socket that can be served.
pub(super) struct Listener {
    url: String,
    socket: Bound,
}

enum Bound {
    Tcp(TcpListener, Option<Arc<Tls>>),
    Unix(UnixListener, PathBuf),
}

/// The accepting thread.
pub(super) struct Acceptor {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
    waker: Waker,
}

impl Listener {
    pub(super) fn bind(bind: &Bind, tls: Option<&Arc<Tls>>) -> Result<Self, Error> {
        match bind {
            Bind::Http(address) => {
                let (socket, address) = bind_tcp(*address)?;
                Ok(Self { url: format!("http://{address}/RPC2"), socket: Bound::Tcp(socket, None) })
            }
            Bind::Https(address) => {
                let tls = tls.ok_or_else(|| {
                    Error::Tls(format!("https on {address} needs a certificate: give --cert and --key"))
                })?;
                let (socket, address) = bind_tcp(*address)?;
                let url = format!("https://{address}/RPC2");
                Ok(Self { url, socket: Bound::Tcp(socket, Some(Arc::clone(tls))) })
            }
            Bind::Unix(path) => {
                let failed = |source| Error::Bind { what: path.display().to_string(), source };
                let socket = bind_unix(path).map_err(failed)?;
                let path = std::path::absolute(path).map_err(failed)?;
                Ok(Self { url: format!("unix:{}", path.display()), socket: Bound::Unix(socket, path) })
            }
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The next connection and where it came from; `None` when there is none now.
    fn accept(&self) -> io::Result<Option<(Socket, Option<SocketAddr>)>> {
        let accepted = match &self.socket {
            Bound::Tcp(listener, _) => listener.accept().and_then(|(socket, address)| {
                socket.set_nodelay(true)?;
                Ok((Socket::Tcp(socket), Some(address)))
            }),
            Bound::Unix(listener, _) => listener.accept().map(|(socket, _)| (Socket::Unix(socket), None)),
        };
        match accepted {
            Ok(accepted) => Ok(Some(accepted)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn bind_tcp(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let bound = TcpListener::bind(address).and_then(|socket| Ok((socket.local_addr()?, socket)));
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
    Ok(UnixListener::from_std(socket))
}

/// Listens on a Unix socket to which nobody else can connect, whatever the umask, not even for a moment.
pub(super) fn listen_privately(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
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

impl Acceptor {
    /// Accepts from all listeners until it is stopped.
    pub(super) fn start(
        listeners: Vec<Listener>,
        places: Arc<Places>,
        reactors: Vec<Arc<Inbox>>,
        service: Arc<Service>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), STOP)?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut accepting = Accepting {
            poll,
            listeners,
            places,
            reactors,
            service,
            stop: Arc::clone(&stop),
            turn: 0,
            reserve: None,
            complained: None,
        };
        accepting.register()?;
        accepting.reserve();
        let thread = thread::Builder::new().name("accept".into()).spawn(move || accepting.run())?;
        Ok(Self { thread, stop, waker })
    }

    /// Takes what has connected already, closes the listeners, and ends.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        if let Err(error) = self.waker.wake() {
            return log::error!("the accepting thread cannot be woken: {error}");
        }
        if self.thread.join().is_err() {
            log::error!("a defect of the server ended the accepting thread");
        }
    }
}

struct Accepting {
    poll: Poll,
    listeners: Vec<Listener>,
    places: Arc<Places>,
    reactors: Vec<Arc<Inbox>>,
    service: Arc<Service>,
    stop: Arc<AtomicBool>,
    /// Whose turn it is to get a connection.
    turn: usize,
    /// Given up for a moment when no descriptor is left, so that who waits can be turned away instead of waiting for ever.
    reserve: Option<File>,
    complained: Option<Instant>,
}

impl Accepting {
    fn register(&mut self) -> io::Result<()> {
        for (number, listener) in self.listeners.iter_mut().enumerate() {
            let source: &mut dyn mio::event::Source = match &mut listener.socket {
                Bound::Tcp(socket, _) => socket,
                Bound::Unix(socket, _) => socket,
            };
            self.poll.registry().register(source, Token(number), Interest::READABLE)?;
        }
        Ok(())
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(self.listeners.len() + 1);
        // An event comes once for however many connections, so a listener that failed is asked again without one.
        let mut has_failed = false;
        loop {
            let wait = has_failed.then_some(ACCEPT_RETRY_WAIT);
            if let Err(error) = self.poll.poll(&mut events, wait)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return log::error!("the accepting thread cannot wait: {error}");
            }
            has_failed = false;
            for number in 0..self.listeners.len() {
                has_failed |= !self.accept_all(number);
            }
            if self.stop.load(Ordering::Acquire) {
                return self.close();
            }
        }
    }

    /// Takes all that wait at one listener. `false` when it must be asked again.
    fn accept_all(&mut self, number: usize) -> bool {
        /// Then it is the others' turn.
        const ACCEPTED_MAX: usize = 256;
        for _ in 0..ACCEPTED_MAX {
            let Some(listener) = self.listeners.get(number) else { return true };
            match listener.accept() {
                Ok(None) => return true,
                Ok(Some((socket, address))) => self.welcome(number, socket, address),
                // The client went before it was its turn.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    let why = format!("{}: cannot accept: {error}; trying again", listener.url);
                    self.turn_away(number);
                    self.complain(&why);
                    return false;
                }
            }
        }
        false
    }

    /// Gives a connection to a reactor. One that finds no place is closed at once.
    fn welcome(&mut self, number: usize, socket: Socket, address: Option<SocketAddr>) {
        let place = match self.places.take(address.as_ref().map(SocketAddr::ip)) {
            Ok(place) => place,
            Err(why) => {
                drop(socket);
                let from = address.map_or_else(String::new, |address| format!(" from {}", address.ip()));
                return self.complain(&format!("a connection{from} is closed: {why}"));
            }
        };
        let tls = match self.listeners.get(number).map(|listener| &listener.socket) {
            Some(Bound::Tcp(_, tls)) => tls.as_deref().map(Tls::context),
            _ => None,
        };
        let peer = Peer {
            address: address.map(|address| address.to_string()).unwrap_or_default(),
            way: socket.way(),
            is_encrypted: tls.is_some(),
            name: String::new(),
        };
        match Stream::new(socket, tls.as_deref()) {
            Ok(stream) => {
                let connection = Connection::new(stream, tls, peer, place, &self.service);
                self.turn = (self.turn + 1) % self.reactors.len().max(1);
                if let Some(reactor) = self.reactors.get(self.turn) {
                    reactor.push(Message::Connection(Box::new(connection)));
                }
            }
            Err(error) => self.complain(&format!("a connection is closed: {error}")),
        }
    }

    /// With no descriptor left nobody could be accepted, not even to be let go.
    fn turn_away(&mut self, number: usize) {
        if self.reserve.take().is_some()
            && let Some(listener) = self.listeners.get(number)
        {
            drop(listener.accept());
        }
        self.reserve();
    }

    fn reserve(&mut self) {
        self.reserve = self.reserve.take().or_else(|| File::open("/dev/null").ok());
    }

    /// Logs a warning, but not each time.
    fn complain(&mut self, why: &str) {
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAINT_WAIT) {
            self.complained = Some(Instant::now());
            log::warn!("{why}");
        } else {
            log::debug!("{why}");
        }
    }

    fn close(self) {
        for listener in self.listeners {
            if let Bound::Unix(_, path) = listener.socket {
                drop(fs::remove_file(path));
            }
        }
    }
}

/// Whether it says something of one connection, and nothing of the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
