//! The response to a client. Must not know the request.

use std::borrow::Cow;

/// What goes back. Its framing is the network side's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status: 200 for every XML-RPC fault.
    pub status: u16,
    /// Header fields, `Content-Type` among them.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A short text that says why there is no better answer.
    pub fn text(status: u16, why: impl Into<String>) -> Self {
        let mut body = why.into();
        body.push('\n');
        let body = body.into_bytes();
        Self { status, headers: Vec::new(), body }
            .with_header("Content-Type", "text/plain; charset=utf-8")
    }

    /// The response to a request that cannot be read while others use the memory. Nothing was
    /// executed.
    pub fn crowded() -> Self {
        let why = "Overloaded: large requests and responses take all of the memory for them \
                   (bodies_bytes_max). Try again in a moment.";
        Self::text(503, why).with_header("Retry-After", "1")
    }

    /// The same with one more header field.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A document.
    pub(super) fn xml(body: Vec<u8>) -> Self {
        Self { status: 200, headers: Vec::new(), body }
            .with_header("Content-Type", "text/xml; charset=utf-8")
    }
}
