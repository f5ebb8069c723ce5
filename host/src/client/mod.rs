//! An XML-RPC client. Knows documents (`xmlrpc`) and HTTP, and nothing of the server's inside.
//!
//! # Examples
//! ```no_run
//! use hotcall::client::Client;
//! use hotcall::xmlrpc::Value;
//! let client = Client::builder("https://127.0.0.1:8443").ca_file("state/dev-cert.pem").build()?;
//! assert_eq!(client.call("add", [Value::Int(2), Value::Int(3)])?, Value::Int(5));
//! # Ok::<(), hotcall::client::Error>(())
//! ```

mod builder;
mod error;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
mod unix;

pub use builder::Builder;
pub use error::{Cause, Error};

use crate::xmlrpc::{DecodeLimits, EncodeOptions, Value, decode_response, encode_call};
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE};
use ureq::http::{HeaderValue, Uri};

/// How much of an answer that is no XML-RPC is looked at, and how much of it is shown.
const PAGE_BYTES_MAX: usize = 64 << 10;
const FIRST_LINE_CHARS_MAX: usize = 200;

/// Calls methods of one server. Cheap to clone; may be used by many threads at once. Connections are kept open
/// between calls.
#[derive(Clone)]
pub struct Client {
    agent: ureq::Agent,
    url: Uri,
    /// What messages call the server.
    name: String,
    authorization: Option<HeaderValue>,
    encode_options: EncodeOptions,
    decode_limits: DecodeLimits,
    response_bytes_max: usize,
}

/// One call as it went over the wire.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The request document.
    pub request: Vec<u8>,
    /// The response document.
    pub response: Vec<u8>,
    decode_limits: DecodeLimits,
}

impl Client {
    /// Begins a client for the server at this address: `http://…` or `https://…`, without a path meaning `/RPC2`, or
    /// `unix:PATH` for a Unix socket.
    pub fn builder(url: &str) -> Builder {
        Builder::new(url)
    }

    /// Calls a method and waits for its result.
    ///
    /// # Errors
    /// [`Error::Fault`] when the server or its method says no; every other kind when no answer came to that.
    pub fn call(&self, method: &str, params: impl Into<Vec<Value>>) -> Result<Value, Error> {
        self.exchange(method, &params.into())?.result()
    }

    /// Calls a method and hands out both documents as they are.
    ///
    /// # Errors
    /// As [`call`](Self::call), but a response is not looked into: ask [`Exchange::result`].
    pub fn exchange(&self, method: &str, params: &[Value]) -> Result<Exchange, Error> {
        let request = encode_call(method, params, &self.encode_options).map_err(Error::Fault)?;
        let response = self.post(&request)?;
        Ok(Exchange { request, response, decode_limits: self.decode_limits })
    }

    fn post(&self, document: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |error| Error::transport(&self.name, &error);
        let mut request = self.agent.post(&self.url).header(CONTENT_TYPE, "text/xml");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let mut response = request.send(document).map_err(failed)?;
        let status = response.status();
        let bytes_max = u64::try_from(self.response_bytes_max).unwrap_or(u64::MAX);
        let body = response.body_mut().with_config().limit(bytes_max).read_to_vec();
        if status != ureq::http::StatusCode::OK {
            // The status says more than a body that did not come whole.
            let first_line = first_line(&body.unwrap_or_default());
            return Err(Error::Http { status: status.as_u16(), first_line });
        }
        body.map_err(failed)
    }
}

impl Exchange {
    /// The result in the response document.
    ///
    /// # Errors
    /// [`Error::Fault`] when it is a fault, [`Error::Protocol`] when it is no response.
    pub fn result(&self) -> Result<Value, Error> {
        match decode_response(&self.response, &self.decode_limits) {
            Ok(result) => result.map_err(Error::Fault),
            Err(error) => {
                let first_line = first_line(&self.response);
                Err(Error::Protocol(format!("the answer is not XML-RPC: {error}; it begins: {first_line}")))
            }
        }
    }
}

/// The first line of text on a page: without tags, since an HTML page begins with many that say nothing.
fn first_line(page: &[u8]) -> String {
    let page = String::from_utf8_lossy(page.get(..page.len().min(PAGE_BYTES_MAX)).unwrap_or_default());
    let mut in_tag = false;
    let mut text = String::new();
    for c in page.chars() {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => in_tag = false,
            _ if in_tag => {}
            '\n' | '\r' if !text.trim().is_empty() => break,
            _ if c.is_control() => text.push(' '),
            _ => text.push(c),
        }
    }
    text.trim().chars().take(FIRST_LINE_CHARS_MAX).collect()
}
