//! From a response to its bytes on the wire. Knows no sockets.

use super::head::{Refusal, Version};
use crate::web::Response;
use httpdate::HttpDate;
use smol_str::{SmolStr, ToSmolStr, format_smolstr};
use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// Up to here a body is copied behind its head, so that both go in one write, and in one TLS record where that holds them.
const JOINED_BYTES_MAX: usize = 16 << 10;
/// Most heads are shorter.
const HEAD_BYTES: usize = 256;

/// A response: its head in HTTP/1.1 without what says how the connection goes on, and its body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// Only its head, as HEAD is answered.
    pub(super) fn without_body(mut self) -> Self {
        self.body.clear();
        self
    }

    /// Its bytes for a client of this version, whose connection is kept or not.
    pub(super) fn framed(self, version: Version, is_kept: bool) -> Outgoing {
        let Self { mut head, body } = self;
        if version == Version::Http10
            && let Some(minor) = head.get_mut("HTTP/1.".len())
        {
            *minor = b'0';
        }
        let connection = if is_kept { "Connection: keep-alive\r\n\r\n" } else { "Connection: close\r\n\r\n" };
        head.extend_from_slice(connection.as_bytes());
        if body.len() <= JOINED_BYTES_MAX {
            head.extend_from_slice(&body);
            return Outgoing::from(head);
        }
        Outgoing { first: head, second: body, written: 0 }
    }
}

impl From<Response> for Reply {
    /// As tiny_http writes it: the same fields in the same order.
    fn from(Response { status, headers, body }: Response) -> Self {
        let phrase = tiny_http::StatusCode(status).default_reason_phrase();
        let length = body.len();
        let joined = if length <= JOINED_BYTES_MAX { length } else { 0 };
        let mut head = Vec::with_capacity(HEAD_BYTES + joined);
        let mut add = |text: &str| head.extend_from_slice(text.as_bytes());
        add("HTTP/1.1 ");
        add(&format_smolstr!("{status} "));
        add(phrase);
        add("\r\nDate: ");
        add(&date());
        for (name, value) in headers {
            add("\r\n");
            add(name);
            add(": ");
            add(&value);
        }
        add(concat!("\r\nServer: Hotcall/", env!("CARGO_PKG_VERSION"), "\r\nContent-Length: "));
        add(&format_smolstr!("{length}\r\n"));
        Self { head, body }
    }
}

impl From<Refusal> for Reply {
    fn from(Refusal { status, why }: Refusal) -> Self {
        Response::text(status, why).into()
    }
}

/// This second, as a `Date` field has it (RFC 9110, section 6.6.1).
fn date() -> SmolStr {
    thread_local! {
        static WRITTEN: RefCell<(u64, SmolStr)> = const { RefCell::new((0, SmolStr::new_static(""))) };
    }
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    WRITTEN.with_borrow_mut(|(written, text)| {
        if text.is_empty() || *written != second {
            (*written, *text) = (second, HttpDate::from(now).to_smolstr());
        }
        text.clone()
    })
}

/// Bytes on their way to a client.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    first: Vec<u8>,
    second: Vec<u8>,
    written: usize,
}

impl Outgoing {
    /// Writes what is left, as far as the stream takes it.
    ///
    /// # Errors
    /// What the stream says: of kind `WouldBlock` when it takes no more now.
    pub(super) fn write_to(&mut self, stream: &mut impl Write) -> io::Result<()> {
        loop {
            let rest = self.first.get(self.written..).filter(|rest| !rest.is_empty());
            let behind = self.written.saturating_sub(self.first.len());
            let Some(rest) = rest.or_else(|| self.second.get(behind..).filter(|rest| !rest.is_empty()))
            else {
                return Ok(());
            };
            match stream.write(rest) {
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
        write!(f, "{} of {} bytes have gone", self.written, self.first.len() + self.second.len())
    }
}

impl From<Vec<u8>> for Outgoing {
    fn from(bytes: Vec<u8>) -> Self {
        Self { first: bytes, second: Vec::new(), written: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let reply = || Reply { head: b"HTTP/1.1 200 OK\r\nA: b\r\n".to_vec(), body: b"body".to_vec() };
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
    fn a_long_body_follows_whole() {
        let body = "0123456789".repeat(JOINED_BYTES_MAX / 5);
        let reply = Reply { head: b"HTTP/1.1 200 OK\r\n".to_vec(), body: body.clone().into_bytes() };
        let text = written(reply, Version::Http11, true);
        assert_eq!(text.split_once("\r\n\r\n").unwrap().1, body);
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
