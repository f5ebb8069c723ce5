//! The rules that hold for any body under a content coding. Must not know of the fuzzer.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a target fails by a panic"
)]

use super::Response;
use super::content::{Undecoded, decode, encode};
use crate::xmlrpc::Unlimited;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use std::io::{self, Write};

/// Of inflated bodies. A bomb of the corpus inflates to many times this, and to more memory than a
/// target may take.
const LIMIT: usize = 16 << 10;

/// A body inflates within its limit or is refused, and so does whatever begins or ends like it; and
/// the bytes taken for a content come back from every coding.
pub(crate) fn content(bytes: &[u8]) {
    for coding in ["gzip", "deflate"] {
        match status_or_content(bytes, coding, LIMIT) {
            Ok(content) => is_exact(bytes, coding, &content),
            // What is too large is not small at another limit.
            Err(413) => assert!(!matches!(
                status_or_content(bytes, coding, 2 * LIMIT),
                Ok(content) if content.len() <= LIMIT
            )),
            Err(status) => assert_eq!(status, 400),
        }
    }
    let bytes = bytes.get(..LIMIT).unwrap_or(bytes);
    for level in [Compression::none(), Compression::fast(), Compression::best()] {
        is_exact(
            &finished(GzEncoder::new(Vec::new(), level), bytes, GzEncoder::finish),
            "gzip",
            bytes,
        );
        is_exact(
            &finished(ZlibEncoder::new(Vec::new(), level), bytes, ZlibEncoder::finish),
            "deflate",
            bytes,
        );
        let bare = finished(DeflateEncoder::new(Vec::new(), level), bytes, DeflateEncoder::finish);
        is_exact(&bare, "deflate", bytes);
    }
    for coding in ["", "identity", "identity, ,Identity"] {
        assert_eq!(
            status_or_content(bytes, coding, 0).as_deref(),
            Ok(bytes),
            "the network side bounds it"
        );
    }
    for coding in ["br", "gzip, gzip", "gzip, br", "gzi", "deflate, x-gzip"] {
        assert_eq!(status_or_content(bytes, coding, LIMIT), Err(415), "{coding}");
    }
    a_response_is_coded_or_not(bytes);
}

fn finished<E: Write>(
    mut encoder: E,
    content: &[u8],
    finish: fn(E) -> io::Result<Vec<u8>>,
) -> Vec<u8> {
    let body = encoder.write_all(content).and_then(|()| finish(encoder));
    body.expect("a Vec takes what is written to it")
}

fn status_or_content(body: &[u8], coding: &str, bytes_max: usize) -> Result<Vec<u8>, u16> {
    match decode(body, Some(coding), bytes_max, &Unlimited) {
        Ok(content) => Ok(content.into_owned()),
        Err(Undecoded::Refused(response)) => Err(response.status),
        Err(Undecoded::Stopped(stop)) => panic!("{stop:?}, though nothing has an end"),
    }
}

/// The body has this content, at no smaller limit, and with nothing missing or behind it.
fn is_exact(body: &[u8], coding: &str, content: &[u8]) {
    let decoded = |body: &[u8], bytes_max| status_or_content(body, coding, bytes_max);
    assert_eq!(decoded(body, content.len()).as_deref(), Ok(content), "{coding}");
    if let Some(less) = content.len().checked_sub(1) {
        assert_eq!(decoded(body, less), Err(413), "{coding}");
    }
    assert!(
        !matches!(decoded(&body[..body.len() - 1], LIMIT), Ok(cut) if cut == content),
        "{coding} cut off"
    );
    for junk in [&b"\0"[..], b"\n", b"\x1f", b"\x1f\x8b\x08", b"junk", &[0; 300]] {
        let longer = [body, junk].concat();
        assert_eq!(decoded(&longer, LIMIT), Err(400), "{coding} and {junk:?}");
    }
    let twice = decoded(&body.repeat(2), 2 * LIMIT);
    // Only gzip has members, and another stream need not begin like one of zlib.
    match coding {
        "gzip" => assert_eq!(twice, Ok(content.repeat(2))),
        _ => assert_eq!(twice, Err(400)),
    }
}

fn a_response_is_coded_or_not(body: &[u8]) {
    let plain = Response::xml(body.to_vec());
    for accepts_gzip in [true, false] {
        let response = encode(plain.clone(), accepts_gzip, &Unlimited);
        assert!(response.headers.contains(&("Vary", "Accept-Encoding".into())));
        if response.headers.contains(&("Content-Encoding", "gzip".into())) {
            assert!(accepts_gzip && response.body.len() < body.len());
            assert_eq!(status_or_content(&response.body, "gzip", body.len()).as_deref(), Ok(body));
        } else {
            assert_eq!(response.body, body);
        }
    }
}
