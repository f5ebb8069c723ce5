//! Reading whole requests from a connection, each part to its limit and by its deadline.

use super::head::{self, Framing, Head, Refusal};
use super::stream::Stream;
use crate::limits::Limits;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// A chunk's size line with its extensions, or the trailer after the last chunk.
const CHUNK_LINE_BYTES_MAX: usize = 4_096;
/// Read at once.
const READ_BYTES: usize = 16 << 10;

/// A connection's incoming side: what has come and is not used yet.
pub(super) struct Inbound {
    pub(super) stream: Stream,
    buffer: Vec<u8>,
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
    pub(super) const fn new(stream: Stream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Whether something of a further request has come already.
    pub(super) const fn has_begun(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Waits for a request and reads it whole: its head, its body, and when its first byte came.
    pub(super) fn request(&mut self, limits: &Limits) -> Result<(Head, Vec<u8>, Instant), End> {
        if self.buffer.is_empty() {
            self.stream.set_deadline(Instant::now() + Duration::from_millis(limits.idle_ms_max));
            // Idle clients are let go without a word: one is sent only to a client that waits for it.
            self.more().map_err(|_| End::Closed)?;
        }
        let begun = Instant::now();
        self.stream.set_deadline(begun + Duration::from_millis(limits.request_ms_max));
        let head = self.head(limits.header_bytes_max)?;
        if matches!(head.framing, Framing::Length(length) if length > limits.body_bytes_max as u64) {
            // Before the client is told to go on.
            return Err(too_large(limits.body_bytes_max));
        }
        if head.expects_continue && self.buffer.is_empty() {
            let told = self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
            told.map_err(|_| End::Closed)?;
        }
        let body = match head.framing {
            Framing::Length(length) => self.body(length, limits.body_bytes_max)?,
            Framing::Chunked => self.chunks(limits.body_bytes_max)?,
        };
        Ok((head, body, begun))
    }

    fn head(&mut self, bytes_max: usize) -> Result<Head, End> {
        loop {
            let parsed = head::parse(&self.buffer)?;
            let length = parsed.as_ref().map_or(self.buffer.len(), |(_, length)| *length);
            if length > bytes_max {
                let why = format!("Request header fields too large: at most {bytes_max} bytes.");
                return Err(Refusal::new(431, why).into());
            }
            if let Some((head, length)) = parsed {
                self.buffer.drain(..length);
                return Ok(head);
            }
            self.more_of_request()?;
        }
    }

    fn body(&mut self, length: u64, bytes_max: usize) -> Result<Vec<u8>, End> {
        let length = usize::try_from(length).ok().filter(|length| *length <= bytes_max);
        let length = length.ok_or_else(|| too_large(bytes_max))?;
        while self.buffer.len() < length {
            self.more_of_request()?;
        }
        Ok(self.take(length))
    }

    fn chunks(&mut self, bytes_max: usize) -> Result<Vec<u8>, End> {
        let mut body = Vec::new();
        loop {
            let size = self.chunk_size()?;
            if size == 0 {
                self.trailer()?;
                return Ok(body);
            }
            let size =
                usize::try_from(size).ok().filter(|size| *size <= bytes_max.saturating_sub(body.len()));
            let size = size.ok_or_else(|| too_large(bytes_max))?;
            while self.buffer.len() < size + 2 {
                self.more_of_request()?;
            }
            body.append(&mut self.take(size));
            if self.take(2) != b"\r\n" {
                return Err(Refusal::new(400, "Bad request: a chunk is longer than its size.").into());
            }
        }
    }

    fn chunk_size(&mut self) -> Result<u64, End> {
        let line = self.line()?;
        // httparse takes a line without digits for a size of 0.
        let has_digits = line.first().is_some_and(u8::is_ascii_hexdigit);
        match httparse::parse_chunk_size(&line) {
            Ok(httparse::Status::Complete((_, size))) if has_digits => Ok(size),
            _ => Err(Refusal::new(400, "Bad request: a chunk's size is not a number.").into()),
        }
    }

    /// Trailer fields are read over: nothing here uses them.
    fn trailer(&mut self) -> Result<(), End> {
        let mut bytes = 0;
        loop {
            let line = self.line()?;
            bytes += line.len();
            if line == b"\r\n" {
                return Ok(());
            }
            let field = [&*line, b"\r\n"].concat();
            if httparse::parse_headers(&field, &mut [httparse::EMPTY_HEADER; 1]).is_err() {
                return Err(Refusal::new(400, "Bad request: a trailer field cannot be read.").into());
            }
            if bytes > CHUNK_LINE_BYTES_MAX {
                return Err(Refusal::new(431, "Request trailer too large.").into());
            }
        }
    }

    /// A line with its CR LF.
    fn line(&mut self) -> Result<Vec<u8>, End> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.take(end + 1);
                return match line.ends_with(b"\r\n") {
                    true => Ok(line),
                    false => Err(Refusal::new(400, "Bad request: a line does not end with CR LF.").into()),
                };
            }
            if self.buffer.len() > CHUNK_LINE_BYTES_MAX {
                return Err(Refusal::new(400, "Bad request: a chunk's size line does not end.").into());
            }
            self.more_of_request()?;
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(length.min(self.buffer.len()));
        std::mem::replace(&mut self.buffer, rest)
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
        let filled = self.buffer.len();
        self.buffer.resize(filled + READ_BYTES, 0);
        let read = loop {
            match self.stream.read(self.buffer.get_mut(filled..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(filled + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn too_large(bytes_max: usize) -> End {
    Refusal::new(413, format!("Request too large: a body is at most {bytes_max} bytes.")).into()
}
