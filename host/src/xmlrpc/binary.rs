//! base64 both ways. Must not know XML, except for the white space that a text may hold.
//!
//! The engine uses the widest instructions of the processor that it runs on. It works in blocks, so
//! each byte of a large value is written once, while it is in the fastest cache.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig, Simd};
use memchr::{memchr2_iter, memchr3};
use std::sync::LazyLock;

/// Symbols that are decoded or encoded at a time.
const BLOCK_SYMBOLS: usize = 4 << 10;
/// The bytes that they stand for.
const BLOCK_BYTES: usize = BLOCK_SYMBOLS / 4 * 3;

/// Padding and the unused bits of the last symbol carry nothing, and encoders differ in them.
static ENGINE: LazyLock<Simd> = LazyLock::new(|| {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    Simd::standard(config)
});

/// The most bytes that a text of this length stands for.
pub(super) const fn decoded_bytes_max(text_bytes: usize) -> usize {
    text_bytes.div_ceil(4).saturating_mul(3)
}

/// The length of the text for so many bytes.
pub(super) const fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3).saturating_mul(4)
}

/// Decodes a text that may hold white space anywhere. `None`: it is not base64.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded =
        Decoded { bytes: Vec::with_capacity(decoded_bytes_max(text.len())), is_ended: false };
    let mut gathered = Gathered { block: [0; BLOCK_SYMBOLS], len: 0 };
    // Most lines have 60 to 76 symbols, and hold no blanks.
    for line in lines(text.as_bytes()) {
        if memchr3(b' ', b'\t', b'\x0C', line).is_none() {
            gathered.add(line, &mut decoded)?;
        } else {
            for word in line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
                gathered.add(word, &mut decoded)?;
            }
        }
    }
    decoded.add(gathered.symbols())?;
    let mut bytes = decoded.bytes;
    // A text of white space must not keep memory for what it could have held.
    if bytes.len() < bytes.capacity() / 2 {
        bytes.shrink_to_fit();
    }
    Some(bytes)
}

/// Appends the text for these bytes.
pub(super) fn encode(bytes: &[u8], text: &mut Vec<u8>) {
    text.reserve(encoded_len(bytes.len()));
    for block in bytes.chunks(BLOCK_BYTES) {
        let start = text.len();
        text.resize(start + encoded_len(block.len()), b'=');
        // The room is of the right size, so this cannot fail.
        let _ = ENGINE.encode_slice(block, text.get_mut(start..).unwrap_or_default());
    }
}

/// The lines of a text, without their ends.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr2_iter(b'\n', b'\r', text).chain([text.len()]).map(move |end| {
        let line = text.get(start..end).unwrap_or_default();
        start = end + 1;
        line
    })
}

/// Symbols that wait for a block to be whole.
struct Gathered {
    block: [u8; BLOCK_SYMBOLS],
    len: usize,
}

impl Gathered {
    fn add(&mut self, mut word: &[u8], decoded: &mut Decoded) -> Option<()> {
        while !word.is_empty() {
            if self.len == 0
                && let Some((block, rest)) = word.split_at_checked(BLOCK_SYMBOLS)
            {
                decoded.add(block)?;
                word = rest;
                continue;
            }
            let room = self.block.get_mut(self.len..)?;
            let (taken, rest) = word.split_at(room.len().min(word.len()));
            room.get_mut(..taken.len())?.copy_from_slice(taken);
            self.len += taken.len();
            word = rest;
            if self.len == BLOCK_SYMBOLS {
                decoded.add(&self.block)?;
                self.len = 0;
            }
        }
        Some(())
    }

    fn symbols(&self) -> &[u8] {
        self.block.get(..self.len).unwrap_or_default()
    }
}

struct Decoded {
    bytes: Vec<u8>,
    /// The last block was padded, so no symbol may follow.
    is_ended: bool,
}

impl Decoded {
    fn add(&mut self, symbols: &[u8]) -> Option<()> {
        if symbols.is_empty() {
            return Some(());
        }
        if self.is_ended {
            return None;
        }
        let before = self.bytes.len();
        ENGINE.decode_vec(symbols, &mut self.bytes).ok()?;
        self.is_ended = self.bytes.len() - before < symbols.len() / 4 * 3;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::alphabet::STANDARD;
    use base64::engine::GeneralPurpose;
    use proptest::prelude::*;

    /// Decodes byte by byte, after the white space is gone.
    fn decode_simply(text: &str) -> Option<Vec<u8>> {
        const ENGINE: GeneralPurpose = GeneralPurpose::new(
            &STANDARD,
            GeneralPurposeConfig::new()
                .with_decode_padding_mode(DecodePaddingMode::Indifferent)
                .with_decode_allow_trailing_bits(true),
        );
        ENGINE.decode(text.split_ascii_whitespace().collect::<String>()).ok()
    }

    fn check(text: &str) {
        assert!(decode(text) == decode_simply(text), "{} bytes: {text:.200}", text.len());
    }

    #[test]
    fn padding_and_its_place_count_as_without_blocks() {
        let whole = |blocks: usize| "Ab+/".repeat(blocks * BLOCK_SYMBOLS / 4);
        for before in [0, 1, 2].map(whole) {
            for end in [
                "",
                "=",
                "==",
                "===",
                "====",
                "A",
                "A=",
                "A==",
                "A===",
                "AA",
                "AA=",
                "AA==",
                "AA===",
                "AAA",
                "AAA=",
                "AAA==",
                "AAAA",
                "AAAA=",
                "AAAA==",
                "AAAAA",
                "AAAA=A",
                "AA==AA",
                "AA==AA==",
                "A A = =",
                "AA==\n",
                "AB==",
                "AAB=",
                "AA=A",
                "A=AA",
                "*",
                "AA*A",
                "AAA\u{e9}",
            ] {
                check(&format!("{before}{end}"));
                check(&format!("{end}{before}"));
                // Where one block ends with padding, and another begins.
                let (most, _) = before.split_at(before.len().saturating_sub(4));
                check(&format!("{most}{end}"));
                check(&format!("{most}{end}{before}"));
                check(&format!("{most}{end}AAAA"));
            }
        }
    }

    #[test]
    fn white_space_may_stand_anywhere() {
        let text = "Ab+/".repeat(BLOCK_SYMBOLS);
        for space in [" ", "\n", "\r\n", "\t", "\r", "\x0C", " \n\t\r ", "\x0B", "\u{a0}"] {
            for every in [1, 2, 3, 60, 64, 76, 77, BLOCK_SYMBOLS - 1, BLOCK_SYMBOLS, text.len()] {
                let lines: Vec<&str> = text
                    .as_bytes()
                    .chunks(every)
                    .map(|line| std::str::from_utf8(line).unwrap())
                    .collect();
                check(&lines.join(space));
                check(&format!("{space}{}{space}", lines.join(space)));
            }
        }
        assert_eq!(decode(" \n"), Some(Vec::new()));
        assert!(decode(&" ".repeat(1 << 20)).unwrap().capacity() < 1 << 10);
    }

    proptest! {
        #[test]
        fn texts_decode_as_byte_by_byte(
            text in "[A-Za-z0-9+/]{0,9000}[ \n\r\t=*]{0,3}[A-Za-z0-9+/= \n]{0,9000}={0,3}"
        ) {
            check(&text);
        }

        #[test]
        fn what_is_encoded_is_decoded(bytes in prop::collection::vec(any::<u8>(), 0..10_000)) {
            let mut text = b"before".to_vec();
            encode(&bytes, &mut text);
            let text = String::from_utf8(text).unwrap();
            let text = text.strip_prefix("before").unwrap();
            assert_eq!(text, base64::engine::general_purpose::STANDARD.encode(&bytes));
            assert_eq!(decode(text), Some(bytes));
        }
    }
}
