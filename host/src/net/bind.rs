//! Where to listen: the addresses and paths that an operator names. Must not bind any of them.

use super::unix;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// HTTPS on an address; port 0 picks a free one.
    Https(SocketAddr),
    /// Plain HTTP on an address; port 0 picks a free one.
    Http(SocketAddr),
    /// Plain HTTP on a Unix socket. A stale socket file is replaced.
    Unix(PathBuf),
}

impl Bind {
    /// Whether both cannot be bound at once.
    fn clashes_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(path), Self::Unix(other)) => {
                matches!(
                    (std::path::absolute(path), std::path::absolute(other)),
                    (Ok(path), Ok(other)) if path == other
                )
            }
            (
                Self::Https(address) | Self::Http(address),
                Self::Https(other) | Self::Http(other),
            ) => address == other && address.port() != 0,
            _ => false,
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Https(address) => write!(f, "https://{address}/RPC2"),
            Self::Http(address) => write!(f, "http://{address}/RPC2"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Whether these can be bound beside those that were handed over, as far as can be said without
/// trying.
///
/// # Errors
/// One whose place another has, or whose path is too long.
pub fn check(binds: &[Bind], inherited: &[Bind]) -> Result<(), String> {
    for (number, bind) in binds.iter().enumerate() {
        if let Bind::Unix(path) = bind {
            unix::check(path).map_err(|why| format!("cannot listen on {bind}: {why}"))?;
        }
        if let Some(other) =
            binds.iter().take(number).chain(inherited).find(|other| other.clashes_with(bind))
        {
            return Err(format!(
                "{bind} would listen where {other} listens already: leave one of them out"
            ));
        }
    }
    Ok(())
}
