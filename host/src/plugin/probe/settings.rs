//! A plugin's settings on their way to its probe: JSON, with a name beside each type that JSON
//! does not have. XML-RPC documents cannot be used: a config file may hold control characters and
//! infinities, which XML cannot carry.

use crate::xmlrpc::{Value, parse_date_time};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;
use serde_json::json;
use std::io;

/// The document.
///
/// # Errors
/// None that a value can cause: serde_json's own.
pub(super) fn encode(value: &Value) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&to_json(value))?)
}

/// The value that was encoded.
///
/// # Errors
/// It is not a document of [`encode`], or is nested deeper than serde_json reads.
pub(super) fn decode(document: &[u8]) -> io::Result<Value> {
    from_json(&serde_json::from_slice(document)?)
        .ok_or_else(|| io::Error::other("the settings are damaged"))
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Bool(flag) => json!(flag),
        Value::String(text) => json!(text),
        Value::Int(number) => json!({ "int": number }),
        Value::Long(number) => json!({ "long": number }),
        // As bits: JSON has neither NaN nor infinities.
        Value::Double(number) => json!({ "double": number.to_bits() }),
        Value::DateTime(date) => json!({ "date": date.to_string() }),
        Value::Binary(bytes) => json!({ "binary": STANDARD.encode(bytes) }),
        Value::Array(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Struct(members) => {
            // Pairs: a struct's members have an order, and names may repeat.
            let pairs = members.iter().map(|(name, value)| json!([name, to_json(value)]));
            json!({ "struct": pairs.collect::<Vec<_>>() })
        }
    }
}

fn from_json(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(from_json).collect::<Option<_>>()?),
        Json::Number(_) => return None,
        Json::Object(object) => {
            let (kind, content) = object.iter().next()?;
            match kind.as_str() {
                "int" => Value::Int(content.as_i64()?.try_into().ok()?),
                "long" => Value::Long(content.as_i64()?),
                "double" => Value::Double(f64::from_bits(content.as_u64()?)),
                "date" => Value::DateTime(parse_date_time(content.as_str()?)?),
                "binary" => Value::Binary(STANDARD.decode(content.as_str()?).ok()?),
                "struct" => {
                    Value::Struct(content.as_array()?.iter().map(member).collect::<Option<_>>()?)
                }
                _ => return None,
            }
        }
    })
}

fn member(pair: &Json) -> Option<(String, Value)> {
    let [name, value] = pair.as_array()?.as_slice() else { return None };
    Some((name.as_str()?.to_owned(), from_json(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmlrpc::DateTime;

    #[test]
    fn every_value_arrives_as_it_was() {
        let date = DateTime::new(2026, 1, 31, 12, 0, 0).unwrap().with_nanosecond(5).unwrap();
        let value = Value::Struct(vec![
            (
                "b".into(),
                Value::Array(vec![Value::Nil, Value::Bool(true), Value::from("a\u{1}\"ü\0")]),
            ),
            ("a".into(), Value::Int(i32::MIN)),
            ("a".into(), Value::Long(i64::MAX)),
            (String::new(), Value::DateTime(date.with_offset_minutes(-90).unwrap())),
            ("binary".into(), Value::Binary(vec![0, 255])),
            (
                "doubles".into(),
                Value::Array([0.1, -0.0, f64::INFINITY].map(Value::Double).to_vec()),
            ),
            ("empty".into(), Value::Struct(vec![])),
        ]);
        assert_eq!(decode(&encode(&value).unwrap()).unwrap(), value);
        let nan = decode(&encode(&Value::Double(f64::NAN)).unwrap()).unwrap();
        assert!(matches!(nan, Value::Double(number) if number.is_nan()));
        assert!(decode(b"{\"int\": 5000000000}").is_err());
        assert!(decode(b"").is_err());
    }
}
