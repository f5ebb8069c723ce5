//! Why a document was refused. Must not know how documents are read.

use crate::xmlrpc::fault::Fault;
use crate::xmlrpc::resources::Stop;
use std::fmt;

/// Why a document is not what it should be. Small, whatever the document was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// One of [`code`](crate::xmlrpc::code).
    pub code: i32,
    /// What is wrong, and where.
    pub message: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DecodeError {}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self::new(error.code, error.message)
    }
}

impl From<Stop> for DecodeError {
    fn from(stop: Stop) -> Self {
        let Fault { code, message } = stop.into();
        Self { code, message }
    }
}
