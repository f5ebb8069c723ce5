//! The text of a double: digits, a point and digits. The specification knows no exponents, and
//! strict clients hold to it. Must not know documents.
//!
//! The text is that of `Display`, which is the shortest that reads back as the same number. `zmij`
//! finds the same digits many times faster, except halfway between two texts, where `Display`
//! rounds up and `zmij` to even.

/// A text with fewer characters has 15 digits at most, and no other text of this length reads back
/// as the same number.
const HALFWAY_CHARS_MIN: usize = 17;

/// The text of a finite number. `None`: it is one of the few that `Display` must write.
#[inline]
pub(super) fn text(number: f64, buffer: &mut zmij::Buffer) -> Option<&str> {
    let text = buffer.format_finite(number);
    // An exponent stands within the last five characters: `e-308`.
    let has_exponent = text.bytes().rev().take(5).any(|byte| byte == b'e');
    let is_sure = text.len() < HALFWAY_CHARS_MIN || !is_halfway(number, text);
    (!has_exponent && is_sure).then_some(text)
}

/// Whether a number has exactly one digit more than its text. The digit is then a 5.
fn is_halfway(number: f64, text: &str) -> bool {
    /// Of the lowest bit of a fraction, before the bits of the exponent are subtracted.
    const LOWEST: u64 = 1075;
    const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    let decimals = text.bytes().rev().take_while(|byte| *byte != b'.').count() as u64;
    let bits = number.abs().to_bits();
    let zeros = u64::from(bits.trailing_zeros().min(FRACTION_BITS));
    // A number with so many binary digits behind the point has as many decimal ones.
    (bits >> FRACTION_BITS) + zeros + decimals + 1 == LOWEST
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn display(number: f64) -> String {
        let point = if number.fract() == 0.0 { ".0" } else { "" };
        format!("{number}{point}")
    }

    fn is_same(number: f64) -> bool {
        let buffer = &mut zmij::Buffer::new();
        text(number, buffer).is_none_or(|text| text == display(number))
    }

    #[test]
    fn halfway_numbers_are_left_to_display() {
        let halves =
            [2.0_f64.powi(49) + 0.25, 58_042_895_270_525.0 / 32.0, -30_914_974_475_597.0 / 32.0];
        for halfway in halves {
            assert_eq!(text(halfway, &mut zmij::Buffer::new()), None, "{halfway}");
        }
        assert_eq!(text(0.1 + 0.2, &mut zmij::Buffer::new()), Some("0.30000000000000004"));
    }

    #[test]
    fn numbers_at_the_edges_have_displays_text() {
        for exponent in 0..=0x7FE {
            for fraction in [0, 1, 2, 1 << 51, (1 << 52) - 2, (1 << 52) - 1] {
                let number = f64::from_bits(exponent << 52 | fraction);
                assert!(is_same(number) && is_same(-number), "{number:e}");
            }
        }
        for exponent in -330..=308 {
            let number: f64 = format!("9.5e{exponent}").parse().unwrap();
            assert!(is_same(number), "{number:e}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn any_number_has_displays_text(number in prop::num::f64::ANY) {
            prop_assert!(!number.is_finite() || is_same(number));
        }

        /// Between 1e-5 and 1e16, where `zmij` writes no exponent.
        #[test]
        fn usual_numbers_do_too(exponent in 1006_u64..1077, fraction in 0..1_u64 << 52) {
            prop_assert!(is_same(f64::from_bits(exponent << 52 | fraction)));
        }

        /// As many are halfway as are not.
        #[test]
        fn halves_quarters_and_eighths_have_displays_text(whole in 0_u64..1 << 53, scale in 0..30) {
            prop_assert!(is_same(whole as f64 / f64::from(1 << scale)));
        }
    }
}
