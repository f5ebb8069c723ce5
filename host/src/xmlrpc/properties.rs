//! The rules that hold for all values: an encoded value decodes to the same bits, or encoding
//! refuses it for a reason that the value shows. No value is bent to pass.
//!
//! A struct may have a name twice. `once_each` is the one place that says what a reader makes of
//! that.
#![allow(clippy::cast_possible_truncation, reason = "numbers are cut to size")]

use super::fuzz::differential::agree;
use super::fuzz::{STYLES, written};
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Texts that readers and writers of XML get wrong.
const NASTY: &[&str] = &[
    "",
    " ",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "<",
    ">",
    "&",
    "]]>",
    "<![CDATA[",
    "&amp;",
    "&#0;",
    "\"'",
    "é",
    "\u{FEFF}",
    "\u{FFFD}",
    "\u{85}",
    "\u{2028}",
    "\u{D7FF}\u{E000}",
    "😀",
    "\u{10FFFF}",
    "<!-- -->",
    "]]",
    "--",
    "e\u{301}",
];

/// Text of everything that XML can carry.
fn text() -> impl Strategy<Value = String> {
    let carried = any::<char>().prop_filter("XML has no way to write it", |c| !is_forbidden(*c));
    prop_oneof![
        vec(carried, 0..20).prop_map(String::from_iter),
        vec(select(NASTY), 0..6).prop_map(|parts| parts.concat()),
    ]
}

/// The definition of XML 1.0 (section 2.2, "Char"), turned round.
fn is_forbidden(c: char) -> bool {
    !matches!(
        c,
        '\t' | '\n' | '\r'
            | '\u{20}'..='\u{D7FF}'
            | '\u{E000}'..='\u{FFFD}'
            | '\u{10000}'..='\u{10FFFF}'
    )
}

fn double() -> impl Strategy<Value = f64> {
    const EDGES: &[f64] = &[
        0.0,
        -0.0,
        1.0,
        0.1,
        0.3,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        -5e-324,
        f64::EPSILON,
        1e15,
        1e16,
        1e17,
        1e21,
        1e22,
        1e23,
        1e-4,
        1e-7,
        9_007_199_254_740_993.0,
        123_456_789.123_456_79,
        2.225_073_858_507_201e-308,
    ];
    prop_oneof![any::<u64>().prop_map(f64::from_bits), select(EDGES)]
        .prop_filter("XML-RPC has no way to write it", |number| number.is_finite())
}

fn date() -> impl Strategy<Value = DateTime> {
    let year = prop_oneof![3 => 0u16..=9_999, 1 => select(&[0, 1, 1999, 2000, 9_998, 9_999][..])];
    let month = prop_oneof![3 => 1u8..=12, 1 => select(&[1, 12][..])];
    let time = prop_oneof![
        3 => (0u8..=23, 0u8..=59, 0u8..=60),
        1 => select(&[(24, 0, 0), (0, 0, 0), (23, 59, 60), (23, 59, 59)][..]),
    ];
    let day = (year, month, 1u8..=31, time);
    let rest = (prop_oneof![Just(0), 0u32..1_000_000_000], proptest::option::of(-1_439i16..=1_439));
    (day, rest).prop_filter_map(
        "no calendar has it",
        |((year, month, day, (hour, minute, second)), rest)| {
            let date =
                DateTime::new(year, month, day, hour, minute, second)?.with_nanosecond(rest.0)?;
            rest.1.map_or(Some(date), |offset| date.with_offset_minutes(offset))
        },
    )
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        prop_oneof![any::<i32>(), select(&[0, 1, -1, i32::MIN, i32::MAX][..])].prop_map(Value::Int),
        prop_oneof![any::<i64>(), select(&[0, 1, 1 << 31, i64::MIN, i64::MAX][..])]
            .prop_map(Value::Long),
        double().prop_map(Value::Double),
        text().prop_map(Value::String),
        date().prop_map(Value::DateTime),
        vec(any::<u8>(), 0..80).prop_map(Value::Binary),
    ];
    scalar.prop_recursive(5, 60, 10, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..10).prop_map(Value::Array),
            // Of the few names, some come again.
            vec(
                (prop_oneof![text(), select(&["a", "b", ""][..]).prop_map(Into::into)], inner),
                0..12
            )
            .prop_map(Value::Struct),
        ]
    })
}

/// A value as a reader has it: of members with one name, the last one's value at the first one's
/// place.
fn once_each(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(once_each).collect()),
        Value::Struct(members) => {
            let last = |name| {
                members.iter().rfind(|(other, _)| other == name).map(|(_, value)| once_each(value))
            };
            let is_first =
                |at: &usize| members[..*at].iter().all(|(name, _)| *name != members[*at].0);
            let firsts = (0..members.len()).filter(is_first).map(|at| &members[at].0);
            Value::Struct(firsts.map(|name| (name.clone(), last(name).unwrap())).collect())
        }
        scalar => scalar.clone(),
    }
}

/// A value to the bit: `==` takes 0.0 for -0.0.
fn bits(value: &Value) -> String {
    format!("{value:?}")
}

/// A date's seconds on its own clock, counted by the calendar's definition: a leap year is every
/// fourth, but for hundreds that four hundred does not divide.
fn seconds(date: DateTime) -> i64 {
    const DAYS_BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let year = i64::from(date.year());
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    // Up to the year before, from 0000 on, which is a leap year itself.
    let leap_days = (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
    let in_year = DAYS_BEFORE[usize::from(date.month()) - 1] + i64::from(date.day());
    let days = year * 365 + leap_days + in_year + i64::from(is_leap && date.month() > 2);
    let minutes = (days * 24 + i64::from(date.hour())) * 60 + i64::from(date.minute());
    minutes * 60 + i64::from(date.second())
}

fn count(value: &Value) -> (usize, usize) {
    let inside: Vec<_> = match value {
        Value::Array(items) => items.iter().map(count).collect(),
        Value::Struct(members) => members.iter().map(|(_, value)| count(value)).collect(),
        _ => return (1, 0),
    };
    let values = inside.iter().map(|(values, _)| values).sum::<usize>();
    (values + 1, inside.iter().map(|(_, depth)| *depth).max().unwrap_or(0) + 1)
}

/// Loses nothing of a date.
fn exact() -> EncodeOptions {
    let style = EncodeStyle { dates: Dates::Exact, ..EncodeStyle::default() };
    EncodeOptions { style, ..EncodeOptions::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_result_reads_back_as_it_was(value in value()) {
        let document = encode_response(&value, &exact()).unwrap();
        let back = decode_response(&document, &DecodeLimits::default()).unwrap().unwrap();
        prop_assert_eq!(bits(&back), bits(&once_each(&value)));
    }

    #[test]
    fn a_result_is_written_as_the_reference_writes_it(value in value()) {
        for style in STYLES {
            let options = EncodeOptions { style, ..EncodeOptions::default() };
            if let Ok(document) = encode_response(&value, &options) {
                let reference = written::response(&value, style);
                prop_assert_eq!(String::from_utf8(document).unwrap(), reference);
            }
        }
    }

    #[test]
    fn a_call_reads_back_as_it_was(params in vec(value(), 0..4), method in "[!-~]{1,40}") {
        let document = encode_call(&method, &params, &exact()).unwrap();
        let back = decode_call(&document, &DecodeLimits::default()).unwrap();
        prop_assert_eq!(back.method, method);
        prop_assert_eq!(bits(&Value::Array(back.params)), bits(&once_each(&Value::Array(params))));
    }

    /// What is written in any style is read by both decoders, as the same.
    #[test]
    fn the_fast_decoder_takes_what_is_written(
        params in vec(value(), 0..3),
        fault in text(),
        extensions in any::<[bool; 2]>(),
    ) {
        let style = EncodeStyle {
            i8: if extensions[0] { I8Style::Ex } else { I8Style::Plain },
            nil: if extensions[1] { NilStyle::Ex } else { NilStyle::Plain },
            ..exact().style
        };
        let options = EncodeOptions { style, ..exact() };
        let result = Value::Array(params.clone());
        for document in [
            encode_call("m", &params, &options).unwrap(),
            encode_response(&result, &options).unwrap(),
            encode_fault(&Fault::new(1, fault)),
        ] {
            prop_assert!(agree(Document::from(&document), &DecodeLimits::default()));
        }
    }

    #[test]
    fn a_fault_reads_back_as_it_was(code in any::<i32>(), message in text()) {
        let fault = Fault::new(code, message);
        let back = decode_response(&encode_fault(&fault), &DecodeLimits::default());
        prop_assert_eq!(back, Ok(Err(fault)));
    }

    #[test]
    fn the_style_of_extensions_loses_nothing(value in value()) {
        let style = EncodeStyle { i8: I8Style::Ex, nil: NilStyle::Ex, ..exact().style };
        let document = encode_response(&value, &EncodeOptions { style, ..exact() }).unwrap();
        let back = decode_response(&document, &DecodeLimits::default()).unwrap().unwrap();
        prop_assert_eq!(bits(&back), bits(&once_each(&value)));
    }

    /// A decimal number is taken for a double when it is what the double is exactly, or the
    /// shortest that reads as it; another digit is another number.
    #[test]
    fn a_decimal_is_read_as_the_double_that_it_is(
        number in double(),
        zeros in 0usize..400,
        digit in 1u8..=9,
    ) {
        let read = |text: &str| {
            let inside = format!(
                "<params><param><value><bigdecimal>{text}</bigdecimal></value></param></params>"
            );
            let document = format!("<methodResponse>{inside}</methodResponse>");
            decode_response(&document, &DecodeLimits::default())
        };
        // As many digits as the smallest double has behind the point.
        let exact = format!("{number:.1074}");
        let texts =
            [format!("{number:e}"), number.to_string(), format!("{exact}e0"), exact.clone()];
        for text in texts {
            let sign = if number.is_sign_negative() { "-" } else { "" };
            let (number_text, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let unsigned = number_text.trim_start_matches('-');
            let point = if unsigned.contains('.') { "" } else { "." };
            let zeros = "0".repeat(zeros);
            let padded = format!("{sign}{zeros}{unsigned}{point}{zeros}e{exponent}");
            let back = read(&padded).unwrap().unwrap();
            prop_assert_eq!(bits(&back), bits(&Value::Double(number)), "{}", padded);
        }
        let other = format!("{exact}{digit}");
        prop_assert!(read(&other).is_err(), "{}", other);
    }

    /// Of all texts, those that XML cannot carry are refused and no others; replaced, they can be
    /// carried too.
    #[test]
    fn a_text_is_carried_or_refused(
        text in any::<String>(),
        forbidden in proptest::option::of(0u32..0x20),
    ) {
        let text: String = text.chars().chain(forbidden.and_then(char::from_u32)).collect();
        let value = Value::String(text.clone());
        match encode_response(&value, &exact()) {
            Ok(document) => {
                prop_assert!(!text.contains(is_forbidden));
                let back = decode_response(&document, &DecodeLimits::default());
                prop_assert_eq!(back, Ok(Ok(value.clone())));
            }
            Err(fault) => {
                prop_assert!(text.contains(is_forbidden));
                prop_assert_eq!(fault.code, code::APPLICATION);
            }
        }
        let style = EncodeStyle { invalid_chars: InvalidChars::Replace, ..exact().style };
        let document = encode_response(&value, &EncodeOptions { style, ..exact() }).unwrap();
        let replaced = Value::String(text.replace(is_forbidden, "\u{FFFD}"));
        prop_assert_eq!(decode_response(&document, &DecodeLimits::default()), Ok(Ok(replaced)));
    }

    /// A limit lets through exactly what is within it.
    #[test]
    fn limits_are_exact(value in value(), spare in 0usize..2) {
        let document = encode_response(&value, &exact()).unwrap();
        let (values, depth) = count(&value);
        let large = DecodeLimits::default();
        for (limits, within) in [
            (DecodeLimits { values_max: values - spare, ..large }, spare == 0),
            (
                DecodeLimits { depth_max: depth.saturating_sub(spare), ..large },
                spare == 0 || depth == 0,
            ),
            (DecodeLimits { bytes_max: document.len() - spare, ..large }, spare == 0),
        ] {
            let back = decode_response(&document, &limits);
            prop_assert_eq!(back.is_ok(), within, "{:?}", limits);
        }
        let options = EncodeOptions { bytes_max: document.len() - spare, ..exact() };
        prop_assert_eq!(encode_response(&value, &options).is_ok(), spare == 0);
    }

    /// By default a date is the same second, in UTC if it has an offset, in a form that every
    /// calendar has; only outside of the years 0001 to 9999 there is none to write.
    #[test]
    fn a_date_is_written_in_one_form(date in date()) {
        let second = seconds(date) - i64::from(date.offset_minutes().unwrap_or(0)) * 60;
        let years = |first, last| {
            let first = DateTime::new(first, 1, 1, 0, 0, 0).unwrap();
            let last = DateTime::new(last, 12, 31, 23, 59, 59).unwrap();
            seconds(first)..=seconds(last)
        };
        let Ok(document) = encode_response(&Value::DateTime(date), &EncodeOptions::default()) else {
            prop_assert!(!years(1, 9_999).contains(&second));
            return Ok(());
        };
        let back = decode_response(&document, &DecodeLimits::default());
        let Ok(Ok(Value::DateTime(back))) = back else {
            return Err(TestCaseError::fail("no date came back"));
        };
        prop_assert_eq!((back.nanosecond(), back.offset_minutes()), (0, None));
        prop_assert!(back.year() > 0 && back.hour() < 24 && back.second() < 60);
        prop_assert_eq!(seconds(back), second);
    }

    /// Digits, a point and digits: what a reader that knows no exponents can read.
    #[test]
    fn a_double_is_written_plainly_and_to_the_bit(number in double()) {
        let document = encode_response(&Value::Double(number), &exact()).unwrap();
        let document = String::from_utf8(document).unwrap();
        let (_, rest) = document.split_once("<double>").unwrap();
        let (written, _) = rest.split_once("</double>").unwrap();
        let (whole, fraction) =
            written.strip_prefix('-').unwrap_or(written).split_once('.').unwrap();
        let mut digits = whole.bytes().chain(fraction.bytes());
        prop_assert!(digits.all(|byte| byte.is_ascii_digit()), "{}", written);
        prop_assert!(!whole.is_empty() && !fraction.is_empty());
        prop_assert_eq!(written.parse::<f64>().unwrap().to_bits(), number.to_bits());
    }
}
