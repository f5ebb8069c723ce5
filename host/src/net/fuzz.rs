//! What must hold for any bytes that a client sends as a request's head. Must not know of the fuzzer.

use super::claims::Claims;
use super::head::{Framing, Version, parse};

/// A head is incomplete, refused, or understood in one way: written anew from what was understood, it says the same.
pub(crate) fn http_head(bytes: &[u8]) {
    let (mut head, length) = match parse(bytes) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return,
        Err(refusal) => {
            assert!(matches!(refusal.status, 400..=599), "{refusal:?}");
            assert!(!refusal.why.contains(['\r', '\n']), "{refusal:?}");
            return;
        }
    };
    let given = bytes.get(..length).unwrap_or_default();
    assert!(given.ends_with(b"\r\n\r\n"), "{head:?}");
    assert_eq!(
        parse(given).as_ref(),
        Ok(&Some((head.clone(), length))),
        "what follows a head changes nothing"
    );
    assert!(
        (head.target.starts_with('/') || head.target == "*")
            && head.target.bytes().all(|byte| byte.is_ascii_graphic())
    );
    let shown = [&head.content_encoding, &head.content_type];
    assert!(shown.into_iter().flatten().all(|text| !text.is_empty() && !text.contains(char::is_control)));

    let Claims { host, origin, fetch_site, authorization } = head.claims.clone();
    let host = host.unwrap_or_default();
    head.claims.host = Some(host.clone());
    head.version = Version::Http11;
    let mut anew = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", head.method, head.target);
    match head.framing {
        Framing::Length(length) => anew.push_str(&format!("Content-Length: {length}\r\n")),
        Framing::Chunked => anew.push_str("Transfer-Encoding: chunked\r\n"),
    }
    let connection = if head.keep_alive { "keep-alive" } else { "close" };
    anew.push_str(&format!("Connection: {connection}\r\n"));
    for (name, value) in [
        ("Content-Encoding", &head.content_encoding),
        ("Content-Type", &head.content_type),
        ("Origin", &origin),
        ("Sec-Fetch-Site", &fetch_site),
        ("Authorization", &authorization),
    ] {
        if let Some(value) = value {
            anew.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    if head.accepts_gzip {
        anew.push_str("Accept-Encoding: gzip\r\n");
    }
    if head.expects_continue {
        anew.push_str("Expect: 100-continue\r\n");
    }
    anew.push_str("\r\n");
    assert_eq!(parse(anew.as_bytes()), Ok(Some((head, anew.len()))), "{anew:?}");
}
