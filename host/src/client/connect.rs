//! How a connection is made: socket, the proxy's tunnel, TLS; and what is known of it when it breaks.

use super::socket::{self, SocketTransport};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
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

/// Resolves nothing: the connector knows where to go.
#[derive(Debug)]
pub(super) struct NoResolver;

/// The call was not executed, and may be sent again: it went to a kept connection that the server had closed before
/// it could read the whole of it.
#[derive(Debug)]
pub(super) struct NotReceived;

/// A connection that knows whether a call that it fails can have been received.
#[derive(Debug)]
pub(super) struct Watched {
    inner: Box<dyn Transport>,
    socket: Arc<OwnedFd>,
    /// An answer came whole on it before the present exchange.
    kept: bool,
    /// A byte of the present exchange's answer came.
    heard: bool,
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
        Self { route, proxy: ConnectProxyConnector::default(), tls }
    }
}

impl Connector for ServerConnector {
    type Out = Either<Watched, Box<dyn Transport>>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        if let Some(Either::B(tunnel)) = self.proxy.connect(details, None::<()>)? {
            let secured = self.tls.connect(details, Some(tunnel))?;
            return Ok(secured.map(|inner| Either::B(Box::new(inner) as Box<dyn Transport>)));
        }
        let socket = Arc::new(match &self.route {
            Route::Unix(path) => socket::connect_unix(path, details)?,
            Route::Direct | Route::Proxy => socket::connect_tcp(details)?,
        });
        let plain = SocketTransport::new(Arc::clone(&socket), details);
        let secured = self.tls.connect(details, Some(plain))?;
        Ok(secured.map(|inner| {
            let inner: Box<dyn Transport> = Box::new(inner);
            match self.route {
                // The socket ends at the proxy, and says nothing of what the server received.
                Route::Proxy => Either::B(inner),
                _ => Either::A(Watched { inner, socket, kept: false, heard: false }),
            }
        }))
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

impl Transport for Watched {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let sent = self.inner.transmit_output(amount, timeout);
        match sent {
            // Some of the request never left, so the server cannot have had all of it.
            Err(error) if self.kept && !self.heard && !is_timeout(&error) => Err(not_received()),
            sent => sent,
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let came = self.inner.await_input(timeout);
        let broke = match &came {
            Ok(came) => !came,
            Err(error) => !is_timeout(error),
        };
        self.heard |= matches!(came, Ok(true));
        if broke && self.kept && !self.heard && socket::refused(&self.socket) {
            return Err(not_received());
        }
        came
    }

    fn is_open(&mut self) -> bool {
        // Asked when an exchange has ended well, and again before the next one.
        self.kept |= self.heard;
        self.heard = false;
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

impl fmt::Display for NotReceived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server had closed the connection")
    }
}

impl std::error::Error for NotReceived {}

fn not_received() -> ureq::Error {
    ureq::Error::Other(Box::new(NotReceived))
}

fn is_timeout(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Timeout(_))
}
