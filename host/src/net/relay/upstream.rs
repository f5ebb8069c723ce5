//! tiny_http behind the gate: a server on a private Unix socket, and connections to it.
//!
//! Only vetted and rewritten requests come this way, one at a time on each connection. Connections
//! are opened one after the other, and each must be served before the next is opened. They are
//! then kept.
//!
//! The reason is tiny_http's thread pool: it counts a thread that was woken, but has not run yet,
//! as free. When several connections come at once, one can wait in its queue as long as the others
//! live.

use super::carried::to_bytes;
use crate::net::error::Error;
use crate::net::http1::reply::Reply;
use crate::net::unix::listen_privately;
use crate::request::Request;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a new connection asks for, to be proven served.
pub(crate) const PROOF_TARGET: &str = "/-";

/// A new connection's proof may take so long.
const PROOF_MAX: Duration = Duration::from_secs(10);
/// How long it takes to notice that nobody waits for a response any more.
const LOOK: Duration = Duration::from_millis(50);
/// A response's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
const FIELDS_MAX: usize = 32;

/// The way to tiny_http.
pub(crate) struct Upstream {
    /// Kept open: the socket is reached through it, because a path of a socket is at most 107 bytes
    /// long.
    _directory: File,
    path: PathBuf,
    opening: Mutex<()>,
}

impl Upstream {
    /// Starts tiny_http on a socket in `private`. It trusts every client as the gate, so the
    /// socket's own mode admits nobody else, even if others may enter the directory.
    pub(crate) fn start(private: &Path) -> Result<(Self, tiny_http::Server), Error> {
        static SERVERS: AtomicU32 = AtomicU32::new(0);
        let number = SERVERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("http-{}-{number}.sock", std::process::id());
        let failed =
            |source| Error::Bind { what: private.join(&name).display().to_string(), source };
        remove_stale(private);
        let directory = File::open(private).map_err(failed)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()));
        let listener = listen_privately(&path).map_err(failed)?;
        let server = tiny_http::Server::from_listener(listener, None)
            .map_err(|source| failed(io::Error::other(source.to_string())))?;
        Ok((Self { _directory: directory, path, opening: Mutex::default() }, server))
    }

    /// Opens a connection and waits until tiny_http serves it.
    pub(crate) fn open(&self) -> io::Result<UnixStream> {
        let _one_at_a_time = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stream = UnixStream::connect(&self.path)?;
        stream.set_read_timeout(Some(PROOF_MAX))?;
        write!(stream, "GET {PROOF_TARGET} HTTP/1.1\r\nHost: hotcall\r\n\r\n")?;
        read_reply(&mut stream, true)?;
        Ok(stream)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // After a kill, the next server removes it.
        drop(fs::remove_file(&self.path));
    }
}

/// Has tiny_http answer a request, unless nobody waits for that any more. The connection is in step
/// afterwards unless this fails.
pub(crate) fn exchange(
    stream: &mut UnixStream,
    request: &Request,
    deadline: Instant,
    is_wanted: impl Fn() -> bool,
) -> io::Result<Reply> {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = if left.is_zero() { return Err(io::ErrorKind::TimedOut.into()) } else { left };
    stream.set_write_timeout(Some(left))?;
    stream.set_read_timeout(Some(LOOK))?;
    stream.write_all(&to_bytes(request))?;
    let mut stream = Patient { stream, is_patient: || Instant::now() < deadline && is_wanted() };
    read_reply(&mut stream, request.head.method == "HEAD")
}

/// Waits for bytes as long as somebody wants them.
struct Patient<'a, F> {
    stream: &'a mut UnixStream,
    is_patient: F,
}

impl<F: Fn() -> bool> Read for Patient<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && (self.is_patient)() => {}
                read => return read,
            }
        }
    }
}

fn read_reply(stream: &mut impl Read, has_no_body: bool) -> io::Result<Reply> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut bytes = Vec::with_capacity(HEAD_BYTES_MAX / 16);
    loop {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let parsed = response.parse(&bytes).map_err(|error| broken(&error.to_string()))?;
        if let httparse::Status::Complete(length) = parsed {
            let given = response
                .headers
                .iter()
                .find(|field| field.name.eq_ignore_ascii_case("content-length"));
            let given = given
                .and_then(|field| std::str::from_utf8(field.value).ok()?.parse::<usize>().ok());
            let body_length = if has_no_body { 0 } else { given.unwrap_or(0) };
            let mut body = bytes.split_off(length);
            let missing = body_length
                .checked_sub(body.len())
                .ok_or_else(|| broken("more than the body came"))?;
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

/// Removes sockets that killed servers left: those where nobody listens.
fn remove_stale(private: &Path) {
    let Ok(entries) = fs::read_dir(private) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_ours =
            name.starts_with("http-") && path.extension().is_some_and(|end| end == "sock");
        if is_ours
            && UnixStream::connect(&path)
                .is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
        {
            drop(fs::remove_file(&path));
        }
    }
}
