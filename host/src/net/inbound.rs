//! Reading whole requests from a connection that blocks, each by its deadline. What a request is, `framing` knows.

use super::framing::{Reader, Step};
use super::head::{Head, Refusal};
use super::stream::Stream;
use crate::limits::Limits;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// A connection's incoming side.
pub(super) struct Inbound {
    pub(super) stream: Stream,
    reader: Reader,
}

/// Why there is no further request.
pub(super) enum End {
    /// The client closed the connection, was silent for too long between requests, or broke off.
    Closed,
    /// It is told why.
    Refused(Refusal),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Inbound {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, reader: Reader::new() }
    }

    /// Whether something of a further request has come already.
    pub(super) const fn has_begun(&self) -> bool {
        self.reader.has_begun()
    }

    /// Waits for a request and reads it whole: its head, its body, and when its first byte came.
    pub(super) fn request(&mut self, limits: &Limits) -> Result<(Head, Vec<u8>, Instant), End> {
        if !self.has_begun() {
            self.stream.set_deadline(Instant::now() + Duration::from_millis(limits.idle_ms_max));
            // Idle clients are let go without a word: one is sent only to a client that waits for it.
            self.more().map_err(|_| End::Closed)?;
        }
        let begun = Instant::now();
        self.stream.set_deadline(begun + Duration::from_millis(limits.request_ms_max));
        loop {
            match self.reader.next(limits)? {
                Step::Request(head, body) => return Ok((head, body, begun)),
                Step::Wanting => self.more_of_request()?,
                Step::Continue => {
                    let told = self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
                    told.map_err(|_| End::Closed)?;
                }
            }
        }
    }

    fn more_of_request(&mut self) -> Result<(), End> {
        self.more().map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => {
                Refusal::new(408, "Request timeout: the request did not come whole in time.").into()
            }
            _ => End::Closed,
        })
    }

    fn more(&mut self) -> io::Result<()> {
        loop {
            match self.reader.fill(|room| self.stream.read(room)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => return read.map(drop),
            }
        }
    }
}
