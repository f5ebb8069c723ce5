//! The headers that are sent with each request.

use super::error::Error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ureq::http::HeaderValue;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName};

/// How many headers a client may add. Servers limit all of them together, Hotcall to 16 KiB.
const HEADERS_MAX: usize = 64;

/// Headers that say how a request is framed, coded and routed. Another value than the client's own
/// would make it another request, or two.
const RESERVED: [&str; 15] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Checks the headers that a user adds, and joins those of the client's own.
pub(super) fn headers(
    added: &[(String, String)],
    user: Option<&(String, String)>,
) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    if added.len() > HEADERS_MAX {
        return Err(Error::Header(format!("{} headers are more than {HEADERS_MAX}", added.len())));
    }
    for (name, value) in added {
        let bad = |why: &str| Error::Header(format!("the header {name:?} {why}"));
        let key = HeaderName::try_from(name).map_err(|_| bad("has no possible name"))?;
        if RESERVED.contains(&key.as_str()) {
            return Err(bad("is the client's own"));
        }
        if key == AUTHORIZATION && user.is_some() {
            return Err(bad("and a user name cannot both be sent"));
        }
        // The value is not repeated: it may be a secret.
        let mut value =
            HeaderValue::try_from(value).map_err(|_| bad("has a value that cannot be sent"))?;
        value.set_sensitive(true);
        headers.append(key, value);
    }
    if let Some((user, password)) = user {
        headers.insert(AUTHORIZATION, basic(user, password)?);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    Ok(headers)
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, Error> {
    if user.contains(':') {
        return Err(Error::Credentials("a user name cannot hold a colon".to_owned()));
    }
    let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let mut value = HeaderValue::try_from(value)
        .map_err(|_| Error::Credentials("the user name or password cannot be sent".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
