//! Vets the bytes of a request's head: the result is the few facts that matter, or a refusal.
//!
//! The head is rewritten from these facts before it is passed on. Nothing that two readers could
//! understand differently gets past here (RFC 9112, sections 2.2, 5 and 6). Knows no sockets.

use super::fields::{Fields, Name};
use super::origin_headers;
use super::refusal::{Refusal, bad};
use crate::request::Head;
use smol_str::SmolStr;
use std::mem::MaybeUninit;

/// Header fields of one request.
const FIELDS_MAX: usize = 100;
/// A content coding's name.
const CODING_BYTES_MAX: usize = 64;
/// A Content-Type; a longer one counts as none.
const TYPE_BYTES_MAX: usize = 256;

/// A request's head, understood in the only way there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// What is passed on.
    pub(crate) head: Head,
    /// Where its message ends.
    pub(crate) framing: Framing,
    pub(crate) version: Version,
    /// Whether the connection goes on after the response.
    pub(crate) keep_alive: bool,
    /// Whether the client waits to be told before it sends the body.
    pub(crate) expects_continue: bool,
}

/// What the client speaks, and so is answered in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
}

/// Where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

/// Reads a head at the beginning of `bytes`: the head and its length, or `None` when its end has
/// not come yet.
///
/// # Errors
/// Why the connection cannot go on.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Parsed, usize)>, Refusal> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::Version) => {
            return Err(Refusal::new(505, "HTTP version not supported: use HTTP/1.1."));
        }
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal::new(
                431,
                format_args!("Too many header fields: at most {FIELDS_MAX}."),
            ));
        }
        Err(error) => return Err(bad(error)),
    };
    check_line_ends(bytes.get(..length).unwrap_or_default())?;
    let fields = Fields::new(request.headers);
    let is_1_1 = request.version == Some(1);
    let has = |field: Name, option: &str| {
        fields.list(field).any(|given| given.eq_ignore_ascii_case(option))
    };
    let (target, authority) = target(request.method, request.path.unwrap_or_default())?;
    let parsed = Parsed {
        framing: framing(&fields, is_1_1)?,
        head: Head {
            method: request.method.unwrap_or_default().into(),
            target: target.into(),
            content_encoding: content_encoding(&fields)?,
            content_type: content_type(&fields),
            accepts_gzip: accepts_gzip(&fields),
            host: origin_headers::host(&fields, authority, is_1_1)?,
            origin: origin_headers::origin(&fields),
            fetch_site: origin_headers::fetch_site(&fields),
            authorization: origin_headers::authorization(&fields),
        },
        version: if is_1_1 { Version::Http11 } else { Version::Http10 },
        keep_alive: !has(Name::Connection, "close")
            && (is_1_1 || has(Name::Connection, "keep-alive")),
        expects_continue: is_1_1 && has(Name::Expect, "100-continue"),
    };
    check_length(&parsed.head.method, &fields)?;
    Ok(Some((parsed, length)))
}

/// httparse takes a lone LF for a line's end, which others do not. Each LF must follow a CR, and
/// each CR must precede one. Without branches, so that the compiler looks at many bytes at a time.
fn check_line_ends(head: &[u8]) -> Result<(), Refusal> {
    let after = head.get(1..).unwrap_or_default();
    let is_wrong =
        head.iter().zip(after).fold(head.first() == Some(&b'\n'), |wrong, (one, next)| {
            wrong | ((*one == b'\r') != (*next == b'\n'))
        });
    if is_wrong {
        return Err(bad("a line does not end with CR LF"));
    }
    Ok(())
}

/// The path of an origin form, or of an absolute form, which a server must understand (RFC 9112,
/// section 3.2.2), and that one's authority.
fn target<'a>(method: Option<&str>, given: &'a str) -> Result<(&'a str, Option<&'a str>), Refusal> {
    if !given.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad("the request target has other characters than visible ASCII"));
    }
    let is_web =
        |scheme: &str| ["http", "https"].iter().any(|known| known.eq_ignore_ascii_case(scheme));
    // A path has no scheme, and most targets are paths.
    let absolute = if given.starts_with('/') { None } else { given.split_once("://") };
    let absolute = absolute.filter(|(scheme, _)| is_web(scheme)).map(|(_, rest)| rest);
    let (path, authority) = match absolute {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (if path.is_empty() { "/" } else { path }, Some(authority))
        }
        None => (given, None),
    };
    let is_whole_server = path == "*" && method == Some("OPTIONS");
    if path.starts_with('/') || is_whole_server {
        Ok((path, authority))
    } else {
        Err(bad("the request target is not a path"))
    }
}

fn framing(fields: &Fields<'_>, is_1_1: bool) -> Result<Framing, Refusal> {
    let codings = fields.all(Name::TransferEncoding).count();
    let mut lengths = fields.all(Name::ContentLength);
    let (length, another) = (lengths.next(), lengths.next());
    if codings > 0 {
        if length.is_some() {
            return Err(bad("both Content-Length and Transfer-Encoding"));
        }
        let is_chunked = codings == 1
            && fields
                .all(Name::TransferEncoding)
                .all(|coding| coding.eq_ignore_ascii_case(b"chunked"));
        return match is_chunked && is_1_1 {
            true => Ok(Framing::Chunked),
            false => Err(bad("the only transfer coding understood is chunked, in HTTP/1.1")),
        };
    }
    match (length, another) {
        (None, _) => Ok(Framing::Length(0)),
        (Some(length), None) => {
            let length = number(length).map(Framing::Length);
            length.ok_or_else(|| bad("Content-Length is not a number"))
        }
        (Some(_), Some(_)) => Err(bad("more than one Content-Length")),
    }
}

/// Digits and nothing else, of a number that 64 bits hold.
fn number(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

/// Without a length there is no body (RFC 9112, section 6.3), but a POST without one is that of a
/// client which sends its body all the same, and means it to end with the connection: it would be
/// taken for the next request.
fn check_length(method: &str, fields: &Fields<'_>) -> Result<(), Refusal> {
    let has_length = fields.has(Name::ContentLength) || fields.has(Name::TransferEncoding);
    if method == "POST" && !has_length {
        let why = "Length required: a POST says where its body ends, by Content-Length or chunks.";
        return Err(Refusal::new(411, why));
    }
    Ok(())
}

fn content_encoding(fields: &Fields<'_>) -> Result<Option<SmolStr>, Refusal> {
    if !fields.has(Name::ContentEncoding) {
        return Ok(None);
    }
    // What is no text is no item of the list, and must not pass for no coding at all.
    let is_text = fields.all(Name::ContentEncoding).all(<[u8]>::is_ascii);
    let codings = fields.list(Name::ContentEncoding).collect::<Vec<_>>().join(", ");
    if is_text && codings.is_empty() {
        return Ok(None);
    }
    let is_plain = is_text && codings.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if codings.len() > CODING_BYTES_MAX || !is_plain {
        return Err(bad("Content-Encoding is not a list of codings"));
    }
    Ok(Some(codings.into()))
}

/// RFC 9110, section 12.5.3: what is not named is taken if `*` is, and not with a weight of 0.
fn accepts_gzip(fields: &Fields<'_>) -> bool {
    let weight_of = |coding: &str| {
        fields.list(Name::AcceptEncoding).find_map(|item| {
            let (name, weight) = item.split_once(';').unwrap_or((item, ""));
            let weight = weight
                .trim()
                .strip_prefix(['q', 'Q'])
                .and_then(|rest| rest.trim_start().strip_prefix('='));
            let weight = weight.map_or(Ok(1.0), |weight| weight.trim().parse::<f32>());
            name.trim().eq_ignore_ascii_case(coding).then(|| weight.unwrap_or(0.0))
        })
    };
    weight_of("gzip")
        .or_else(|| weight_of("x-gzip"))
        .or_else(|| weight_of("*"))
        .is_some_and(|weight| weight > 0.0)
}

/// Only its charset will matter, so a strange one is no reason to refuse: old clients send all
/// kinds, or none.
fn content_type(fields: &Fields<'_>) -> Option<SmolStr> {
    let mut given = fields.all(Name::ContentType);
    let (value, another) = (given.next()?, given.next());
    let is_plain = value.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    let text = std::str::from_utf8(value).ok()?;
    (another.is_none() && is_plain && (1..=TYPE_BYTES_MAX).contains(&text.len()))
        .then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Result<Parsed, Refusal> {
        parse(head.as_bytes()).map(|parsed| parsed.expect("a complete head").0)
    }

    #[test]
    fn a_plain_post_is_understood() {
        let parsed = read("POST /RPC2 HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\n").unwrap();
        let expected = Parsed {
            head: Head {
                method: "POST".into(),
                target: "/RPC2".into(),
                host: Some("h".into()),
                ..Head::default()
            },
            framing: Framing::Length(12),
            version: Version::Http11,
            keep_alive: true,
            expects_continue: false,
        };
        assert_eq!(parsed, expected);
        assert_eq!(parse(b"POST /RPC2 HTTP/1.1\r\nHost: h\r\n"), Ok(None));
        let (_, length) = parse(b"GET / HTTP/1.0\r\n\r\nrest").unwrap().unwrap();
        assert_eq!(length, 18);
    }

    #[test]
    fn versions_and_options_decide_about_the_connection() {
        let keeps = |line: &str| {
            read(&format!("GET / HTTP/{line}\r\n\r\n"))
                .map(|parsed| (parsed.keep_alive, parsed.expects_continue))
                .unwrap()
        };
        assert_eq!(keeps("1.1\r\nHost: h"), (true, false));
        assert_eq!(keeps("1.1\r\nHost: h\r\nConnection: x, Close"), (false, false));
        assert_eq!(keeps("1.1\r\nHost: h\r\nConnection: \u{e9}, close"), (false, false));
        assert_eq!(keeps("1.1\r\nHost: h\r\nConnection: \u{a0}close"), (true, false));
        assert_eq!(keeps("1.0"), (false, false));
        assert_eq!(keeps("1.0\r\nConnection: Keep-Alive"), (true, false));
        assert_eq!(keeps("1.1\r\nHost: h\r\nExpect: 100-Continue"), (true, true));
        assert_eq!(keeps("1.1\r\nHost: h\r\nExpect:"), (true, false));
        assert_eq!(keeps("1.0\r\nExpect: 100-continue"), (false, false));
    }

    #[test]
    fn gzip_is_taken_or_not() {
        let accepts = |field: &str| {
            read(&format!("GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: {field}\r\n\r\n"))
                .unwrap()
                .head
                .accepts_gzip
        };
        for taken in
            ["gzip", "deflate, GZIP;q=0.5", "x-gzip", "*", "br;q=1, *; q=0.1", "gzip; Q = 1"]
        {
            assert!(accepts(taken), "{taken}");
        }
        for refused in
            ["", "identity", "gzip;q=0", "*;q=0", "gzip;q=0, *", "gzip;q=nonsense", "gzipped"]
        {
            assert!(!accepts(refused), "{refused}");
        }
    }

    #[test]
    fn a_content_type_is_passed_on_or_passed_over() {
        let content_type = |fields: &str| {
            read(&format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).unwrap().head.content_type
        };
        let plain = "text/xml; charset=\"iso-8859-1\"";
        assert_eq!(content_type(&format!("content-type: {plain}\r\n")).as_deref(), Some(plain));
        assert_eq!(content_type(""), None);
        assert_eq!(content_type("Content-Type:\r\n"), None);
        assert_eq!(content_type("Content-Type: a\r\nContent-Type: b\r\n"), None);
        assert_eq!(content_type("Content-Type: caf\u{e9}\r\n"), None);
        assert_eq!(
            content_type(&format!("Content-Type: {}\r\n", "x".repeat(TYPE_BYTES_MAX + 1))),
            None
        );
    }

    #[test]
    fn targets_are_paths() {
        let target = |given: &str| {
            read(&format!("GET {given} HTTP/1.1\r\nHost: h:80\r\n\r\n"))
                .map(|parsed| parsed.head.target)
        };
        assert_eq!(target("/a?b").as_deref(), Ok("/a?b"));
        assert_eq!(target("http://h:80/RPC2").as_deref(), Ok("/RPC2"));
        assert_eq!(target("https://H:80").as_deref(), Ok("/"));
        assert_eq!(target("HTTP://h:80/a").as_deref(), Ok("/a"));
        assert_eq!(target("ftp://h:80/a").unwrap_err().status, 400);
        assert_eq!(target("*").unwrap_err().status, 400);
        assert_eq!(target("RPC2").unwrap_err().status, 400);
        // Python's client sends it when its URL has one.
        assert_eq!(target("/RPC2#part").as_deref(), Ok("/RPC2#part"));
        assert_eq!(read("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").unwrap().head.target, "*");
    }

    #[test]
    fn what_could_be_understood_in_two_ways_is_refused() {
        let cases = [
            ("Content-Length: 1\r\nTransfer-Encoding: chunked", 400),
            ("Content-Length: 1\r\nContent-Length: 1", 400),
            ("Content-Length: 1\r\ncontent-length: 2", 400),
            ("Content-Length: 1, 1", 400),
            ("Content-Length: +1", 400),
            ("Content-Length: -1", 400),
            ("Content-Length: 0x1", 400),
            ("Content-Length: 1 1", 400),
            ("Content-Length:", 400),
            ("Content-Length: 99999999999999999999", 400),
            ("Transfer-Encoding: gzip, chunked", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
            ("Transfer-Encoding: xchunked", 400),
            ("Transfer-Encoding:", 400),
            ("Transfer-Encoding : chunked", 400),
            ("A: b\r\n folded", 400),
            ("A: b\nC: d", 400),
            ("A: b\rC: d", 400),
            ("A: \0", 400),
            ("A\u{1}: b", 400),
            (": b", 400),
            ("Host: twice", 400),
            ("Content-Encoding: gz\u{e9}p", 400),
        ];
        for (field, status) in cases {
            let refused = read(&format!("POST / HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n"));
            assert_eq!(refused.map_err(|refusal| refusal.status), Err(status), "{field:?}");
        }
        let status = |head: &str| read(head).unwrap_err().status;
        assert_eq!(status("POST / HTTP/1.1\r\n\r\n"), 400);
        assert_eq!(status("POST / HTTP/1.1\r\nHost: h\r\n\r\n"), 411);
        assert_eq!(status("POST / HTTP/2.0\r\n\r\n"), 505);
        assert_eq!(status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
        assert_eq!(status("\u{16}\u{3}\u{1}"), 400);
        let many = "A: b\r\n".repeat(FIELDS_MAX + 1);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{many}\r\n")), 431);
    }
}
