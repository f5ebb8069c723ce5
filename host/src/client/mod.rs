//! An XML-RPC client. Knows documents (`xmlrpc`) and HTTP, and nothing of the server's inside.
//!
//! # Examples
//! Parameters and results are Rust types, converted as `hotcall_plugin` converts a plugin's:
//! ```no_run
//! use hotcall::client::Client;
//! use hotcall_plugin::FromValue;
//!
//! #[derive(FromValue)]
//! struct Stats {
//!     mean: f64,
//!     count: i32,
//! }
//!
//! let client = Client::builder("https://127.0.0.1:8443").ca_file("state/dev-cert.pem").build()?;
//! let sum: i64 = client.call("add", (2, 3))?;
//! let stats: Stats = client.call("stats", (vec![1.5, 2.5],))?;
//! # Ok::<(), hotcall::client::Error>(())
//! ```
//! Where types are only known at run time, there is [`Value`]; many calls go in one request with
//! [`Client::multicall`]:
//! ```no_run
//! # use hotcall::client::Client;
//! # let client = Client::builder("https://127.0.0.1:8443").build()?;
//! use hotcall::xmlrpc::Value;
//! let mut batch = client.multicall();
//! batch.add("add", (2, 3))?.add("upper", "hot")?;
//! for result in batch.send::<Value>()? {
//!     match result {
//!         Ok(value) => println!("{value:?}"),
//!         Err(fault) => println!("{fault}"),
//!     }
//! }
//! # Ok::<(), hotcall::client::Error>(())
//! ```
//!
//! # When a call is sent twice
//! Connections are kept for the next call, and a server may close one at the moment when a call is sent over it. Such
//! a call is sent once more, on a new connection, when all of this is so:
//! - an earlier call was answered on its connection, which leads to the server and not to a proxy;
//! - no byte of an answer came;
//! - the call could not be written whole, or the server's machine refused it: by a reset within a second.
//!
//! Calls are POSTs, which must not be repeated unless there is reason to believe that they were not executed (RFC 9110,
//! section 9.2.2). A reset is such a reason: that is how an operating system ends a connection on which something came that no
//! program has read. One on which all was read it ends in order, also when the program crashed in the midst of the call.
//! So a call whose connection ended in order after the server's machine had taken it is never sent again, and neither is any call on a
//! new connection, or one that was in the server's hands for longer than a second: that is an error with [`Cause::Broken`], and only
//! the caller knows whether the call may be made again.
//!
//! What this cannot tell apart is a server, or a machine between, that aborts a connection on purpose after it has read
//! the call from it (`SO_LINGER`), and does so within that second: it gets the call twice. Python's client repeats in that
//! case too, and in those above. A client that makes one call never sends it twice.

mod address;
mod builder;
mod connect;
mod error;
mod headers;
mod http;
mod introspect;
mod multicall;
mod params;
mod pem;
mod proxy;
mod socket;
#[cfg(test)]
mod tests;
mod tunnel;

pub use builder::Builder;
pub use error::{Cause, Error};
pub use introspect::{Capability, Signature};
pub use multicall::{MULTICALL_CALLS_MAX, MultiCall};
pub use params::Params;

use crate::xmlrpc::{
    DecodeLimits, Document, EncodeOptions, Resources, Stop, Value, code, decode_response_in, encode_call,
};
use hotcall_plugin::FromValue;
use http::{Http, first_line, is_html};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::http::StatusCode;

/// Calls methods of one server. Cheap to clone; may be used by many threads at once. Connections are kept open
/// between calls.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    http: Http,
    encode_options: EncodeOptions,
    decode_limits: DecodeLimits,
}

/// One call as it went over the wire.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The request document.
    pub request: Vec<u8>,
    /// The response document.
    pub response: Vec<u8>,
    /// Its `Content-Type`, whose charset counts; empty when there was none.
    pub content_type: String,
    decode_limits: DecodeLimits,
    /// What the exchange left of the call's timeout, for decoding.
    time_left: Duration,
}

/// Time for decoding one response.
struct Until(Option<Instant>);

impl Client {
    /// Begins a client for the server at this address: `http://…` or `https://…`, without a path meaning `/RPC2`, or
    /// `unix:PATH` for a Unix socket.
    pub fn builder(url: &str) -> Builder {
        Builder::new(url)
    }

    fn new(http: Http, encode_options: EncodeOptions, decode_limits: DecodeLimits) -> Self {
        Self(Arc::new(Inner { http, encode_options, decode_limits }))
    }

    /// Calls a method and waits for its result: any type with [`FromValue`] that owns what it holds, or [`Value`].
    ///
    /// # Errors
    /// [`Error::Fault`] when the server or its method says no, [`Error::Mismatch`] when the result is not a `T`; every
    /// other kind when no answer came to that.
    ///
    /// # Examples
    /// ```no_run
    /// # use hotcall::{client::Client, xmlrpc::Value};
    /// # let client = Client::builder("http://127.0.0.1:8080").build()?;
    /// let sum: i64 = client.call("add", (2, 3))?;
    /// let text = client.call::<String>("upper", "hot")?;
    /// let anything: Value = client.call("echo", [Value::Nil, Value::Bool(true)])?;
    /// # Ok::<(), hotcall::client::Error>(())
    /// ```
    pub fn call<T>(&self, method: &str, params: impl Params) -> Result<T, Error>
    where
        T: for<'a> FromValue<'a>,
    {
        let params = params.into_params().map_err(|fault| Error::params(method, fault.message()))?;
        let value = self.exchange(method, &params)?.result()?;
        value.to().map_err(|mismatch| Error::mismatch(format_args!("the result of {method}"), &mismatch))
    }

    /// Calls a method and hands out both documents as they are.
    ///
    /// # Errors
    /// As [`call`](Self::call), but a response is not looked into: ask [`Exchange::result`].
    pub fn exchange(&self, method: &str, params: &[Value]) -> Result<Exchange, Error> {
        let Inner { http, encode_options, decode_limits } = &*self.0;
        let request = encode_call(method, params, encode_options);
        let request = request.map_err(|fault| Error::params(method, &fault.message))?;
        let started = Instant::now();
        let (response, content_type) = http.post(&request)?;
        let time_left = http.timeout.saturating_sub(started.elapsed());
        Ok(Exchange { request, response, content_type, decode_limits: *decode_limits, time_left })
    }
}

/// Without what is secret: credentials are part of a client.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0.http.name).finish()
    }
}

impl Exchange {
    /// The result in the response document. Decoding may take the time that the exchange left of the
    /// call's timeout.
    ///
    /// # Errors
    /// [`Error::Fault`] when it is a fault, [`Error::Protocol`] when it is no response, or one past a limit of the client's,
    /// [`Error::Http`] when it is an HTML page, [`Error::Transport`] with [`Cause::Timeout`] when the
    /// time does not suffice.
    pub fn result(&self) -> Result<Value, Error> {
        let document = Document::from(&self.response).with_content_type(&self.content_type);
        let time = Until(Instant::now().checked_add(self.time_left));
        match decode_response_in(document, &self.decode_limits, &time) {
            Ok(result) => result.map_err(Error::Fault),
            Err(error) if error.code == code::DEADLINE => Err(Error::undecoded(self.response.len())),
            Err(error) => {
                let first_line = first_line(&self.response);
                if is_html(&self.response, &self.content_type) {
                    // There is no exchange with another status.
                    return Err(Error::Http { status: StatusCode::OK.as_u16(), first_line });
                }
                Err(Error::Protocol(format!("the answer is not XML-RPC: {error}; it begins: {first_line}")))
            }
        }
    }
}

impl Resources for Until {
    fn check(&self) -> Result<(), Stop> {
        if self.0.is_some_and(|end| end <= Instant::now()) { Err(Stop::Late) } else { Ok(()) }
    }

    /// The limits of the client bound the memory.
    fn take(&self, _: usize) -> Result<(), Stop> {
        Ok(())
    }

    fn give_back(&self, _: usize) {}
}
