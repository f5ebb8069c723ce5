//! tiny_http behind the gate: a server on a private Unix socket, and the few connections that lead to it.
//!
//! Only vetted requests, written anew, come this way, one at a time on each connection. Connections are opened
//! one after the other, each proven to be served before the next, and then kept: tiny_http's thread pool strands a
//! connection for as long as others live when several come at once.

use super::Error;
use super::head::Head;
use super::listener::listen_privately;
use crate::web::Way;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Carries the client's address to the worker. What clients send under these names is never passed on.
pub(super) const ADDRESS_FIELD: &str = "Hotcall-Address";
/// Carries the request's id.
pub(super) const ID_FIELD: &str = "Hotcall-Request";
/// Carries [`Way`]'s word for how the request came.
pub(super) const WAY_FIELD: &str = "Hotcall-Way";
/// Says that it came through TLS; not there otherwise.
pub(super) const TLS_FIELD: &str = "Hotcall-Tls";
/// Carries the name that the client has proven already, in base64, because tiny_http takes ASCII only.
pub(super) const NAME_FIELD: &str = "Hotcall-Name";
/// Carries the host that the client wanted to reach.
pub(super) const HOST_FIELD: &str = "Hotcall-Host";
/// Carries how long the request has waited already, in milliseconds.
pub(super) const WAITED_FIELD: &str = "Hotcall-Waited-Ms";
/// What a new connection asks for, to be proven served.
pub(super) const PROOF_TARGET: &str = "/-";

/// A new connection's proof may take so long.
const PROOF_MS_MAX: Duration = Duration::from_secs(10);
/// A response's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
const FIELDS_MAX: usize = 32;

/// The way to tiny_http.
pub(super) struct Upstream {
    /// Kept open: the socket is reached through it, because a path of a socket is at most 107 bytes long.
    _directory: File,
    path: PathBuf,
    pool: Mutex<Pool>,
    freed: Condvar,
    connections_max: usize,
    waiting_max: usize,
}

#[derive(Default)]
struct Pool {
    idle: Vec<UnixStream>,
    open: usize,
    opening: bool,
    waiting: usize,
}

/// A response: its head without the empty line, and its body.
pub(super) struct Reply {
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// Why there is no response.
pub(super) enum Failure {
    /// As many requests as may wait are waiting.
    Full,
    /// The deadline passed.
    Late,
    /// tiny_http or the connection to it failed.
    Broken(io::Error),
}

/// Who is at the other end of a connection, as far as the connection shows it.
pub(super) struct Peer<'a> {
    pub(super) address: &'a str,
    pub(super) way: Way,
    pub(super) is_encrypted: bool,
    /// The user of whom a verified certificate speaks; empty when there is none.
    pub(super) name: &'a str,
}

/// A vetted request on its way.
pub(super) struct Passage<'a> {
    pub(super) head: &'a Head,
    pub(super) body: &'a [u8],
    pub(super) peer: &'a Peer<'a>,
    pub(super) id: &'a str,
    pub(super) begun: Instant,
    pub(super) deadline: Instant,
}

impl Upstream {
    /// Starts tiny_http on a socket in `private`. Whoever reaches it is believed to be the gate, so nobody else may: the
    /// socket's own mode sees to that, whoever may enter the directory.
    pub(super) fn start(
        private: &Path,
        connections_max: usize,
        waiting_max: usize,
    ) -> Result<(Self, tiny_http::Server), Error> {
        static SERVERS: AtomicU32 = AtomicU32::new(0);
        let number = SERVERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("http-{}-{number}.sock", std::process::id());
        let failed = |source| Error::Bind { what: private.join(&name).display().to_string(), source };
        remove_stale(private);
        let directory = File::open(private).map_err(failed)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()));
        let listener = listen_privately(&path).map_err(failed)?;
        let server = tiny_http::Server::from_listener(listener, None)
            .map_err(|source| failed(io::Error::other(source.to_string())))?;
        let upstream = Self {
            _directory: directory,
            path,
            pool: Mutex::default(),
            freed: Condvar::new(),
            connections_max,
            waiting_max,
        };
        Ok((upstream, server))
    }

    /// Passes a request on and waits for its response.
    pub(super) fn exchange(&self, passage: &Passage<'_>) -> Result<Reply, Failure> {
        let mut connection = Lease::new(self, passage.deadline)?;
        let answered = connection.stream.as_mut().map(|stream| answer(stream, passage));
        match answered {
            Some(Ok(reply)) => {
                connection.is_sound = true;
                Ok(reply)
            }
            Some(Err(error)) if is_timeout(&error) => Err(Failure::Late),
            Some(Err(error)) => Err(Failure::Broken(error)),
            None => Err(Failure::Broken(io::ErrorKind::NotConnected.into())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        // Nothing panics under the lock, so a poisoned pool is whole.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection and waits until tiny_http serves it.
    fn open(&self) -> io::Result<UnixStream> {
        let mut stream = UnixStream::connect(&self.path)?;
        stream.set_read_timeout(Some(PROOF_MS_MAX))?;
        write!(stream, "GET {PROOF_TARGET} HTTP/1.1\r\nHost: hotcall\r\n\r\n")?;
        read_reply(&mut stream, true)?;
        Ok(stream)
    }
}

/// A connection lent to one request. Goes back to the pool if it is still in step.
struct Lease<'a> {
    upstream: &'a Upstream,
    stream: Option<UnixStream>,
    is_sound: bool,
}

impl<'a> Lease<'a> {
    fn new(upstream: &'a Upstream, deadline: Instant) -> Result<Self, Failure> {
        let mut pool = upstream.lock();
        loop {
            if let Some(stream) = pool.idle.pop() {
                return Ok(Self { upstream, stream: Some(stream), is_sound: false });
            }
            if pool.open < upstream.connections_max && !pool.opening {
                pool.open += 1;
                pool.opening = true;
                drop(pool);
                let opened = upstream.open();
                upstream.lock().opening = false;
                upstream.freed.notify_all();
                // From here on the lease gives the place back when it goes.
                let mut lease = Self { upstream, stream: None, is_sound: false };
                lease.stream = Some(opened.map_err(Failure::Broken)?);
                return Ok(lease);
            }
            if pool.waiting >= upstream.waiting_max {
                return Err(Failure::Full);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::Late);
            }
            pool.waiting += 1;
            pool = upstream.freed.wait_timeout(pool, left).unwrap_or_else(PoisonError::into_inner).0;
            pool.waiting -= 1;
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut pool = self.upstream.lock();
        match self.stream.take().filter(|_| self.is_sound) {
            Some(stream) => pool.idle.push(stream),
            None => pool.open -= 1,
        }
        drop(pool);
        self.upstream.freed.notify_one();
    }
}

fn answer(stream: &mut UnixStream, passage: &Passage<'_>) -> io::Result<Reply> {
    let Passage { head, body, deadline, .. } = passage;
    let mut bytes = fields(passage).into_bytes();
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    let left = deadline.saturating_duration_since(Instant::now());
    let left = if left.is_zero() { return Err(io::ErrorKind::TimedOut.into()) } else { left };
    stream.set_write_timeout(Some(left))?;
    stream.set_read_timeout(Some(left))?;
    stream.write_all(&bytes)?;
    read_reply(stream, head.method == "HEAD")
}

/// The request's line and fields, written anew.
fn fields(passage: &Passage<'_>) -> String {
    let Passage { head, body, peer, id, begun, .. } = passage;
    let mut fields = format!("{} {} HTTP/1.1\r\nHost: hotcall\r\n", head.method, head.target);
    let mut add = |name: &str, value: &str| {
        fields.extend([name, ": ", value, "\r\n"]);
    };
    add("Content-Length", &body.len().to_string());
    add(ADDRESS_FIELD, peer.address);
    add(WAY_FIELD, peer.way.name());
    add(ID_FIELD, id);
    add(WAITED_FIELD, &begun.elapsed().as_millis().to_string());
    if head.accepts_gzip {
        add("Accept-Encoding", "gzip");
    }
    if peer.is_encrypted {
        add(TLS_FIELD, "1");
    }
    if !peer.name.is_empty() {
        add(NAME_FIELD, &BASE64.encode(peer.name));
    }
    let claims = &head.claims;
    for (name, value) in [
        ("Content-Encoding", &head.content_encoding),
        ("Content-Type", &head.content_type),
        (HOST_FIELD, &claims.host),
        ("Origin", &claims.origin),
        ("Sec-Fetch-Site", &claims.fetch_site),
        ("Authorization", &claims.authorization),
    ] {
        if let Some(value) = value {
            add(name, value);
        }
    }
    fields
}

fn read_reply(stream: &mut UnixStream, has_no_body: bool) -> io::Result<Reply> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut bytes = Vec::with_capacity(HEAD_BYTES_MAX / 16);
    loop {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let parsed = response.parse(&bytes).map_err(|error| broken(&error.to_string()))?;
        if let httparse::Status::Complete(length) = parsed {
            let given =
                response.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
            let given = given.and_then(|field| std::str::from_utf8(field.value).ok()?.parse::<usize>().ok());
            let body_length = if has_no_body { 0 } else { given.unwrap_or(0) };
            let mut body = bytes.split_off(length);
            let missing =
                body_length.checked_sub(body.len()).ok_or_else(|| broken("more than the body came"))?;
            stream.take(missing as u64).read_to_end(&mut body)?;
            if body.len() != body_length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.truncate(length - b"\r\n".len());
            return Ok(Reply { head: bytes, body });
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(broken("the response's head does not end"));
        }
        if stream.take(HEAD_BYTES_MAX as u64).read_some(&mut bytes)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Reads once, to the end of a vector.
trait ReadSome: Read {
    fn read_some(&mut self, into: &mut Vec<u8>) -> io::Result<usize>;
}

impl<R: Read> ReadSome for R {
    fn read_some(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        const READ_BYTES: usize = 4 << 10;
        let mut piece = [0; READ_BYTES];
        let count = self.read(&mut piece)?;
        into.extend_from_slice(piece.get(..count).unwrap_or_default());
        Ok(count)
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// Removes sockets that killed servers left: those where nobody listens.
fn remove_stale(private: &Path) {
    let Ok(entries) = fs::read_dir(private) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_ours = name.starts_with("http-") && path.extension().is_some_and(|end| end == "sock");
        if is_ours && UnixStream::connect(&path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
        {
            drop(fs::remove_file(&path));
        }
    }
}
