//! The errors of a call, grouped by who can fix them.

use crate::xmlrpc::Fault;
use hotcall_plugin::Mismatch;
use std::{fmt, io};
use ureq::http::StatusCode;

/// Why a call has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The server answered with a fault.
    Fault(Fault),
    /// No whole answer came, or none that could be decoded in time.
    Transport {
        /// The kind of failure.
        cause: Cause,
        /// What happened, in words.
        message: String,
    },
    /// A page came instead of an answer: HTTP calls it an error, so no method was called, or it is
    /// HTML with status 200.
    Http {
        /// The status code.
        status: u16,
        /// The first line of text in the answer's body, cut when long.
        first_line: String,
    },
    /// An answer came that is not XML-RPC.
    Protocol(String),
    /// A result came that is not what was wanted. The method was called.
    Mismatch(String),
    /// The parameters cannot be sent. Nothing was.
    Params(String),
    /// The address of the server is not one.
    Url(String),
    /// The proxy, or the environment's, cannot be used.
    Proxy(String),
    /// A certificate, a key or a password cannot be used.
    Credentials(String),
    /// A header cannot be sent.
    Header(String),
}

/// What kept an answer from coming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// No such host, or nothing listens there.
    Unreachable,
    /// The proxy made no tunnel to the server.
    Proxy,
    /// The time limit passed.
    Timeout,
    /// The server's certificate is not trusted.
    Untrusted,
    /// TLS failed otherwise; one cause is a client certificate that the server wants or refuses.
    Tls,
    /// The connection broke, or what came was not HTTP. The call may have been executed.
    Broken,
    /// The answer is larger than the limit.
    TooLarge,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Http { status, first_line } => {
                let what = if *status == StatusCode::OK { " and an HTML page" } else { "" };
                write!(f, "the server answered HTTP status {status}{what}")?;
                if first_line.is_empty() { Ok(()) } else { write!(f, ": {first_line}") }
            }
            Self::Transport { message, .. }
            | Self::Protocol(message)
            | Self::Mismatch(message)
            | Self::Params(message)
            | Self::Url(message)
            | Self::Proxy(message)
            | Self::Credentials(message)
            | Self::Header(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Whether the time limit for connecting or for the call passed. The call may have been
    /// executed.
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Transport { cause: Cause::Timeout, .. })
    }

    pub(super) fn params(method: &str, why: &str) -> Self {
        Self::Params(format!("the parameters of {method} cannot be sent: {why}"))
    }

    /// `subject` is what did not fit.
    pub(super) fn mismatch(subject: impl fmt::Display, mismatch: &Mismatch) -> Self {
        Self::Mismatch(mismatch.about(subject))
    }

    /// The timeout passed while a response of this size was decoded.
    pub(super) fn undecoded(bytes: usize) -> Self {
        let message =
            format!("the answer of {bytes} bytes could not be decoded before the call's timeout");
        Self::Transport { cause: Cause::Timeout, message }
    }

    /// `server` is what messages call it.
    pub(super) fn transport(server: &str, error: &ureq::Error) -> Self {
        let text = error.to_string();
        let (cause, message) = match error {
            // The resolver's failures have no kind of their own.
            ureq::Error::Io(_) if text.contains("failed to lookup address") => {
                (Cause::Unreachable, format!("there is no host {server}"))
            }
            ureq::Error::HostNotFound => (Cause::Unreachable, format!("there is no host {server}")),
            ureq::Error::ConnectionFailed => {
                (Cause::Unreachable, format!("cannot connect to {server}"))
            }
            ureq::Error::Io(io) if io.kind() == io::ErrorKind::TimedOut => {
                (Cause::Timeout, format!("{server} did not answer in time"))
            }
            ureq::Error::Io(io) if is_unreachable(io.kind()) => {
                (Cause::Unreachable, format!("cannot connect to {server}: {io}"))
            }
            ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
                (Cause::Timeout, format!("cannot connect to {server} in time"))
            }
            ureq::Error::Timeout(_) => (Cause::Timeout, format!("{server} did not answer in time")),
            ureq::Error::NativeTls(_) if text.contains("certificate verify failed") => (
                Cause::Untrusted,
                format!("the certificate of {server} is not trusted{}", reason(&text)),
            ),
            ureq::Error::NativeTls(_) | ureq::Error::Tls(_) => {
                (Cause::Tls, format!("TLS with {server} failed: {text}"))
            }
            ureq::Error::ConnectProxyFailed(why) => {
                (Cause::Proxy, format!("there is no way to {server}: {why}"))
            }
            ureq::Error::Other(why) => {
                (Cause::Broken, format!("the exchange with {server} broke off: {why}"))
            }
            ureq::Error::BodyExceedsLimit(bytes) => {
                (Cause::TooLarge, format!("the answer of {server} is larger than {bytes} bytes"))
            }
            _ => (Cause::Broken, format!("the exchange with {server} broke off: {text}")),
        };
        Self::Transport { cause, message }
    }
}

fn is_unreachable(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable,
        NotFound, PermissionDenied,
    };
    // The last two are a Unix socket's.
    matches!(
        kind,
        AddrNotAvailable
            | ConnectionRefused
            | HostUnreachable
            | NetworkDown
            | NetworkUnreachable
            | NotFound
            | PermissionDenied
    )
}

/// OpenSSL's own words for a certificate's defect stand last, in parentheses.
fn reason(text: &str) -> String {
    text.rsplit_once('(')
        .and_then(|(_, tail)| tail.split_once(')'))
        .map(|(reason, _)| format!(": {reason}"))
        .unwrap_or_default()
}
