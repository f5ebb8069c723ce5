//! Values as JSON, for expectations in files and for talking with other languages.
//!
//! `null`, `true`, `5` (an int), `1.5` (a double), `"text"` and `[…]` are themselves; what JSON
//! does not have is an object of one member: `{"i8": 5}`, `{"double": "NaN"}`,
//! `{"date": "19980717T14:08:55"}`, `{"bytes": "00ff"}` and `{"struct": [["name", 5], …]}`, whose
//! members have an order.

use hotcall::xmlrpc::{Value, parse_date_time};
use serde_json::Value as Json;

/// The value that this stands for; `None` when it stands for none that Hotcall has.
pub fn value_of(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(i32::try_from(whole).ok()?),
            None => Value::Double(number.as_f64()?),
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(value_of).collect::<Option<_>>()?),
        Json::Object(object) => {
            let (kind, inside) = object.iter().next().filter(|_| object.len() == 1)?;
            match kind.as_str() {
                "i8" => Value::Long(inside.as_i64()?),
                "double" => Value::Double(inside.as_str()?.parse().ok()?),
                "date" => Value::DateTime(parse_date_time(inside.as_str()?)?),
                "bytes" => Value::Binary(hex(inside.as_str()?)?),
                "struct" => {
                    Value::Struct(inside.as_array()?.iter().map(member).collect::<Option<_>>()?)
                }
                _ => return None,
            }
        }
    })
}

fn member(json: &Json) -> Option<(String, Value)> {
    match json.as_array()?.as_slice() {
        [name, value] => Some((name.as_str()?.to_owned(), value_of(value)?)),
        _ => None,
    }
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}
