//! The error of a method. Knows no memory of the host.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// The code of [`Fault::invalid_params`].
const INVALID_PARAMS: i32 = -32602;
/// The code for a result that the call's memory limit does not hold.
const RESPONSE_TOO_LARGE: i32 = -32002;

/// Why a call failed, as the client sees it: an integer code and a text.
///
/// Write the text for the client's author: what was wrong with what, and what would be right. A
/// plugin's own codes are best positive; -32768 to -32000 have fixed meanings.
///
/// # Examples
/// ```
/// use hotcall_plugin::Fault;
///
/// fn stock(item: &str) -> Result<i32, Fault> {
///     match item {
///         "" => Err(Fault::invalid_params("item must not be empty")),
///         "apple" => Ok(7),
///         _ => Err(Fault::new(404, format!("no item is named {item}"))),
///     }
/// }
/// assert_eq!(stock("pear").unwrap_err().code(), Some(404));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    code: Option<i32>,
    message: Cow<'static, str>,
}

impl Fault {
    /// A fault with a code of the plugin's own.
    pub fn new(code: i32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code: Some(code), message: message.into() }
    }

    /// A fault without a code of its own: the client sees -32500.
    pub fn error(message: impl Into<Cow<'static, str>>) -> Self {
        Self { code: None, message: message.into() }
    }

    /// The parameters are not what the method takes: -32602.
    pub fn invalid_params(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(INVALID_PARAMS, message)
    }

    /// The code, when the fault has one of its own.
    pub const fn code(&self) -> Option<i32> {
        self.code
    }

    /// The text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The host has no more memory for this call.
    pub(crate) const fn too_large() -> Self {
        Self {
            code: Some(RESPONSE_TOO_LARGE),
            message: Cow::Borrowed("the result is larger than one call may answer"),
        }
    }

    pub(crate) fn into_message(self) -> Cow<'static, str> {
        self.message
    }
}

/// Writes the text alone.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Fault {}

/// As [`Fault::error`].
impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self::error(message)
    }
}

/// As [`Fault::error`].
impl From<&'static str> for Fault {
    fn from(message: &'static str) -> Self {
        Self::error(message)
    }
}

/// A fault in the box stays that fault; any other error becomes its text, as [`Fault::error`].
impl From<Box<dyn Error>> for Fault {
    fn from(error: Box<dyn Error>) -> Self {
        match error.downcast::<Self>() {
            Ok(fault) => *fault,
            Err(other) => Self::error(other.to_string()),
        }
    }
}

/// As for `Box<dyn Error>`.
impl From<Box<dyn Error + Send + Sync>> for Fault {
    fn from(error: Box<dyn Error + Send + Sync>) -> Self {
        Self::from(error as Box<dyn Error>)
    }
}
