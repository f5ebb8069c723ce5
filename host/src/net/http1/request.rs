//! A vetted request on its way to the application: straight, or written anew for tiny_http and read from it again. Both
//! ways give the same request.

use super::head::Head;
use crate::web::{Cancellation, Request, Way};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use smol_str::SmolStr;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Carries the client's address through tiny_http. What clients send under these names is never passed on.
const ADDRESS_FIELD: &str = "Hotcall-Address";
/// Carries the request's id.
pub(crate) const ID_FIELD: &str = "Hotcall-Request";
/// Carries [`Way`]'s word for how the request came.
const WAY_FIELD: &str = "Hotcall-Way";
/// Says that it came through TLS; not there otherwise.
const TLS_FIELD: &str = "Hotcall-Tls";
/// Carries the name that the client has proven already, in base64, because it may be of any characters.
const NAME_FIELD: &str = "Hotcall-Name";
/// Carries the host that the client wanted to reach.
const HOST_FIELD: &str = "Hotcall-Host";
/// Carries how long the request has waited already, in milliseconds.
const WAITED_FIELD: &str = "Hotcall-Waited-Ms";

/// Who is at the other end of a connection, as far as the connection shows it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// As text, with its port; empty when there is none.
    pub(crate) address: SmolStr,
    /// The same without the port.
    pub(crate) ip: Option<IpAddr>,
    pub(crate) way: Way,
    pub(crate) is_encrypted: bool,
    /// The user of whom a verified certificate speaks; empty when there is none.
    pub(crate) name: SmolStr,
}

/// Who it is in a log line.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.address.is_empty() { "a Unix socket" } else { &self.address })
    }
}

/// A request, whole and vetted.
#[derive(Clone)]
pub(crate) struct Passage {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) peer: Arc<Peer>,
    pub(crate) id: SmolStr,
    /// When its first byte came.
    pub(crate) begun: Instant,
}

impl Passage {
    /// As the application sees it.
    pub(crate) fn into_request(self, cancellation: Cancellation) -> Request {
        let Self { head, body, peer, id, begun } = self;
        Request {
            method: head.method,
            target: head.target,
            content_encoding: head.content_encoding,
            content_type: head.content_type,
            accepts_gzip: head.accepts_gzip,
            body,
            caller_address: peer.address.clone(),
            caller_ip: peer.ip,
            caller_name: peer.name.clone(),
            way: peer.way,
            is_encrypted: peer.is_encrypted,
            host: head.claims.host,
            origin: head.claims.origin,
            fetch_site: head.claims.fetch_site,
            authorization: head.claims.authorization,
            id,
            arrived: begun,
            cancellation,
        }
    }

    /// Its bytes, written anew for tiny_http.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Self { head, body, peer, id, begun } = self;
        let mut fields = format!("{} {} HTTP/1.1\r\nHost: hotcall\r\n", head.method, head.target);
        let mut add = |name: &str, value: &str| {
            fields.extend([name, ": ", value, "\r\n"]);
        };
        add("Content-Length", &body.len().to_string());
        add(ADDRESS_FIELD, &peer.address);
        add(WAY_FIELD, peer.way.name());
        add(ID_FIELD, id);
        add(WAITED_FIELD, &begun.elapsed().as_millis().to_string());
        if head.accepts_gzip {
            add("Accept-Encoding", "gzip");
        }
        if peer.is_encrypted {
            add(TLS_FIELD, "1");
        }
        if !peer.name.is_empty() {
            add(NAME_FIELD, &BASE64.encode(&peer.name));
        }
        let claims = &head.claims;
        for (name, value) in [
            ("Content-Encoding", &head.content_encoding),
            ("Content-Type", &head.content_type),
            (HOST_FIELD, &claims.host),
            ("Origin", &claims.origin),
            ("Sec-Fetch-Site", &claims.fetch_site),
            ("Authorization", &claims.authorization),
        ] {
            if let Some(value) = value {
                add(name, value);
            }
        }
        fields.push_str("\r\n");
        let mut bytes = fields.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}

/// What [`Passage::to_bytes`] wrote, as the application sees it after tiny_http has read it.
pub(crate) fn describe(request: &tiny_http::Request, body: Vec<u8>, cancellation: Cancellation) -> Request {
    let waited =
        field(request, WAITED_FIELD).and_then(|waited| waited.parse().ok()).map(Duration::from_millis);
    let now = Instant::now();
    let field = |name| field(request, name);
    let address = field(ADDRESS_FIELD).unwrap_or_default();
    Request {
        method: request.method().as_str().into(),
        target: request.url().into(),
        content_encoding: field("Content-Encoding"),
        accepts_gzip: field("Accept-Encoding").is_some(),
        content_type: field("Content-Type"),
        body,
        caller_ip: ip(&address),
        caller_address: address,
        caller_name: field(NAME_FIELD).and_then(|name| decoded(&name)).unwrap_or_default(),
        way: field(WAY_FIELD).and_then(|way| Way::of_name(&way)).unwrap_or(Way::Network),
        is_encrypted: field(TLS_FIELD).is_some(),
        host: field(HOST_FIELD),
        origin: field("Origin"),
        fetch_site: field("Sec-Fetch-Site"),
        authorization: field("Authorization"),
        id: field(ID_FIELD).unwrap_or_default(),
        arrived: waited.and_then(|waited| now.checked_sub(waited)).unwrap_or(now),
        cancellation,
    }
}

/// A header field's text.
pub(crate) fn field(request: &tiny_http::Request, name: &'static str) -> Option<SmolStr> {
    let found = request.headers().iter().find(|header| header.field.equiv(name));
    found.map(|header| header.value.as_str().into())
}

/// The address in an address with a port.
fn ip(address: &str) -> Option<IpAddr> {
    address.parse::<SocketAddr>().ok().map(|address| address.ip())
}

fn decoded(base64: &str) -> Option<SmolStr> {
    String::from_utf8(BASE64.decode(base64).ok()?).ok().map(SmolStr::from)
}
