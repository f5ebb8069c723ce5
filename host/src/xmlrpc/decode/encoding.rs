//! Converts bytes to UTF-8, by the encoding that the document or its transport states. Must not
//! know XML beyond its first line.
//!
//! The order is that of RFC 7303 (section 3): a byte order mark, the `charset` of the
//! Content-Type, the prolog. Without any of them, a document is UTF-8 unless its first two bytes
//! are a `<` of UTF-16.

use super::error::DecodeError;
use super::reader::shown;
use crate::xmlrpc::fault::code;
use crate::xmlrpc::resources::{Meter, Stop};
use std::borrow::Cow;

const UTF_8_BOM: &[u8] = b"\xEF\xBB\xBF";
const UTF_16_LE_BOM: &[u8] = b"\xFF\xFE";
const UTF_16_BE_BOM: &[u8] = b"\xFE\xFF";
/// Characters between two checks of the deadline.
const UNCHECKED_CHARS_MAX: usize = 64 << 10;
/// Looked for first, since one of them begins like UTF-16's.
const UTF_32_BOMS: [&[u8]; 2] = [b"\xFF\xFE\0\0", b"\0\0\xFE\xFF"];

/// A document as it came: its bytes, and what its transport said of them.
///
/// Bytes alone become one by `into`, which [`decode_call`](super::decode_call) and
/// [`decode_response`](super::decode_response) do by themselves.
///
/// # Examples
/// ```
/// use hotcall::xmlrpc::{DecodeLimits, Document, Value, decode_response};
/// let bytes = b"<methodResponse><params><param><value>\x80 5</value></param></params></methodResponse>";
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

    /// The document in UTF-8, without byte order mark. What already is UTF-8 is neither copied nor checked.
    ///
    /// # Errors
    /// The encoding is unknown, the bytes are not valid in it, or there is no memory for the copy.
    pub(super) fn to_utf8(self, meter: &Meter<'_>) -> Result<Cow<'a, [u8]>, DecodeError> {
        let (encoding, bytes) = self.encoding()?;
        let text = match encoding {
            Encoding::Utf8 => return Ok(Cow::Borrowed(bytes)),
            // ASCII is the same in all of them: PHP declares ISO-8859-1, and refers to what is not ASCII by number.
            Encoding::Iso8859_1 | Encoding::Iso8859_15 | Encoding::Windows1252 if bytes.is_ascii() => {
                return Ok(Cow::Borrowed(bytes));
            }
            Encoding::Utf16Le => utf_16(bytes, u16::from_le_bytes, meter)?,
            Encoding::Utf16Be => utf_16(bytes, u16::from_be_bytes, meter)?,
            Encoding::Iso8859_1 => by_byte(bytes, |byte| Some(byte.into()), meter)?,
            Encoding::Iso8859_15 => by_byte(bytes, |byte| Some(iso_8859_15(byte)), meter)?,
            Encoding::Windows1252 => by_byte(bytes, windows_1252, meter)?,
        };
        Ok(Cow::Owned(text.into_bytes()))
    }

    /// The encoding, and the bytes in it.
    fn encoding(&self) -> Result<(Encoding, &'a [u8]), DecodeError> {
        let Self { bytes, charset } = *self;
        if UTF_32_BOMS.iter().any(|bom| bytes.starts_with(bom)) {
            return Err(unsupported("UTF-32"));
        }
        for (bom, encoding) in [
            (UTF_8_BOM, Encoding::Utf8),
            (UTF_16_LE_BOM, Encoding::Utf16Le),
            (UTF_16_BE_BOM, Encoding::Utf16Be),
        ] {
            if let Some(rest) = bytes.strip_prefix(bom) {
                return Ok((encoding, rest));
            }
        }
        let sniffed = match bytes {
            [b'<', 0, ..] => Some(Encoding::Utf16Le),
            [0, b'<', ..] => Some(Encoding::Utf16Be),
            _ => None,
        };
        let encoding = match (charset, sniffed) {
            // RFC 2781, section 4.3: without a mark it is big-endian. What is sent differs.
            (Some(name), _) if is_utf_16(name) => sniffed.unwrap_or(Encoding::Utf16Be),
            (Some(name), _) => by_name(name).ok_or_else(|| unsupported(name))?,
            (None, Some(encoding)) => encoding,
            (None, None) => declared(bytes)?,
        };
        Ok((encoding, bytes))
    }
}

/// An encoding that is read.
#[derive(Clone, Copy)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
    Iso8859_1,
    Iso8859_15,
    Windows1252,
}

/// Each encoding's names in the registry of IANA, and what else is sent.
fn by_name(name: &str) -> Option<Encoding> {
    const NAMES: [(&str, Encoding); 21] = [
        ("utf-8", Encoding::Utf8),
        ("utf8", Encoding::Utf8),
        ("utf-16le", Encoding::Utf16Le),
        ("utf-16be", Encoding::Utf16Be),
        // RPC::XML announces this and sends UTF-8, of which it is a part.
        ("us-ascii", Encoding::Utf8),
        ("ascii", Encoding::Utf8),
        ("ansi_x3.4-1968", Encoding::Utf8),
        ("iso-8859-1", Encoding::Iso8859_1),
        ("iso_8859-1", Encoding::Iso8859_1),
        ("iso8859-1", Encoding::Iso8859_1),
        ("iso8859_1", Encoding::Iso8859_1),
        ("csisolatin1", Encoding::Iso8859_1),
        ("latin1", Encoding::Iso8859_1),
        ("latin-1", Encoding::Iso8859_1),
        ("iso-8859-15", Encoding::Iso8859_15),
        ("iso_8859-15", Encoding::Iso8859_15),
        ("iso8859-15", Encoding::Iso8859_15),
        ("latin-9", Encoding::Iso8859_15),
        ("latin9", Encoding::Iso8859_15),
        ("windows-1252", Encoding::Windows1252),
        ("cp1252", Encoding::Windows1252),
    ];
    NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, encoding)| *encoding)
}

fn is_utf_16(name: &str) -> bool {
    ["utf-16", "utf16"].iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The encoding that the prolog declares. White space within the quotation marks is no part of any name.
fn declared(bytes: &[u8]) -> Result<Encoding, DecodeError> {
    let Some(name) = prolog(bytes).and_then(|prolog| pseudo_attribute(prolog, b"encoding")) else {
        return Ok(Encoding::Utf8);
    };
    let name = String::from_utf8_lossy(name.trim_ascii());
    match by_name(&name) {
        // The prolog was just read byte by byte.
        Some(Encoding::Utf16Le | Encoding::Utf16Be) => Err(not_utf_16(&name)),
        None if is_utf_16(&name) => Err(not_utf_16(&name)),
        None => Err(unsupported(&name)),
        Some(encoding) => Ok(encoding),
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
    let rest = prolog.get(at + name.len()..)?.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (quote, rest) = rest.split_first().filter(|(quote, _)| matches!(quote, b'"' | b'\''))?;
    rest.get(..rest.iter().position(|byte| byte == quote)?)
}

/// The `charset` of a `Content-Type`, when it says one (RFC 9110, section 8.3.1).
fn charset(content_type: &str) -> Option<&str> {
    let mut parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    let name = value.trim().trim_matches(['"', '\'']).trim();
    (!name.is_empty()).then_some(name)
}

fn by_byte(bytes: &[u8], read: fn(u8) -> Option<char>, meter: &Meter<'_>) -> Result<String, DecodeError> {
    converted(bytes.iter().map(|byte| read(*byte)), meter)
}

/// Collects characters; `None` is one that the encoding does not have. A first pass measures them,
/// because a text that grows could take twice its length.
fn converted(
    characters: impl Iterator<Item = Option<char>> + Clone,
    meter: &Meter<'_>,
) -> Result<String, DecodeError> {
    let mut bytes = 0;
    for (number, character) in characters.clone().map_while(|character| character).enumerate() {
        check(number, meter)?;
        bytes += character.len_utf8();
    }
    meter.take(bytes)?;
    let mut text = String::with_capacity(bytes);
    for (number, character) in characters.enumerate() {
        check(number, meter)?;
        match character {
            Some(character) => text.push(character),
            None => return Err(not_of_it(&text)),
        }
    }
    Ok(text)
}

/// Checks the deadline at every so manyth character.
fn check(number: usize, meter: &Meter<'_>) -> Result<(), Stop> {
    if number % UNCHECKED_CHARS_MAX == UNCHECKED_CHARS_MAX - 1 { meter.check() } else { Ok(()) }
}

/// ISO-8859-1 but for eight characters.
fn iso_8859_15(byte: u8) -> char {
    match byte {
        0xA4 => '€',
        0xA6 => 'Š',
        0xA8 => 'š',
        0xB4 => 'Ž',
        0xB8 => 'ž',
        0xBC => 'Œ',
        0xBD => 'œ',
        0xBE => 'Ÿ',
        _ => byte.into(),
    }
}

/// ISO-8859-1 but for 0x80 to 0x9F, of which five are nothing.
fn windows_1252(byte: u8) -> Option<char> {
    const FROM_0X80: [&str; 2] = ["€\0‚ƒ„…†‡ˆ‰Š‹Œ\0Ž\0", "\0‘’“”•–—˜™š›œ\0žŸ"];
    match byte {
        0x80..=0x9F => {
            let mut characters = FROM_0X80.iter().flat_map(|row| row.chars());
            characters.nth(usize::from(byte - 0x80)).filter(|&character| character != '\0')
        }
        _ => Some(byte.into()),
    }
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16, meter: &Meter<'_>) -> Result<String, DecodeError> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let units = pairs.iter().copied().map(unit);
    let text = converted(char::decode_utf16(units).map(Result::ok), meter)?;
    if odd.is_empty() { Ok(text) } else { Err(not_of_it(&text)) }
}

fn unsupported(name: &str) -> DecodeError {
    let message = format!("line 1, column 1: Unsupported encoding: {}", shown(name));
    DecodeError { code: code::UNSUPPORTED_ENCODING, message }
}

fn not_utf_16(name: &str) -> DecodeError {
    let message = format!("line 1, column 1: Declared encoding {}, but the prolog is not in it", shown(name));
    DecodeError { code: code::UNSUPPORTED_ENCODING, message }
}

/// Something that the encoding does not have, after this.
#[cold]
fn not_of_it(before: &str) -> DecodeError {
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    let message =
        format!("line {line}, column {column}: the bytes after here are not of the document's encoding");
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
            let text = Document::from(bytes).with_content_type(content_type).to_utf8(&Meter::new(&Unlimited));
            text.map(|text| String::from_utf8(text.into_owned()).unwrap()).map_err(|error| error.code)
        };
        let latin1 = b"<?xml version='1.0' encoding='iso-8859-1'?><a>\xE9</a>";
        assert!(read(latin1, "text/xml").unwrap().ends_with("<a>é</a>"));
        let both = b"<?xml version='1.0' encoding='utf-16'?><a>\x80</a>";
        assert!(read(both, "text/xml; charset=windows-1252").unwrap().ends_with("<a>€</a>"));
        assert_eq!(read(both, ""), Err(code::UNSUPPORTED_ENCODING));
        let blanks = b"<?xml version='1.0' encoding=' iso-8859-1\n'?><a>\xE9</a>";
        assert!(read(blanks, "").unwrap().ends_with("<a>é</a>"));
        assert!(read(blanks, "text/xml; charset=\" windows-1252 \"").unwrap().ends_with("<a>é</a>"));
        assert_eq!(read(b"<?xml version='1.0' encoding=' '?><a/>", ""), Err(code::UNSUPPORTED_ENCODING));
        let marked = b"\xEF\xBB\xBF<?xml version='1.0' encoding='latin1'?><a>\xC3\xA9</a>";
        assert!(read(marked, "text/xml; charset=iso-8859-15").unwrap().ends_with("<a>é</a>"));
        assert_eq!(read(b"<\0a\0/\0>\0", "text/xml; charset=utf-16").as_deref(), Ok("<a/>"));
        assert_eq!(read(b"\0<\0a\0/\0>", "").as_deref(), Ok("<a/>"));
        assert_eq!(read(b" \0<\0a\0/\0>\0", "text/xml; charset=utf-16LE").as_deref(), Ok(" <a/>"));
        assert_eq!(read(latin1, "text/xml; charset=koi8-r"), Err(code::UNSUPPORTED_ENCODING));
        let utf_8 = "<?xml version='1.0' encoding='koi8-r'?><a>é</a>";
        assert_eq!(read(utf_8.as_bytes(), "text/xml; charset=us-ascii").as_deref(), Ok(utf_8));
    }
}
