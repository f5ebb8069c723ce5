//! Faults and their codes ("Specification for Fault Code Interoperability").

use std::fmt;

/// An XML-RPC fault: what a client is told when its call did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// One of [`code`], or a plugin's own.
    pub code: i32,
    /// For the client's eyes: never holds inside details.
    pub message: String,
}

/// The codes that the server itself sends.
pub mod code {
    /// The body is not well-formed XML.
    pub const NOT_WELL_FORMED: i32 = -32700;
    /// The body's encoding is not supported.
    pub const UNSUPPORTED_ENCODING: i32 = -32701;
    /// A character that the encoding does not have.
    pub const INVALID_CHARACTER: i32 = -32702;
    /// XML, but not an XML-RPC call; or past a limit of it.
    pub const INVALID_REQUEST: i32 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// Wrong number or types of parameters.
    pub const INVALID_PARAMS: i32 = -32602;
    /// The server's own failure; its log has the details.
    pub const INTERNAL: i32 = -32603;
    /// The plugin failed without a code of its own.
    pub const APPLICATION: i32 = -32500;
    /// The call's deadline passed.
    pub const DEADLINE: i32 = -32000;
    /// The server has too much to do.
    pub const OVERLOADED: i32 = -32001;
    /// The result is larger than the server sends.
    pub const RESPONSE_TOO_LARGE: i32 = -32002;
    /// The plugin panicked or crashed.
    pub const PLUGIN_PANICKED: i32 = -32003;
    /// The caller may not call this.
    pub const FORBIDDEN: i32 = -32004;
}

impl Fault {
    /// A fault with this code and text.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault {}: {}", self.code, self.message)
    }
}

impl std::error::Error for Fault {}
