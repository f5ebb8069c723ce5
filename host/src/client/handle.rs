//! A client of one server: makes one call at a time or many.

use super::error::Error;
use super::http::{Http, first_line, is_html};
use super::params::Params;
use crate::xmlrpc::{
    DecodeLimits, Document, EncodeOptions, Resources, Stop, Value, code, decode_response_in,
    encode_call,
};
use hotcall_plugin::FromValue;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::http::StatusCode;

/// Calls methods of one server. Cheap to clone; may be used by many threads at once. Connections
/// are kept open between calls.
#[derive(Clone)]
pub struct Client(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) http: Http,
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
    pub(super) decode_limits: DecodeLimits,
    /// What the exchange left of the call's timeout, for decoding.
    pub(super) time_left: Duration,
}

/// Time for decoding one response.
struct Until(Option<Instant>);

impl Client {
    pub(super) fn new(
        http: Http,
        encode_options: EncodeOptions,
        decode_limits: DecodeLimits,
    ) -> Self {
        Self(Arc::new(Inner { http, encode_options, decode_limits }))
    }

    /// Calls a method and waits for its result: any type with [`FromValue`] that owns what it
    /// holds, or [`Value`].
    ///
    /// # Errors
    /// [`Error::Fault`] when the server or its method says no, [`Error::Mismatch`] when the result
    /// is not a `T`; every other kind when no answer came to that.
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
        let params =
            params.into_params().map_err(|fault| Error::params(method, fault.message()))?;
        let value = self.exchange(method, &params)?.result()?;
        value
            .to()
            .map_err(|mismatch| Error::mismatch(format_args!("the result of {method}"), &mismatch))
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
    /// The result in the response document. Decoding may take the time that the exchange left of
    /// the call's timeout.
    ///
    /// # Errors
    /// [`Error::Fault`] when it is a fault, [`Error::Protocol`] when it is no response, or one past
    /// a limit of the client's, [`Error::Http`] when it is an HTML page, [`Error::Transport`] with
    /// [`Cause::Timeout`](crate::client::Cause::Timeout) when the time does not suffice.
    pub fn result(&self) -> Result<Value, Error> {
        let document = Document::from(&self.response).with_content_type(&self.content_type);
        let time = Until(Instant::now().checked_add(self.time_left));
        match decode_response_in(document, &self.decode_limits, &time) {
            Ok(result) => result.map_err(Error::Fault),
            Err(error) if error.code == code::DEADLINE => {
                Err(Error::undecoded(self.response.len()))
            }
            Err(error) => {
                let first_line = first_line(&self.response);
                if is_html(&self.response, &self.content_type) {
                    // There is no exchange with another status.
                    return Err(Error::Http { status: StatusCode::OK.as_u16(), first_line });
                }
                Err(Error::Protocol(format!(
                    "the answer is not XML-RPC: {error}; it begins: {first_line}"
                )))
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
