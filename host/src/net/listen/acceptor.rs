//! Listening sockets, and the thread that accepts from all of them.
//!
//! The thread only accepts. It gives each connection to a reactor, or closes it when there is no
//! place. No error of `accept` ends it. It keeps one descriptor in reserve: when none is left, it
//! can still turn a client away instead of letting it wait.

use super::inherited;
use super::inherited::InheritedSocket;
use crate::net::bind::Bind;
use crate::net::conn::connection::Connection;
use crate::net::conn::connection_limits::ConnectionLimits;
use crate::net::conn::heartbeat::ThreadBeat;
use crate::net::conn::reactor::{Inbox, Message};
use crate::net::conn::service::Service;
use crate::net::conn::stream::{Socket, Stream};
use crate::net::error::Error;
use crate::net::seldom::Seldom;
use crate::net::tls::Tls;
use crate::net::unix;
use crate::net::unix::{SocketFile, UnixAccess};
use crate::request::Peer;
use mio::net::{TcpListener, UnixListener};
use mio::{Events, Interest, Poll, Token, Waker};
use smol_str::{SmolStr, ToSmolStr};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Rest after `accept` failed: descriptors may come free.
const ACCEPT_RETRY_WAIT: Duration = Duration::from_millis(100);
/// No listener has this number.
const STOP: Token = Token(usize::MAX);

/// A bound socket that can be served.
pub(crate) struct Listener {
    url: String,
    socket: Bound,
}

enum Bound {
    Http(TcpListener),
    Https(TcpListener),
    Unix {
        socket: UnixListener,
        /// Unless it is somebody else's.
        _file: Option<SocketFile>,
    },
}

/// The accepting thread.
pub(crate) struct Acceptor {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
    beat: Arc<ThreadBeat>,
}

impl Listener {
    pub(crate) fn bind(bind: &Bind, access: UnixAccess) -> Result<Self, Error> {
        match bind {
            Bind::Http(address) => bind_tcp(*address).map(Self::http),
            Bind::Https(address) => bind_tcp(*address).map(Self::https),
            Bind::Unix(path) => {
                let failed = |source| Error::Bind { what: path.display().to_string(), source };
                let (socket, file) = unix::bind(path, access).map_err(failed)?;
                let shown = std::path::absolute(path).map_err(failed)?;
                let url = format!("unix:{}", shown.display());
                Ok(Self { url, socket: Bound::Unix { socket, _file: Some(file) } })
            }
        }
    }

    /// One that was bound before this process began.
    pub(crate) fn take(InheritedSocket(socket): InheritedSocket) -> Self {
        match socket {
            inherited::Socket::Https(socket, address) => {
                Self::https((TcpListener::from_std(socket), address))
            }
            inherited::Socket::Http(socket, address) => {
                Self::http((TcpListener::from_std(socket), address))
            }
            inherited::Socket::Unix(socket, path) => {
                let url = format!("unix:{}", path.display());
                Self {
                    url,
                    socket: Bound::Unix { socket: UnixListener::from_std(socket), _file: None },
                }
            }
        }
    }

    fn http((socket, address): (TcpListener, SocketAddr)) -> Self {
        Self { url: Bind::Http(address).to_string(), socket: Bound::Http(socket) }
    }

    fn https((socket, address): (TcpListener, SocketAddr)) -> Self {
        Self { url: Bind::Https(address).to_string(), socket: Bound::Https(socket) }
    }

    pub(crate) const fn needs_tls(&self) -> bool {
        matches!(self.socket, Bound::Https(_))
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The next connection and where it came from; `None` when there is none now.
    fn accept(&self) -> io::Result<Option<(Socket, Option<SocketAddr>)>> {
        let accepted = match &self.socket {
            Bound::Http(listener) | Bound::Https(listener) => {
                listener.accept().and_then(|(socket, address)| {
                    socket.set_nodelay(true)?;
                    Ok((Socket::from(socket), Some(canonical(address))))
                })
            }
            Bound::Unix { socket, .. } => {
                socket.accept().map(|(socket, _)| (Socket::from(socket), None))
            }
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
    let (local, socket) =
        bound.map_err(|source| Error::Bind { what: address.to_string(), source })?;
    Ok((socket, local))
}

impl Acceptor {
    /// Accepts from all listeners until it is stopped.
    pub(crate) fn start(
        listeners: Vec<Listener>,
        tls: Option<Arc<Tls>>,
        slots: Arc<ConnectionLimits>,
        reactors: Vec<Arc<Inbox>>,
        service: Arc<Service>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let beat =
            ThreadBeat::new("the accepting thread".into(), Waker::new(poll.registry(), STOP)?);
        let stop = Arc::new(AtomicBool::new(false));
        let mut accepting = Accepting {
            poll,
            listeners,
            tls,
            beat: Arc::clone(&beat),
            slots,
            reactors,
            service,
            stop: Arc::clone(&stop),
            turn: 0,
            reserve: None,
            complaints: Seldom::default(),
        };
        accepting.register()?;
        accepting.reserve();
        let thread = thread::Builder::new().name("accept".into()).spawn(move || accepting.run())?;
        Ok(Self { thread, stop, beat })
    }

    /// Shows that its loop makes progress.
    pub(crate) fn beat(&self) -> Arc<ThreadBeat> {
        Arc::clone(&self.beat)
    }

    /// Takes what has connected already, closes the listeners, and ends.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        if let Err(error) = self.beat.wake() {
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
    tls: Option<Arc<Tls>>,
    beat: Arc<ThreadBeat>,
    slots: Arc<ConnectionLimits>,
    reactors: Vec<Arc<Inbox>>,
    service: Arc<Service>,
    stop: Arc<AtomicBool>,
    /// Whose turn it is to get a connection.
    turn: usize,
    /// Given up for a moment when no descriptor is left, so that who waits can be turned away
    /// instead of waiting for ever.
    reserve: Option<File>,
    complaints: Seldom,
}

impl Accepting {
    fn register(&mut self) -> io::Result<()> {
        for (number, listener) in self.listeners.iter_mut().enumerate() {
            let source: &mut dyn mio::event::Source = match &mut listener.socket {
                Bound::Http(socket) | Bound::Https(socket) => socket,
                Bound::Unix { socket, .. } => socket,
            };
            self.poll.registry().register(source, Token(number), Interest::READABLE)?;
        }
        Ok(())
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(self.listeners.len() + 1);
        // An event comes once for however many connections, so a listener that failed is asked
        // again without one.
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
                return self.beat.end();
            }
            self.beat.beat();
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
        let slot = match self.slots.take(address.as_ref().map(SocketAddr::ip)) {
            Ok(slot) => slot,
            Err(why) => {
                drop(socket);
                let from =
                    address.map_or_else(String::new, |address| format!(" from {}", address.ip()));
                return self.complain(&format!("a connection{from} is closed: {why}"));
            }
        };
        let tls = match self.listeners.get(number) {
            Some(listener) if listener.needs_tls() => match &self.tls {
                Some(tls) => Some(tls.context()),
                // `start` has refused that; nothing is ever served without the TLS that it should
                // have.
                None => {
                    return self.complain("a connection is closed: there is no certificate for it");
                }
            },
            _ => None,
        };
        let peer = Peer {
            address: address.map(|address| address.to_smolstr()).unwrap_or_default(),
            ip: address.map(|address| address.ip()),
            way: socket.way(),
            is_encrypted: tls.is_some(),
            name: SmolStr::default(),
        };
        match Stream::new(socket, tls.as_deref()) {
            Ok(stream) => {
                let connection = Connection::new(stream, tls, peer, slot, &self.service);
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
    fn complain(&self, why: &str) {
        if self.complaints.allows(Instant::now()) {
            log::warn!("{why}");
        } else {
            log::debug!("{why}");
        }
    }
}

/// A client by IPv4 has one address, whatever kind of socket it came to: nobody past this sees IPv4
/// written in IPv6.
const fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether it says something of one connection, and nothing of the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_written_in_two_ways_is_one() {
        for (written, is) in [
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ] {
            assert_eq!(canonical(written.parse().unwrap()).to_string(), is);
        }
    }
}
