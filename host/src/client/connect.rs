//! Makes connections: socket, the proxy's tunnel, TLS.

use super::deadline::Deadline;
use super::idle::Idle;
use super::names::Names;
use super::race::{self, Connected};
use super::socket::{self, Socket, SocketTransport};
use super::tunnel::ProxyTransport;
use super::watched::{Stream, Watched};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectProxyConnector, NativeTlsConnector};
use ureq::unversioned::transport::{ConnectionDetails, Connector, Either, NextTimeout, Transport};

/// Connects to one server.
#[derive(Debug)]
pub(super) struct ServerConnector {
    route: Route,
    names: Arc<Names>,
    idle: Arc<Idle>,
    proxy: ConnectProxyConnector,
    tls: Arc<NativeTlsConnector>,
}

/// The way to a server.
#[derive(Debug)]
pub(super) enum Route {
    /// To where its URL says.
    Direct,
    /// Through the proxy of ureq's configuration.
    Proxy,
    /// To a Unix socket, whatever the URL says.
    Unix(PathBuf),
}

/// Resolves nothing. ureq asks for addresses before each call, also on a kept connection; so the
/// connector resolves names, when it makes a new one.
#[derive(Debug)]
pub(super) struct NoResolver;

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
        /// It reads the system's authorities once, which takes milliseconds and a megabyte. ureq
        /// makes it by the first configuration that comes along and never compares, so only those
        /// that are the same may share it.
        static SYSTEM: OnceLock<Arc<NativeTlsConnector>> = OnceLock::new();
        let tls = match trust {
            Trust::System => Arc::clone(SYSTEM.get_or_init(Arc::default)),
            Trust::Own => Arc::default(),
        };
        Self {
            route,
            names: Arc::default(),
            idle: Arc::default(),
            proxy: ConnectProxyConnector::default(),
            tls,
        }
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
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        // ureq has this connector make the connection to the proxy too. That one is not kept by
        // itself: the tunnel through it is.
        let is_to_proxy = matches!(self.route, Route::Proxy) && details.config.proxy().is_none();
        if !is_to_proxy
            && !details.config.max_idle_age().is_zero()
            && let Some(kept) = self.idle.take()
        {
            return Ok(Some(kept.boxed()));
        }
        let lend = |watched| self.idle.lend(Box::new(watched)).boxed();
        if let Some(Either::B(tunnel)) = self.proxy.connect(details, None::<()>)? {
            let secured = self.tls.connect(details, Some(tunnel))?;
            return Ok(secured.map(|inner| lend(Watched::new(Stream::layers(inner), None))));
        }
        let Connected { socket, trip } = self.reach(details)?;
        let server = Arc::new(socket);
        let socket = Socket::new(Arc::clone(&server));
        if is_to_proxy {
            return Ok(Some(ProxyTransport::new(socket, details).boxed()));
        }
        let server = Some((server, trip));
        if !details.needs_tls() {
            return Ok(Some(lend(Watched::new(Stream::Plain(socket), server))));
        }
        let secured = self.tls.connect(details, Some(SocketTransport::new(socket, details)))?;
        Ok(secured.map(|inner| lend(Watched::new(Stream::layers(inner), server))))
    }
}

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        // Of the answers that are none, ureq takes only those with an address.
        let mut addresses = self.empty();
        addresses.push(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)));
        Ok(addresses)
    }
}
