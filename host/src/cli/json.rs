//! Converts values from and to the command line's text: JSON, and prefixes for types that JSON
//! lacks.
//!
//! Characters that could steer a terminal become `\u` escapes in JSON strings, so the JSON keeps
//! its meaning.

use super::output::Failure;
use crate::text;
use crate::xmlrpc::{DateTime, Value, parse_date_time};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt::Write as _;
use std::{fmt, fs};

/// Reads one argument of `hotcall call`.
pub(super) fn argument(text: &str) -> Result<Value, Failure> {
    match text.split_once(':') {
        Some(("string", rest)) => Ok(Value::from(rest)),
        Some(("int", rest)) => {
            rest.parse().map(Value::Int).map_err(|_| not(text, "a whole number of 32 bits"))
        }
        Some(("i8", rest)) => {
            rest.parse().map(Value::Long).map_err(|_| not(text, "a whole number of 64 bits"))
        }
        Some(("double", rest)) => match rest.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Double(number)),
            _ => Err(not(text, "a finite number")),
        },
        Some(("date", rest)) => parse_date_time(rest)
            .map(Value::DateTime)
            .ok_or_else(|| not(text, "a date and time like 2026-01-31T12:00:00")),
        Some(("base64", rest)) => match rest.strip_prefix('@') {
            Some(file) => fs::read(file).map(Value::Binary).map_err(|error| {
                Failure::new(format!("argument {text:?}: cannot read {file}: {error}"))
            }),
            None => STANDARD.decode(rest).map(Value::Binary).map_err(|_| not(text, "base64")),
        },
        _ => from_json(text),
    }
}

/// A result as pretty JSON, struct members in the order in which they came.
pub(super) fn text(value: &Value) -> Result<String, Failure> {
    serde_json::to_string_pretty(&Printed(value)).map(escaped).map_err(unprintable)
}

/// A result as JSON on one line.
pub(super) fn line(value: &Value) -> Result<String, Failure> {
    serde_json::to_string(&Printed(value)).map(escaped).map_err(unprintable)
}

fn unprintable(error: serde_json::Error) -> Failure {
    Failure::new(format!("cannot print the result as JSON: {error}"))
}

/// Replaces characters that a terminal must not get by `\u` escapes, which mean the same. Outside
/// strings, JSON has only line breaks of them.
fn escaped(json: String) -> String {
    let is_plain = |c| c == '\n' || !text::is_escaped(c);
    if json.chars().all(is_plain) {
        return json;
    }
    let mut clean = String::with_capacity(json.len());
    for c in json.chars() {
        if is_plain(c) {
            clean.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(clean, "\\u{unit:04x}");
        }
    }
    clean
}

/// All JSON values in a text, one at least. `place` is what messages call it.
pub(super) fn values(place: &str, text: &str) -> Result<Vec<Value>, Failure> {
    if let Some(number) = whole_number_past_64_bits(text) {
        return Err(Failure::new(format!("{place}: {number} does not fit in 64 bits")));
    }
    let typed = serde_json::Deserializer::from_str(text).into_iter::<Typed>();
    let values: Result<Vec<_>, _> = typed.map(|typed| typed.map(|Typed(value)| value)).collect();
    match values {
        Ok(values) if values.is_empty() => {
            Err(Failure::new(format!("{place} holds no JSON value")))
        }
        Ok(values) => Ok(values),
        Err(error) => Err(Failure::new(format!("{place} is not JSON: {error}"))),
    }
}

fn not(argument: &str, expected: &str) -> Failure {
    Failure::new(format!("argument {argument:?}: what follows the colon is not {expected}"))
}

fn from_json(text: &str) -> Result<Value, Failure> {
    if let Some(number) = whole_number_past_64_bits(text) {
        let what = format!("argument {text:?}: {number} does not fit in 64 bits");
        return Err(Failure::new(what).hint("send it as double:… or string:…"));
    }
    match serde_json::from_str::<Typed>(text) {
        Ok(value) => Ok(value.0),
        Err(error) => Err(Failure::new(format!("argument {text:?} is not JSON: {error}"))
            .hint(&format!("to send it as text, write {:?}", format!("string:{text}")))),
    }
}

/// The first whole number in a JSON text that no XML-RPC type holds. The JSON parser would make a
/// double of it, and lose digits without a word.
fn whole_number_past_64_bits(json: &str) -> Option<&str> {
    let mut in_string = false;
    let mut escaped = false;
    json.split(|c: char| {
        let quoted = in_string;
        match c {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && c == '\\' && !escaped;
        quoted || !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
    .find(|token| {
        let digits = token.strip_prefix('-').unwrap_or(token);
        !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && token.parse::<i64>().is_err()
    })
}

/// A value as JSON has it.
struct Typed(Value);

impl<'de> Deserialize<'de> for Typed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(i32::try_from(value).map_or(Value::Long(value), Value::Int))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.visit_i64(i64::try_from(value).map_err(E::custom)?)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Double(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Typed(value)) = array.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members: Vec<(String, Value)> = Vec::new();
        while let Some((name, Typed(value))) = object.next_entry::<String, _>()? {
            if members.iter().any(|(other, _)| *other == name) {
                return Err(A::Error::custom(format!(
                    "the name {name:?} stands twice in one object"
                )));
            }
            members.push((name, value));
        }
        Ok(Value::Struct(members))
    }
}

/// A value on its way to JSON.
struct Printed<'a>(&'a Value);

impl Serialize for Printed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Nil => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i32(*value),
            Value::Long(value) => serializer.serialize_i64(*value),
            Value::Double(value) if value.is_finite() => serializer.serialize_f64(*value),
            Value::Double(value) => serializer.collect_str(value),
            Value::String(value) => serializer.serialize_str(value),
            Value::DateTime(value) => serializer.serialize_str(&iso_8601(value)),
            Value::Binary(value) => serializer.serialize_str(&STANDARD.encode(value)),
            Value::Array(values) => serializer.collect_seq(values.iter().map(Printed)),
            Value::Struct(members) => {
                serializer.collect_map(members.iter().map(|(name, value)| (name, Printed(value))))
            }
        }
    }
}

/// The extended form, which is what the JSON world reads; XML-RPC's own has no dashes.
fn iso_8601(date: &DateTime) -> String {
    let mut text = date.to_string();
    text.insert(4, '-');
    text.insert(7, '-');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_values() {
        let date = parse_date_time("20260131T12:00:00").unwrap();
        for (text, expected) in [
            ("5", Value::Int(5)),
            ("-2147483649", Value::Long(-2_147_483_649)),
            ("9223372036854775807", Value::Long(i64::MAX)),
            ("-9223372036854775808", Value::Long(i64::MIN)),
            ("2.0", Value::Double(2.0)),
            ("1e3", Value::Double(1000.0)),
            (
                "\"a: 99999999999999999999 \\\" 99999999999999999999\"",
                Value::from("a: 99999999999999999999 \" 99999999999999999999"),
            ),
            ("true", Value::Bool(true)),
            (" null ", Value::Nil),
            ("[1, []]", Value::Array(vec![Value::Int(1), Value::Array(vec![])])),
            (
                "{\"b\": 1, \"a\": {}}",
                Value::Struct(vec![
                    ("b".into(), Value::Int(1)),
                    ("a".into(), Value::Struct(vec![])),
                ]),
            ),
            ("string:5", Value::from("5")),
            ("string:", Value::from("")),
            ("string:int:5", Value::from("int:5")),
            ("int:-5", Value::Int(-5)),
            ("i8:5", Value::Long(5)),
            ("double:5", Value::Double(5.0)),
            ("date:2026-01-31T12:00:00", Value::DateTime(date)),
            ("base64:AAE=", Value::Binary(vec![0, 1])),
        ] {
            assert_eq!(argument(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_argument_says_what_to_write() {
        for (text, expected) in [
            ("hello", "write \"string:hello\""),
            ("", "is not JSON"),
            ("[1,", "is not JSON"),
            ("1 2", "is not JSON"),
            ("{\"a\":1,\"a\":2}", "stands twice"),
            ("9223372036854775808", "9223372036854775808 does not fit in 64 bits"),
            ("[\"x\",-99999999999999999999]", "-99999999999999999999 does not fit in 64 bits"),
            ("int:2147483648", "not a whole number of 32 bits"),
            ("i8:x", "not a whole number of 64 bits"),
            ("double:nan", "not a finite number"),
            ("date:yesterday", "not a date and time like 2026-01-31T12:00:00"),
            ("base64:*", "not base64"),
            ("base64:@/nonexistent/file", "cannot read /nonexistent/file: "),
        ] {
            let failure = argument(text).unwrap_err().to_string();
            assert!(failure.contains(expected), "{failure}");
        }
    }

    #[test]
    fn bytes_come_from_files() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("bytes");
        fs::write(&file, [0, 255]).unwrap();
        assert_eq!(
            argument(&format!("base64:@{}", file.display())),
            Ok(Value::Binary(vec![0, 255]))
        );
    }

    #[test]
    fn results_are_printed_as_json() {
        let date = parse_date_time("20260131T12:00:00.5+01:00").unwrap();
        for (value, expected) in [
            (Value::Nil, "null"),
            (Value::Long(1 << 40), "1099511627776"),
            (Value::Double(1.0), "1.0"),
            (Value::Double(f64::NAN), "\"NaN\""),
            (Value::Double(f64::NEG_INFINITY), "\"-inf\""),
            (Value::from("a\u{1}\"é"), "\"a\\u0001\\\"é\""),
            (Value::DateTime(date), "\"2026-01-31T12:00:00.5+01:00\""),
            (Value::Binary(vec![0, 1]), "\"AAE=\""),
            (
                Value::Struct(vec![
                    ("b".into(), Value::Array(vec![])),
                    ("a".into(), Value::Bool(true)),
                ]),
                "{\n  \"b\": [],\n  \"a\": true\n}",
            ),
        ] {
            assert_eq!(text(&value).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_a_terminal_must_not_get_is_escaped_and_means_the_same() {
        let hostile = "a\u{1b}[2J\u{7f}\u{9b}31m\u{2028}\u{202e}\u{e0041}\n\\ é";
        let value = Value::Struct(vec![(hostile.into(), Value::Array(vec![hostile.into()]))]);
        for json in [text(&value).unwrap(), line(&value).unwrap()] {
            assert!(
                json.contains("\\u001b[2J\\u007f\\u009b31m\\u2028\\u202e\\udb40\\udc41\\n\\\\ é"),
                "{json}"
            );
            assert!(json.chars().all(|c| c == '\n' || !text::is_escaped(c)), "{json}");
            assert_eq!(from_json(&json), Ok(value.clone()));
        }
    }
}
