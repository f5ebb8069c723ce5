//! A cursor over a document's text. Must not know XML-RPC, and of XML only white space, line ends
//! and references.

use crate::xmlrpc::chars::forbidden;
use crate::xmlrpc::resources::Meter;
use memchr::{memchr, memchr2, memchr3, memmem};
use std::borrow::Cow;

/// So many bytes are looked through before what was found in them is asked.
const BLOCK_BYTES: usize = 4_096;
const CDATA_END: &[u8] = b"]]>";
/// The longest reference is that to U+10FFFF, with leading zeros to spare.
const REFERENCE_BYTES_MAX: usize = 16;

/// What is still to be read.
#[derive(Clone, Copy)]
pub(super) struct Scanner<'a> {
    rest: &'a str,
    text_bytes_max: usize,
    /// Whether `]]>` is somewhere, which no text may hold.
    has_cdata_end: bool,
}

impl<'a> Scanner<'a> {
    /// `None` when the document is not UTF-8, or holds a character that XML forbids.
    pub(super) fn new(document: &'a [u8], text_bytes_max: usize) -> Option<Self> {
        let rest = std::str::from_utf8(document).ok()?;
        let found = Found::of(document);
        if found.has_controls || found.is_not_ascii && has_noncharacters(document) {
            return None;
        }
        let has_cdata_end = found.has_brackets && has_cdata_end(document);
        Some(Self { rest, text_bytes_max, has_cdata_end })
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The byte this far ahead.
    pub(super) fn ahead(&self, bytes: usize) -> Option<u8> {
        self.rest.as_bytes().get(bytes).copied()
    }

    /// Takes this, if it comes next.
    #[inline]
    pub(super) fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes this, which has to come next.
    #[inline]
    pub(super) fn expect(&mut self, token: &str) -> Option<()> {
        self.eat(token).then_some(())
    }

    /// Takes white space, if it is no longer than a text may be.
    #[inline]
    pub(super) fn skip_space(&mut self) -> Option<()> {
        if self.ahead(0) == Some(b'<') {
            return Some(());
        }
        let rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let is_short = self.rest.len() - rest.len() <= self.text_bytes_max;
        self.rest = rest;
        is_short.then_some(())
    }

    /// Takes what comes before this byte, which is ASCII and within so many bytes.
    pub(super) fn until(&mut self, end: u8, bytes_max: usize) -> Option<&'a str> {
        let at = self.rest.bytes().take(bytes_max).position(|byte| byte == end)?;
        self.take(at)
    }

    /// Takes the whole number that comes next, when it is written in nothing but a minus sign and
    /// up to 18 digits, which 64 bits always hold.
    #[inline]
    pub(super) fn plain_number(&mut self) -> Option<i64> {
        const DIGITS_MAX: usize = 18;
        let digits = self.rest.strip_prefix('-');
        let is_negative = digits.is_some();
        let digits = digits.unwrap_or(self.rest);
        let (mut number, mut len) = (0_i64, 0);
        for byte in digits.bytes() {
            match byte {
                b'0'..=b'9' if len < DIGITS_MAX => number = number * 10 + i64::from(byte - b'0'),
                b'<' if len > 0 => break,
                _ => return None,
            }
            len += 1;
        }
        self.take_text(len + usize::from(is_negative))?;
        Some(if is_negative { -number } else { number })
    }

    /// Takes the text up to the next tag: borrowed, unless it holds references or carriage returns.
    #[inline]
    pub(super) fn text(&mut self, meter: &Meter<'_>) -> Option<Cow<'a, str>> {
        let bytes = self.rest.as_bytes();
        let at = memchr3(b'<', b'&', b'\r', bytes)?;
        let end = if bytes.get(at) == Some(&b'<') { at } else { memchr(b'<', bytes)? };
        let text = self.take_text(end)?;
        if self.has_cdata_end && has_cdata_end(text.as_bytes()) {
            return None;
        }
        if at == end {
            return Some(Cow::Borrowed(text));
        }
        resolved(text, |text| memchr2(b'&', b'\r', text), meter)
    }

    /// Takes the text up to the next tag, and may leave carriage returns in it: base64 holds any
    /// white space. Borrowed, unless it holds references.
    pub(super) fn text_in_lines(&mut self, meter: &Meter<'_>) -> Option<Cow<'a, str>> {
        let before = *self;
        let text = self.take_text(memchr2(b'<', b'&', self.rest.as_bytes())?)?;
        if self.ahead(0) != Some(b'<') || self.has_cdata_end && has_cdata_end(text.as_bytes()) {
            *self = before;
            return self.text(meter);
        }
        Some(Cow::Borrowed(text))
    }

    /// Takes the rest of a CDATA section, up to and with its end.
    pub(super) fn cdata(&mut self, meter: &Meter<'_>) -> Option<Cow<'a, str>> {
        let end = memmem::find(self.rest.as_bytes(), CDATA_END)?;
        let text = self.take_text(end)?;
        self.rest = self.rest.get(CDATA_END.len()..)?;
        match memchr(b'\r', text.as_bytes()) {
            Some(_) => resolved(text, |text| memchr(b'\r', text), meter),
            None => Some(Cow::Borrowed(text)),
        }
    }

    /// Takes a text of so many bytes. Resolved it is no longer, so it passes no limit that these
    /// bytes do not.
    fn take_text(&mut self, bytes: usize) -> Option<&'a str> {
        if bytes > self.text_bytes_max {
            return None;
        }
        self.take(bytes)
    }

    fn take(&mut self, bytes: usize) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }
}

/// A text with each end of a line as one line feed (XML 1.0, section 2.11) and with its references
/// resolved, of which `special` finds the first.
fn resolved(
    mut rest: &str,
    special: impl Fn(&[u8]) -> Option<usize>,
    meter: &Meter<'_>,
) -> Option<Cow<'static, str>> {
    let _memory = meter.take_for_now(rest.len()).ok()?;
    let mut text = String::with_capacity(rest.len());
    while let Some(at) = special(rest.as_bytes()) {
        let (plain, from_special) = rest.split_at_checked(at)?;
        text.push_str(plain);
        rest = match from_special.strip_prefix('\r') {
            Some(after) => {
                text.push('\n');
                after.strip_prefix('\n').unwrap_or(after)
            }
            None => {
                let (character, after) = reference(from_special)?;
                text.push(character);
                after
            }
        };
    }
    text.push_str(rest);
    Some(Cow::Owned(text))
}

/// The character that the reference stands for which this begins with, and what follows.
fn reference(text: &str) -> Option<(char, &str)> {
    const PREDEFINED: [(&str, char); 5] =
        [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&'), ("&quot;", '"'), ("&apos;", '\'')];
    for (name, character) in PREDEFINED {
        if let Some(after) = text.strip_prefix(name) {
            return Some((character, after));
        }
    }
    let number = text.strip_prefix("&#")?;
    let end = number.bytes().take(REFERENCE_BYTES_MAX).position(|byte| byte == b';')?;
    let (digits, after) = (number.get(..end)?, number.get(end + 1..)?);
    let (digits, radix) = digits.strip_prefix('x').map_or((digits, 10), |digits| (digits, 16));
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let character = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
    (!forbidden(character)).then_some((character, after))
}

/// Bytes that stand somewhere in a document, and that few documents hold.
struct Found {
    /// Control characters that XML forbids.
    has_controls: bool,
    /// `]`, which ends CDATA.
    has_brackets: bool,
    is_not_ascii: bool,
}

impl Found {
    /// Looks for all of them in one pass. Without branches within a block, so that the compiler
    /// looks at many bytes at a time.
    fn of(document: &[u8]) -> Self {
        let is_control =
            |byte: u8| (byte < b' ') & (byte != b'\t') & (byte != b'\n') & (byte != b'\r');
        let mut found = Self { has_controls: false, has_brackets: false, is_not_ascii: false };
        for block in document.chunks(BLOCK_BYTES) {
            let (mut controls, mut brackets, mut all) = (false, false, 0);
            for &byte in block {
                controls |= is_control(byte);
                brackets |= byte == b']';
                all |= byte;
            }
            found.has_controls |= controls;
            found.has_brackets |= brackets;
            found.is_not_ascii |= !all.is_ascii();
        }
        found
    }
}

/// Whether U+FFFE or U+FFFF is there, whose first byte is rare.
fn has_noncharacters(document: &[u8]) -> bool {
    let Some(rest) = memchr(0xEF, document).and_then(|at| document.get(at..)) else { return false };
    ["\u{FFFE}", "\u{FFFF}"]
        .iter()
        .any(|character| memmem::find(rest, character.as_bytes()).is_some())
}

fn has_cdata_end(document: &[u8]) -> bool {
    let rest = memchr(b']', document).and_then(|at| document.get(at..));
    rest.is_some_and(|rest| memmem::find(rest, CDATA_END).is_some())
}
