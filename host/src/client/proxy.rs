//! Which proxy stands before a server. Pure: the environment is a function here.
//!
//! ureq reads the environment too, but differently:
//!
//! - it takes the first of all variables, whatever the server's scheme;
//! - it silently ignores values that it cannot use;
//! - it takes a name in `NO_PROXY` for that one host only.

use super::error::Error;
use ipnet::IpNet;
use std::net::IpAddr;
use ureq::http::Uri;

/// A proxy that makes tunnels.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) inner: ureq::Proxy,
    /// Its host and port, without a user and password.
    pub(super) name: String,
}

impl Proxy {
    /// `whose` is what a message calls the setting.
    pub(super) fn new(whose: &str, url: &str) -> Result<Self, Error> {
        // The URL is not repeated: it may hold a password.
        let bad = |why: &str| Error::Proxy(format!("{whose} {why}: give it as http://HOST:PORT"));
        let inner = ureq::Proxy::new(url).map_err(|_| bad("is not the URL of a proxy"))?;
        if inner.protocol() != ureq::ProxyProtocol::Http {
            return Err(bad("is of a kind that is not supported"));
        }
        if inner.host().is_empty() {
            return Err(bad("names no host"));
        }
        let name = format!("{}:{}", inner.host(), inner.port());
        Ok(Self { inner, name })
    }
}

/// The proxy that the environment names for this URL.
///
/// # Errors
/// When it names one that cannot be used: to go without would be against what was asked for.
pub(super) fn from_environment(
    url: &Uri,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, Error> {
    let set = |names: &[&'static str]| {
        let value = |name: &&'static str| {
            Some((*name, variable(name).filter(|value| !value.trim().is_empty())?))
        };
        names.iter().find_map(value)
    };
    let schemes = match url.scheme_str() {
        Some("https") => set(&["https_proxy", "HTTPS_PROXY"]),
        // In a CGI program HTTP_PROXY is a header of the request ("httpoxy").
        _ if variable("REQUEST_METHOD").is_some() => set(&["http_proxy"]),
        _ => set(&["http_proxy", "HTTP_PROXY"]),
    };
    let Some((name, proxy)) = schemes.or_else(|| set(&["all_proxy", "ALL_PROXY"])) else {
        return Ok(None);
    };
    if let Some((_, exceptions)) = set(&["no_proxy", "NO_PROXY"])
        && is_excepted(url, &exceptions)
    {
        return Ok(None);
    }
    Proxy::new(&format!("the variable {name}"), proxy.trim()).map(Some)
}

/// Whether one of these, separated by commas or spaces, means the URL's host.
fn is_excepted(url: &Uri, exceptions: &str) -> bool {
    let host = url
        .host()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .trim_end_matches('.')
        .to_ascii_lowercase();
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
    exceptions
        .split([',', ' ', '\t'])
        .filter(|exception| !exception.is_empty())
        .any(|exception| means(&exception.to_ascii_lowercase(), &host, port))
}

fn means(exception: &str, host: &str, port: u16) -> bool {
    if exception == "*" {
        return true;
    }
    if let (Some((network, bits)), Ok(address)) = (exception.split_once('/'), host.parse()) {
        return is_within(address, network, bits);
    }
    // A second colon is an IPv6 address's, whose port stands behind a bracket.
    let (name, wanted) = match exception.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') || name.ends_with(']') => {
            match digits.parse() {
                Ok(wanted) => (name, Some(wanted)),
                Err(_) => return false,
            }
        }
        _ => (exception, None),
    };
    if wanted.is_some_and(|wanted: u16| wanted != port) {
        return false;
    }
    let name = name.trim_matches(['[', ']']);
    if let Ok(address) = host.parse::<IpAddr>() {
        return name.parse() == Ok(address);
    }
    let name = name.trim_start_matches('*').trim_start_matches('.').trim_end_matches('.');
    let below = host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    !name.is_empty() && below
}

/// Whether an address is in a network, which may stand in brackets. What is no network holds none.
fn is_within(address: IpAddr, network: &str, bits: &str) -> bool {
    let network = format!("{}/{bits}", network.trim_matches(['[', ']']));
    network.parse::<IpNet>().is_ok_and(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(url: &str, environment: &[(&str, &str)]) -> Option<String> {
        let variable = |wanted: &str| {
            environment.iter().find(|(name, _)| *name == wanted).map(|(_, v)| (*v).to_owned())
        };
        from_environment(&url.parse().unwrap(), variable).unwrap().map(|proxy| proxy.name)
    }

    #[test]
    fn the_variable_of_the_scheme_comes_before_that_of_all() {
        let all = [
            ("HTTPS_PROXY", "http://s:1"),
            ("HTTP_PROXY", "http://h:2"),
            ("ALL_PROXY", "socks5://a:3"),
            ("https_proxy", ""),
        ];
        assert_eq!(chosen("https://server/", &all).as_deref(), Some("s:1"));
        assert_eq!(chosen("http://server/", &all).as_deref(), Some("h:2"));
        assert_eq!(chosen("http://server/", &[("all_proxy", "a:3")]).as_deref(), Some("a:3"));
        assert_eq!(chosen("http://server/", &[("https_proxy", "http://s:1")]), None);
        assert_eq!(
            chosen("https://server/", &[("HTTPS_PROXY", "http://ann:pw@s")]).as_deref(),
            Some("s:80")
        );
        let cgi = [("HTTP_PROXY", "http://evil:1"), ("REQUEST_METHOD", "POST")];
        assert_eq!(chosen("http://server/", &cgi), None);
    }

    #[test]
    fn exceptions_are_hosts_addresses_and_networks() {
        for (exceptions, url, excepted) in [
            ("*", "http://server/", true),
            ("other, Server", "http://server/", true),
            ("example.com", "http://www.example.com/", true),
            (".example.com", "http://example.com/", true),
            ("*.example.com", "http://a.b.EXAMPLE.com./", true),
            ("example.com", "http://badexample.com/", false),
            ("example.com", "http://example.com.evil/", false),
            ("example.com:8443", "https://example.com:8443/", true),
            ("example.com:8443", "https://example.com/", false),
            ("example.com:443", "https://example.com/", true),
            ("10.0.0.0/8", "http://10.255.0.1/", true),
            ("10.0.0.0/8", "http://11.0.0.1/", false),
            ("0.0.0.0/0", "http://11.0.0.1/", true),
            ("10.0.0.0/33", "http://10.0.0.1/", false),
            ("10.0.0.1", "http://10.0.0.1/", true),
            ("0.0.1", "http://10.0.0.1/", false),
            ("10.1.2.3/8", "http://10.255.0.1/", true),
            ("10.0.0.128/25", "http://10.0.0.127/", false),
            ("10.0.0.1/32", "http://10.0.0.1/", true),
            ("10.0.0.0/", "http://10.0.0.0/", false),
            ("10.0.0.0/-1", "http://10.0.0.0/", false),
            ("10.0.0.0/8/8", "http://10.0.0.0/", false),
            ("10.0.0/8", "http://10.0.0.0/", false),
            ("10.0.0.0/8", "http://ten.example/", false),
            ("10.0.0.0/8", "http://[fd12::1]/", false),
            ("::/0", "http://10.0.0.1/", false),
            ("::/0", "http://[fd12::1]/", true),
            ("fd00::/8", "http://[fd12::1]/", true),
            ("[fd00::]/8", "http://[fd12::1]/", true),
            ("fd00::/8", "http://[fe80::1]/", false),
            ("fd00::/129", "http://[fd00::]/", false),
            ("[fd12::1]:80", "http://[fd12::1]/", true),
            ("fd12::1", "http://[fd12::1]:81/", true),
            ("[fd12::1]:80", "http://[fd12::1]:81/", false),
            (", ,", "http://server/", false),
            (".", "http://server/", false),
        ] {
            let environment =
                [("http_proxy", "p:1"), ("https_proxy", "p:1"), ("NO_PROXY", exceptions)];
            assert_eq!(chosen(url, &environment).is_none(), excepted, "{exceptions} {url}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_without_its_password() {
        for bad in [
            "socks5://ann:secret@p:1",
            "https://ann:secret@p:1",
            "ftp://secret@p",
            "http://",
            "a b secret",
        ] {
            let variable = |name: &str| (name == "ALL_PROXY").then(|| bad.to_owned());
            let refused =
                from_environment(&"http://server/".parse().unwrap(), variable).unwrap_err();
            let Error::Proxy(message) = refused else { panic!("{refused:?}") };
            assert!(
                message.starts_with("the variable ALL_PROXY ") && !message.contains("secret"),
                "{message}"
            );
        }
    }
}
