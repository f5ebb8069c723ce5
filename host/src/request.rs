//! One request: the facts of its head, its sender, and its body.
//!
//! Each fact is declared here once, for the network side that reads it and the code that judges or
//! answers it. Must not know what a fact means.

use crate::cancellation::Cancellation;
use smol_str::SmolStr;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// A whole request, as the network side has read, vetted and bounded it.
#[derive(Clone, Debug)]
pub struct Request {
    /// What its head says.
    pub head: Head,
    /// The body, complete.
    pub body: Vec<u8>,
    /// Who sent it.
    pub peer: Arc<Peer>,
    /// The id under which the log speaks of it.
    pub id: SmolStr,
    /// When its first byte came: deadlines count from here.
    pub arrived: Instant,
    /// Whether its sender has gone.
    pub cancellation: Cancellation,
}

/// What a request's head says, but for its framing. Fields are of visible ASCII and spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// `POST`, in capitals.
    pub method: SmolStr,
    /// In origin form: a path, perhaps with a query.
    pub target: SmolStr,
    /// `Content-Encoding`, when the body is coded.
    pub content_encoding: Option<SmolStr>,
    /// `Content-Type`, when the one that is sent can be understood.
    pub content_type: Option<SmolStr>,
    /// Whether the sender takes a body in gzip.
    pub accepts_gzip: bool,
    /// The host that it wants to reach, perhaps with a port: the target's authority, else `Host`.
    /// `None` in HTTP/1.0 when the sender did not say.
    pub host: Option<SmolStr>,
    /// `Origin`, which browsers set.
    pub origin: Option<SmolStr>,
    /// `Sec-Fetch-Site`, which newer browsers set.
    pub fetch_site: Option<SmolStr>,
    /// `Authorization`.
    pub authorization: Option<SmolStr>,
}

/// Who is at the other end of a connection, as far as the connection shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// As text, with its port; empty when there is none.
    pub address: SmolStr,
    /// The same without the port, in its own family: an IPv4 address is never written in IPv6.
    pub ip: Option<IpAddr>,
    /// How it reaches this machine.
    pub way: Way,
    /// Whether it came through TLS.
    pub is_encrypted: bool,
    /// The name that a verified certificate proves; empty when there is none.
    pub name: SmolStr,
}

/// How the log names it.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.address.is_empty() { "a Unix socket" } else { &self.address })
    }
}

/// How a request came to this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Through a Unix socket, from a process of the server's own user or of root, who could also
    /// replace the server.
    Owner,
    /// Through a Unix socket, from another user of this machine, whom the socket's mode lets in.
    Unix,
    /// Over TCP from this same machine.
    Loopback,
    /// From anywhere else.
    #[default]
    Network,
}

impl Way {
    /// Whether it is a Unix socket, of any user.
    pub const fn is_unix(self) -> bool {
        matches!(self, Self::Owner | Self::Unix)
    }
}
