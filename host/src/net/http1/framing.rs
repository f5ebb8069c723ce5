//! Framing: from a connection's bytes, in any pieces, to whole requests (RFC 9112, sections 6 and
//! 7).
//!
//! The same bytes give the same requests or the same refusal however they are split. Knows neither
//! sockets nor clocks.

use super::buffer::{Buffer, Spare};
use super::head::{Framing, Parsed};
use super::refusal::{Refusal, bad};
use super::{head, last_head};
use crate::limits::Limits;
use std::io;

/// A chunk's size line, with its extensions and its end.
pub(crate) const CHUNK_LINE_BYTES_MAX: usize = 4_096;
/// The trailer after the last chunk, with the empty line.
pub(crate) const TRAILER_BYTES_MAX: usize = 4_096;

/// A connection's incoming side: what has come and is not used yet, and how far the request is.
#[derive(Default)]
pub(crate) struct Reader {
    buffer: Buffer,
    /// The request whose head has come.
    pending: Option<Box<Pending>>,
}

/// What the connection does next.
#[allow(clippy::large_enum_variant, reason = "taken apart at once, and never kept")]
pub(crate) enum Step {
    /// More bytes are needed.
    Wanting,
    /// The client waits to be told "100 Continue". At most once for each request, and only when its
    /// body may come.
    Continue,
    /// A request is whole.
    Request(Parsed, Vec<u8>),
}

/// A request whose body comes.
struct Pending {
    parsed: Parsed,
    body: Vec<u8>,
    /// The body is known to be no longer than this: what was declared, else the limit.
    body_bytes_max: usize,
    part: Part,
}

/// What of a body comes next.
#[derive(Clone, Copy)]
enum Part {
    /// So many bytes, and then nothing.
    Bytes(usize),
    ChunkSize,
    /// So many bytes of a chunk, and then its end.
    Chunk(usize),
    ChunkEnd,
    /// So many bytes at most.
    Trailer(usize),
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Whether a byte of a further request has come.
    pub(crate) const fn has_begun(&self) -> bool {
        self.pending.is_some() || !self.buffer.is_empty()
    }

    /// Reads once into room of the buffer; `read` says how many bytes it wrote there, and 0 is the
    /// connection's end.
    ///
    /// The room grows with what is there, so [`next`](Self::next) is to be asked between two reads.
    ///
    /// # Errors
    /// Those of `read`. Nothing has changed then.
    pub(crate) fn fill(
        &mut self,
        spare: &mut Spare,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let read = self.buffer.fill(spare, read);
        if !self.has_begun() {
            self.buffer.release(spare);
        }
        read
    }

    /// Goes on as far as the bytes that have come allow. Never blocks.
    ///
    /// # Errors
    /// Why the connection cannot go on. The reader is out of step then, and of no further use.
    pub(crate) fn next(&mut self, limits: &Limits, spare: &mut Spare) -> Result<Step, Refusal> {
        if let Some(mut pending) = self.pending.take() {
            if pending.is_whole_with(&mut self.buffer)? {
                return Ok(self.request(*pending, spare));
            }
            self.pending = Some(pending);
            return Ok(Step::Wanting);
        }
        let Some(head) = self.head(limits.header_bytes_max)? else {
            return Ok(Step::Wanting);
        };
        let mut pending = Pending::new(head, limits.body_bytes_max)?;
        if pending.waits() && self.buffer.is_empty() {
            self.pending = Some(Box::new(pending));
            return Ok(Step::Continue);
        }
        if pending.is_whole_with(&mut self.buffer)? {
            return Ok(self.request(pending, spare));
        }
        self.pending = Some(Box::new(pending));
        Ok(Step::Wanting)
    }

    /// A request that is whole.
    fn request(&mut self, pending: Pending, spare: &mut Spare) -> Step {
        self.buffer.release(spare);
        Step::Request(pending.parsed, pending.body)
    }

    /// The memory that the body has which comes.
    pub(crate) fn body_bytes(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.body.capacity())
    }

    /// The memory that it has.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn memory_bytes(&self) -> usize {
        self.buffer.capacity() + self.body_bytes()
    }

    fn head(&mut self, bytes_max: usize) -> Result<Option<Parsed>, Refusal> {
        let bytes = self.buffer.bytes();
        // What is past the limit is not looked at: how much of it has come already must not matter.
        let within = bytes.get(..bytes_max).unwrap_or(bytes);
        if let Some((parsed, length)) = last_head::parsed(within) {
            self.buffer.take(length);
            return Ok(Some(parsed));
        }
        if let Some((parsed, length)) = head::parse(within)? {
            last_head::keep(within.get(..length).unwrap_or_default(), &parsed);
            self.buffer.take(length);
            return Ok(Some(parsed));
        }
        if bytes.len() > bytes_max {
            let why = format!("Request header fields too large: at most {bytes_max} bytes.");
            return Err(Refusal::new(431, why));
        }
        Ok(None)
    }
}

impl Pending {
    /// # Errors
    /// The body is declared to be larger than `body_bytes_max`.
    fn new(parsed: Parsed, body_bytes_max: usize) -> Result<Self, Refusal> {
        let (part, body_bytes_max) = match parsed.framing {
            Framing::Chunked => (Part::ChunkSize, body_bytes_max),
            Framing::Length(length) => match usize::try_from(length) {
                Ok(length) if length <= body_bytes_max => (Part::Bytes(length), length),
                _ => return Err(too_large(body_bytes_max)),
            },
        };
        Ok(Self { parsed, body: Vec::new(), body_bytes_max, part })
    }

    /// Whether the client waits to be told to send the body.
    const fn waits(&self) -> bool {
        self.parsed.expects_continue && !matches!(self.part, Part::Bytes(0))
    }

    /// Uses what has come, and says whether the request is whole with it.
    fn is_whole_with(&mut self, buffer: &mut Buffer) -> Result<bool, Refusal> {
        loop {
            self.part = match self.part {
                Part::Bytes(left) => {
                    let left = left - self.append(buffer.take(left));
                    self.part = Part::Bytes(left);
                    return Ok(left == 0);
                }
                Part::ChunkSize => {
                    let line = buffer.line(CHUNK_LINE_BYTES_MAX);
                    let line = line.map_err(|_| bad("a chunk's size line does not end"))?;
                    let Some(line) = line else { return Ok(false) };
                    match chunk_size(line)? {
                        0 => Part::Trailer(TRAILER_BYTES_MAX),
                        size => Part::Chunk(self.bounded(size)?),
                    }
                }
                Part::Chunk(left) => match left - self.append(buffer.take(left)) {
                    0 => Part::ChunkEnd,
                    left => {
                        self.part = Part::Chunk(left);
                        return Ok(false);
                    }
                },
                Part::ChunkEnd => match buffer.bytes() {
                    [b'\r', b'\n', ..] => {
                        buffer.take(2);
                        Part::ChunkSize
                    }
                    [] | [b'\r'] => return Ok(false),
                    _ => return Err(bad("a chunk is longer than its size")),
                },
                Part::Trailer(bytes_max) => {
                    let line = buffer.line(bytes_max);
                    let line = line.map_err(|_| Refusal::new(431, "Request trailer too large."))?;
                    match line {
                        None => return Ok(false),
                        Some(b"\r\n") => return Ok(true),
                        Some(line) => {
                            check_trailer_field(line)?;
                            Part::Trailer(bytes_max - line.len())
                        }
                    }
                }
            };
        }
    }

    /// A chunk's size, when the body is not too large with it.
    fn bounded(&self, size: u64) -> Result<usize, Refusal> {
        let size = usize::try_from(size).ok();
        let size = size.filter(|size| *size <= self.body_bytes_max - self.body.len());
        size.ok_or_else(|| too_large(self.body_bytes_max))
    }

    /// Memory is reserved for bytes that have come, not for those that were announced, and never
    /// for more than the body may have.
    fn append(&mut self, bytes: &[u8]) -> usize {
        if self.body.capacity() - self.body.len() < bytes.len() {
            let twice = bytes.len().max(self.body.len());
            self.body.reserve_exact(twice.min(self.body_bytes_max - self.body.len()));
        }
        self.body.extend_from_slice(bytes);
        bytes.len()
    }
}

/// Extensions are read over: nothing here uses them. They are text, behind a semicolon (RFC 9112,
/// section 7.1.1).
fn chunk_size(line: &[u8]) -> Result<u64, Refusal> {
    check_line_end(line)?;
    // httparse takes a line without digits for a size of 0, white space for an extension, and
    // anything for its text.
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let rest = line.strip_suffix(b"\r\n").and_then(|line| line.get(digits..)).unwrap_or_default();
    let is_extension = rest.iter().find(|byte| !matches!(byte, b' ' | b'\t')) == Some(&b';')
        && !rest.iter().any(|byte| is_control(*byte));
    match httparse::parse_chunk_size(line) {
        Ok(httparse::Status::Complete((_, size)))
            if digits > 0 && (rest.is_empty() || is_extension) =>
        {
            Ok(size)
        }
        _ => Err(bad("a chunk's size is not a number")),
    }
}

const fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// Trailer fields are read over too, but what is none shows that the sender is out of step.
fn check_trailer_field(line: &[u8]) -> Result<(), Refusal> {
    check_line_end(line)?;
    let field = [line, b"\r\n"].concat();
    match httparse::parse_headers(&field, &mut [httparse::EMPTY_HEADER; 1]) {
        Ok(httparse::Status::Complete(_)) => Ok(()),
        _ => Err(bad("a trailer field cannot be read")),
    }
}

fn check_line_end(line: &[u8]) -> Result<(), Refusal> {
    if line.ends_with(b"\r\n") { Ok(()) } else { Err(bad("a line does not end with CR LF")) }
}

fn too_large(bytes_max: usize) -> Refusal {
    Refusal::new(413, format_args!("Request too large: a body is at most {bytes_max} bytes."))
}

#[cfg(test)]
mod tests;
