//! The rules that hold for generated documents and values. Must not know of the fuzzer.
#![allow(
    clippy::cast_possible_truncation,
    clippy::panic,
    reason = "a target fails by a panic, and hashes are cut to size"
)]

pub(crate) mod differential;
pub(crate) mod notation;
pub(crate) mod written;

use super::{
    Call, Dates, DecodeError, DecodeLimits, Document, EncodeOptions, EncodeStyle, Fault, I8Style,
    InvalidChars, NilStyle, Value, code, decode_call, decode_response, encode_call, encode_fault,
    encode_response,
};
use written::{in_utc, is_forbidden};

/// One style each way, so that every choice is made.
pub(crate) const STYLES: [EncodeStyle; 4] = [
    style(InvalidChars::Refuse, I8Style::Plain, NilStyle::Plain, Dates::Exact),
    style(InvalidChars::Replace, I8Style::Ex, NilStyle::Ex, Dates::Exact),
    style(InvalidChars::Refuse, I8Style::Ex, NilStyle::Refuse, Dates::Plain),
    style(InvalidChars::Replace, I8Style::Plain, NilStyle::Ex, Dates::Plain),
];

const fn style(
    invalid_chars: InvalidChars,
    i8: I8Style,
    nil: NilStyle,
    dates: Dates,
) -> EncodeStyle {
    EncodeStyle { invalid_chars, i8, nil, dates }
}

/// Any bytes are a call, a response or a fault with its place; what was read can be written, and
/// reads back the same, in every encoding and within exact limits.
pub(crate) fn decode(bytes: &[u8]) {
    let limits = DecodeLimits { values_max: 10_000, ..DecodeLimits::default() };
    for content_type in [
        "text/xml",
        "text/xml; charset=windows-1252",
        "text/xml; charset=utf-16le",
        "text/xml; charset=gb18030",
        "text/xml; charset=iso-2022-jp",
    ] {
        let document = Document::from(bytes).with_content_type(content_type);
        match decode_call(document, &limits) {
            Ok(call) => reads_back(&call),
            Err(fault) => is_clear(&fault),
        }
        match decode_response(document, &limits) {
            Ok(Ok(value)) => reads_back(&Call { method: "m".into(), params: vec![value] }),
            Ok(Err(fault)) => fault_reads_back(&fault),
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
    match encode_call(
        &call.method,
        &call.params,
        &EncodeOptions { style: STYLES[0], ..EncodeOptions::default() },
    ) {
        Ok(document) => {
            for document in encodings(&document) {
                is_read_as(&document, call, &DecodeLimits::default());
            }
            limits_are_exact(&document, call);
        }
        // NaN and the infinities are read, because some clients send them, and not written.
        Err(fault) => assert!(fault.message.contains("which XML-RPC cannot carry"), "{fault}"),
    }
}

/// The same document in each encoding that has its characters.
fn encodings(document: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(document);
    let named = |name: &str| text.replacen("UTF-8", name, 1);
    let utf_16 =
        || std::iter::once(0xFEFF).chain(named("UTF-16").encode_utf16().collect::<Vec<_>>());
    let mut all = vec![
        document.to_vec(),
        utf_16().flat_map(u16::to_be_bytes).collect(),
        utf_16().flat_map(u16::to_le_bytes).collect(),
    ];
    let latin_1 =
        named("ISO-8859-1").chars().map(|c| u8::try_from(u32::from(c))).collect::<Result<_, _>>();
    all.extend(latin_1);
    // Private characters of the edition of 2000 read back as those of 2022.
    if !text.contains(|c| ('\u{e000}'..='\u{f8ff}').contains(&c)) {
        all.push(encoding_rs::GB18030.encode(&named("GB18030")).0.into_owned());
    }
    all
}

fn is_read_as(document: &[u8], call: &Call, limits: &DecodeLimits) {
    let back = decode_call(document, limits);
    assert_eq!(format!("{back:?}"), format!("{:?}", Ok::<_, Fault>(call)), "{limits:?}");
}

/// A limit lets through exactly what is within it.
fn limits_are_exact(document: &[u8], call: &Call) {
    let mut extent = Extent::default();
    call.params.iter().for_each(|param| extent.add(param, 0));
    let exact = DecodeLimits {
        bytes_max: document.len(),
        depth_max: extent.depth,
        values_max: extent.values,
        method_bytes_max: call.method.len(),
        name_bytes_max: extent.name_bytes,
        ..DecodeLimits::default()
    };
    is_read_as(document, call, &exact);
    let less = |lower: fn(&mut DecodeLimits) -> &mut usize| {
        let mut limits = exact;
        let limit = lower(&mut limits);
        if *limit > 0 {
            *limit -= 1;
            assert!(decode_call(document, &limits).is_err(), "{limits:?} let through {call:?}");
        }
    };
    less(|limits| &mut limits.bytes_max);
    less(|limits| &mut limits.depth_max);
    less(|limits| &mut limits.values_max);
    less(|limits| &mut limits.method_bytes_max);
    less(|limits| &mut limits.name_bytes_max);
}

/// What a value takes of each limit.
#[derive(Default)]
struct Extent {
    values: usize,
    depth: usize,
    name_bytes: usize,
}

impl Extent {
    fn add(&mut self, value: &Value, outside: usize) {
        self.values += 1;
        let inside = outside + 1;
        match value {
            Value::Array(items) => {
                self.depth = self.depth.max(inside);
                items.iter().for_each(|item| self.add(item, inside));
            }
            Value::Struct(members) => {
                self.depth = self.depth.max(inside);
                for (name, value) in members {
                    self.name_bytes = self.name_bytes.max(name.len());
                    self.add(value, inside);
                }
            }
            _ => {}
        }
    }
}

/// Any value is written as the reference has it, and the document reads back as its style has it;
/// or it is refused when the style has no way.
pub(crate) fn encode_decode(bytes: &[u8]) {
    let value = notation::value(bytes);
    for style in STYLES {
        let options = EncodeOptions { style, ..EncodeOptions::default() };
        match (encode_response(&value, &options), carried(&value, style)) {
            (Ok(document), Some(expected)) => {
                let reference = written::response(&value, style);
                assert_eq!(String::from_utf8(document.clone()), Ok(reference), "{value:?}");
                let back = decode_response(&document, &DecodeLimits::default());
                assert_eq!(
                    format!("{back:?}"),
                    format!("{:?}", Ok::<_, DecodeError>(Ok::<_, Fault>(expected)))
                );
                let smaller = EncodeOptions { bytes_max: document.len() - 1, style };
                let refused = encode_response(&value, &smaller).map_err(|fault| fault.code);
                assert_eq!(refused, Err(code::RESPONSE_TOO_LARGE));
                let exact = EncodeOptions { bytes_max: document.len(), style };
                assert_eq!(encode_response(&value, &exact).as_ref(), Ok(&document));
            }
            (Err(fault), None) => assert_eq!(fault.code, code::APPLICATION, "{fault}"),
            (written, expected) => panic!("{expected:?} expected of {value:?}, not {written:?}"),
        }
    }
    if carried(&value, STYLES[0]).is_some() {
        reads_back(&Call { method: "m".into(), params: vec![value] });
    }
    let message = String::from_utf8_lossy(bytes);
    fault_reads_back(&Fault::new(
        notation::hash(bytes) as i32,
        message.replace(is_forbidden, "\u{FFFD}"),
    ));
}

fn fault_reads_back(fault: &Fault) {
    let back = decode_response(&encode_fault(fault), &DecodeLimits::default());
    assert_eq!(back, Ok(Err(fault.clone())));
}

/// What is left of a value that is written in this style; `None` when it cannot be.
fn carried(value: &Value, style: EncodeStyle) -> Option<Value> {
    let text = |text: &str| match style.invalid_chars {
        InvalidChars::Refuse if text.contains(is_forbidden) => None,
        _ => Some(text.replace(is_forbidden, "\u{FFFD}")),
    };
    Some(match value {
        Value::Nil if style.nil == NilStyle::Refuse => return None,
        Value::Double(number) if !number.is_finite() => return None,
        Value::String(string) => Value::String(text(string)?),
        Value::DateTime(date) if style.dates == Dates::Plain => Value::DateTime(in_utc(*date)?),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| carried(item, style)).collect::<Option<_>>()?)
        }
        Value::Struct(members) => {
            let mut carried_members: Vec<(String, Value)> = Vec::new();
            for (name, value) in members {
                let (name, value) = (text(name)?, carried(value, style)?);
                // Of two names that differ in what cannot be written alone, the later is read.
                match carried_members.iter_mut().find(|(other, _)| *other == name) {
                    Some((_, earlier)) => *earlier = value,
                    None => carried_members.push((name, value)),
                }
            }
            Value::Struct(carried_members)
        }
        other => other.clone(),
    })
}
