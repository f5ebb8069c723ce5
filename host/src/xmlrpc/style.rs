//! The choices in writing a document where clients differ in what they read: the keys of `[xmlrpc]` in the config file.

use serde::Deserialize;

/// How values are written for which there is more than one way. The default is what most clients read. It loses nothing but what
/// [`Dates::Plain`] says.
///
/// # Examples
/// ```
/// use hotcall::xmlrpc::{EncodeOptions, EncodeStyle, NilStyle, Value, encode_response};
/// let style = EncodeStyle { nil: NilStyle::Ex, ..EncodeStyle::default() };
/// let options = EncodeOptions { style, ..EncodeOptions::default() };
/// let document = String::from_utf8(encode_response(&Value::Nil, &options).unwrap()).unwrap();
/// assert!(document.contains("xmlns:ex=") && document.contains("<ex:nil/>"));
/// ```
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct EncodeStyle {
    /// Characters that XML 1.0 forbids, in texts and names.
    pub invalid_chars: InvalidChars,
    /// Whole numbers of 64 bits.
    pub i8: I8Style,
    /// No value.
    pub nil: NilStyle,
    /// Dates with a fraction of a second or an offset from UTC.
    pub dates: Dates,
}

impl EncodeStyle {
    pub(super) fn needs_namespace(&self) -> bool {
        self.i8 == I8Style::Ex || self.nil == NilStyle::Ex
    }
}

/// What becomes of a character that XML 1.0 forbids (section 2.2, "Char").
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum InvalidChars {
    /// The answer is a fault that names the character.
    #[default]
    Refuse,
    /// U+FFFD stands for it.
    Replace,
}

/// The element of a 64-bit number.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum I8Style {
    /// `<i8>`.
    #[default]
    #[serde(rename = "i8")]
    Plain,
    /// `<ex:i8>`, as Apache's clients know it.
    #[serde(rename = "ex:i8")]
    Ex,
}

/// The element of no value.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum NilStyle {
    /// `<nil/>`.
    #[default]
    #[serde(rename = "nil")]
    Plain,
    /// `<ex:nil/>`, as Apache's clients know it.
    #[serde(rename = "ex:nil")]
    Ex,
    /// The answer is a fault: for clients that know neither.
    #[serde(rename = "refuse")]
    Refuse,
}

/// How a date is written beyond its second.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Dates {
    /// Always `19980717T14:08:55`, because many clients read nothing else: Python's `use_builtin_types` fails on a fraction or a
    /// `Z`. A fraction is cut, and a date with an offset is written in UTC, so that its hour and even its day may be others.
    #[default]
    Plain,
    /// The same, and after it a fraction and an offset if the value has them.
    Exact,
}
