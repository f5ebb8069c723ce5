//! The decoder for what clients send against the one that says what is right: whatever the first takes, the second makes the
//! same of, and what comes out of both together is what the second says.

use super::super::*;
use std::fmt::Debug;

/// Any bytes, as a call and as a response, with room and without.
pub(crate) fn differential(bytes: &[u8]) {
    let large = DecodeLimits { values_max: 10_000, ..DecodeLimits::default() };
    let small = DecodeLimits {
        depth_max: 2,
        values_max: 6,
        text_bytes_max: 12,
        method_bytes_max: 8,
        name_bytes_max: 5,
        ..large
    };
    let smaller =
        DecodeLimits { bytes_max: 400, element_name_bytes_max: 12, attribute_bytes_max: 8, ..large };
    for limits in [large, small, smaller] {
        agree(Document::from(bytes), &limits);
    }
    agree(Document::from(bytes).with_content_type("text/xml; charset=iso-8859-1"), &large);
}

/// Panics unless both decoders make the same of the document. Whether the fast one takes it, as a call or as a response.
pub(crate) fn agree(document: Document<'_>, limits: &DecodeLimits) -> bool {
    let (fast, exact) = call_both_ways(document, limits);
    let is_call = fast.is_some();
    let whole = decode_call(document, limits).map_err(|fault| (fault.code, fault.message));
    let exact = exact.map_err(|error| (error.code, error.message));
    same(fast, exact, whole, |call| &call.params);

    let (fast, exact) = response_both_ways(document, limits);
    let is_response = fast.is_some();
    same(fast, exact, decode_response(document, limits), |response| {
        response.as_ref().map(std::slice::from_ref).unwrap_or_default()
    });
    is_call || is_response
}

fn same<T: Debug, E: Debug>(
    fast: Option<T>,
    exact: Result<T, E>,
    whole: Result<T, E>,
    values: fn(&T) -> &[Value],
) {
    let shown = |result: &Result<T, E>| {
        let mut bits = Vec::new();
        result.as_ref().map(values).unwrap_or_default().iter().for_each(|value| doubles(value, &mut bits));
        (format!("{result:?}"), bits)
    };
    let exact = shown(&exact);
    if let Some(fast) = fast {
        assert_eq!(shown(&Ok(fast)), exact);
    }
    assert_eq!(shown(&whole), exact);
}

/// All doubles to the bit: not every NaN is the same.
fn doubles(value: &Value, bits: &mut Vec<u64>) {
    match value {
        Value::Double(number) => bits.push(number.to_bits()),
        Value::Array(items) => items.iter().for_each(|item| doubles(item, bits)),
        Value::Struct(members) => members.iter().for_each(|(_, value)| doubles(value, bits)),
        _ => {}
    }
}
