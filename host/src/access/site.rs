//! Which hosts the server answers for, and which sites' pages may call it.
//!
//! Both checks protect a server that only its user can reach from that user's browser. An attacker
//! could point a name at it (DNS rebinding), or call it from a page of another site.

use super::refusal::Refusal;
use crate::request::{Head, Way};
use crate::text::echoed;
use std::net::IpAddr;

/// The hosts and origins that an operator listed, each in one spelling.
#[derive(Debug)]
pub(super) struct Sites {
    hosts: Vec<Host>,
    origins: Vec<String>,
}

/// A host as the operator listed it.
#[derive(Debug)]
enum Host {
    Address(IpAddr),
    Named(String),
}

/// The host of an authority, without its port. An address is in its own family, so that it has one
/// spelling.
#[derive(Clone, Copy)]
enum HostRef<'a> {
    Address(IpAddr),
    Named(&'a str),
}

impl Sites {
    /// # Errors
    /// An entry that no request could have.
    pub(super) fn new(hosts: &[String], origins: &[String]) -> Result<Self, String> {
        let host = |given: &String| {
            let bare = given.parse::<IpAddr>().map(|ip| HostRef::Address(ip.to_canonical()));
            // A name with its port would look as if the port counted.
            let named = host_of(given).filter(|_| given.ends_with(']') || !given.contains(':'));
            let why = || {
                format!(
                    "hosts has {given:?}: give names or addresses, without scheme, port and path"
                )
            };
            bare.ok().or(named).map(HostRef::to_owned).ok_or_else(why)
        };
        let origin = |given: &String| {
            let is_origin = given
                .split_once("://")
                .is_some_and(|(scheme, host)| !scheme.is_empty() && host_of(host).is_some());
            let why = || {
                format!(
                    "origins has {given:?}: give what a browser sends, as in \
                     \"https://example.com\""
                )
            };
            is_origin.then(|| given.to_ascii_lowercase()).ok_or_else(why)
        };
        Ok(Self {
            hosts: hosts.iter().map(host).collect::<Result<_, _>>()?,
            origins: origins.iter().map(origin).collect::<Result<_, _>>()?,
        })
    }

    /// # Errors
    /// 421 for a host that this server is not, 403 for a call from a page of another site.
    pub(super) fn check(&self, head: &Head, way: Way) -> Result<(), Refusal> {
        self.check_host(head.host.as_deref(), way)?;
        self.check_origin(head)
    }

    /// Whether pages of this origin may call.
    pub(super) fn lists(&self, origin: &str) -> bool {
        self.origins.iter().any(|listed| listed.eq_ignore_ascii_case(origin))
    }

    fn check_host(&self, host: Option<&str>, way: Way) -> Result<(), Refusal> {
        // No browser goes through a Unix socket by itself, and each sends Host.
        let (Some(host), true) = (host, !way.is_unix()) else { return Ok(()) };
        if way == Way::Loopback && is_usual_loopback(host) {
            return Ok(());
        }
        if way == Way::Network && self.hosts.is_empty() {
            return Ok(());
        }
        let is_ours = match (host_of(host), way) {
            (Some(host), _) if self.hosts.iter().any(|listed| host.is(listed)) => true,
            (Some(host), Way::Loopback) => host.is_loopback(),
            _ => false,
        };
        if is_ours {
            return Ok(());
        }
        let shown = echoed(host);
        let why = format!(
            "Misdirected request: not the server of {shown:?}. Its operator can list that under \
             hosts."
        );
        Err(Refusal::new(421, why))
    }

    /// By what browsers say. Nothing else sends these fields, and no page can change them.
    fn check_origin(&self, head: &Head) -> Result<(), Refusal> {
        let refused = |from: &str| {
            let shown = echoed(from);
            let why = format!(
                "Forbidden: a page of {shown:?} may not call. The operator can list it under \
                 origins."
            );
            Err(Refusal::new(403, why))
        };
        match (head.origin.as_deref(), head.fetch_site.as_deref()) {
            (Some(origin), _) if self.lists(origin) => Ok(()),
            (_, Some(site)) if ["same-origin", "none"].contains(&site) => Ok(()),
            (origin, Some(_)) => refused(origin.unwrap_or("another site")),
            // Browsers from before 2023 say no more than this.
            (Some(origin), None) if is_same(origin, head.host.as_deref()) => Ok(()),
            (Some(origin), None) => refused(origin),
            (None, None) => Ok(()),
        }
    }
}

/// Whether a page's origin is the host that it calls. The scheme does not count: a proxy before
/// this server may have changed it.
fn is_same(origin: &str, host: Option<&str>) -> bool {
    let of_origin = origin.split_once("://").map(|(_, host)| host);
    matches!((of_origin, host), (Some(one), Some(other)) if one.eq_ignore_ascii_case(other))
}

/// Whether it is one of the names that most clients on this machine use. There are others.
fn is_usual_loopback(authority: &str) -> bool {
    ["127.0.0.1", "localhost"].iter().any(|name| authority.strip_prefix(name).is_some_and(is_port))
}

/// Whether this may follow the host in an authority: nothing, or a port.
fn is_port(rest: &str) -> bool {
    let digits = rest.strip_prefix(':');
    rest.is_empty() || digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
}

/// None for what names no host.
fn host_of(authority: &str) -> Option<HostRef<'_>> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.contains(':').then_some((host, port))?
        }
        None => {
            let colon = authority.bytes().position(|byte| byte == b':');
            authority.split_at(colon.unwrap_or(authority.len()))
        }
    };
    if !is_port(port) {
        return None;
    }
    // An address begins with a digit or has a colon; most names have neither.
    let may_be_address = host.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    if (may_be_address || host.contains(':'))
        && let Ok(ip) = host.parse::<IpAddr>()
    {
        return Some(HostRef::Address(ip.to_canonical()));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_name =
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    is_name.then_some(HostRef::Named(name))
}

impl HostRef<'_> {
    fn to_owned(self) -> Host {
        match self {
            Self::Address(ip) => Host::Address(ip),
            Self::Named(name) => Host::Named(name.to_owned()),
        }
    }

    fn is(self, listed: &Host) -> bool {
        match (self, listed) {
            (Self::Address(ip), Host::Address(listed)) => ip == *listed,
            (Self::Named(name), Host::Named(listed)) => name.eq_ignore_ascii_case(listed),
            _ => false,
        }
    }

    fn is_loopback(self) -> bool {
        const LOOPBACK: &str = "localhost";
        match self {
            Self::Address(ip) => ip.is_loopback(),
            // Names below it are loopback's too (RFC 6761, section 6.3).
            Self::Named(name) => {
                let last = name.rsplit('.').next().unwrap_or_default();
                last.eq_ignore_ascii_case(LOOPBACK)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol_str::SmolStr;

    fn sites(hosts: &[&str], origins: &[&str]) -> Result<Sites, String> {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Sites::new(&owned(hosts), &owned(origins))
    }

    fn status(sites: &Sites, head: &Head, way: Way) -> u16 {
        sites.check(head, way).map_or_else(|refusal| refusal.status, |()| 200)
    }

    #[test]
    fn hosts_are_held_to_the_way() {
        let none = sites(&[], &[]).unwrap();
        let some = sites(&["API.example.com.", "::2", "10.0.0.1"], &[]).unwrap();
        let rows: &[(&str, Way, [u16; 2])] = &[
            ("localhost", Way::Loopback, [200, 200]),
            ("LocalHost.:8080", Way::Loopback, [200, 200]),
            ("a.localhost", Way::Loopback, [200, 200]),
            ("127.0.0.1:1", Way::Loopback, [200, 200]),
            ("127.1.2.3", Way::Loopback, [200, 200]),
            ("[::1]:1", Way::Loopback, [200, 200]),
            ("[::ffff:127.0.0.1]", Way::Loopback, [200, 200]),
            ("api.example.com:443", Way::Loopback, [421, 200]),
            ("api.example.com", Way::Network, [200, 200]),
            ("[0::2]:1", Way::Network, [200, 200]),
            ("10.0.0.1", Way::Network, [200, 200]),
            ("localhost", Way::Network, [200, 421]),
            ("evil.example", Way::Network, [200, 421]),
            ("evil.example", Way::Loopback, [421, 421]),
            ("localhost.evil.example", Way::Loopback, [421, 421]),
            ("127.0.0.1.evil.example", Way::Loopback, [421, 421]),
            ("localhost@evil.example", Way::Loopback, [421, 421]),
            ("localhost:x", Way::Loopback, [421, 421]),
            ("[localhost]", Way::Loopback, [421, 421]),
            ("", Way::Loopback, [421, 421]),
            ("evil.example", Way::Unix, [200, 200]),
        ];
        for &(host, way, expected) in rows {
            let head = Head { host: Some(host.into()), ..Head::default() };
            assert_eq!(
                [&none, &some].map(|sites| status(sites, &head, way)),
                expected,
                "{host} {way:?}"
            );
        }
        assert_eq!(status(&some, &Head::default(), Way::Loopback), 200, "HTTP/1.0");
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let none = sites(&[], &[]).unwrap();
        let some = sites(&[], &["https://Good.example:8443"]).unwrap();
        let rows: &[(Option<&str>, Option<&str>, [u16; 2])] = &[
            (None, None, [200, 200]),
            (None, Some("same-origin"), [200, 200]),
            (None, Some("none"), [200, 200]),
            (None, Some("cross-site"), [403, 403]),
            (None, Some("same-site"), [403, 403]),
            (None, Some(""), [403, 403]),
            (Some("http://h:1"), None, [200, 200]),
            (Some("https://H:1"), None, [200, 200]),
            (Some("http://h:2"), None, [403, 403]),
            (Some("http://h:1"), Some("cross-site"), [403, 403]),
            (Some("http://evil.example"), Some("same-origin"), [200, 200]),
            (Some("null"), None, [403, 403]),
            (Some(""), None, [403, 403]),
            (Some("https://good.example:8443"), Some("cross-site"), [403, 200]),
            (Some("https://good.example:8443"), None, [403, 200]),
            (Some("http://good.example:8443"), None, [403, 403]),
            (Some("https://good.example"), None, [403, 403]),
        ];
        for &(origin, fetch_site, expected) in rows {
            for way in [Way::Unix, Way::Network] {
                let head = Head {
                    host: Some("h:1".into()),
                    origin: origin.map(SmolStr::from),
                    fetch_site: fetch_site.map(SmolStr::from),
                    ..Head::default()
                };
                assert_eq!(
                    [&none, &some].map(|sites| status(sites, &head, way)),
                    expected,
                    "{origin:?} {fetch_site:?} {way:?}"
                );
            }
        }
    }

    #[test]
    fn entries_that_nobody_could_match_are_refused() {
        for host in ["https://h", "h:80", "[::1]:80", "h/", "", "*", "a b"] {
            assert!(sites(&[host], &[]).unwrap_err().contains("without scheme"), "{host}");
        }
        for origin in ["h", "https://", "https://h/", "://h", "null", "*"] {
            assert!(
                sites(&[], &[origin]).unwrap_err().contains("what a browser sends"),
                "{origin}"
            );
        }
        assert!(sites(&["[::1]", "h"], &["http://[::1]:80"]).is_ok());
    }
}
