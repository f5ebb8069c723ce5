//! Which characters a document can hold. Must not know documents.

/// Whether XML 1.0 has no way to write this character (section 2.2, "Char").
pub(super) const fn forbidden(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}')
}
