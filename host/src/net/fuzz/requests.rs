//! The rules that hold for any bytes that a client sends as a series of requests.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a target fails by a panic, and random numbers are cut to size"
)]

use super::heads::rewritten;
use crate::limits::Limits;
use crate::net::http1::buffer::Spare;
use crate::net::http1::framing::{CHUNK_LINE_BYTES_MAX, Reader, Step, TRAILER_BYTES_MAX};
use crate::net::http1::head::{Framing, Parsed, Version};
use crate::net::http1::refusal::Refusal;
use std::io;

/// Small, so that what a fuzzer writes comes near.
const BODY_BYTES_MAX: usize = 200;
const HEADER_BYTES_MAX: usize = 600;
/// What a reader holds beside a body: lines, heads and what is read at once, each twice over, as
/// memory grows.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// Whether these bytes are one whole request that is let in.
pub(crate) fn vet(mut bytes: &[u8]) -> bool {
    let (mut reader, mut spare, limits) = (Reader::new(), Spare::default(), Limits::default());
    let filled = reader.fill(&mut spare, |room| io::Read::read(&mut bytes, room));
    filled.is_ok() && matches!(reader.next(&limits, &mut spare), Ok(Step::Request(..)))
}

/// The same bytes give the same requests and the same refusal however they are split, each request
/// is what a plain reading of its bytes says, and rewritten it is the same request, within exact
/// limits.
pub(crate) fn framing(bytes: &[u8]) {
    let limits = limits(HEADER_BYTES_MAX, BODY_BYTES_MAX);
    let outcome = read(bytes, &limits, |_| 1);
    let mut state = bytes.len() as u64 + 1;
    let mut random = |max: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % max + 1
    };
    assert_eq!(read(bytes, &limits, |left| left).what(), outcome.what(), "in one piece");
    assert_eq!(read(bytes, &limits, |_| random(7)).what(), outcome.what(), "in pieces");
    assert_eq!(read(bytes, &limits, |_| random(90)).what(), outcome.what(), "in larger pieces");
    // Large limits too: whatever is declared takes no memory before it comes, which the target's
    // own measure shows.
    let large = read(bytes, &Limits::default(), |left| left);
    assert_eq!(
        read(bytes, &Limits::default(), |_| random(5_000)).what(),
        large.what(),
        "in large pieces"
    );

    let mut start = 0;
    for Request { parsed, body, end, is_told } in &outcome.requests {
        // Byte by byte, a client that waits with a body is told to go on.
        assert_eq!(*is_told, parsed.expects_continue && parsed.framing != Framing::Length(0));
        is_plain(&bytes[start..*end], parsed, body);
        start = *end;
        reads_back(parsed, body);
    }
    if let Some(refusal) = &outcome.refusal {
        assert!(matches!(refusal.status, 400 | 411 | 413 | 431 | 505), "{refusal:?}");
        assert!(!refusal.why.contains(['\r', '\n']), "{refusal:?}");
    }
}

fn limits(header_bytes_max: usize, body_bytes_max: usize) -> Limits {
    Limits { header_bytes_max, body_bytes_max, ..Limits::default() }
}

struct Request {
    parsed: Parsed,
    body: Vec<u8>,
    /// Of the piece with which it was whole.
    end: usize,
    is_told: bool,
}

#[derive(Default)]
struct Outcome {
    requests: Vec<Request>,
    refusal: Option<Refusal>,
    has_begun: bool,
}

type What<'a> = (Vec<(&'a Parsed, &'a [u8])>, Option<&'a Refusal>, bool);

impl Outcome {
    /// All but what depends on the pieces: where requests end, and who is told to go on.
    fn what(&self) -> What<'_> {
        let requests =
            self.requests.iter().map(|request| (&request.parsed, request.body.as_slice()));
        (requests.collect(), self.refusal.as_ref(), self.has_begun)
    }
}

/// Reads all requests, in pieces of which each is as large as `piece` says of what is left.
fn read(bytes: &[u8], limits: &Limits, mut piece: impl FnMut(usize) -> usize) -> Outcome {
    let (mut reader, mut outcome) = (Reader::new(), Outcome::default());
    let (mut rest, mut is_told) = (bytes, false);
    while !rest.is_empty() {
        let (mut now, later) = rest.split_at(piece(rest.len()).min(rest.len()));
        while !now.is_empty() {
            let filled = reader.fill(&mut Spare::default(), |room| io::Read::read(&mut now, room));
            assert!(matches!(filled, Ok(1..)), "{filled:?}");
        }
        rest = later;
        loop {
            match reader.next(limits, &mut Spare::default()) {
                Ok(Step::Wanting) => break,
                Ok(Step::Continue) => {
                    assert!(!is_told, "once for each request");
                    is_told = true;
                    assert!(
                        matches!(reader.next(limits, &mut Spare::default()), Ok(Step::Wanting)),
                        "nothing of the body has come"
                    );
                }
                Ok(Step::Request(parsed, body)) => {
                    assert!(
                        body.len() <= limits.body_bytes_max
                            && body.capacity() <= limits.body_bytes_max
                    );
                    outcome.requests.push(Request {
                        parsed,
                        body,
                        end: bytes.len() - rest.len(),
                        is_told,
                    });
                    is_told = false;
                }
                Err(refusal) => {
                    outcome.refusal = Some(refusal);
                    return outcome;
                }
            }
        }
        let may_hold = BUFFER_BYTES_MAX + 2 * bytes.len();
        assert!(reader.memory_bytes() <= may_hold, "{} bytes held", reader.memory_bytes());
        assert!(
            reader.has_begun() || reader.memory_bytes() == 0,
            "an idle connection holds nothing"
        );
    }
    outcome.has_begun = reader.has_begun();
    outcome
}

/// A request's bytes, to its last, say the same when they are read by hand.
fn is_plain(bytes: &[u8], parsed: &Parsed, body: &[u8]) {
    let head_end = bytes.windows(4).enumerate().position(|(at, four)| {
        let is_start = bytes[..at].iter().all(|byte| b"\r\n".contains(byte));
        four == b"\r\n\r\n" && !is_start
    });
    let rest = &bytes[head_end.expect("a head ends") + 4..];
    match parsed.framing {
        Framing::Length(length) => {
            assert_eq!(rest, body);
            assert_eq!(length, body.len() as u64);
        }
        Framing::Chunked => {
            let mut rest = rest;
            let mut content = Vec::new();
            loop {
                let line = plain_line(&mut rest);
                assert!(line.len() + 2 <= CHUNK_LINE_BYTES_MAX);
                let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
                let size = String::from_utf8_lossy(size);
                let size = size.trim_end_matches([' ', '\t']);
                assert!(size.bytes().all(|byte| byte.is_ascii_hexdigit()), "{size:?} is no size");
                let size = usize::from_str_radix(size, 16).expect("a size");
                if size == 0 {
                    break;
                }
                content.extend_from_slice(&rest[..size]);
                assert_eq!(&rest[size..size + 2], b"\r\n");
                rest = &rest[size + 2..];
            }
            assert!(rest.len() <= TRAILER_BYTES_MAX);
            loop {
                let line = plain_line(&mut rest);
                if line.is_empty() {
                    break;
                }
                let colon = line.iter().position(|byte| *byte == b':');
                let name = &line[..colon.expect("a trailer field has a colon")];
                assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic), "{name:?}");
                assert!(!line.iter().any(|byte| b"\0\r".contains(byte)), "{line:?}");
            }
            assert!(rest.is_empty());
            assert_eq!(content, body);
        }
    }
}

fn plain_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.windows(2).position(|two| two == b"\r\n").expect("a line ends");
    let line = &rest[..end];
    assert!(!line.contains(&b'\n'), "{line:?}");
    *rest = &rest[end + 2..];
    line
}

/// Rewritten, with a length and in chunks, a request is the same, within limits that are just large
/// enough.
fn reads_back(parsed: &Parsed, body: &[u8]) {
    let mut parsed = parsed.clone();
    parsed.head.host.get_or_insert_default();
    parsed.version = Version::Http11;
    let size = body.len();
    let ended = |chunks: String, trailer: &str| format!("{chunks}0\r\n{trailer}\r\n").into_bytes();
    let chunk = |part: &[u8], extension: &str| {
        [format!("{:x}{extension}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()
    };
    let mut ways = vec![(Framing::Length(size as u64), body.to_vec(), None)];
    let mut chunked = |extension: &str, trailer: &str, status| {
        let (one, other) = body.split_at(size / 3);
        let mut chunks = Vec::new();
        for part in [one, other].into_iter().filter(|part| !part.is_empty()) {
            chunks.extend(chunk(part, extension));
        }
        chunks.extend(ended(String::new(), trailer));
        ways.push((Framing::Chunked, chunks, status));
    };
    chunked("", "", None);
    chunked(" ;a=\"b\"", "A: b\r\nC:\r\n", None);
    if size >= 3 {
        // One digit or two, and the line's end.
        let digits = |part: usize| format!("{part:x}").len();
        let most = digits(size / 3).max(digits(size - size / 3)) + 3;
        chunked(&format!(";{}", "e".repeat(CHUNK_LINE_BYTES_MAX - most)), "", None);
        chunked(&format!(";{}", "e".repeat(CHUNK_LINE_BYTES_MAX - most + 1)), "", Some(400));
    }
    let field = |bytes: usize| format!("A: {}\r\n", "x".repeat(bytes - 7));
    chunked("", &field(TRAILER_BYTES_MAX), None);
    chunked("", &field(TRAILER_BYTES_MAX + 1), Some(431));
    chunked("", &field(TRAILER_BYTES_MAX / 2 + 1).repeat(2), None);
    chunked("", &format!("{}B:\r\n", field(TRAILER_BYTES_MAX)), Some(431));

    for (framing, coded, status) in ways {
        parsed.framing = framing;
        let text = rewritten(&parsed);
        let bytes = [text.as_bytes(), &coded].concat();
        let outcome = |limits: &Limits| {
            let outcome = read(&bytes, limits, |left| left.min(5_000));
            let status = outcome.refusal.as_ref().map(|refusal| refusal.status);
            (outcome, status)
        };
        let (exact, refused) = outcome(&limits(text.len(), size));
        assert_eq!(refused, status, "{:?}", exact.refusal);
        if status.is_none() {
            assert_eq!(exact.what(), (vec![(&parsed, body)], None, false));
            assert_eq!(outcome(&limits(text.len() - 1, size)).1, Some(431));
            assert!(size == 0 || outcome(&limits(text.len(), size - 1)).1 == Some(413));
        }
    }
}
