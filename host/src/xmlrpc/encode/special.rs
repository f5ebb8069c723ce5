//! Finds the characters that text cannot hold as they are. Must not know what stands for them.

/// A block that is looked at at once.
const BLOCK_BYTES: usize = 32;
const WORD_BYTES: usize = 8;

/// Where the first byte stands that starts a character that may not stand in XML text as it is.
#[inline]
pub(super) fn find(text: &[u8]) -> Option<usize> {
    /// Where something was escaped, something else often follows soon.
    const NEAR_BYTES: usize = 16;
    let (near, far) = text.split_at_checked(NEAR_BYTES).unwrap_or((text, &[]));
    find_by_word(near).or_else(|| if far.is_empty() { None } else { find_far(far, near.len()) })
}

/// As [`find`], by blocks, of text that starts at this place of another.
fn find_far(text: &[u8], at: usize) -> Option<usize> {
    // Without branches within a block, the compiler looks at all of its bytes at once.
    let has_special = |block: &[u8; BLOCK_BYTES]| {
        block.iter().fold(false, |found, &byte| found | is_special(byte))
    };
    let (blocks, _) = text.as_chunks();
    let plain = blocks.iter().position(has_special).unwrap_or(blocks.len()) * BLOCK_BYTES;
    let found = find_by_word(text.get(plain..)?)?;
    Some(at + plain + found)
}

#[inline]
fn find_by_word(text: &[u8]) -> Option<usize> {
    let (words, rest) = text.as_chunks::<WORD_BYTES>();
    for (index, word) in words.iter().enumerate() {
        if let Some(found) = find_in_word(word) {
            return Some(index * WORD_BYTES + found);
        }
    }
    let found = match text.last_chunk() {
        // The first bytes were looked at, and are plain.
        Some(last) if !rest.is_empty() => {
            return find_in_word(last).map(|found| text.len() - WORD_BYTES + found);
        }
        _ => rest.iter().position(|&byte| is_special(byte))?,
    };
    Some(words.len() * WORD_BYTES + found)
}

#[inline]
fn find_in_word(word: &[u8; WORD_BYTES]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; WORD_BYTES]);
    const HIGHS: u64 = ONES << 7;
    let bytes = u64::from_le_bytes(*word);
    // Marks the bytes below a limit of 128 at most, and some bytes above one that it marks.
    let below = |bytes: u64, limit: u8| bytes.wrapping_sub(ONES * u64::from(limit)) & !bytes;
    let equal = |byte: u8| below(bytes ^ (ONES * u64::from(byte)), 1);
    let marks = below(bytes, b' ') | equal(b'<') | equal(b'>') | equal(b'&') | equal(0xEF);
    let mut marks = marks & HIGHS;
    while marks != 0 {
        let at = (marks.trailing_zeros() / 8) as usize;
        if word.get(at).is_some_and(|&byte| is_special(byte)) {
            return Some(at);
        }
        marks &= marks - 1;
    }
    None
}

/// Whether a byte starts such a character: 0xEF starts U+FFFE and U+FFFF, and others, which are let
/// through once looked at.
const fn is_special(byte: u8) -> bool {
    let is_control = (byte < b' ') & (byte != b'\t') & (byte != b'\n');
    is_control | (byte == b'<') | (byte == b'>') | (byte == b'&') | (byte == 0xEF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find_by_byte(text: &[u8]) -> Option<usize> {
        text.iter().position(|&byte| is_special(byte))
    }

    #[test]
    fn each_byte_at_each_place_is_found_or_not() {
        for len in 0..100 {
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'\n'; len];
                    text[at] = byte;
                    assert_eq!(find(&text), find_by_byte(&text), "{byte:#x} at {at} of {len}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_first_of_many_is_found(
            text in prop::collection::vec(prop_oneof![8 => any::<u8>(), 1 => Just(b'\n')], 0..200),
            plain in 0_usize..200,
        ) {
            let text: Vec<u8> = std::iter::repeat_n(b'x', plain).chain(text).collect();
            prop_assert_eq!(find(&text), find_by_byte(&text));
        }
    }
}
