//! Where a peer is reached, and what it is sent there.

/// Where a peer is reached.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host and port.
    pub address: String,
    /// Whether it speaks TLS.
    pub is_tls: bool,
}

impl Target {
    /// Of a URL that ends in `/RPC2`.
    pub fn of(url: &str) -> Self {
        Self {
            address: hotcall_tests::wire::address(url).to_owned(),
            is_tls: url.starts_with("https:"),
        }
    }

    /// The whole request.
    pub fn post(&self, document: &str, is_last: bool) -> Vec<u8> {
        let (address, length) = (&self.address, document.len());
        let connection = if is_last { "Connection: close\r\n" } else { "" };
        format!(
            "POST /RPC2 HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/xml\r\n\
             Content-Length: {length}\r\n{connection}\r\n{document}"
        )
        .into_bytes()
    }
}
