//! The response to a client. Must not know the request.

use std::borrow::Cow;

/// A header field: its name and its value.
pub type Header = (&'static str, Cow<'static, str>);

/// Those of a document.
static XML: [Header; 1] = [CONTENT_TYPE];
/// Those of a document whose coding depends on the request.
static XML_VARIES: [Header; 2] = [CONTENT_TYPE, VARY];
const CONTENT_TYPE: Header = ("Content-Type", Cow::Borrowed("text/xml; charset=utf-8"));
const VARY: Header = ("Vary", Cow::Borrowed("Accept-Encoding"));

/// What goes back. Its framing is the network side's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status: 200 for every XML-RPC fault.
    pub status: u16,
    /// Header fields, `Content-Type` among them. Those of most responses are static.
    pub headers: Cow<'static, [Header]>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A short text that says why there is no better answer.
    pub fn text(status: u16, why: impl Into<String>) -> Self {
        let mut body = why.into();
        body.push('\n');
        let body = body.into_bytes();
        Self { status, headers: Cow::Borrowed(&[]), body }
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
        self.headers.to_mut().push((name, value.into()));
        self
    }

    /// A document.
    pub(super) fn xml(body: Vec<u8>) -> Self {
        Self { status: 200, headers: Cow::Borrowed(&XML), body }
    }

    /// The same, as one whose coding depends on the request.
    pub(super) fn that_varies(mut self) -> Self {
        if *self.headers == XML {
            self.headers = Cow::Borrowed(&XML_VARIES);
        } else {
            self.headers.to_mut().push(VARY);
        }
        self
    }
}
