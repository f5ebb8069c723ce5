//! Between tiny_http's requests and ours: reads bodies to their limit, writes responses, and keeps tiny_http from
//! what it does with a body that nobody read.

use crate::web::{Request, Response};
use std::io::{self, Cursor, Read, Write};
use std::mem::ManuallyDrop;
use std::time::Instant;

/// Why a body was not read.
pub(super) enum Problem {
    /// Longer than the limit.
    TooLarge,
    /// The connection or its chunks broke.
    Broken(io::Error),
}

/// What is read and thrown away of a refused body, so that its connection can go on.
const DISCARD_BYTES_MAX: u64 = 64 << 20;

/// Reads the whole body.
pub(super) fn read(request: &mut tiny_http::Request, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let declared = request.body_length();
    if declared.is_some_and(|length| length > bytes_max) {
        return Err(Problem::TooLarge);
    }
    /// Reserved before the first byte has come.
    const RESERVE_BYTES_MAX: usize = 64 << 10;
    let mut body = Vec::with_capacity(declared.unwrap_or(0).min(RESERVE_BYTES_MAX));
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    request.as_reader().take(limit).read_to_end(&mut body).map_err(Problem::Broken)?;
    if body.len() > bytes_max {
        return Err(Problem::TooLarge);
    }
    if declared.is_some_and(|length| length != body.len()) {
        let missing = io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than its Content-Length");
        return Err(Problem::Broken(missing));
    }
    Ok(body)
}

/// The request as the application sees it.
pub(super) fn describe(
    request: &tiny_http::Request,
    body: Vec<u8>,
    is_local: bool,
    id: String,
    arrived: Instant,
) -> Request {
    let coding = request.headers().iter().find(|header| header.field.equiv("Content-Encoding"));
    Request {
        method: request.method().to_string(),
        target: request.url().to_owned(),
        content_encoding: coding.map(|header| header.value.to_string()),
        body,
        caller_address: request.remote_addr().map(ToString::to_string).unwrap_or_default(),
        is_local,
        id,
        arrived,
    }
}

/// Answers a request whose body was read.
pub(super) fn respond(request: tiny_http::Request, response: Response) {
    if let Err(error) = request.respond(framed(response)) {
        log::debug!("a response could not be sent: {error}");
    }
}

/// Answers a request whose body was not read to its end.
///
/// When tiny_http drops such a request it first reads the rest into a buffer as large as the length that the
/// client declared, which lets a client choose how much memory that takes, up to the process's end. So the rest
/// is read here in small pieces first; and where there is too much of it, the connection is abandoned.
pub(super) fn refuse(mut request: tiny_http::Request, response: Response) {
    let declared = request.body_length().map(|length| u64::try_from(length).unwrap_or(u64::MAX));
    if declared.is_some_and(|length| length > DISCARD_BYTES_MAX) {
        return abandon(request, &response);
    }
    // A client that waits for "100 Continue" gets it here, and then sends.
    let discarded = io::copy(&mut request.as_reader().take(DISCARD_BYTES_MAX), &mut io::sink());
    match discarded {
        Ok(DISCARD_BYTES_MAX) if declared.is_none() => abandon(request, &response),
        _ => respond(request, response),
    }
}

/// Answers, and never reads from this connection again: its reader is never dropped, which costs its socket
/// until the process ends.
fn abandon(request: tiny_http::Request, response: &Response) {
    log::warn!(
        "a connection from {} was abandoned: its request body is too large to be thrown away",
        request.remote_addr().map(ToString::to_string).unwrap_or_default()
    );
    // tiny_http lends out a connection only as an upgrade. Announced as an interim response it changes nothing
    // for the client, who reads on to the final one.
    let mut stream = ManuallyDrop::new(request.upgrade("none", tiny_http::Response::empty(100)));
    let head = format!(
        "HTTP/1.1 {} {}\r\nContent-Length: {}\r\nConnection: close\r\n",
        response.status,
        tiny_http::StatusCode(response.status).default_reason_phrase(),
        response.body.len()
    );
    let fields = response.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let mut bytes: Vec<u8> = std::iter::once(head).chain(fields).collect::<String>().into_bytes();
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&response.body);
    if let Err(error) = stream.write_all(&bytes).and_then(|()| stream.flush()) {
        log::debug!("a response could not be sent: {error}");
    }
}

fn framed(response: Response) -> tiny_http::Response<Cursor<Vec<u8>>> {
    let headers = response
        .headers
        .iter()
        .chain(&[("Server", concat!("Hotcall/", env!("CARGO_PKG_VERSION")))])
        .filter_map(|(name, value)| tiny_http::Header::from_bytes(*name, *value).ok())
        .collect();
    let length = response.body.len();
    // Always with a Content-Length: some clients cannot read chunks.
    tiny_http::Response::new(response.status.into(), headers, Cursor::new(response.body), Some(length), None)
        .with_chunked_threshold(usize::MAX)
}
