//! The rules that hold for any bytes that a client sends as a request's head.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a target fails by a panic"
)]

use crate::net::http1::head::{Framing, Parsed, Version, parse};
use smol_str::format_smolstr;

/// A head is incomplete, refused, or understood in one way: rewritten from what was understood, it
/// says the same.
pub(crate) fn http_head(bytes: &[u8]) {
    let (mut parsed, length) = match parse(bytes) {
        Ok(Some(whole)) => whole,
        Ok(None) => return,
        Err(refusal) => {
            assert!(matches!(refusal.status, 400..=599), "{refusal:?}");
            assert!(!refusal.why.contains(['\r', '\n']), "{refusal:?}");
            return;
        }
    };
    let given = bytes.get(..length).unwrap_or_default();
    assert!(given.ends_with(b"\r\n\r\n"), "{parsed:?}");
    assert_eq!(
        parse(given).as_ref(),
        Ok(&Some((parsed.clone(), length))),
        "what follows a head changes nothing"
    );
    assert!(
        (parsed.head.target.starts_with('/') || parsed.head.target == "*")
            && parsed.head.target.bytes().all(|byte| byte.is_ascii_graphic())
    );
    let shown = [&parsed.head.content_encoding, &parsed.head.content_type];
    assert!(
        shown
            .into_iter()
            .flatten()
            .all(|text| !text.is_empty() && !text.contains(char::is_control))
    );

    is_plain(given, &parsed);
    // In HTTP/1.0 there may be none.
    parsed.head.host.get_or_insert_default();
    parsed.version = Version::Http11;
    for framing in [parsed.framing, Framing::Length(u64::MAX), Framing::Chunked] {
        parsed.framing = framing;
        let text = rewritten(&parsed);
        assert_eq!(parse(text.as_bytes()), Ok(Some((parsed.clone(), text.len()))), "{text:?}");
        assert_eq!(parse(&text.as_bytes()[..text.len() - 1]), Ok(None), "{text:?}");
        let shouted = with_names(&text, str::to_ascii_uppercase);
        assert_eq!(
            parse(shouted.as_bytes()),
            Ok(Some((parsed.clone(), text.len()))),
            "{shouted:?}"
        );
    }
    fields_are_counted(&parsed);
}

/// What the head says of its body is said once, and nowhere else: read by hand, and not by the
/// parser's rules.
fn is_plain(given: &[u8], parsed: &Parsed) {
    let text = String::from_utf8_lossy(given);
    let lines = || text.trim_start_matches("\r\n").trim_end_matches("\r\n").split("\r\n");
    assert!(lines().all(|line| !line.contains(['\r', '\n', '\0'])), "{text:?}");
    let fields = || lines().skip(1).map(|line| line.split_once(':').expect("a field has a colon"));
    let values = |name: &str| -> Vec<&str> {
        let named = fields().filter(|(given, _)| given.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim_matches([' ', '\t'])).collect()
    };
    assert!(
        fields().all(|(name, _)| !name.is_empty() && !name.contains([' ', '\t', '\u{B}'])),
        "{text:?}"
    );
    let expected =
        match (values("content-length").as_slice(), values("transfer-encoding").as_slice()) {
            ([length], []) => Framing::Length(length.parse().expect("digits")),
            ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
            ([], []) if parsed.head.method != "POST" => Framing::Length(0),
            other => panic!("{other:?} was let through"),
        };
    assert_eq!(parsed.framing, expected);
    assert!(values("host").len() <= 1);
}

/// 100 fields are taken, and no more.
fn fields_are_counted(parsed: &Parsed) {
    let mut text = rewritten(parsed);
    text.truncate(text.len() - 2);
    let fields = text.matches("\r\n").count() - 1;
    let full = text + &"X-Y: z\r\n".repeat(100 - fields);
    assert_eq!(
        parse(format!("{full}\r\n").as_bytes()).map(|whole| whole.map(|(parsed, _)| parsed)),
        Ok(Some(parsed.clone()))
    );
    let over = parse(format!("{full}X-Y: z\r\n\r\n").as_bytes());
    assert_eq!(over.map_err(|refusal| refusal.status), Err(431));
}

/// The same head with other names of the fields, which mean the same.
fn with_names(head: &str, change: fn(&str) -> String) -> String {
    let lines =
        head.split_inclusive("\r\n").enumerate().map(|(number, line)| match line.split_once(':') {
            Some((name, value)) if number > 0 => format!("{}:{value}", change(name)),
            _ => line.to_owned(),
        });
    lines.collect()
}

/// A head that says no more than what was understood.
pub(super) fn rewritten(parsed: &Parsed) -> String {
    let mut text = format!("{} {} HTTP/1.1\r\n", parsed.head.method, parsed.head.target);
    let length = match parsed.framing {
        Framing::Length(length) => ("Content-Length", Some(format_smolstr!("{length}"))),
        Framing::Chunked => ("Transfer-Encoding", Some("chunked".into())),
    };
    let connection = if parsed.keep_alive { "keep-alive" } else { "close" };
    let expect = parsed.expects_continue.then(|| "100-continue".into());
    let accepts = parsed.head.accepts_gzip.then(|| "gzip".into());
    for (name, value) in [
        ("Host", Some(parsed.head.host.clone().unwrap_or_default())),
        length,
        ("Connection", Some(connection.into())),
        ("Content-Encoding", parsed.head.content_encoding.clone()),
        ("Content-Type", parsed.head.content_type.clone()),
        ("Origin", parsed.head.origin.clone()),
        ("Sec-Fetch-Site", parsed.head.fetch_site.clone()),
        ("Authorization", parsed.head.authorization.clone()),
        ("Accept-Encoding", accepts),
        ("Expect", expect),
    ] {
        if let Some(value) = value {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text + "\r\n"
}
