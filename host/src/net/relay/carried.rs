//! A request on its way through tiny_http: its head, rewritten and read again. Must not know who
//! sent it: what the connection shows goes past tiny_http.

use crate::request::{Head, Request};
use smol_str::SmolStr;

/// Carries the request's id. Clients' own fields of this name are never passed on.
pub(super) const ID_FIELD: &str = "Hotcall-Request";

/// One header field of a head.
type Field = fn(&mut Head) -> &mut Option<SmolStr>;

/// The header fields that are passed on, under these names.
const FIELDS: [(&str, Field); 6] = [
    ("Content-Encoding", |head| &mut head.content_encoding),
    ("Content-Type", |head| &mut head.content_type),
    // Apart from `Host`, which tiny_http wants in any case.
    ("Hotcall-Host", |head| &mut head.host),
    ("Origin", |head| &mut head.origin),
    ("Sec-Fetch-Site", |head| &mut head.fetch_site),
    ("Authorization", |head| &mut head.authorization),
];

/// A request's bytes for tiny_http.
pub(super) fn to_bytes(request: &Request) -> Vec<u8> {
    let Request { head, body, id, .. } = request;
    let mut fields = format!("{} {} HTTP/1.1\r\nHost: hotcall\r\n", head.method, head.target);
    let mut add = |name: &str, value: &str| {
        fields.extend([name, ": ", value, "\r\n"]);
    };
    add("Content-Length", &body.len().to_string());
    add(ID_FIELD, id);
    if head.accepts_gzip {
        add("Accept-Encoding", "gzip");
    }
    let mut head = head.clone();
    for (name, of) in FIELDS {
        if let Some(value) = of(&mut head) {
            add(name, value);
        }
    }
    fields.push_str("\r\n");
    let mut bytes = fields.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The head that [`to_bytes`] wrote, as tiny_http has read it.
pub(super) fn head(request: &tiny_http::Request) -> Head {
    let mut head = Head {
        method: request.method().as_str().into(),
        target: request.url().into(),
        accepts_gzip: field(request, "Accept-Encoding").is_some(),
        ..Head::default()
    };
    for (name, of) in FIELDS {
        *of(&mut head) = field(request, name);
    }
    head
}

/// A header field's text.
pub(super) fn field(request: &tiny_http::Request, name: &'static str) -> Option<SmolStr> {
    let found = request.headers().iter().find(|header| header.field.equiv(name));
    found.map(|header| header.value.as_str().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancellation::Cancellation;
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::time::Instant;

    /// All fields by name, so that a new one is not forgotten here.
    #[test]
    fn tiny_http_reads_the_head_that_was_written() {
        let some = |text: &str| Some(SmolStr::new(text));
        let full = Head {
            method: "POST".into(),
            target: "/RPC2?a".into(),
            content_encoding: some("gzip"),
            content_type: some("text/xml; charset=utf-8"),
            accepts_gzip: true,
            host: some("h:1"),
            origin: some("http://o"),
            fetch_site: some("same-site"),
            authorization: some("Basic YTpi"),
        };
        let bare = Head { method: "OPTIONS".into(), target: "*".into(), ..Head::default() };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = tiny_http::Server::from_listener(listener, None).unwrap();
        for given in [full, bare] {
            let request = Request {
                head: given.clone(),
                body: b"body".to_vec(),
                peer: Arc::default(),
                id: "1-2".into(),
                arrived: Instant::now(),
                cancellation: Cancellation::default(),
            };
            TcpStream::connect(address).unwrap().write_all(&to_bytes(&request)).unwrap();
            let mut read = server.recv().unwrap();
            assert_eq!(head(&read), given);
            assert_eq!(field(&read, ID_FIELD).as_deref(), Some("1-2"));
            let mut body = Vec::new();
            read.as_reader().read_to_end(&mut body).unwrap();
            assert_eq!(body, request.body);
        }
    }
}
