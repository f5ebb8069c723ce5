//! Values in a notation that people can read and fuzzers can change: any bytes stand for a value.
//!
//! `n` is nil, `t` and `f` are booleans, `i-5` is an int, `l5` a long, `d1e-7` a double;
//! ``s…` `` is a text and ``b…` `` are bytes, up to the backtick;
//! `@1998,7,17,14,8,55,250000000,-120` is a date, whose nanoseconds and offset in minutes may be
//! left out; `[…]` is an array and ``{name`…}`` a struct. What is none of these is passed over. A
//! number that does not fit wraps round.
#![allow(clippy::cast_possible_truncation, reason = "numbers wrap round")]

use super::super::{DateTime, Value};

/// Deeper arrays and structs are passed over. Less than readers take by default.
const DEPTH_MAX: usize = 60;

/// What these bytes stand for. Several values beside each other are an array.
pub(crate) fn value(bytes: &[u8]) -> Value {
    let mut rest = Rest(bytes);
    let mut values = Vec::new();
    while !rest.0.is_empty() {
        values.extend(rest.value(0));
    }
    if values.len() == 1 { values.pop().unwrap_or_default() } else { Value::Array(values) }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// The next value; `None` at the end, or at a closing bracket.
    fn value(&mut self, depth: usize) -> Option<Value> {
        loop {
            return Some(match self.byte()? {
                b'n' => Value::Nil,
                b't' => Value::Bool(true),
                b'f' => Value::Bool(false),
                b'i' => Value::Int(self.number() as i32),
                b'l' => Value::Long(self.number()),
                b'd' => Value::Double(self.double()),
                b's' => Value::String(self.text()),
                b'b' => Value::Binary(self.quoted().to_vec()),
                b'@' => match self.date() {
                    Some(date) => Value::DateTime(date),
                    None => continue,
                },
                b'[' if depth < DEPTH_MAX => {
                    Value::Array(std::iter::from_fn(|| self.value(depth + 1)).collect())
                }
                b'{' if depth < DEPTH_MAX => Value::Struct(self.members(depth + 1)),
                b']' | b'}' => return None,
                _ => continue,
            });
        }
    }

    /// Names are unique: what the host decodes is so, and what it encodes should be.
    fn members(&mut self, depth: usize) -> Vec<(String, Value)> {
        let mut members: Vec<(String, Value)> = Vec::new();
        while !self.0.is_empty() {
            let space = self.0.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.take(space);
            if self.0.starts_with(b"}") {
                self.take(1);
                break;
            }
            let name = self.text();
            let Some(value) = self.value(depth) else { break };
            if members.iter().all(|(other, _)| *other != name) {
                members.push((name, value));
            }
        }
        members
    }

    fn date(&mut self) -> Option<DateTime> {
        let year = self.number() as u16;
        let mut part = || {
            let is_there = self.0.starts_with(b",");
            is_there.then(|| {
                self.take(1);
                self.number()
            })
        };
        let [month, day, hour, minute, second] = [(); 5].map(|()| part().unwrap_or(1) as u8);
        let (nanosecond, offset) = (part().unwrap_or(0) as u32, part());
        let date =
            DateTime::new(year, month, day, hour, minute, second)?.with_nanosecond(nanosecond)?;
        offset.map_or(Some(date), |offset| date.with_offset_minutes(offset as i16))
    }

    fn number(&mut self) -> i64 {
        let is_negative = self.0.starts_with(b"-");
        self.take(usize::from(is_negative));
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = self.take(digits).iter().fold(0_i64, |number, digit| {
            number.wrapping_mul(10).wrapping_add(i64::from(digit.wrapping_sub(b'0')))
        });
        if is_negative { number.wrapping_neg() } else { number }
    }

    /// Text that is no number stands for one of whatever bits.
    fn double(&mut self) -> f64 {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let length = self.0.iter().take_while(|byte| is_part(byte)).count();
        let text = self.take(length);
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        number.unwrap_or_else(|| f64::from_bits(hash(text)))
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(self.quoted()).into_owned()
    }

    fn quoted(&mut self) -> &'a [u8] {
        let length = self.0.iter().position(|byte| *byte == b'`').unwrap_or(self.0.len());
        let quoted = self.take(length);
        self.take(1);
        quoted
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).first().copied()
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// FNV-1a: decides what a fuzzer's bytes do not say.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_can_be_written() {
        let written = b"{n`n b`[tf]d`d-1e300 i`i-2147483648} l9223372036854775807 s<&>` b\xFF` \
                        @1998,7,17,14,8,55,5,-90 @0";
        let date = DateTime::new(1998, 7, 17, 14, 8, 55).and_then(|date| date.with_nanosecond(5));
        let expected = Value::Array(vec![
            Value::Struct(vec![
                ("n".into(), Value::Nil),
                ("b".into(), Value::Array(vec![Value::Bool(true), Value::Bool(false)])),
                ("d".into(), Value::Double(-1e300)),
                ("i".into(), Value::Int(i32::MIN)),
            ]),
            Value::Long(i64::MAX),
            Value::String("<&>".into()),
            Value::Binary(vec![0xFF]),
            Value::DateTime(date.and_then(|date| date.with_offset_minutes(-90)).unwrap()),
            Value::DateTime(DateTime::new(0, 1, 1, 1, 1, 1).unwrap()),
        ]);
        assert_eq!(value(written), expected);
        assert_eq!(value(b""), Value::Array(Vec::new()));
        assert_eq!(value(b"?[i1 ] ]"), Value::Array(vec![Value::Int(1)]));
        let deep = vec![b'['; 100_000];
        assert!(matches!(value(&deep), Value::Array(_)));
    }
}
