//! Why the server did not start, or did not take other options.

use crate::{net, plugin};
use std::fmt;

/// Why the server did not start.
#[derive(Debug)]
pub enum Error {
    /// The options do not fit together, or a file of them cannot be used.
    Options(String),
    /// The network side.
    Net(net::Error),
    /// The plugins' side.
    Plugins(plugin::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(why) => f.write_str(why),
            Self::Net(error) => error.fmt(f),
            Self::Plugins(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}
