//! From a response to its bytes on the wire. Knows no sockets.

use super::head::Version;
use super::refusal::Refusal;
use crate::net::tls::RECORD_BYTES_MAX;
use crate::web::{Header, Response};
use httpdate::HttpDate;
use rustix::time::{ClockId, clock_gettime};
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice, Write};
use std::time::{Duration, UNIX_EPOCH};

/// Up to here a body is copied behind its head, because a TLS record is made from one piece of
/// memory.
const JOINED_BYTES_MAX: usize = RECORD_BYTES_MAX;
/// Most heads are shorter.
const HEAD_BYTES: usize = 256;

/// A response: its head in HTTP/1.1 without what says how the connection goes on, and its body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Only its head, as HEAD is answered.
    pub(crate) fn without_body(mut self) -> Self {
        self.body.clear();
        self
    }

    /// Its bytes for a client of this version, whose connection is kept or not.
    pub(crate) fn framed(self, version: Version, is_kept: bool) -> Outgoing {
        let Self { mut head, body } = self;
        if version == Version::Http10
            && let Some(minor) = head.get_mut("HTTP/1.".len())
        {
            *minor = b'0';
        }
        let connection =
            if is_kept { "Connection: keep-alive\r\n\r\n" } else { "Connection: close\r\n\r\n" };
        head.extend_from_slice(connection.as_bytes());
        let room = JOINED_BYTES_MAX.saturating_sub(head.len());
        match body.split_at_checked(room) {
            Some((joined, [_, ..])) => {
                head.extend_from_slice(joined);
                Outgoing { first: head, second: body, joined: room, written: 0 }
            }
            _ => {
                head.extend_from_slice(&body);
                Outgoing::from(head)
            }
        }
    }
}

impl From<Response> for Reply {
    /// As tiny_http writes it: the same fields in the same order.
    fn from(Response { status, headers, body }: Response) -> Self {
        let length = body.len();
        let mut head = Vec::with_capacity(JOINED_BYTES_MAX.min(HEAD_BYTES + length));
        match headers {
            Cow::Borrowed(headers) => add_template(&mut head, status, headers),
            Cow::Owned(headers) => {
                add_template(&mut head, status, &[]);
                add_fields(&mut head, &headers);
            }
        }
        let mut add = |text: &str| head.extend_from_slice(text.as_bytes());
        add(concat!("\r\nServer: Hotcall/", env!("CARGO_PKG_VERSION"), "\r\nContent-Length: "));
        add(itoa::Buffer::new().format(length));
        add("\r\n");
        Self { head, body }
    }
}

impl From<Refusal> for Reply {
    fn from(Refusal { status, why }: Refusal) -> Self {
        Response::text(status, why).into()
    }
}

/// Adds the status line, the `Date` field (RFC 9110, section 6.6.1) and these fields, without the
/// last line's end. A thread formats them only for another second, status or list.
fn add_template(head: &mut Vec<u8>, status: u16, headers: &'static [Header]) {
    thread_local! {
        static LAST: RefCell<Template> = const { RefCell::new(Template::NONE) };
    }
    let second = second();
    LAST.with_borrow_mut(|last| {
        let is_same =
            (last.status, last.second) == (status, second) && std::ptr::eq(last.headers, headers);
        if !is_same {
            *last = Template::new(status, second, headers);
        }
        head.extend_from_slice(&last.bytes);
    });
}

/// The seconds since 1970. The coarse clock is a few milliseconds late, and reading it takes a
/// tenth of the time.
fn second() -> u64 {
    u64::try_from(clock_gettime(ClockId::RealtimeCoarse).tv_sec).unwrap_or_default()
}

fn add_fields(head: &mut Vec<u8>, headers: &[Header]) {
    for (name, value) in headers {
        for text in ["\r\n", name, ": ", value] {
            head.extend_from_slice(text.as_bytes());
        }
    }
}

/// How the heads of responses with this status and these fields begin in this second.
struct Template {
    status: u16,
    second: u64,
    headers: &'static [Header],
    bytes: Vec<u8>,
}

impl Template {
    /// Of no response: no status is 0.
    const NONE: Self = Self { status: 0, second: 0, headers: &[], bytes: Vec::new() };

    fn new(status: u16, second: u64, headers: &'static [Header]) -> Self {
        let phrase = tiny_http::StatusCode(status).default_reason_phrase();
        let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(second));
        let mut bytes = format!("HTTP/1.1 {status} {phrase}\r\nDate: {date}").into_bytes();
        add_fields(&mut bytes, headers);
        Self { status, second, headers, bytes }
    }
}

/// Bytes on their way to a client.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    first: Vec<u8>,
    second: Vec<u8>,
    /// So many bytes of `second` stand at the end of `first`.
    joined: usize,
    written: usize,
}

impl Outgoing {
    /// How many bytes the stream has taken.
    pub(crate) const fn written(&self) -> usize {
        self.written
    }

    /// Writes what is left, as far as the stream takes it, which is offered all of it each time.
    /// Done when the stream holds none back.
    ///
    /// # Errors
    /// What the stream says: of kind `WouldBlock` when it takes no more now.
    pub(crate) fn write_to(&mut self, stream: &mut impl Write) -> io::Result<()> {
        loop {
            let first = self.first.get(self.written..).unwrap_or_default();
            let behind = self.written.saturating_sub(self.first.len());
            let second = self.second.get(self.joined + behind..).unwrap_or_default();
            let written = match (first, second) {
                ([], []) => return stream.flush(),
                (only, []) | ([], only) => stream.write(only),
                _ => stream.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl fmt::Display for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.first.len() + self.second.len() - self.joined;
        write!(f, "{} of {bytes} bytes have gone", self.written)
    }
}

impl From<Vec<u8>> for Outgoing {
    fn from(bytes: Vec<u8>) -> Self {
        Self { first: bytes, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    /// Takes so many bytes at a time, and now and then none.
    struct Slow(Vec<u8>, usize);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.len() % 2 == 1 {
                self.0.push(bytes[0]);
                return Ok(1);
            }
            self.0.extend(&bytes[..self.1.min(bytes.len())]);
            Ok(self.1.min(bytes.len()))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(reply: Reply, version: Version, is_kept: bool) -> String {
        let mut slow = Slow(Vec::new(), 7);
        reply.framed(version, is_kept).write_to(&mut slow).unwrap();
        String::from_utf8(slow.0).unwrap()
    }

    #[test]
    fn the_client_s_version_and_wish_stand_in_the_head() {
        let reply =
            || Reply { head: b"HTTP/1.1 200 OK\r\nA: b\r\n".to_vec(), body: b"body".to_vec() };
        assert_eq!(
            written(reply(), Version::Http10, false),
            "HTTP/1.0 200 OK\r\nA: b\r\nConnection: close\r\n\r\nbody"
        );
        assert_eq!(
            written(reply().without_body(), Version::Http11, true),
            "HTTP/1.1 200 OK\r\nA: b\r\nConnection: keep-alive\r\n\r\n"
        );
    }

    #[test]
    fn a_body_follows_whole_however_long_it_is() {
        let head = b"HTTP/1.1 200 OK\r\n";
        let joined = JOINED_BYTES_MAX - head.len() - "Connection: keep-alive\r\n\r\n".len();
        for bytes in [0, 1, joined - 1, joined, joined + 1, 3 * JOINED_BYTES_MAX] {
            let body: String = ('a'..='y').cycle().take(bytes).collect();
            let reply = Reply { head: head.to_vec(), body: body.clone().into_bytes() };
            let text = written(reply, Version::Http11, true);
            assert!(text.split_once("\r\n\r\n").unwrap().1 == body, "{bytes} bytes");
        }
    }

    /// Takes so many bytes at a time, of whatever pieces, and each other time none. Holds all back
    /// until it is flushed, which it refuses once.
    struct Narrow {
        room: usize,
        come: Vec<u8>,
        offers: Vec<usize>,
        is_open: bool,
        flushes: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.write_vectored(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
            self.is_open = !self.is_open;
            if !self.is_open {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.offers.push(parts.iter().map(|part| part.len()).sum());
            let before = self.come.len();
            self.come.extend(parts.iter().flat_map(|part| part.iter()).take(self.room));
            Ok(self.come.len() - before)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.flushes += 1;
            if self.flushes == 1 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        }
    }

    #[test]
    fn what_is_left_is_offered_whole_each_time_and_is_gone_when_it_is_flushed() {
        let body = vec![b'x'; 3 * JOINED_BYTES_MAX];
        for room in
            [1_000, JOINED_BYTES_MAX - 1, JOINED_BYTES_MAX, JOINED_BYTES_MAX + 1, usize::MAX]
        {
            let reply = Reply { head: b"HTTP/1.1 200 OK\r\n".to_vec(), body: body.clone() };
            let mut outgoing = reply.framed(Version::Http11, false);
            let mut narrow =
                Narrow { room, come: Vec::new(), offers: Vec::new(), is_open: false, flushes: 0 };
            while let Err(error) = outgoing.write_to(&mut narrow) {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            }
            let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
            assert!(narrow.come == [&head[..], &body].concat(), "{room} at a time");
            let bytes = narrow.come.len();
            let offers: Vec<usize> = (0..bytes).step_by(room).map(|gone| bytes - gone).collect();
            assert_eq!(narrow.offers, offers);
            assert_eq!(narrow.flushes, 2);
            assert_eq!(outgoing.to_string(), format!("{bytes} of {bytes} bytes have gone"));
        }
    }

    #[test]
    fn a_template_is_of_the_response_s_own_status_and_fields() {
        for (status, line) in [
            (200, "HTTP/1.1 200 OK\r\nDate: "),
            (503, "HTTP/1.1 503 Service Unavailable\r\nDate: "),
            (200, "HTTP/1.1 200 OK\r\nDate: "),
        ] {
            let head = String::from_utf8(Reply::from(Response::text(status, "")).head).unwrap();
            assert!(head.starts_with(line), "{head}");
            let date = head.strip_prefix(line).unwrap().split("\r\n").next().unwrap();
            let date = httpdate::parse_http_date(date).unwrap();
            let age = SystemTime::now().duration_since(date).unwrap();
            assert!(age.as_secs() < 60, "{head}");
        }
        static LISTS: [&[Header]; 3] =
            [&[("A", Cow::Borrowed("1"))], &[("B", Cow::Borrowed("2"))], &[]];
        for list in [0, 1, 0, 2, 2, 1] {
            let headers = LISTS[list];
            let response = |headers| Response { status: 200, headers, body: Vec::new() };
            let of_static = Reply::from(response(Cow::Borrowed(headers))).head;
            let of_owned = Reply::from(response(Cow::Owned(headers.to_vec()))).head;
            let fields = |head: Vec<u8>| {
                let head = String::from_utf8(head).unwrap();
                head.lines().skip(2).map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(fields(of_static.clone()), fields(of_owned));
            let text = String::from_utf8(of_static).unwrap();
            assert_eq!(text.contains("\r\nA: 1\r\n"), list == 0, "{text}");
            assert_eq!(text.contains("\r\nB: 2\r\n"), list == 1, "{text}");
        }
    }

    #[test]
    fn a_response_s_fields_are_written() {
        let reply = Reply::from(Response::text(405, "No.").with_header("Allow", "POST"));
        let head = String::from_utf8(reply.head).unwrap();
        assert!(head.starts_with("HTTP/1.1 405 Method Not Allowed\r\nDate: "), "{head}");
        assert!(
            head.contains(
                "GMT\r\nContent-Type: text/plain; charset=utf-8\r\nAllow: POST\r\nServer: Hotcall/"
            ),
            "{head}"
        );
        assert!(head.ends_with("\r\nContent-Length: 4\r\n"), "{head}");
        assert_eq!(reply.body, b"No.\n");
    }
}
