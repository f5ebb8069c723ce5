//! The choices in writing a document where clients differ in what they read: the keys of
//! `[xmlrpc]` in the config file.
//!
//! Dates are plain by default. A client that fails on a `Z` or a fraction loses the whole
//! response, and its author cannot change what the method returned.
//!
//! The client library writes dates exactly. A fraction or an offset is there only because the
//! caller put it there. A server that reads less answers with a fault, which the caller notices at
//! the first try. If the client cut it, the call would succeed with another moment.

use crate::settings::settings;
use serde::Deserialize;

settings! {
    /// How values are written for which there is more than one way. The default is what the
    /// strictest reader of each takes; it loses nothing but what [`Dates::Plain`] says.
    ///
    /// # Examples
    /// ```
    /// use hotcall::xmlrpc::{EncodeOptions, EncodeStyle, NilStyle, Value, encode_response};
    /// let style = EncodeStyle { nil: NilStyle::Ex, ..EncodeStyle::default() };
    /// let options = EncodeOptions { style, ..EncodeOptions::default() };
    /// let document = String::from_utf8(encode_response(&Value::Nil, &options).unwrap()).unwrap();
    /// assert!(document.contains("xmlns:ex=") && document.contains("<ex:nil/>"));
    /// ```
    #[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
    #[serde(default, deny_unknown_fields)]
    pub struct EncodeStyle {
        /// What XML cannot carry is a fault. Or replace: U+FFFD stands for it.
        ///
        /// Characters that XML 1.0 forbids, in texts and names.
        invalid_chars: InvalidChars = InvalidChars::Refuse => shown("\"refuse\"");
        /// Or ex:i8, Apache's element, for whole numbers past 32 bits.
        ///
        /// The element of whole numbers of 64 bits.
        i8: I8Style = I8Style::Plain => shown("\"i8\"");
        /// Or ex:nil, Apache's element, or refuse: a fault.
        ///
        /// The element of no value.
        nil: NilStyle = NilStyle::Plain => shown("\"nil\"");
        /// Without a fraction, in UTC if the offset is known. Or exact, which not all clients read.
        ///
        /// Dates with a fraction of a second or an offset from UTC.
        dates: Dates = Dates::Plain => shown("\"plain\"");
    }
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
///
/// # Examples
/// ```
/// use hotcall::xmlrpc::{
///     Dates, EncodeOptions, EncodeStyle, Value, encode_response, parse_date_time,
/// };
/// let date = Value::DateTime(parse_date_time("1998-07-17T14:08:55.25+02:00").unwrap());
/// let written = |dates| {
///     let style = EncodeStyle { dates, ..EncodeStyle::default() };
///     let document = encode_response(&date, &EncodeOptions { style, ..EncodeOptions::default() });
///     String::from_utf8(document.unwrap()).unwrap()
/// };
/// assert!(written(Dates::Plain).contains(">19980717T12:08:55<"));
/// assert!(written(Dates::Exact).contains(">19980717T14:08:55.25+02:00<"));
/// ```
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Dates {
    /// Always `19980717T14:08:55`, the specification's form, which every reader accepts. A fraction
    /// of a second is cut. A date with an offset is written in UTC and without the offset, so
    /// readers must know that it is UTC; a date without an offset is written unchanged. 24:00:00 is
    /// written as the next day's 00:00:00, and a leap second as the second after it, as POSIX
    /// counts them. A date that is then outside the years 0001 to 9999 is a fault.
    #[default]
    Plain,
    /// `19980717T14:08:55`, and after it a fraction and an offset if the value has them. Nothing is
    /// lost, and Python's `use_builtin_types` among others fails on both.
    Exact,
}
