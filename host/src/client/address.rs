//! A server's address, as a user writes it.

use super::error::Error;
use std::net::IpAddr;
use std::path::PathBuf;
use ureq::http::Uri;

/// Where a server is.
pub(super) struct Target {
    /// What HTTP is told.
    pub(super) url: Uri,
    /// The Unix socket to connect to, if it is one.
    pub(super) socket: Option<PathBuf>,
    /// What messages call it.
    pub(super) name: String,
}

pub(super) fn target(text: &str) -> Result<Target, Error> {
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() {
            return Err(Error::Url(format!("{text:?} names no socket")));
        }
        let url = Uri::from_static("http://localhost/RPC2");
        return Ok(Target { url, socket: Some(path.into()), name: text.to_owned() });
    }
    let url = server_url(text)?;
    let name = url.authority().map(ToString::to_string).unwrap_or_default();
    Ok(Target { url, socket: None, name })
}

/// The address with a path: like other clients', an empty one means `/RPC2`.
fn server_url(text: &str) -> Result<Uri, Error> {
    let bad = |why: &str| Error::Url(format!("{text:?} {why}"));
    let rest = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let rest = rest.ok_or_else(|| bad("does not start with http://, https:// or unix:"))?;
    let whole =
        if rest.contains(['/', '?', '#']) { text.to_owned() } else { format!("{text}/RPC2") };
    let url: Uri = whole.parse().map_err(|error| bad(&format!("is not a URL: {error}")))?;
    let authority = url.authority().ok_or_else(|| bad("names no host"))?;
    if authority.host().is_empty() {
        return Err(bad("names no host"));
    }
    if authority.as_str().contains('@') {
        // The text is not repeated: it holds a password.
        return Err(Error::Url(
            "a user name does not belong in the URL; give it as the user instead".to_owned(),
        ));
    }
    Ok(url)
}

pub(super) fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
