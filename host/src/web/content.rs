//! Content codings: bodies that come compressed, and those that are sent so. Knows no documents.

use super::Response;
use flate2::Compression;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write::GzEncoder;
use std::borrow::Cow;
use std::io::{self, Read, Write};

/// What an answer to a coding that is not known names as those that are.
const CODINGS: &str = "gzip, deflate, identity";
/// A coding that is not known is repeated to its sender up to here.
const CODING_SHOWN_CHARS_MAX: usize = 40;
/// Bodies up to here fit one packet as they are.
const PLAIN_BYTES_MAX: usize = 1_400;

/// The content of a request's body under its `Content-Encoding`, no larger than `bytes_max`: the limit holds while it is
/// inflated, so that a small body that inflates without end costs no more than a large one.
///
/// # Errors
/// The response to send instead: 415 for a coding that is not known, 413 past the limit, 400 for a damaged body.
pub(super) fn decode<'a>(
    body: &'a [u8],
    coding: Option<&str>,
    bytes_max: usize,
) -> Result<Cow<'a, [u8]>, Response> {
    // Of several, which nobody sends, all but one must be none.
    let mut codings = coding.unwrap_or_default().split(',').map(str::trim);
    let mut codings = codings.by_ref().filter(|coding| !coding.is_empty() && !is(coding, "identity"));
    let (Some(coding), another) = (codings.next(), codings.next()) else { return Ok(Cow::Borrowed(body)) };
    let inflated = match coding {
        _ if another.is_some() => return Err(unsupported("more than one")),
        coding if is(coding, "gzip") || is(coding, "x-gzip") => {
            inflate(MultiGzDecoder::new(body), MultiGzDecoder::into_inner, bytes_max)
        }
        // RFC 9110, section 8.4.1.2: it means the zlib format, but some send the bare one.
        coding if is(coding, "deflate") && is_zlib(body) => {
            inflate(ZlibDecoder::new(body), ZlibDecoder::into_inner, bytes_max)
        }
        coding if is(coding, "deflate") => {
            inflate(DeflateDecoder::new(body), DeflateDecoder::into_inner, bytes_max)
        }
        other => return Err(unsupported(other)),
    };
    match inflated {
        Ok(content) if content.len() <= bytes_max => Ok(Cow::Owned(content)),
        Ok(_) => {
            let why = format!("Request too large: a body is at most {bytes_max} bytes, also inflated.");
            Err(Response::text(413, why))
        }
        Err(error) => {
            let why =
                format!("Bad request: the body is not what its Content-Encoding {coding} says: {error}.");
            Err(Response::text(400, why))
        }
    }
}

/// Compresses a response for a client that takes gzip, when that makes it smaller and it would not fit one packet anyway.
pub(super) fn encode(response: Response, accepts_gzip: bool) -> Response {
    let response = response.with_header("Vary", "Accept-Encoding");
    if !accepts_gzip || response.body.len() <= PLAIN_BYTES_MAX {
        return response;
    }
    match gzip(&response.body) {
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
    matches!(body, [cmf, flg, ..] if cmf & 0x0F == DEFLATE && u16::from_be_bytes([*cmf, *flg]).is_multiple_of(31))
}

/// All of it, or one byte more than `bytes_max`. `rest` tells what the decoder has not used: only gzip's looks at what
/// follows the end of its content.
fn inflate<'a, D: Read>(
    mut decoder: D,
    rest: impl FnOnce(D) -> &'a [u8],
    bytes_max: usize,
) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.by_ref().take(limit).read_to_end(&mut content)?;
    if content.len() <= bytes_max && !rest(decoder).is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes follow its end"));
    }
    Ok(content)
}

fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    // XML shrinks well at any level; the fast one costs a tenth of the best.
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

fn unsupported(coding: &str) -> Response {
    let coding: String = coding.chars().take(CODING_SHOWN_CHARS_MAX).collect();
    let why = format!("Unsupported content coding {coding:?}: send one of {CODINGS}.");
    Response::text(415, why).with_header("Accept-Encoding", CODINGS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::{DeflateEncoder, ZlibEncoder};

    fn text() -> Vec<u8> {
        "<value><int>1</int></value>".repeat(1_000).into_bytes()
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
        decode(body, Some(coding), text().len()).map(Cow::into_owned).map_err(|response| response.status)
    }

    #[test]
    fn each_coding_is_read() {
        let text = text();
        let parts = || [gzip(&text[..500]).unwrap(), gzip(&text[500..]).unwrap()].concat();
        for (body, coding) in [
            (gzip(&text).unwrap(), "gzip"),
            (gzip(&text).unwrap(), "X-GZip"),
            (gzip(&text).unwrap(), "identity, gzip,"),
            (parts(), "gzip"),
            (zlib(&text), "deflate"),
            (bare(&text), "deflate"),
            (text.clone(), "identity"),
            (text.clone(), ""),
        ] {
            assert_eq!(read(&body, coding).as_ref(), Ok(&text), "{coding}");
        }
        assert!(
            matches!(decode(&text, None, 0), Ok(Cow::Borrowed(_))),
            "its size is the network side's matter"
        );
    }

    #[test]
    fn what_is_no_content_is_refused() {
        let body = gzip(&text()).unwrap();
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
            [(gzip(text).unwrap(), "gzip"), (zlib(text), "deflate"), (bare(text), "deflate")]
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
        let bomb = gzip(&vec![b' '; 4 << 20]).unwrap();
        let refused = decode(&bomb, Some("gzip"), 1 << 20).unwrap_err();
        assert_eq!(refused.status, 413);
        let exact = gzip(&[b' '; 100]).unwrap();
        assert!(decode(&exact, Some("gzip"), 100).is_ok());
        assert_eq!(decode(&exact, Some("gzip"), 99).unwrap_err().status, 413);
    }

    #[test]
    fn a_response_is_compressed_when_that_is_wanted_and_worth_it() {
        let coding = |body: &[u8], accepts| {
            let response = encode(Response::xml(body.to_vec()), accepts);
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
