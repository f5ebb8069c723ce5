//! The unit in which panics are counted. Must not know what is counted.

use crate::address::ClientNetwork;
use crate::registry::CallContext;
use smol_str::SmolStr;
use std::fmt;

/// The unit in which panics are counted: a user, else an IPv4 address or an IPv6 /64 network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    User(SmolStr),
    Address(ClientNetwork),
    /// Everybody without a name on Unix sockets.
    Unknown,
}

impl Caller {
    pub(crate) fn of(context: &CallContext) -> Self {
        match context.caller_ip {
            _ if !context.caller_name.is_empty() => Self::User(context.caller_name.clone()),
            Some(address) => Self::Address(address.into()),
            None => Self::Unknown,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {name}"),
            Self::Address(network) => network.fmt(f),
            Self::Unknown => f.write_str("callers without name and address"),
        }
    }
}
