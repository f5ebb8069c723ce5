//! Making a plugin's words fit for a log line or a fault.

/// A line that a plugin logs.
pub(super) const LOG_BYTES_MAX: usize = 8 << 10;
/// The message of a plugin's fault.
pub(super) const FAULT_BYTES_MAX: usize = 64 << 10;

/// One line: cut to `bytes_max`, what is not UTF-8 and what could forge or hide lines replaced.
pub(super) fn one_line(bytes: &[u8], bytes_max: usize) -> String {
    let printable = |c: char| match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    cut(bytes, bytes_max).chars().map(printable).collect()
}

/// At most `bytes_max` bytes as text, with a mark when something was cut off.
pub(super) fn cut(bytes: &[u8], bytes_max: usize) -> String {
    let Some((head, _)) = bytes.split_at_checked(bytes_max).filter(|(_, tail)| !tail.is_empty()) else {
        return String::from_utf8_lossy(bytes).into_owned();
    };
    // A character that the cut splits is dropped rather than shown as damage.
    let whole = head.utf8_chunks().map(|chunk| chunk.valid()).collect::<String>();
    format!("{whole}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_forge_another() {
        assert_eq!(one_line("a\nb\u{1b}[31m\u{85}ü".as_bytes(), 100), "a b\u{FFFD}[31m\u{FFFD}ü");
        assert_eq!(one_line(b"\xff", 100), "\u{FFFD}");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(cut("üü".as_bytes(), 3), "ü…");
        assert_eq!(cut(b"abc", 3), "abc");
    }
}
