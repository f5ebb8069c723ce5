//! Finds a document's encoding and has it converted to UTF-8. Must not know XML beyond its first
//! line.
//!
//! RFC 7303 (section 3) gives the order: a byte order mark, the `charset` of the Content-Type, the
//! prolog. With none of them, a document is UTF-8 unless its first two bytes are a `<` of UTF-16.

use super::charset::{Charset, NotConverted};
use super::error::DecodeError;
use super::reader::shown;
use crate::xmlrpc::fault::code;
use crate::xmlrpc::resources::Meter;
use std::borrow::Cow;

const UTF_8_BOM: &[u8] = b"\xEF\xBB\xBF";
const UTF_16_LE_BOM: &[u8] = b"\xFF\xFE";
const UTF_16_BE_BOM: &[u8] = b"\xFE\xFF";
/// Looked for first, since one of them begins like UTF-16's.
const UTF_32_BOMS: [&[u8]; 2] = [b"\xFF\xFE\0\0", b"\0\0\xFE\xFF"];

/// The prologs that most clients send. Each of them declares UTF-8, or nothing.
pub(super) const USUAL_PROLOGS: [&str; 4] = [
    "<?xml version='1.0'?>",
    "<?xml version=\"1.0\"?>",
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>",
];

/// A document as it came: its bytes, and what its transport said of them.
///
/// Bytes alone become one by `into`, which [`decode_call`](super::decode_call) and
/// [`decode_response`](super::decode_response) do by themselves.
///
/// # Examples
/// ```
/// use hotcall::xmlrpc::{DecodeLimits, Document, Value, decode_response};
/// let bytes =
///     b"<methodResponse><params><param><value>\x80 5</value></param></params></methodResponse>";
/// let document = Document::from(bytes).with_content_type("text/xml; charset=windows-1252");
/// assert_eq!(decode_response(document, &DecodeLimits::default()), Ok(Ok(Value::from("€ 5"))));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    bytes: &'a [u8],
    charset: Option<&'a str>,
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Document<'a> {
    fn from(bytes: &'a T) -> Self {
        Self { bytes: bytes.as_ref(), charset: None }
    }
}

impl<'a> Document<'a> {
    /// The same with its transport's `Content-Type`, of which the `charset` counts.
    #[must_use]
    pub fn with_content_type(self, content_type: &'a str) -> Self {
        Self { charset: charset(content_type), ..self }
    }

    pub(super) const fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// The document in UTF-8, without byte order mark. What already is UTF-8 is neither copied nor
    /// checked.
    ///
    /// # Errors
    /// The encoding is unknown, the bytes are not valid in it, or there is no memory for the copy.
    pub(super) fn to_utf8(self, meter: &Meter<'_>) -> Result<Cow<'a, [u8]>, DecodeError> {
        let (charset, bytes) = self.charset()?;
        if charset.is_utf_8() || charset.is_same_in_utf_8(bytes) {
            return Ok(Cow::Borrowed(bytes));
        }
        match charset.to_utf_8(bytes, meter) {
            Ok(text) => Ok(Cow::Owned(text.into_bytes())),
            Err(NotConverted::Stopped(stop)) => Err(stop.into()),
            Err(NotConverted::Malformed { before }) => Err(not_of_it(&before)),
        }
    }

    /// The encoding, and the bytes in it.
    fn charset(&self) -> Result<(Charset, &'a [u8]), DecodeError> {
        let Self { bytes, charset } = *self;
        if UTF_32_BOMS.iter().any(|bom| bytes.starts_with(bom)) {
            return Err(unsupported("UTF-32"));
        }
        for (bom, marked) in [
            (UTF_8_BOM, Charset::UTF_8),
            (UTF_16_LE_BOM, Charset::UTF_16_LE),
            (UTF_16_BE_BOM, Charset::UTF_16_BE),
        ] {
            if let Some(rest) = bytes.strip_prefix(bom) {
                return Ok((marked, rest));
            }
        }
        let sniffed = match bytes {
            [b'<', 0, ..] => Some(Charset::UTF_16_LE),
            [0, b'<', ..] => Some(Charset::UTF_16_BE),
            _ => None,
        };
        let charset = match (charset, sniffed) {
            // RFC 2781, section 4.3: without a mark it is big-endian. What is sent differs.
            (Some(name), _) if is_utf_16(name) => sniffed.unwrap_or(Charset::UTF_16_BE),
            (Some(name), _) => Charset::by_name(name).ok_or_else(|| unsupported(name))?,
            (None, Some(sniffed)) => sniffed,
            (None, None) => declared(bytes)?,
        };
        Ok((charset, bytes))
    }
}

fn is_utf_16(name: &str) -> bool {
    ["utf-16", "utf16"].iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The encoding that the prolog declares. White space within the quotation marks is no part of any
/// name.
fn declared(bytes: &[u8]) -> Result<Charset, DecodeError> {
    if USUAL_PROLOGS.iter().any(|prolog| bytes.starts_with(prolog.as_bytes())) {
        return Ok(Charset::UTF_8);
    }
    let Some(name) = prolog(bytes).and_then(|prolog| pseudo_attribute(prolog, b"encoding")) else {
        return Ok(Charset::UTF_8);
    };
    let name = String::from_utf8_lossy(name.trim_ascii());
    match Charset::by_name(&name) {
        // The prolog was just read byte by byte.
        Some(charset) if charset.is_utf_16() => Err(not_utf_16(&name)),
        None if is_utf_16(&name) => Err(not_utf_16(&name)),
        None => Err(unsupported(&name)),
        Some(charset) => Ok(charset),
    }
}

/// What stands between `<?xml` and `?>`, at the beginning or past white space.
fn prolog(bytes: &[u8]) -> Option<&[u8]> {
    let (start, rest) = bytes.trim_ascii_start().split_at_checked(5)?;
    if !start.eq_ignore_ascii_case(b"<?xml") || !rest.first()?.is_ascii_whitespace() {
        return None;
    }
    rest.get(..rest.windows(2).position(|pair| pair == b"?>")?)
}

/// The value of ` name = "value"`. The name counts in capitals too: Frontier writes it so.
fn pseudo_attribute<'a>(prolog: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = prolog.windows(name.len()).position(|part| part.eq_ignore_ascii_case(name))?;
    let rest =
        prolog.get(at + name.len()..)?.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (quote, rest) = rest.split_first().filter(|(quote, _)| matches!(quote, b'"' | b'\''))?;
    rest.get(..rest.iter().position(|byte| byte == quote)?)
}

/// The `charset` of a `Content-Type`, when it says one (RFC 9110, section 8.3.1).
fn charset(content_type: &str) -> Option<&str> {
    let at = content_type.bytes().position(|byte| byte == b';')?;
    let parameters = content_type.get(at + 1..).unwrap_or_default();
    let mut parameters = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    let name = value.trim().trim_matches(['"', '\'']).trim();
    (!name.is_empty()).then_some(name)
}

fn unsupported(name: &str) -> DecodeError {
    let message = format!("line 1, column 1: Unsupported encoding: {}", shown(name));
    DecodeError { code: code::UNSUPPORTED_ENCODING, message }
}

fn not_utf_16(name: &str) -> DecodeError {
    let message =
        format!("line 1, column 1: Declared encoding {}, but the prolog is not in it", shown(name));
    DecodeError { code: code::UNSUPPORTED_ENCODING, message }
}

/// Something that the encoding does not have, after this.
#[cold]
fn not_of_it(before: &str) -> DecodeError {
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    let message = format!(
        "line {line}, column {column}: the bytes after here are not of the document's encoding"
    );
    DecodeError { code: code::INVALID_CHARACTER, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmlrpc::resources::Unlimited;

    #[test]
    fn the_charset_is_found_in_a_content_type() {
        for (content_type, expected) in [
            ("text/xml", None),
            ("text/xml; charset=utf-8", Some("utf-8")),
            ("text/xml;Charset=\"ISO-8859-1\"", Some("ISO-8859-1")),
            ("text/xml; a=b; charset = 'latin1' ; c=d", Some("latin1")),
            ("text/xml; charset=\" utf-8\t\"", Some("utf-8")),
            ("text/xml; charset=", None),
            ("text/xml; charset=\"  \"", None),
            ("text/xml; charset=\"\"", None),
            ("charset=utf-8", None),
            ("", None),
        ] {
            assert_eq!(charset(content_type), expected, "{content_type}");
        }
    }

    #[test]
    fn the_declared_encoding_is_found_in_a_prolog() {
        let declared = |text: &'static str| {
            prolog(text.as_bytes()).and_then(|prolog| pseudo_attribute(prolog, b"encoding"))
        };
        for (text, expected) in [
            ("<?xml version='1.0' encoding='latin1'?>", Some("latin1")),
            (" \n<?XML VERSION=\"1.0\" ENCODING = \"latin1\" standalone='yes' ?>", Some("latin1")),
            ("<?xml version='1.0'?><a encoding='latin1'/>", None),
            ("<?xml-stylesheet encoding='latin1'?>", None),
            ("<?xml version='1.0' encoding='latin1", None),
            ("<?xml version='1.0' encoding='latin1\"?>", None),
            ("<a/>", None),
            ("", None),
        ] {
            assert_eq!(declared(text), expected.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn who_is_believed_has_an_order() {
        let read = |bytes: &[u8], content_type: &str| {
            let text = Document::from(bytes)
                .with_content_type(content_type)
                .to_utf8(&Meter::new(&Unlimited));
            text.map(|text| String::from_utf8(text.into_owned()).unwrap())
                .map_err(|error| error.code)
        };
        let latin1 = b"<?xml version='1.0' encoding='iso-8859-1'?><a>\xE9</a>";
        assert!(read(latin1, "text/xml").unwrap().ends_with("<a>é</a>"));
        let both = b"<?xml version='1.0' encoding='utf-16'?><a>\x80</a>";
        assert!(read(both, "text/xml; charset=windows-1252").unwrap().ends_with("<a>€</a>"));
        assert_eq!(read(both, ""), Err(code::UNSUPPORTED_ENCODING));
        let blanks = b"<?xml version='1.0' encoding=' iso-8859-1\n'?><a>\xE9</a>";
        assert!(read(blanks, "").unwrap().ends_with("<a>é</a>"));
        assert!(
            read(blanks, "text/xml; charset=\" windows-1252 \"").unwrap().ends_with("<a>é</a>")
        );
        assert_eq!(
            read(b"<?xml version='1.0' encoding=' '?><a/>", ""),
            Err(code::UNSUPPORTED_ENCODING)
        );
        let marked = b"\xEF\xBB\xBF<?xml version='1.0' encoding='latin1'?><a>\xC3\xA9</a>";
        assert!(read(marked, "text/xml; charset=iso-8859-15").unwrap().ends_with("<a>é</a>"));
        assert_eq!(read(b"<\0a\0/\0>\0", "text/xml; charset=utf-16").as_deref(), Ok("<a/>"));
        assert_eq!(read(b"\0<\0a\0/\0>", "").as_deref(), Ok("<a/>"));
        assert_eq!(read(b" \0<\0a\0/\0>\0", "text/xml; charset=utf-16LE").as_deref(), Ok(" <a/>"));
        assert!(read(latin1, "text/xml; charset=koi8-r").unwrap().ends_with("<a>И</a>"));
        assert_eq!(read(latin1, "text/xml; charset=utf-7"), Err(code::UNSUPPORTED_ENCODING));
        let utf_8 = "<?xml version='1.0' encoding='koi8-r'?><a>é</a>";
        assert_eq!(read(utf_8.as_bytes(), "text/xml; charset=us-ascii").as_deref(), Ok(utf_8));
    }
}
