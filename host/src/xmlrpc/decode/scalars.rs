//! Parses the text of one scalar, as liberally as good servers do.

use crate::xmlrpc::binary;
use crate::xmlrpc::date::parse_date_time;
use crate::xmlrpc::resources::{Meter, Stop};
use hotcall_plugin::Value;

/// Reads a text, or says what it should have been: a phrase that follows "which is not".
pub(super) type Parser = fn(&str) -> Result<Value, &'static str>;

/// The reader for the element of this name, or `None` when it is no scalar's. [`base64`] is apart.
///
/// Beside the specification's types these are those of Apache's extensions, without their prefix.
pub(super) fn parser(type_name: &str) -> Option<Parser> {
    Some(match type_name {
        "int" | "i4" => int,
        "i1" => |text| narrow(text, i8::MIN.into(), i8::MAX.into(), "a whole number of 8 bits"),
        "i2" => |text| narrow(text, i16::MIN.into(), i16::MAX.into(), "a whole number of 16 bits"),
        "i8" | "biginteger" => long,
        "boolean" => boolean,
        "double" | "float" => double,
        "bigdecimal" => big_decimal,
        "dateTime.iso8601" | "dateTime" => date_time,
        _ => return None,
    })
}

/// Without the white space of XML at both ends.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// `<int>` and `<i4>` are 32 bits, but clients of languages with one type for whole numbers write
/// larger ones too: npm's xmlrpc as `<int>`, Ruby's as `<i4>`.
pub(super) fn int(text: &str) -> Result<Value, &'static str> {
    whole(text).map(int_or_long)
}

/// The same of a number that was read already.
pub(super) fn int_or_long(number: i64) -> Value {
    i32::try_from(number).map_or(Value::Long(number), Value::Int)
}

pub(super) fn long(text: &str) -> Result<Value, &'static str> {
    whole(text).map(Value::Long)
}

fn narrow(text: &str, min: i32, max: i32, expected: &'static str) -> Result<Value, &'static str> {
    let number = whole(text).ok().and_then(|number| i32::try_from(number).ok());
    number.filter(|number| (min..=max).contains(number)).map(Value::Int).ok_or(expected)
}

fn whole(text: &str) -> Result<i64, &'static str> {
    trim(text).parse().map_err(|_| "a whole number of 64 bits")
}

pub(super) fn boolean(text: &str) -> Result<Value, &'static str> {
    match trim(text) {
        "1" => Ok(Value::Bool(true)),
        "0" => Ok(Value::Bool(false)),
        word if word.eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
        word if word.eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
        _ => Err("a boolean (0 or 1)"),
    }
}

pub(super) fn double(text: &str) -> Result<Value, &'static str> {
    let text = trim(text);
    let number: f64 = text.parse().map_err(|_| "a number")?;
    if number.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err("a number that a double can hold");
    }
    Ok(Value::Double(number))
}

/// A decimal number of any length, when a double can stand for it without becoming another number.
///
/// Senders disagree on which number a double is. Java's `new BigDecimal(0.1)` writes all 55 digits
/// of the double's exact value, `BigDecimal.valueOf(0.1)` the shortest decimal that reads as it,
/// and so `0.1`: each means that double.
fn big_decimal(text: &str) -> Result<Value, &'static str> {
    const EXPECTED: &str =
        "a decimal number that a double holds exactly, nor the shortest one that reads as a double";
    let sent = Decimal::read(trim(text)).ok_or(EXPECTED)?;
    let number = sent.nearest_double().ok_or(EXPECTED)?;
    let shortest = number.to_string();
    let exact = format!("{number:.FRACTION_DIGITS_MAX$}");
    let is_sent = |held: &str| Decimal::read(held).as_ref() == Some(&sent);
    if is_sent(&shortest) || is_sent(&exact) { Ok(Value::Double(number)) } else { Err(EXPECTED) }
}

/// Significant digits in the exact value of a double: the largest subnormal number has so many.
const DIGITS_MAX: usize = 767;
/// Digits past the point in the exact value of a double: 2^-1074 is the last bit of the smallest.
const FRACTION_DIGITS_MAX: usize = 1074;
/// Of the first significant digit of a double, which is less than 1e309 and not less than 4e-324: a
/// place for each digit to the left of the point, less one for each zero between the point and it.
const PLACES: std::ops::RangeInclusive<i64> = -323..=309;

/// A decimal number that a double may be: no zero at either end of its digits, so that equal
/// numbers are equal here.
#[derive(PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    /// How many places left of the point the first digit stands; 0 for zero.
    places: i64,
}

impl Decimal {
    /// Reads a number that was written with or without exponent, in time and memory of its length
    /// at most; `None` if it is none, or has more digits or another size than any double.
    fn read(text: &str) -> Option<Self> {
        let is_negative = text.starts_with('-');
        let text = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let all = whole.bytes().chain(fraction.bytes());
        let is_number =
            all.clone().all(|byte| byte.is_ascii_digit()) && whole.len() + fraction.len() > 0;
        let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let is_exponent = !exponent_digits.is_empty()
            && exponent_digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || !is_exponent {
            return None;
        }
        let zero = |byte: &u8| *byte == b'0';
        let zeros = all.clone().take_while(zero).count();
        let zeros_behind = all.clone().rev().take_while(zero).count();
        let Some(digits) = (whole.len() + fraction.len() - zeros).checked_sub(zeros_behind) else {
            // Whatever the exponent is.
            return Some(Self { is_negative, digits: String::new(), places: 0 });
        };
        if digits > DIGITS_MAX {
            return None;
        }
        let places = i64::try_from(whole.len()).ok()?.checked_sub(i64::try_from(zeros).ok()?)?;
        let places =
            places.checked_add(exponent.parse().ok()?).filter(|places| PLACES.contains(places))?;
        let digits = all.skip(zeros).take(digits).map(char::from).collect();
        Some(Self { is_negative, digits, places })
    }

    fn nearest_double(&self) -> Option<f64> {
        let sign = if self.is_negative { "-" } else { "" };
        let number: f64 = format!("{sign}0.{}0e{}", self.digits, self.places).parse().ok()?;
        number.is_finite().then_some(number)
    }
}

/// The text as [`parse_date_time`] has it: a fraction and an offset are kept, because a
/// [`DateTime`](crate::xmlrpc::DateTime) holds both. Nothing is converted: without an offset, the
/// clock that was read is the sender's business.
pub(super) fn date_time(text: &str) -> Result<Value, &'static str> {
    let date = parse_date_time(trim(text));
    date.map(Value::DateTime).ok_or("a date and time like 19980717T14:08:55")
}

/// Decodes base64. `None`: the text is something else.
pub(super) fn base64(text: &str, meter: &Meter<'_>) -> Result<Option<Vec<u8>>, Stop> {
    let _memory = meter.take_for_now(binary::decoded_bytes_max(text.len()))?;
    Ok(binary::decode(text))
}
