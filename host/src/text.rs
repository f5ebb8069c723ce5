//! Text for logs and terminals. Clients, plugins, servers and file names choose much of it.
//!
//! [`line()`] and [`lines`] escape characters that forge a line, steer a terminal, reorder text or
//! hide: control characters, line and paragraph separators, format characters (bidirectional, zero
//! width, tags), invisible, private use and unassigned ones.
//!
//! They run where text leaves the process, in the log's formatter and in the command line's
//! printer, so no source can be forgotten. The printer keeps only the line breaks between its own
//! lines, so a command that joins foreign text into several lines cleans each.
//! `tests/it/hostile.rs` feeds every source with one hostile text.

use std::borrow::Cow;
use std::iter;

/// One line of a log or of a message, in bytes.
pub const LINE_BYTES_MAX: usize = 16 << 10;

/// What marks a cut.
const CUT: char = '…';

/// Cleans one line: escapes like `\n` and `\u{9b}` for what [`is_escaped`]. Cuts at
/// [`LINE_BYTES_MAX`].
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, LINE_BYTES_MAX, |_| false)
}

/// Cleans bytes that may not be UTF-8 like [`line()`], and cuts them at `bytes_max`.
pub fn line_of(bytes: &[u8], bytes_max: usize) -> String {
    /// Enough that the cut is seen, however it splits a character.
    const MORE: usize = 4;
    let head = bytes.get(..bytes_max.saturating_add(MORE)).unwrap_or(bytes);
    escaped(&String::from_utf8_lossy(head), bytes_max, |_| false).into_owned()
}

/// Cleans output of several lines: line breaks and tabs stay, and nothing is cut. Callers that put
/// foreign text between their line breaks clean it with [`line()`] first.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, usize::MAX, |c| matches!(c, '\n' | '\t'))
}

/// Cuts bytes to text of at most `bytes_max` bytes and marks the cut. For values: nothing is
/// escaped.
pub fn cut(bytes: &[u8], bytes_max: usize) -> String {
    let Some((head, _)) = bytes.split_at_checked(bytes_max).filter(|(_, tail)| !tail.is_empty())
    else {
        return String::from_utf8_lossy(bytes).into_owned();
    };
    // A character that the cut splits is dropped rather than shown as damage.
    let whole = head.utf8_chunks().map(|chunk| chunk.valid());
    whole.chain(iter::once(CUT.encode_utf8(&mut [0; 4]) as &str)).collect()
}

/// A name that a client sent, as far as it is repeated to that client.
pub fn echoed(name: &str) -> String {
    const ECHOED_CHARS_MAX: usize = 100;
    name.chars().take(ECHOED_CHARS_MAX).collect()
}

/// Whether logs and terminals get an escape instead of this character.
pub fn is_escaped(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    if c.is_control() || is_invisible(c) || matches!(c, '\u{2028}' | '\u{2029}') {
        return true;
    }
    // The standard library escapes what is not printable, of which wide and unbreakable spaces are
    // harmless.
    let is_bare = c.is_whitespace() || c.escape_debug().next() != Some('\\');
    // It escapes a combining mark only where no letter is before it.
    !is_bare && String::from_iter(['a', c]).escape_debug().nth(1) == Some('\\')
}

/// Whether terminals and fonts show nothing for this character: it has the Unicode property
/// `Default_Ignorable_Code_Point` (DerivedCoreProperties.txt, Unicode 17), or is the empty Braille
/// pattern. Variation selectors and fillers are among them, which the standard library prints.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' | '\u{2800}')
}

fn escaped(text: &str, bytes_max: usize, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_plain = |c| stays(c) || !is_escaped(c);
    if text.len() <= bytes_max && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len().min(bytes_max));
    for c in text.chars() {
        let before = clean.len();
        if is_plain(c) {
            clean.push(c);
        } else {
            clean.extend(c.escape_default());
        }
        if clean.len() > bytes_max {
            clean.truncate(before);
            clean.push(CUT);
            break;
        }
    }
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_forges_steers_reorders_or_hides_is_escaped() {
        for (text, clean) in [
            ("a\nb\r\tc", r"a\nb\r\tc"),
            ("\0\u{1b}[31m\u{7f}", r"\u{0}\u{1b}[31m\u{7f}"),
            ("\u{85}\u{9b}31m", r"\u{85}\u{9b}31m"),
            ("\u{2028}\u{2029}", r"\u{2028}\u{2029}"),
            (
                "\u{202e}\u{2066}\u{200b}\u{200d}\u{feff}\u{ad}",
                r"\u{202e}\u{2066}\u{200b}\u{200d}\u{feff}\u{ad}",
            ),
            (
                "\u{34f}\u{3164}\u{2800}\u{fe0f}\u{e0100}",
                r"\u{34f}\u{3164}\u{2800}\u{fe0f}\u{e0100}",
            ),
            ("\u{e0041}\u{e000}\u{fdd0}\u{378}", r"\u{e0041}\u{e000}\u{fdd0}\u{378}"),
        ] {
            assert_eq!(line(text), clean);
        }
    }

    #[test]
    fn what_people_write_stays() {
        for text in [
            "\"it's\" C:\\n",
            "grüß e\u{301} हिन्दी ภาษาไทย",
            "日本\u{3000}語 10\u{a0}€ 🦀 \u{fffd}",
        ] {
            assert!(matches!(line(text), Cow::Borrowed(same) if same == text), "{}", line(text));
        }
        assert_eq!(lines("a\n\tb\r\n"), "a\n\tb\\r\n");
    }

    #[test]
    fn a_line_is_cut_between_characters_and_escapes() {
        assert_eq!(line(&"x".repeat(LINE_BYTES_MAX)).len(), LINE_BYTES_MAX);
        let long = line(&"\u{9b}".repeat(LINE_BYTES_MAX)).into_owned();
        assert!(
            long.len() <= LINE_BYTES_MAX + CUT.len_utf8() && long.ends_with(r"\u{9b}…"),
            "{long}"
        );
        for (bytes, clean) in [
            ("üü".as_bytes(), "ü…"),
            (b"abcd", "abc…"),
            (b"abc", "abc"),
            (b"\xff", "\u{fffd}"),
            (b"\x1b", "…"),
            ("abü".as_bytes(), "ab…"),
        ] {
            assert_eq!(line_of(bytes, 3), clean);
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(cut("üü".as_bytes(), 3), "ü…");
        assert_eq!(cut(b"abc", 3), "abc");
    }

    /// By the Unicode categories in the names of the ranges.
    #[test]
    fn whole_ranges_are_escaped() {
        let controls = ('\0'..='\u{1f}').chain('\u{7f}'..='\u{9f}');
        let formats =
            ('\u{200b}'..='\u{200f}').chain('\u{202a}'..='\u{202e}').chain('\u{2060}'..='\u{206f}');
        let others = ('\u{e0001}'..='\u{e007f}')
            .chain('\u{e000}'..='\u{f8ff}')
            .chain('\u{f0000}'..='\u{10ffff}');
        let fillers =
            "\u{115f}\u{1160}\u{17b4}\u{17b5}\u{ffa0}".chars().chain('\u{180b}'..='\u{180f}');
        let selectors = ('\u{fe00}'..='\u{fe0f}').chain('\u{e0100}'..='\u{e01ef}');
        for c in controls.chain(formats).chain(others).chain(fillers).chain(selectors) {
            assert!(is_escaped(c), "{c:?}");
        }
    }
}
