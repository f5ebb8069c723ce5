//! One POST and its answer: compression, the one safe repetition, and the text of an answer that
//! is an error page.
//!
//! Connections are kept, and a kept one is used only if it is still open. ureq never repeats a
//! request. A call can still meet the end of its connection on the way; the
//! documentation of `client` says when it is repeated.
//!
//! Some servers answer and close before they have read the whole request. Writing then fails, but
//! the answer is read, and the rest of the request is not sent.
//!
//! Knows no XML: documents are bytes here.

use super::error::{Cause, Error};
use super::watched::NotTaken;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use ureq::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use ureq::http::uri::Scheme;
use ureq::http::{HeaderValue, Response, StatusCode, Uri};
use ureq::{Body, Timeout};

/// What asks for compressed answers.
pub(super) const ACCEPT_GZIP: HeaderValue = HeaderValue::from_static("gzip");
/// A request below this is sent as it is: it fits in one packet anyway.
const GZIP_BYTES_MIN: usize = 1_400;
/// How much of an answer that is no XML-RPC is looked at, and how much of it is shown.
const PAGE_BYTES_MAX: usize = 64 << 10;
const FIRST_LINE_CHARS_MAX: usize = 200;

/// How to reach a server, and what is sent with each request.
pub(super) struct Http {
    pub(super) agent: ureq::Agent,
    pub(super) url: Uri,
    /// What messages call the server.
    pub(super) name: String,
    pub(super) headers: HeaderMap,
    pub(super) gzip: bool,
    pub(super) timeout: Duration,
    pub(super) response_bytes_max: usize,
    /// An answer of HTTP has come from there.
    pub(super) has_answered: AtomicBool,
}

impl Http {
    /// Sends a document and gives the answer's, with its `Content-Type`.
    pub(super) fn post(&self, document: &[u8]) -> Result<(Vec<u8>, String), Error> {
        let compressed = if self.gzip { compress(document) } else { None };
        let started = Instant::now();
        let sent = match self.send(document, compressed.as_deref(), None) {
            Err(ureq::Error::Other(why)) if why.is::<NotTaken>() => {
                // Once, and on a new connection: other kept ones may be as stale, and a new one
                // never fails like this.
                self.send(
                    document,
                    compressed.as_deref(),
                    Some(self.timeout.saturating_sub(started.elapsed())),
                )
            }
            sent => sent,
        };
        let mut response = sent.map_err(|error| self.failed(&error))?;
        self.has_answered.store(true, Ordering::Relaxed);
        let status = response.status();
        let body = self.body(&mut response);
        if status != StatusCode::OK {
            // The status says more than a body that did not come whole.
            let first_line = first_line(&body.unwrap_or_default());
            return Err(Error::Http { status: status.as_u16(), first_line });
        }
        let content_type =
            response.headers().get(CONTENT_TYPE).and_then(|given| given.to_str().ok());
        Ok((body?, content_type.unwrap_or_default().to_owned()))
    }

    /// `repeated`: what is left of the time for the call, when this is its second try.
    fn send(
        &self,
        document: &[u8],
        compressed: Option<&[u8]>,
        repeated: Option<Duration>,
    ) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.agent.post(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if compressed.is_some() {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        if let Some(left) = repeated {
            if left.is_zero() {
                return Err(ureq::Error::Timeout(Timeout::Global));
            }
            // No kept connection is young enough for this request.
            request =
                request.config().max_idle_age(Duration::ZERO).timeout_global(Some(left)).build();
        }
        request.send(compressed.unwrap_or(document))
    }

    /// The answer's content, inflated. Both its forms are held to the limit.
    fn body(&self, response: &mut Response<Body>) -> Result<Vec<u8>, Error> {
        let coding = response.headers().get(CONTENT_ENCODING).cloned();
        let coding =
            coding.as_ref().map_or("identity", |coding| coding.to_str().unwrap_or("unreadable"));
        let bytes_max = u64::try_from(self.response_bytes_max).unwrap_or(u64::MAX);
        let mut sent = response.body_mut().with_config().limit(bytes_max).reader();
        let mut content = Vec::new();
        let read = match coding.to_ascii_lowercase().as_str() {
            "identity" | "" => sent.read_to_end(&mut content),
            "gzip" | "x-gzip" => {
                // One byte past the limit shows that there is more.
                MultiGzDecoder::new(sent)
                    .take(bytes_max.saturating_add(1))
                    .read_to_end(&mut content)
            }
            _ => {
                let name = &self.name;
                let message = format!(
                    "{name} answered in the content coding {coding:?}, which was not asked for"
                );
                return Err(Error::Protocol(message));
            }
        };
        read.map_err(|error| self.failed(&damaged(error)))?;
        if content.len() > self.response_bytes_max {
            return Err(self.failed(&ureq::Error::BodyExceedsLimit(bytes_max)));
        }
        Ok(content)
    }

    fn failed(&self, error: &ureq::Error) -> Error {
        let failed = Error::transport(&self.name, error);
        let is_plain = self.url.scheme() == Some(&Scheme::HTTP) && !self.name.starts_with("unix:");
        match failed {
            // A server that wants TLS says nothing to who does not, or nothing in HTTP.
            Error::Transport { cause: Cause::Broken, message }
                if is_plain && !self.has_answered.load(Ordering::Relaxed) =>
            {
                let message =
                    format!("{message}; it may be that this server is reached by https:// only");
                Error::Transport { cause: Cause::Broken, message }
            }
            failed => failed,
        }
    }
}

/// An error of the inflater's, or one of ureq's that came through it.
fn damaged(error: io::Error) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            io::Error::new(error.kind(), format!("its gzip data is damaged: {error}")).into()
        }
        _ => error.into(),
    }
}

/// The document compressed, when it is long enough: XML shrinks always.
fn compress(document: &[u8]) -> Option<Vec<u8>> {
    if document.len() < GZIP_BYTES_MIN {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to a Vec cannot fail.
    encoder.write_all(document).ok()?;
    encoder.finish().ok()
}

/// Whether what is no answer is a page for people, by what it says of itself or by how it begins.
pub(super) fn is_html(page: &[u8], content_type: &str) -> bool {
    /// A prolog and a comment may stand before it.
    const START_BYTES: usize = 1 << 10;
    let start = page.get(..page.len().min(START_BYTES)).unwrap_or_default().to_ascii_lowercase();
    let has = |tag: &[u8]| start.windows(tag.len()).any(|window| window == tag);
    let is_named_so = content_type.to_ascii_lowercase().contains("html");
    // Some servers call everything HTML, and results may hold some.
    !has(b"<methodresponse") && (is_named_so || has(b"<!doctype html") || has(b"<html"))
}

/// The first line of text on a page: without tags, since an HTML page begins with many that say
/// nothing, and without styles and scripts. A title is a line of its own.
pub(super) fn first_line(page: &[u8]) -> String {
    let page =
        String::from_utf8_lossy(page.get(..page.len().min(PAGE_BYTES_MAX)).unwrap_or_default());
    let mut rest = &*page;
    let mut line = String::new();
    while let Some((text, after)) = rest.split_once('<') {
        let is_title = starts_with(after, "/title");
        if take_line(text, &mut line) || (is_title && !line.trim().is_empty()) {
            return shown(&line);
        }
        line.push(' ');
        let end_at = match ["style", "script"].into_iter().find(|name| starts_with(after, name)) {
            // On to its end tag.
            Some(name) => after
                .match_indices("</")
                .map(|(at, _)| at)
                .find(|at| after.get(at + 2..).is_some_and(|rest| starts_with(rest, name))),
            None => after.find('>').map(|at| at + 1),
        };
        rest = end_at.and_then(|end| after.get(end..)).unwrap_or_default();
    }
    take_line(rest, &mut line);
    shown(&line)
}

fn starts_with(text: &str, name: &str) -> bool {
    text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// Adds text to a line, up to the line's end. Whether that has come.
fn take_line(text: &str, line: &mut String) -> bool {
    for c in text.chars() {
        match c {
            '\n' | '\r' if !line.trim().is_empty() => return true,
            _ if c.is_control() => line.push(' '),
            _ => line.push(c),
        }
    }
    false
}

fn shown(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.join(" ").chars().take(FIRST_LINE_CHARS_MAX).collect()
}
