//! The unit in which panics are counted. Must not know what is counted.

use crate::registry::CallContext;
use smol_str::SmolStr;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The unit in which panics are counted: a user, else an IPv4 address or an IPv6 /64 network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    User(SmolStr),
    Address(IpAddr),
    /// Everybody without a name on Unix sockets.
    Unknown,
}

impl Caller {
    pub(crate) fn of(context: &CallContext) -> Self {
        match context.caller_ip {
            _ if !context.caller_name.is_empty() => Self::User(context.caller_name.clone()),
            Some(address) => Self::Address(network(address)),
            None => Self::Unknown,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {name}"),
            Self::Address(address @ IpAddr::V4(_)) => address.fmt(f),
            Self::Address(address @ IpAddr::V6(_)) => write!(f, "{address}/64"),
            Self::Unknown => f.write_str("callers without name and address"),
        }
    }
}

/// One customer has a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    const HOST_BITS: u32 = 64;
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> HOST_BITS << HOST_BITS)),
        v4 @ IpAddr::V4(_) => v4,
    }
}
