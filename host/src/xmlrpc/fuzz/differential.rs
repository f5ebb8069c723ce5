//! Compares the fast decoder with xml-rs. Xml-rs makes the same of each document that the fast
//! decoder takes, and both together give what xml-rs gives alone.

use super::notation::hash;
use crate::xmlrpc::{
    DecodeLimits, Document, Value, call_both_ways, decode_call, decode_response, response_both_ways,
};
use std::fmt::Debug;

/// Limits that each document is read within, beside wide ones.
const LIMITS_TRIED: u64 = 3;
/// Those of them that are tight: with more, the first that is passed hides the others.
const TIGHT: usize = 2;
const VALUES_MAX: usize = 10_000;

/// Any bytes, as a call and as a response, with room and without.
pub(crate) fn differential(bytes: &[u8]) {
    let wide = wide();
    agree(Document::from(bytes), &wide);
    agree(Document::from(bytes).with_content_type("text/xml; charset=iso-8859-1"), &wide);
    for round in 0..LIMITS_TRIED {
        agree(Document::from(bytes), &limits(bytes, round));
    }
}

fn wide() -> DecodeLimits {
    DecodeLimits { values_max: VALUES_MAX, ..DecodeLimits::default() }
}

/// Limits that follow from the bytes alone, so that a document is a whole case, and each change of
/// it tries others. Tight is what documents of a few values pass, and where one decoder or the
/// other stops.
fn limits(bytes: &[u8], round: u64) -> DecodeLimits {
    let mut dice = Dice(hash(bytes) ^ round);
    let mut limits = wide();
    for _ in 0..TIGHT {
        let (limit, edges): (_, &[usize]) = match dice.below(9) {
            0 => (
                &mut limits.bytes_max,
                &[0, bytes.len().saturating_sub(1), bytes.len(), bytes.len() + 1],
            ),
            1 => (&mut limits.depth_max, &[0, 1, 2, 3, 1_999, 2_000, 2_001, usize::MAX]),
            2 => (&mut limits.values_max, &[0, 1, 2, 3, 4, 6, 10]),
            3 => (&mut limits.text_bytes_max, &[0, 1, 2, 3, 8, 12, 63, 64, 65, usize::MAX]),
            4 => (&mut limits.method_bytes_max, &[0, 1, 2, 3, 8, usize::MAX]),
            5 => (&mut limits.name_bytes_max, &[0, 1, 2, 5, 8, usize::MAX]),
            6 => (&mut limits.element_name_bytes_max, &[0, 1, 5, 12, 16, 63, 64, 65, usize::MAX]),
            7 => (&mut limits.attribute_bytes_max, &[0, 1, 8, 63, 64, 65, usize::MAX]),
            _ => (&mut limits.attributes_max, &[0, 1, 2, usize::MAX]),
        };
        // Between the edges now and then.
        let any = dice.below(bytes.len().min(VALUES_MAX) + 1);
        *limit = edges.get(dice.below(edges.len() + 1)).copied().unwrap_or(any);
    }
    limits
}

/// Numbers that follow from a first one.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = hash(&self.0.to_le_bytes());
        // What is low in such a hash follows from what is low in its bytes.
        (self.0 >> 32) as usize % end
    }
}

/// Panics unless both decoders make the same of the document. Whether the fast one takes it, as a
/// call or as a response.
pub(crate) fn agree(document: Document<'_>, limits: &DecodeLimits) -> bool {
    let (fast, exact) = call_both_ways(document, limits);
    let is_call = fast.is_some();
    let whole = decode_call(document, limits).map_err(|fault| (fault.code, fault.message));
    let exact = exact.map_err(|error| (error.code, error.message));
    same(limits, fast, exact, whole, |call| &call.params);

    let (fast, exact) = response_both_ways(document, limits);
    let is_response = fast.is_some();
    same(limits, fast, exact, decode_response(document, limits), |response| {
        response.as_ref().map(std::slice::from_ref).unwrap_or_default()
    });
    is_call || is_response
}

fn same<T: Debug, E: Debug>(
    limits: &DecodeLimits,
    fast: Option<T>,
    exact: Result<T, E>,
    whole: Result<T, E>,
    values: fn(&T) -> &[Value],
) {
    let shown = |result: &Result<T, E>| {
        let mut bits = Vec::new();
        result
            .as_ref()
            .map(values)
            .unwrap_or_default()
            .iter()
            .for_each(|value| doubles(value, &mut bits));
        (format!("{result:?}"), bits)
    };
    let exact = shown(&exact);
    if let Some(fast) = fast {
        assert_eq!(shown(&Ok(fast)), exact, "{limits:?}");
    }
    assert_eq!(shown(&whole), exact, "{limits:?}");
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_limit_comes_to_its_edges() {
        const DOCUMENTS: u32 = 1_000;
        let mut seen: [BTreeSet<usize>; 9] = Default::default();
        for number in 0..DOCUMENTS {
            let limits = limits(&number.to_le_bytes(), u64::from(number) % LIMITS_TRIED);
            assert!(limits.values_max <= VALUES_MAX);
            let all = [
                limits.bytes_max,
                limits.depth_max,
                limits.values_max,
                limits.text_bytes_max,
                limits.method_bytes_max,
                limits.name_bytes_max,
                limits.element_name_bytes_max,
                limits.attribute_bytes_max,
                limits.attributes_max,
            ];
            for (seen, limit) in seen.iter_mut().zip(all) {
                seen.insert(limit);
            }
        }
        for (number, seen) in seen.iter().enumerate() {
            assert!(seen.len() >= 5 && seen.contains(&0), "limit {number}: {seen:?}");
        }
        let [.., element_name, _, _] = seen;
        assert!(element_name.is_superset(&[63, 64, 65, usize::MAX].into()), "{element_name:?}");
    }
}
