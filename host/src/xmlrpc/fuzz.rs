//! What must hold for documents and values that a fuzzer makes. Must not know of the fuzzer.

use super::*;
use arbitrary::{Result, Unstructured};

/// Any bytes are a call, a response or a fault with its place; what was read can be written, and reads back the same.
pub(crate) fn decode(bytes: &[u8]) {
    let limits = DecodeLimits { values_max: 10_000, ..DecodeLimits::default() };
    for content_type in ["text/xml", "text/xml; charset=windows-1252", "text/xml; charset=utf-16le"] {
        let document = Document::from(bytes).with_content_type(content_type);
        match decode_call(document, &limits) {
            Ok(call) => reads_back(&call),
            Err(fault) => is_clear(&fault),
        }
        match decode_response(document, &limits) {
            Ok(Ok(value)) => reads_back(&Call { method: "m".into(), params: vec![value] }),
            Ok(Err(_)) => {}
            Err(error) => is_clear(&error.into()),
        }
    }
}

fn is_clear(fault: &Fault) {
    assert!((-32702..=-32600).contains(&fault.code), "{fault}");
    assert!(fault.message.starts_with("line "), "{fault}");
    assert!(fault.message.len() < 1_000, "{fault}");
}

fn reads_back(call: &Call) {
    match encode_call(&call.method, &call.params, &EncodeOptions::default()) {
        Ok(document) => {
            let back = decode_call(&document, &DecodeLimits::default());
            assert_eq!(format!("{back:?}"), format!("{:?}", Ok::<_, Fault>(call)));
        }
        // NaN and the infinities are read, because some clients send them, and not written.
        Err(fault) => assert!(fault.message.contains("which XML-RPC cannot carry"), "{fault}"),
    }
}

/// Any value is written as a document that reads back the same, in every style, or refused with a reason.
pub(crate) fn encode_decode(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let (Ok(style), Ok(value)) = (style(&mut input), value(&mut input, 0)) else { return };
    let options = EncodeOptions { style, ..EncodeOptions::default() };
    match encode_response(&value, &options) {
        Ok(document) => {
            let back = decode_response(&document, &DecodeLimits::default());
            let back = back.unwrap_or_else(|error| Err(error.into()));
            let is_exact = style.dates == Dates::Exact && style.invalid_chars == InvalidChars::Refuse;
            assert!(back.is_ok(), "{back:?} of {value:?}");
            assert!(!is_exact || format!("{back:?}") == format!("{:?}", Ok::<_, Fault>(&value)), "{back:?}");
        }
        Err(fault) => assert_eq!(fault.code, code::APPLICATION, "{fault}"),
    }
}

fn style(input: &mut Unstructured<'_>) -> Result<EncodeStyle> {
    Ok(EncodeStyle {
        invalid_chars: *input.choose(&[InvalidChars::Refuse, InvalidChars::Replace])?,
        i8: *input.choose(&[I8Style::Plain, I8Style::Ex])?,
        nil: *input.choose(&[NilStyle::Plain, NilStyle::Ex, NilStyle::Refuse])?,
        dates: *input.choose(&[Dates::Exact, Dates::Plain])?,
    })
}

/// A value of a fuzzer's bytes, with the names of each struct unique.
pub(crate) fn value(input: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    const DEPTH_MAX: usize = 20;
    const ITEMS_MAX: usize = 30;
    let kinds = if depth < DEPTH_MAX { 9 } else { 7 };
    Ok(match input.int_in_range(0..=kinds)? {
        0 => Value::Nil,
        1 => Value::Bool(input.arbitrary()?),
        2 => Value::Int(input.arbitrary()?),
        3 => Value::Long(input.arbitrary()?),
        4 => Value::Double(input.arbitrary()?),
        5 => Value::String(input.arbitrary()?),
        6 => date(input)?.map_or(Value::Nil, Value::DateTime),
        7 => Value::Binary(input.arbitrary()?),
        8 => {
            let len = input.int_in_range(0..=ITEMS_MAX)?;
            Value::Array((0..len).map(|_| value(input, depth + 1)).collect::<Result<_>>()?)
        }
        _ => {
            let mut members: Vec<(String, Value)> = Vec::new();
            for _ in 0..input.int_in_range(0..=ITEMS_MAX)? {
                let name: String = input.arbitrary()?;
                if members.iter().all(|(other, _)| *other != name) {
                    members.push((name, value(input, depth + 1)?));
                }
            }
            Value::Struct(members)
        }
    })
}

fn date(input: &mut Unstructured<'_>) -> Result<Option<DateTime>> {
    let date = DateTime::new(
        input.int_in_range(0..=9_999)?,
        input.int_in_range(1..=12)?,
        input.int_in_range(1..=31)?,
        input.int_in_range(0..=24)?,
        input.int_in_range(0..=59)?,
        input.int_in_range(0..=60)?,
    );
    let date = date.and_then(|date| date.with_nanosecond(input.int_in_range(0..=999_999_999).ok()?));
    Ok(match input.arbitrary::<Option<i16>>()? {
        Some(offset) => date.and_then(|date| date.with_offset_minutes(offset % 1_440)),
        None => date,
    })
}
