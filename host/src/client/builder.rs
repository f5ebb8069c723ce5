//! How to reach a server, checked before the first call.

use super::address::{Target, is_loopback, target};
use super::connect::{NoResolver, Route, ServerConnector, Trust};
use super::error::Error;
use super::handle::Client;
use super::headers::headers;
use super::http::{ACCEPT_GZIP, Http};
use super::pem::Pem;
use super::proxy::{self, Proxy};
use crate::xmlrpc::{Dates, DecodeLimits, EncodeOptions, EncodeStyle};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::{env, fmt};
use ureq::http::Uri;
use ureq::http::header::ACCEPT_ENCODING;
use ureq::tls::{ClientCert, RootCerts, TlsConfig, TlsProvider};

/// The time to connect, unless the builder sets another.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time for a call, unless the builder sets another.
pub const TIMEOUT: Duration = Duration::from_secs(60);
const RESPONSE_BYTES_MAX: usize = 64 << 20;
/// An answer's status line and headers.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Each buffer of TLS, and of the socket below it: two of TLS's records.
const LAYER_BYTES: usize = 32 << 10;

/// Collects how to reach a server; [`build`](Self::build) makes the [`Client`].
#[must_use]
pub struct Builder {
    url: String,
    ca: Option<Pem>,
    identity: Option<(Pem, Pem)>,
    insecure: bool,
    user: Option<(String, String)>,
    headers: Vec<(String, String)>,
    gzip: bool,
    proxy: Via,
    connect_timeout: Duration,
    timeout: Duration,
    response_bytes_max: usize,
    response_depth_max: usize,
    response_values_max: usize,
    style: EncodeStyle,
}

/// Which proxy to use.
enum Via {
    /// The one that the environment names, if any.
    Environment,
    /// This one.
    Proxy(String),
    /// None.
    Direct,
}

impl Client {
    /// Begins a client for the server at this address: `http://…` or `https://…`, without a path
    /// meaning `/RPC2`, or `unix:PATH` for a Unix socket.
    pub fn builder(url: &str) -> Builder {
        Builder::new(url)
    }
}

impl Builder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ca: None,
            identity: None,
            insecure: false,
            user: None,
            headers: Vec::new(),
            gzip: false,
            proxy: Via::Environment,
            connect_timeout: CONNECT_TIMEOUT,
            timeout: TIMEOUT,
            response_bytes_max: RESPONSE_BYTES_MAX,
            response_depth_max: DecodeLimits::default().depth_max,
            response_values_max: DecodeLimits::default().values_max,
            style: EncodeStyle { dates: Dates::Exact, ..EncodeStyle::default() },
        }
    }

    /// Trusts the certificates in this PEM file, and no others. A self-signed server certificate
    /// may stand there itself.
    pub fn ca_file(mut self, file: impl AsRef<Path>) -> Self {
        self.ca = Some(Pem::file(file.as_ref()));
        self
    }

    /// Trusts these certificates in PEM form, and no others.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(Pem::given("the CA certificate", pem.into()));
        self
    }

    /// Shows the server this certificate (with its chain) and proves it with this key: two PEM
    /// files, the key not encrypted.
    pub fn client_certificate(
        mut self,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Self {
        self.identity = Some((Pem::file(certificate.as_ref()), Pem::file(key.as_ref())));
        self
    }

    /// Does not verify the server's certificate.
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// Sends this name and password with each call (HTTP Basic authentication).
    pub fn basic(mut self, user: &str, password: &str) -> Self {
        self.user = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Sends this header with each call, `Authorization: Bearer …` for example; at most 64 of them.
    /// Those that frame and route a request are the client's own: [`build`](Self::build) refuses
    /// them.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Asks for answers in gzip, and sends requests of 1,400 bytes or more in gzip. Off when not
    /// set, because not every server reads such requests. Answers that are compressed all the same
    /// are read in any case.
    pub fn gzip(mut self, gzip: bool) -> Self {
        self.gzip = gzip;
        self
    }

    /// Reaches the server through this proxy: `http://[USER:PASSWORD@]HOST[:PORT]`. It is asked for
    /// a tunnel (`CONNECT`) also to a server without TLS, so that what is meant for the server goes
    /// to the server only.
    ///
    /// When this is not set, the environment decides: `https_proxy` or `http_proxy` by the server's
    /// URL, else `all_proxy`, each in small or capital letters, unless `no_proxy` names the host.
    /// It holds, separated by commas, hosts (with all below them), addresses, networks like
    /// `10.0.0.0/8`, each with a port if wanted, or `*`. This machine itself is never looked for
    /// through a proxy of the environment.
    pub fn proxy(mut self, url: &str) -> Self {
        self.proxy = Via::Proxy(url.to_owned());
        self
    }

    /// Uses no proxy, whatever the environment says.
    pub fn no_proxy(mut self) -> Self {
        self.proxy = Via::Direct;
        self
    }

    /// How long connecting may take: name lookup, proxy and TLS included. 10 seconds when not set.
    /// The client tries a host's IPv6 and IPv4 addresses by turns, 250 ms apart, and uses the first
    /// that answers (RFC 8305).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a whole call may take, from connecting to decoding the answer. 60 seconds when not
    /// set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How large an answer may be, before and after it is inflated. 64 MiB when not set.
    pub fn response_bytes_max(mut self, bytes: usize) -> Self {
        self.response_bytes_max = bytes;
        self
    }

    /// How deep arrays and structs may lie within each other in an answer. 128 when not set; past
    /// 2,000 it counts as 2,000. One past it, or past
    /// [`response_values_max`](Self::response_values_max), is an [`Error::Protocol`].
    pub fn response_depth_max(mut self, depth: usize) -> Self {
        self.response_depth_max = depth;
        self
    }

    /// How many values of all kinds an answer may hold. 1,000,000 when not set.
    pub fn response_values_max(mut self, values: usize) -> Self {
        self.response_values_max = values;
        self
    }

    /// How parameters are written where servers differ in what they read. When not set, as a
    /// server's results are by default, but dates exactly: a fraction or an offset is sent only if
    /// the caller has put it there.
    pub fn style(mut self, style: EncodeStyle) -> Self {
        self.style = style;
        self
    }

    /// Checks everything and makes the client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Url`] for the address, [`Error::Proxy`] for the proxy's, [`Error::Credentials`] for
    /// certificates, key and user, [`Error::Header`] for headers.
    pub fn build(self) -> Result<Client, Error> {
        let Target { url, socket, name } = target(&self.url)?;
        let proxy = self.chosen_proxy(&url, socket.is_some())?;
        let mut headers = headers(&self.headers, self.user.as_ref())?;
        if self.gzip {
            headers.insert(ACCEPT_ENCODING, ACCEPT_GZIP);
        }
        let name = match &proxy {
            Some(proxy) => format!("{name} through the proxy {}", proxy.name),
            None => name,
        };
        let config = ureq::Agent::config_builder()
            .tls_config(self.tls()?)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(HEADER_BYTES_MAX)
            // The connector keeps connections itself.
            .max_idle_connections(0)
            .input_buffer_size(LAYER_BYTES)
            .output_buffer_size(LAYER_BYTES)
            .user_agent(concat!("hotcall/", env!("CARGO_PKG_VERSION")))
            .accept("text/xml")
            .timeout_connect(Some(self.connect_timeout))
            .timeout_global(Some(self.timeout))
            .proxy(proxy.map(|proxy| proxy.inner))
            .build();
        let is_plain = self.ca.is_none() && self.identity.is_none() && !self.insecure;
        let trust = if is_plain { Trust::System } else { Trust::Own };
        let route = match socket {
            Some(path) => Route::Unix(path),
            None if config.proxy().is_some() => Route::Proxy,
            None => Route::Direct,
        };
        let agent = ureq::Agent::with_parts(config, ServerConnector::new(route, trust), NoResolver);
        let Self { gzip, timeout, response_bytes_max, .. } = self;
        let has_answered = AtomicBool::new(false);
        let http =
            Http { agent, url, name, headers, gzip, timeout, response_bytes_max, has_answered };
        let decode_limits = DecodeLimits {
            bytes_max: response_bytes_max,
            depth_max: self.response_depth_max,
            values_max: self.response_values_max,
            text_bytes_max: response_bytes_max,
            ..DecodeLimits::default()
        };
        Ok(Client::new(
            http,
            EncodeOptions { style: self.style, ..EncodeOptions::default() },
            decode_limits,
        ))
    }

    fn tls(&self) -> Result<TlsConfig, Error> {
        let mut tls = TlsConfig::builder()
            .provider(TlsProvider::NativeTls)
            .root_certs(RootCerts::PlatformVerifier)
            .disable_verification(self.insecure);
        if let Some(ca) = &self.ca {
            tls = tls.root_certs(RootCerts::new_with_certs(&ca.certificates()?));
        }
        if let Some((certificate, key)) = &self.identity {
            tls = tls.client_cert(Some(ClientCert::new_with_certs(
                &certificate.certificates()?,
                key.key()?,
            )));
        }
        Ok(tls.build())
    }

    fn chosen_proxy(&self, url: &Uri, is_unix: bool) -> Result<Option<Proxy>, Error> {
        match &self.proxy {
            Via::Proxy(_) if is_unix => {
                Err(Error::Proxy("a Unix socket is not reached through a proxy".to_owned()))
            }
            Via::Proxy(proxy) => Proxy::new("the proxy", proxy).map(Some),
            // It would look for the server on its own machine.
            Via::Environment if is_unix || is_loopback(url) => Ok(None),
            Via::Environment => proxy::from_environment(url, |name| env::var(name).ok()),
            Via::Direct => Ok(None),
        }
    }
}

/// Without what is secret.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("url", &self.url).finish_non_exhaustive()
    }
}
