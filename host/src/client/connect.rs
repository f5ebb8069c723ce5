//! Makes connections: socket, the proxy's tunnel, TLS. Also tells whether a connection that broke
//! can have delivered its call.

use super::deadline::Deadline;
use super::names::Names;
use super::race::{self, Connected};
use super::socket::{self, SocketTransport};
use super::tunnel::ProxyTransport;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use std::{fmt, io};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, NativeTlsConnector, NextTimeout,
    Transport,
};

/// Connects to one server.
#[derive(Debug)]
pub(super) struct ServerConnector {
    route: Route,
    names: Arc<Names>,
    proxy: ConnectProxyConnector,
    tls: Arc<NativeTlsConnector>,
}

/// The way to a server.
#[derive(Debug)]
pub(super) enum Route {
    /// To where its URL says.
    Direct,
    /// Through the proxy of ureq's configuration. ureq has this connector make the connection to the proxy too.
    Proxy,
    /// To a Unix socket, whatever the URL says.
    Unix(PathBuf),
}

/// Resolves nothing. ureq asks before it looks for a kept connection; the connector resolves when it
/// makes a new one.
#[derive(Debug)]
pub(super) struct NoResolver;

/// No byte of an answer came to the call, and its kept connection was gone before the server took it: it may be sent again.
#[derive(Debug)]
pub(super) struct NotTaken;

/// No byte of an answer came to the call, and nothing says that the server did not take it.
#[derive(Debug)]
pub(super) struct Unanswered;

/// How long after a call a reset may come that is taken for the end of an idle connection. It is on its way when the call is, so
/// this is a round trip, and time for a server that is busy.
pub(super) const IDLE_RESET_MAX: Duration = Duration::from_secs(1);
/// How long after a call the server's kernel can be expected to have refused it: two round trips, and time for machines that are busy.
const REFUSAL_SLACK: Duration = Duration::from_millis(50);
const REFUSAL_MAX: Duration = Duration::from_millis(500);

/// A connection that knows whether a call that it fails can have been taken, and that reads an answer which came before
/// the whole call was written.
#[derive(Debug)]
pub(super) struct Watched {
    inner: Box<dyn Transport>,
    /// The socket, and how long it took to connect, which is a round trip. None when it ends at a proxy, and says nothing of what
    /// the server took.
    server: Option<(Arc<OwnedFd>, Duration)>,
    /// An answer came whole on it before the present exchange.
    kept: bool,
    /// A byte of the present exchange's answer came.
    heard: bool,
    /// The server takes no more of the call, and has said why.
    is_cut: bool,
    /// When the last bytes were sent.
    sent: Instant,
}

/// Whom a client trusts and as whom it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The certificate authorities of the system, and nobody in particular.
    System,
    /// As its builder was told.
    Own,
}

impl ServerConnector {
    pub(super) fn new(route: Route, trust: Trust) -> Self {
        /// It reads the system's authorities once, which takes milliseconds and a megabyte. ureq makes it by the first configuration that
        /// comes along and never compares, so only those that are the same may share it.
        static SYSTEM: OnceLock<Arc<NativeTlsConnector>> = OnceLock::new();
        let tls = match trust {
            Trust::System => Arc::clone(SYSTEM.get_or_init(Arc::default)),
            Trust::Own => Arc::default(),
        };
        Self { route, names: Arc::default(), proxy: ConnectProxyConnector::default(), tls }
    }

    /// Connects a socket to the server, or to the proxy if this is the connection to it.
    fn reach(&self, details: &ConnectionDetails<'_>) -> Result<Connected, ureq::Error> {
        let deadline = Deadline::of_connecting(details);
        match &self.route {
            Route::Unix(path) => {
                let began = Instant::now();
                let socket = socket::connect_unix(path, &deadline)?;
                Ok(Connected { socket, trip: began.elapsed() })
            }
            Route::Direct | Route::Proxy => {
                race::first_of(&self.names.addresses(details.uri, &deadline)?, &deadline)
            }
        }
    }
}

impl Connector for ServerConnector {
    type Out = Watched;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        if let Some(Either::B(tunnel)) = self.proxy.connect(details, None::<()>)? {
            let secured = self.tls.connect(details, Some(tunnel))?;
            return Ok(secured.map(|inner| Watched::new(inner, None)));
        }
        let Connected { socket, trip } = self.reach(details)?;
        let socket = Arc::new(socket);
        if matches!(self.route, Route::Proxy) {
            return Ok(Some(Watched::new(ProxyTransport::new(socket, details), None)));
        }
        let plain = SocketTransport::new(Arc::clone(&socket), details);
        let secured = self.tls.connect(details, Some(plain))?;
        Ok(secured.map(|inner| Watched::new(inner, Some((socket, trip)))))
    }
}

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        // Of the answers that are none, ureq takes only those with an address.
        let mut addresses = self.empty();
        addresses.push(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)));
        Ok(addresses)
    }
}

impl Watched {
    fn new(inner: impl Transport, server: Option<(Arc<OwnedFd>, Duration)>) -> Self {
        Self {
            inner: Box::new(inner),
            server,
            kept: false,
            heard: false,
            is_cut: false,
            sent: Instant::now(),
        }
    }

    /// What a call has come to whose connection ended before a byte of its answer, with an error or without.
    fn unanswered(&self, error: Option<ureq::Error>) -> ureq::Error {
        let is_told = error.as_ref().is_some_and(is_reset);
        let since = self.sent.elapsed();
        let is_reset = |(socket, trip): &(Arc<OwnedFd>, Duration)| {
            let refused_by = (*trip * 2).saturating_add(REFUSAL_SLACK).min(REFUSAL_MAX);
            is_told || socket::is_reset(socket, refused_by.saturating_sub(since))
        };
        if self.kept && since < IDLE_RESET_MAX && self.server.as_ref().is_some_and(is_reset) {
            return not_taken();
        }
        match error {
            // Such as a TLS alert.
            Some(error) if !is_told => error,
            _ => ureq::Error::Other(Box::new(Unanswered)),
        }
    }

    /// What becomes of a call that could not be written whole. What the server said before it closed the connection can still
    /// be read, and nothing is waited for.
    fn cut(&mut self, error: ureq::Error, timeout: NextTimeout) -> Result<(), ureq::Error> {
        match self.inner.await_input(timeout) {
            Ok(true) => {
                self.heard = true;
                self.is_cut = true;
                Ok(())
            }
            // Some of the call never left, so the server cannot have had all of it.
            _ if self.kept && !self.heard && self.server.is_some() => Err(not_taken()),
            Err(said) if !is_reset(&said) && !is_timeout(&said) => Err(said),
            _ => Err(error),
        }
    }
}

impl Transport for Watched {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.is_cut {
            // ureq looks for the answer once it has written all.
            return Ok(());
        }
        let sent = self.inner.transmit_output(amount, timeout);
        self.sent = Instant::now();
        match sent {
            Err(error) if !is_timeout(&error) => self.cut(error, timeout),
            sent => sent,
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let came = self.inner.await_input(timeout);
        self.heard |= matches!(came, Ok(true));
        match came {
            Ok(false) if !self.heard => Err(self.unanswered(None)),
            Err(error) if !self.heard && !is_timeout(&error) => Err(self.unanswered(Some(error))),
            came => came,
        }
    }

    fn is_open(&mut self) -> bool {
        // Asked when an exchange has ended well, and again before the next one.
        self.kept |= self.heard;
        self.heard = false;
        !self.is_cut && self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server closed the connection before it took the call")
    }
}

impl std::error::Error for NotTaken {}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection ended without an answer; whether the call was executed is not known")
    }
}

impl std::error::Error for Unanswered {}

fn not_taken() -> ureq::Error {
    ureq::Error::Other(Box::new(NotTaken))
}

fn is_timeout(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Timeout(_))
}

fn is_reset(error: &ureq::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error, ureq::Error::Io(error) if matches!(error.kind(), ConnectionReset | BrokenPipe))
}
