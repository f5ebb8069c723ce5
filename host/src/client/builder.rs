//! How to reach a server, checked before the first call.

use super::unix::{NoResolver, UnixConnector};
use super::{Client, Error};
use crate::xmlrpc::{DecodeLimits, EncodeOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::pkey::PKey;
use openssl::x509::X509;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{HeaderValue, Uri};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(60);
const RESPONSE_BYTES_MAX: usize = 64 << 20;
/// An answer's status line and headers.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// Collects how to reach a server; [`build`](Self::build) makes the [`Client`].
pub struct Builder {
    url: String,
    ca: Option<Pem>,
    identity: Option<(Pem, Pem)>,
    insecure: bool,
    user: Option<(String, String)>,
    connect_timeout: Duration,
    timeout: Duration,
    response_bytes_max: usize,
}

/// Certificates or a key, and what messages call them; an unreadable file is reported when the client is built.
struct Pem {
    name: String,
    text: Result<Vec<u8>, std::io::Error>,
}

impl Builder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ca: None,
            identity: None,
            insecure: false,
            user: None,
            connect_timeout: CONNECT_TIMEOUT,
            timeout: TIMEOUT,
            response_bytes_max: RESPONSE_BYTES_MAX,
        }
    }

    /// Trusts the certificates in this PEM file, and no others. A self-signed server certificate may stand there
    /// itself.
    #[must_use]
    pub fn ca_file(mut self, file: impl AsRef<Path>) -> Self {
        self.ca = Some(Pem::file(file.as_ref()));
        self
    }

    /// Trusts these certificates in PEM form, and no others.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(Pem { name: "the CA certificate".to_owned(), text: Ok(pem.into()) });
        self
    }

    /// Shows the server this certificate (with its chain) and proves it with this key: two PEM files, the key not
    /// encrypted.
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.identity = Some((Pem::file(certificate.as_ref()), Pem::file(key.as_ref())));
        self
    }

    /// Talks to any server, whoever it is: whether its certificate is trusted is not asked.
    #[must_use]
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// Sends this name and password with each call (HTTP Basic authentication).
    #[must_use]
    pub fn basic(mut self, user: &str, password: &str) -> Self {
        self.user = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// How long connecting may take, TLS included. 10 seconds when not set.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a whole call may take. 60 seconds when not set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How large an answer may be. 64 MiB when not set.
    #[must_use]
    pub fn response_bytes_max(mut self, bytes: usize) -> Self {
        self.response_bytes_max = bytes;
        self
    }

    /// Checks everything and makes the client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Url`] for the address, [`Error::Credentials`] for certificates, key and user.
    pub fn build(self) -> Result<Client, Error> {
        let Target { url, socket, name } = target(&self.url)?;
        let mut tls = TlsConfig::builder()
            .provider(TlsProvider::NativeTls)
            .root_certs(RootCerts::PlatformVerifier)
            .disable_verification(self.insecure);
        if let Some(ca) = &self.ca {
            tls = tls.root_certs(RootCerts::new_with_certs(&ca.certificates()?));
        }
        if let Some((certificate, key)) = &self.identity {
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&certificate.certificates()?, key.key()?)));
        }
        let mut config = ureq::Agent::config_builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(HEADER_BYTES_MAX)
            .user_agent(concat!("hotcall/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(self.connect_timeout))
            .timeout_global(Some(self.timeout));
        if socket.is_some() || is_loopback(&url) {
            // A proxy of the environment would look for the server on its own machine.
            config = config.proxy(None);
        }
        let config = config.build();
        let agent = match socket {
            Some(path) => ureq::Agent::with_parts(config, UnixConnector(path), NoResolver),
            None => config.into(),
        };
        Ok(Client {
            agent,
            url,
            name,
            authorization: self.user.map(|(user, password)| basic(&user, &password)).transpose()?,
            encode_options: EncodeOptions::default(),
            decode_limits: DecodeLimits {
                bytes_max: self.response_bytes_max,
                text_bytes_max: self.response_bytes_max,
                ..DecodeLimits::default()
            },
            response_bytes_max: self.response_bytes_max,
        })
    }
}

impl Pem {
    fn file(file: &Path) -> Self {
        Self { name: file.display().to_string(), text: fs::read(file) }
    }

    fn text(&self) -> Result<&[u8], Error> {
        let Self { name, text } = self;
        text.as_deref().map_err(|error| Error::Credentials(format!("cannot read {name}: {error}")))
    }

    fn certificates(&self) -> Result<Vec<Certificate<'static>>, Error> {
        let certificates = X509::stack_from_pem(self.text()?).unwrap_or_default();
        let certificates: Vec<_> = certificates
            .iter()
            .filter_map(|certificate| certificate.to_der().ok())
            .map(|der| Certificate::from_der(&der).to_owned())
            .collect();
        if certificates.is_empty() {
            return Err(Error::Credentials(format!("{} holds no certificate in PEM form", self.name)));
        }
        Ok(certificates)
    }

    /// The key in PKCS #8, the one form that the TLS library takes.
    fn key(&self) -> Result<PrivateKey<'static>, Error> {
        let bad =
            || Error::Credentials(format!("{} holds no unencrypted private key in PEM form", self.name));
        // Without the callback, OpenSSL would ask for an encrypted key's password on the terminal.
        let pem = PKey::private_key_from_pem_callback(self.text()?, |_| Ok(0))
            .and_then(|key| key.private_key_to_pem_pkcs8())
            .map_err(|_| bad())?;
        PrivateKey::from_pem(&pem).map_err(|_| bad())
    }
}

/// Where a server is.
struct Target {
    /// What HTTP is told.
    url: Uri,
    /// The Unix socket to connect to, if it is one.
    socket: Option<PathBuf>,
    /// What messages call it.
    name: String,
}

fn target(text: &str) -> Result<Target, Error> {
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() {
            return Err(Error::Url(format!("{text:?} names no socket")));
        }
        let url = Uri::from_static("http://localhost/RPC2");
        return Ok(Target { url, socket: Some(path.into()), name: text.to_owned() });
    }
    let url = server_url(text)?;
    let name = url.authority().map(ToString::to_string).unwrap_or_default();
    Ok(Target { url, socket: None, name })
}

/// The address with a path: like other clients', an empty one means `/RPC2`.
fn server_url(text: &str) -> Result<Uri, Error> {
    let bad = |why: &str| Error::Url(format!("{text:?} {why}"));
    let rest = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let rest = rest.ok_or_else(|| bad("does not start with http://, https:// or unix:"))?;
    let whole = if rest.contains(['/', '?', '#']) { text.to_owned() } else { format!("{text}/RPC2") };
    let url: Uri = whole.parse().map_err(|error| bad(&format!("is not a URL: {error}")))?;
    let authority = url.authority().ok_or_else(|| bad("names no host"))?;
    if authority.host().is_empty() {
        return Err(bad("names no host"));
    }
    if authority.as_str().contains('@') {
        // The text is not repeated: it holds a password.
        return Err(Error::Url(
            "a user name does not belong in the URL; give it as the user instead".to_owned(),
        ));
    }
    Ok(url)
}

fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, Error> {
    if user.contains(':') {
        return Err(Error::Credentials("a user name cannot hold a colon".to_owned()));
    }
    let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let mut value = HeaderValue::try_from(value)
        .map_err(|_| Error::Credentials("the user name or password cannot be sent".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
