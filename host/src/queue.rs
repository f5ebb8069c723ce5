//! Names of the queues in which work waits for a worker, and their rules. Must not know what waits.
//!
//! Each plugin has a queue, so a slow plugin delays only its own calls. Work that belongs to no
//! plugin has queues of the server.

use crate::address::ClientNetwork;
use smol_str::SmolStr;
use std::fmt;
use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroUsize};

/// The key of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The server's own methods.
    Server,
    /// Requests with a password that must be verified.
    Passwords,
    /// Requests that take long to decode, until their method is known.
    Documents,
    /// Batches that call several plugins.
    Batches,
    /// The calls of the plugin with this name.
    Plugin(SmolStr),
}

/// How a queue shares the workers with other queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Its share of the workers relative to the other queues.
    pub weight: NonZeroU16,
    /// Jobs that run at a time. None: as many as its share allows.
    pub running_max: Option<NonZeroUsize>,
    /// Jobs that wait. None: as many as in any queue.
    pub waiting_max: Option<NonZeroUsize>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { weight: NonZeroU16::MIN, running_max: None, waiting_max: None }
    }
}

/// The client that work is done for. Clients in one queue take turns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Client(Who);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    User(SmolStr),
    Network(ClientNetwork),
    /// A client on a Unix socket.
    Local,
}

impl Client {
    /// The user with this name, else the client at this address.
    pub fn new(user: &SmolStr, address: Option<IpAddr>) -> Self {
        Self(match address {
            _ if !user.is_empty() => Who::User(user.clone()),
            Some(address) => Who::Network(address.into()),
            None => Who::Local,
        })
    }
}

/// The queue in which work waits, and its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The queue.
    pub key: Key,
    /// The client.
    pub client: Client,
}

/// Why work may not wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Full {
    /// As many jobs wait in this queue as may.
    Queue {
        /// The queue.
        key: Key,
        /// Whether the queue has a limit of its own.
        has_own_limit: bool,
    },
    /// As many jobs of the client wait in this queue as may.
    Client(Key),
    /// As many calls wait for the end of one pause as may.
    Pause,
    /// As many requests wait for tiny_http as may.
    Relay,
}

/// Says which limit was reached, and by which setting it can be raised.
impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = |name: &str| format!("{name} under [limits]");
        match self {
            Self::Queue { key, has_own_limit } => {
                let setting = match key {
                    Key::Plugin(name) if *has_own_limit => {
                        format!("queue_len_max under [plugin_options.{name}]")
                    }
                    _ => limits("queue_len_max"),
                };
                write!(f, "too many {key} wait for a worker ({setting})")
            }
            Self::Client(key) => {
                let setting = limits("queue_len_per_client_percent_max");
                write!(f, "too many {key} from this client wait for a worker ({setting})")
            }
            Self::Pause => {
                let setting = limits("queue_len_max");
                write!(f, "too many calls wait for a plugin that is being replaced ({setting})")
            }
            Self::Relay => {
                write!(f, "too many requests wait for tiny_http ({})", limits("queue_len_max"))
            }
        }
    }
}

/// The jobs of the queue, in the plural.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => write!(f, "calls of the server's own methods"),
            Self::Passwords => write!(f, "requests with passwords"),
            Self::Documents => write!(f, "large requests"),
            Self::Batches => write!(f, "batches of several plugins' calls"),
            Self::Plugin(name) => write!(f, "calls of plugin {name}"),
        }
    }
}

/// The queue in which running work counts.
pub trait Turn {
    /// Counts the work in the queue with this key from now on. Returns `false`, and changes
    /// nothing, when the work would have to wait there.
    fn enter(&self, key: &Key) -> bool;
}

/// A turn of work that competes with no other.
#[derive(Debug)]
pub struct Alone;

impl Turn for Alone {
    fn enter(&self, _: &Key) -> bool {
        true
    }
}
