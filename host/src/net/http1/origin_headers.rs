//! The header fields that say where a request goes, where it began and who sends it.
//!
//! They are passed on for others to judge. A field that can be read in two ways is refused or
//! counts as the reading that excludes most.

use super::fields::{Fields, Name};
use super::refusal::{Refusal, bad};
use smol_str::SmolStr;

/// A host's name of 253 bytes, a port, and some air.
const HOST_BYTES_MAX: usize = 300;
const ORIGIN_BYTES_MAX: usize = 400;
const FETCH_SITE_BYTES_MAX: usize = 20;
/// `header_bytes_max` limits it: credentials that are too long are still credentials.
const AUTHORIZATION_BYTES_MAX: usize = usize::MAX;
/// Stands for credentials that cannot be read. They are nobody's.
const UNREADABLE: &str = "Basic";

/// The host that the request is for. `authority`: of the target. A client sends the same as `Host`
/// then (RFC 9112, section 3.2.2); if it does not, a reader before this one may have taken the
/// other.
///
/// # Errors
/// More than one host, or one that is no text.
pub(crate) fn host(
    fields: &Fields<'_>,
    authority: Option<&str>,
    is_1_1: bool,
) -> Result<Option<SmolStr>, Refusal> {
    let hosts = fields.all(Name::Host).count();
    if (is_1_1 && hosts != 1) || hosts > 1 {
        return Err(bad("HTTP/1.1 wants one Host field"));
    }
    let host = fields.all(Name::Host).next();
    let host = host.map(|host| {
        plain(host, HOST_BYTES_MAX).ok_or_else(|| bad("Host is not the name of a host"))
    });
    let host = match (authority, host.transpose()?) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            return Err(bad("the request target names another host than Host does"));
        }
        (authority, host) => authority.or(host),
    };
    Ok(host.map(SmolStr::new))
}

/// `Origin`. One that cannot be read must not pass for none: it excludes, and so do the others.
pub(crate) fn origin(fields: &Fields<'_>) -> Option<SmolStr> {
    only(fields, Name::Origin, ORIGIN_BYTES_MAX).map(|origin| origin.unwrap_or("null").into())
}

/// `Sec-Fetch-Site`.
pub(crate) fn fetch_site(fields: &Fields<'_>) -> Option<SmolStr> {
    only(fields, Name::SecFetchSite, FETCH_SITE_BYTES_MAX)
        .map(|site| site.unwrap_or("cross-site").into())
}

/// `Authorization`.
pub(crate) fn authorization(fields: &Fields<'_>) -> Option<SmolStr> {
    only(fields, Name::Authorization, AUTHORIZATION_BYTES_MAX)
        .map(|given| given.unwrap_or(UNREADABLE).into())
}

/// A field that stands once at most; `Some(None)` when it stands more often or is no plain text.
fn only<'a>(fields: &Fields<'a>, name: Name, bytes_max: usize) -> Option<Option<&'a str>> {
    let mut given = fields.all(name);
    let (value, another) = (given.next()?, given.next());
    Some(plain(value, bytes_max).filter(|_| another.is_none()))
}

fn plain(value: &[u8], bytes_max: usize) -> Option<&str> {
    let is_plain = value.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    std::str::from_utf8(value).ok().filter(|_| is_plain && value.len() <= bytes_max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::http1::head::parse;
    use crate::request::Head;

    fn read(line: &str, fields: &str) -> Result<Head, u16> {
        let head = format!("GET {line}\r\n{fields}\r\n");
        parse(head.as_bytes())
            .map(|parsed| parsed.unwrap().0.head)
            .map_err(|refusal| refusal.status)
    }

    #[test]
    fn what_is_given_is_read() {
        let fields = "Host: h:1\r\nOrigin: http://o\r\nSec-Fetch-Site: same-site\r\n\
                      Authorization: Basic YTpi\r\n";
        let some = |text: &str| Some(SmolStr::new(text));
        let head = Head { method: "GET".into(), target: "/".into(), ..Head::default() };
        let expected = Head {
            host: some("h:1"),
            origin: some("http://o"),
            fetch_site: some("same-site"),
            authorization: some("Basic YTpi"),
            ..head.clone()
        };
        assert_eq!(read("/ HTTP/1.1", fields), Ok(expected));
        assert_eq!(read("/ HTTP/1.0", ""), Ok(head));
    }

    #[test]
    fn a_target_s_authority_is_the_host() {
        assert_eq!(
            read("http://a:2/x HTTP/1.1", "Host: A:2\r\n").unwrap().host.as_deref(),
            Some("a:2")
        );
        assert_eq!(read("http://a:2/x HTTP/1.1", "Host: h\r\n"), Err(400));
        assert_eq!(read("http://a:2/x HTTP/1.1", "Host: a\r\n"), Err(400));
        assert_eq!(read("https://a HTTP/1.0", "").unwrap().host.as_deref(), Some("a"));
    }

    #[test]
    fn hosts_are_one_and_text() {
        for fields in [
            "",
            "Host: a\r\nHost: a\r\n",
            "Host: \u{e9}\r\n",
            &format!("Host: {}\r\n", "x".repeat(301)),
        ] {
            assert_eq!(read("/ HTTP/1.1", fields), Err(400), "{fields}");
        }
        assert_eq!(read("/ HTTP/1.0", "Host: a\r\nHost: b\r\n"), Err(400));
    }

    #[test]
    fn what_cannot_be_read_excludes_instead_of_counting_as_nothing() {
        let twice = |name: &str| {
            read("/ HTTP/1.1", &format!("Host: h\r\n{name}: a\r\n{name}: b\r\n")).unwrap()
        };
        assert_eq!(twice("Origin").origin.as_deref(), Some("null"));
        assert_eq!(twice("Sec-Fetch-Site").fetch_site.as_deref(), Some("cross-site"));
        assert_eq!(twice("Authorization").authorization.as_deref(), Some("Basic"));
    }
}
