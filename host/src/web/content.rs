//! Content codings: inflates request bodies and compresses responses. Knows no documents.

use super::response::Response;
use crate::xmlrpc::{Meter, Resources, Stop};
use flate2::Compression;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write::GzEncoder;
use std::borrow::Cow;
use std::io::{self, BufRead, Read, Write};

/// What an answer to a coding that is not known names as those that are.
const CODINGS: &str = "gzip, deflate, identity";
/// A coding that is not known is repeated to its sender up to here.
const CODING_SHOWN_CHARS_MAX: usize = 40;
/// Bodies up to here fit one packet as they are.
const PLAIN_BYTES_MAX: usize = 1_400;
/// Inflated and compressed bodies grow by half, but at least and at most by so much.
const STEP_BYTES: [usize; 2] = [4 << 10, 1 << 20];
/// Compressed bytes between two checks of the deadline. Some inflate to nothing, and cost time.
const UNCHECKED_BYTES_MAX: usize = 16 << 10;

/// Why a body is not decoded.
#[derive(Debug)]
pub(super) enum Undecoded {
    /// The response to send instead.
    Refused(Response),
    /// Time or memory ran out.
    Stopped(Stop),
}

impl From<Response> for Undecoded {
    fn from(response: Response) -> Self {
        Self::Refused(response)
    }
}

impl From<Stop> for Undecoded {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

/// The content of a request's body under its `Content-Encoding`, no larger than `bytes_max`: the
/// limit holds while it is inflated, so that a small body that inflates without end costs no more
/// than a large one. Memory is reserved before it is used.
///
/// # Errors
/// 415 for a coding that is not known, 413 past the limit, 400 for a damaged body; or a [`Stop`].
pub(super) fn decode<'a>(
    body: &'a [u8],
    coding: Option<&str>,
    bytes_max: usize,
    resources: &dyn Resources,
) -> Result<Cow<'a, [u8]>, Undecoded> {
    let Some(coding) = coding else { return Ok(Cow::Borrowed(body)) };
    // Of several, which nobody sends, all but one must be none.
    let mut codings = coding.split(',').map(str::trim);
    let mut codings =
        codings.by_ref().filter(|coding| !coding.is_empty() && !is(coding, "identity"));
    let (Some(coding), another) = (codings.next(), codings.next()) else {
        return Ok(Cow::Borrowed(body));
    };
    let meter = &Meter::new(resources);
    let compressed = Compressed { rest: body, unchecked: 0, meter };
    let inflated = match coding {
        _ if another.is_some() => return Err(unsupported("more than one").into()),
        coding if is(coding, "gzip") || is(coding, "x-gzip") => {
            inflate(MultiGzDecoder::new(compressed), MultiGzDecoder::into_inner, bytes_max, meter)
        }
        // RFC 9110, section 8.4.1.2: it means the zlib format, but some send the bare one.
        coding if is(coding, "deflate") && is_zlib(body) => {
            inflate(ZlibDecoder::new(compressed), ZlibDecoder::into_inner, bytes_max, meter)
        }
        coding if is(coding, "deflate") => {
            inflate(DeflateDecoder::new(compressed), DeflateDecoder::into_inner, bytes_max, meter)
        }
        other => return Err(unsupported(other).into()),
    };
    match inflated {
        Ok(content) if content.len() <= bytes_max => Ok(Cow::Owned(content)),
        Ok(_) => {
            let why =
                format!("Request too large: a body is at most {bytes_max} bytes, also inflated.");
            Err(Response::text(413, why).into())
        }
        Err(error) => Err(meter.stopped().map_or_else(
            || {
                let why = format!(
                    "Bad request: the body is not what its Content-Encoding {coding} says: {error}."
                );
                Response::text(400, why).into()
            },
            Undecoded::Stopped,
        )),
    }
}

/// Compresses a response for a client that takes gzip, unless it fits one packet, does not become
/// smaller, or there is too little memory.
pub(super) fn encode(
    response: Response,
    accepts_gzip: bool,
    resources: &dyn Resources,
) -> Response {
    let response = response.that_varies();
    if !accepts_gzip || response.body.len() <= PLAIN_BYTES_MAX {
        return response;
    }
    match gzip(&response.body, &Meter::new(resources)) {
        Ok(body) if body.len() < response.body.len() => {
            Response { body, ..response }.with_header("Content-Encoding", "gzip")
        }
        _ => response,
    }
}

fn is(given: &str, coding: &str) -> bool {
    given.eq_ignore_ascii_case(coding)
}

/// Whether these bytes begin as the zlib format does: RFC 1950, section 2.2.
fn is_zlib(body: &[u8]) -> bool {
    const DEFLATE: u8 = 8;
    matches!(
        body,
        [cmf, flg, ..]
            if cmf & 0x0F == DEFLATE && u16::from_be_bytes([*cmf, *flg]).is_multiple_of(31)
    )
}

/// A compressed body. Reading fails once no client waits for the content.
struct Compressed<'a> {
    rest: &'a [u8],
    /// Bytes read since the last check.
    unchecked: usize,
    meter: &'a Meter<'a>,
}

impl Read for Compressed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Compressed<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.unchecked >= UNCHECKED_BYTES_MAX {
            self.unchecked = 0;
            self.meter.check().map_err(stopped)?;
        }
        Ok(self.rest.get(..UNCHECKED_BYTES_MAX).unwrap_or(self.rest))
    }

    fn consume(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
        self.unchecked += bytes;
    }
}

/// A buffer that reserves memory before it grows.
struct Growing<'m> {
    bytes: Vec<u8>,
    meter: &'m Meter<'m>,
}

impl Growing<'_> {
    /// Makes room for `bytes` at least.
    fn grow(&mut self, bytes: usize) -> io::Result<()> {
        let [least, most] = STEP_BYTES;
        let more = bytes.max((self.bytes.capacity() / 2).clamp(least, most));
        self.meter.check().and_then(|()| self.meter.take(more)).map_err(stopped)?;
        self.bytes.reserve_exact(more);
        Ok(())
    }

    fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// Returns the bytes, and gives back the room that is left.
    fn finish(mut self) -> Vec<u8> {
        let room = self.room();
        self.bytes.shrink_to_fit();
        self.meter.give_back(room);
        self.bytes
    }
}

impl Write for Growing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room() < bytes.len() {
            self.grow(bytes.len())?;
        }
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The meter remembers why.
fn stopped(_: Stop) -> io::Error {
    io::ErrorKind::Other.into()
}

/// Inflates all of it, or one byte more than `bytes_max`. `rest` returns the unused input: only the
/// gzip decoder looks at bytes behind the content's end.
fn inflate<'a, D: Read>(
    mut decoder: D,
    rest: impl FnOnce(D) -> Compressed<'a>,
    bytes_max: usize,
    meter: &Meter<'_>,
) -> io::Result<Vec<u8>> {
    let mut content = Growing { bytes: Vec::new(), meter };
    let most = bytes_max.saturating_add(1);
    while content.room() == 0 && content.bytes.len() < most {
        content.grow(0)?;
        let room = content.room().min(most - content.bytes.len());
        let room = u64::try_from(room).unwrap_or(u64::MAX);
        decoder.by_ref().take(room).read_to_end(&mut content.bytes)?;
    }
    if content.bytes.len() <= bytes_max && !rest(decoder).rest.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes follow its end"));
    }
    Ok(content.finish())
}

fn gzip(body: &[u8], meter: &Meter<'_>) -> io::Result<Vec<u8>> {
    // XML shrinks well at any level; the fast one costs a tenth of the best.
    let mut encoder = GzEncoder::new(Growing { bytes: Vec::new(), meter }, Compression::fast());
    encoder.write_all(body)?;
    encoder.finish().map(Growing::finish)
}

fn unsupported(coding: &str) -> Response {
    let coding: String = coding.chars().take(CODING_SHOWN_CHARS_MAX).collect();
    let why = format!("Unsupported content coding {coding:?}: send one of {CODINGS}.");
    Response::text(415, why).with_header("Accept-Encoding", CODINGS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmlrpc::{Counted, Unlimited};
    use flate2::write::{DeflateEncoder, ZlibEncoder};

    fn text() -> Vec<u8> {
        "<value><int>1</int></value>".repeat(1_000).into_bytes()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        super::gzip(text, &Meter::new(&Unlimited)).unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).and_then(|()| encoder.finish()).unwrap()
    }

    fn bare(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).and_then(|()| encoder.finish()).unwrap()
    }

    fn read(body: &[u8], coding: &str) -> Result<Vec<u8>, u16> {
        let content = decode(body, Some(coding), text().len(), &Unlimited);
        content.map(Cow::into_owned).map_err(|why| status(&why))
    }

    fn status(why: &Undecoded) -> u16 {
        let Undecoded::Refused(response) = why else { panic!("{why:?}") };
        response.status
    }

    #[test]
    fn each_coding_is_read() {
        let text = text();
        let parts = || [gzip(&text[..500]), gzip(&text[500..])].concat();
        for (body, coding) in [
            (gzip(&text), "gzip"),
            (gzip(&text), "X-GZip"),
            (gzip(&text), "identity, gzip,"),
            (parts(), "gzip"),
            (zlib(&text), "deflate"),
            (bare(&text), "deflate"),
            (text.clone(), "identity"),
            (text.clone(), ""),
        ] {
            assert_eq!(read(&body, coding).as_ref(), Ok(&text), "{coding}");
        }
        assert!(
            matches!(decode(&text, None, 0, &Unlimited), Ok(Cow::Borrowed(_))),
            "its size is the network side's matter"
        );
    }

    #[test]
    fn what_is_no_content_is_refused() {
        let body = gzip(&text());
        assert_eq!(read(&body, "br"), Err(415));
        assert_eq!(read(&body, "gzip, gzip"), Err(415));
        assert_eq!(read(&body, "deflate"), Err(400));
        assert_eq!(read(b"<methodCall/>", "gzip"), Err(400));
        assert_eq!(read(&[], "gzip"), Err(400));
        assert_eq!(read(&body[..body.len() - 1], "gzip"), Err(400), "cut off");
        let mut damaged = body.clone();
        let middle = damaged.len() - 6;
        damaged[middle] ^= 1;
        assert_eq!(read(&damaged, "gzip"), Err(400), "its checksum says so");
    }

    #[test]
    fn a_body_ends_where_its_content_ends() {
        let text = &text()[..500];
        for (body, coding) in
            [(gzip(text), "gzip"), (zlib(text), "deflate"), (bare(text), "deflate")]
        {
            for junk in [&b"\0"[..], b"\n", b"\x1f", b"junk", &body[..body.len() - 1]] {
                assert_eq!(read(&[&body, junk].concat(), coding), Err(400), "{coding} {junk:?}");
            }
            assert_eq!(read(&body[..body.len() - 1], coding), Err(400), "{coding}, cut off");
        }
        let twice = [zlib(b"1"), zlib(b"2")].concat();
        assert_eq!(read(&twice, "deflate"), Err(400), "only gzip has members");
    }

    #[test]
    fn the_limit_holds_while_inflating() {
        let bomb = gzip(&vec![b' '; 4 << 20]);
        let decode = |body, bytes_max| decode(body, Some("gzip"), bytes_max, &Unlimited);
        assert_eq!(status(&decode(&bomb, 1 << 20).unwrap_err()), 413);
        let exact = gzip(&[b' '; 100]);
        assert!(decode(&exact, 100).is_ok());
        assert_eq!(status(&decode(&exact, 99).unwrap_err()), 413);
    }

    #[test]
    fn memory_is_taken_before_it_is_used_and_what_is_too_much_given_back() {
        const BYTES: usize = 5_000_000;
        let body = gzip(&vec![b' '; BYTES]);
        for bytes_max in [0, 1, 4 << 10, BYTES / 2, BYTES - 1] {
            let counted = Counted::new(bytes_max);
            let stopped = decode(&body, Some("gzip"), BYTES, &counted).unwrap_err();
            assert!(matches!(stopped, Undecoded::Stopped(Stop::Crowded)), "{stopped:?}");
            assert!(counted.peak() <= bytes_max);
        }
        let counted = Counted::new(usize::MAX);
        assert_eq!(decode(&body, Some("gzip"), BYTES, &counted).unwrap().len(), BYTES);
        assert_eq!(counted.taken(), BYTES);
        let [_, step] = STEP_BYTES;
        assert!(counted.peak() <= BYTES + step, "{}", counted.peak());
    }

    #[test]
    fn inflating_ends_at_the_deadline_whatever_comes_of_it() {
        let nothing = gzip(b"").repeat(10_000);
        let bomb = gzip(&vec![b' '; 16 << 20]);
        for (body, checks_min) in [(nothing, 10), (bomb, 10)] {
            let counted = Counted::new(usize::MAX);
            assert!(decode(&body, Some("gzip"), 16 << 20, &counted).is_ok());
            assert!(counted.checks() >= checks_min, "{}", counted.checks());
            let late = Counted::new(usize::MAX).late_after(checks_min / 2);
            let stopped = decode(&body, Some("gzip"), 16 << 20, &late).unwrap_err();
            assert!(matches!(stopped, Undecoded::Stopped(Stop::Late)), "{stopped:?}");
            assert_eq!(late.checks(), checks_min / 2 + 1, "and no more");
        }
    }

    #[test]
    fn a_response_is_sent_as_it_is_when_there_is_no_memory_to_compress_it() {
        let plain = Response::xml(text());
        let little = Counted::new(10);
        assert_eq!(encode(plain.clone(), true, &little).body, plain.body);
        let counted = Counted::new(usize::MAX);
        let compressed = encode(plain, true, &counted).body;
        assert_eq!(counted.taken(), compressed.len());
    }

    #[test]
    fn a_response_is_compressed_when_that_is_wanted_and_worth_it() {
        let coding = |body: &[u8], accepts| {
            let response = encode(Response::xml(body.to_vec()), accepts, &Unlimited);
            assert!(response.headers.contains(&("Vary", "Accept-Encoding".into())));
            let is_gzip = response.headers.contains(&("Content-Encoding", "gzip".into()));
            assert_eq!(is_gzip, response.body != body);
            if is_gzip {
                assert_eq!(read(&response.body, "gzip").unwrap(), body);
            }
            is_gzip
        };
        let text = text();
        assert!(coding(&text, true) && coding(&text[..=PLAIN_BYTES_MAX], true));
        assert!(!coding(&text, false) && !coding(&text[..PLAIN_BYTES_MAX], true));
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        });
        let noise = noise.take(5_000).collect::<Vec<u8>>();
        assert!(!coding(&noise, true));
    }
}
