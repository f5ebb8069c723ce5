//! What encode writes, decode reads back as it was; and nothing that is sent makes decode panic.
#![allow(clippy::cast_possible_truncation, reason = "random numbers are cut to size")]

use super::*;

/// SplitMix64: seeded, so that a failure is a failure again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn text(&mut self) -> String {
        const NASTY: [&str; 24] = [
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
            "text",
        ];
        (0..self.below(5)).map(|_| self.pick(&NASTY)).collect()
    }

    fn date(&mut self) -> DateTime {
        let (year, month) = (self.below(10_000) as u16, 1 + self.below(12) as u8);
        let (day, hour) = (1 + self.below(28) as u8, self.below(24) as u8);
        let date = DateTime::new(year, month, day, hour, self.below(60) as u8, self.below(61) as u8).unwrap();
        let date = match self.below(3) {
            0 => date.with_nanosecond(self.below(1_000_000_000) as u32).unwrap(),
            _ => date,
        };
        match self.below(3) {
            0 => date.with_offset_minutes(self.below(2_879) as i16 - 1_439).unwrap(),
            _ => date,
        }
    }

    fn double(&mut self) -> f64 {
        const EDGES: [f64; 12] = [
            0.0,
            -0.0,
            1.0,
            -1.5,
            0.1,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            5e-324,
            1e16,
            1e-7,
            123_456_789.123_456_79,
        ];
        match f64::from_bits(self.next()) {
            number if number.is_finite() && self.below(2) == 0 => number,
            _ => self.pick(&EDGES),
        }
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 8 } else { 10 }) {
            0 => Value::Nil,
            1 => Value::Bool(self.below(2) == 0),
            2 => Value::Int(self.pick(&[0, 1, -1, i32::MIN, i32::MAX])),
            3 => Value::Long(self.pick(&[0, 1, i64::MIN, i64::MAX, 1 << 32])),
            4 => Value::Double(self.double()),
            5 => Value::String(self.text()),
            6 => Value::DateTime(self.date()),
            7 => Value::Binary((0..self.below(70)).map(|_| self.next() as u8).collect()),
            8 => Value::Array((0..self.below(6)).map(|_| self.value(depth - 1)).collect()),
            _ => {
                let mut members: Vec<(String, Value)> = Vec::new();
                for _ in 0..self.below(14) {
                    let name = self.text();
                    if members.iter().all(|(other, _)| *other != name) {
                        members.push((name, self.value(depth - 1)));
                    }
                }
                Value::Struct(members)
            }
        }
    }
}

#[test]
fn what_is_written_reads_back_as_it_was() {
    let mut random = Random(1);
    for _ in 0..2_000 {
        let value = random.value(4);
        let document = encode_response(&value, &EncodeLimits::default()).unwrap();
        let back = decode_response(&document, &DecodeLimits::default());
        assert_eq!(back, Ok(Ok(value)), "{}", String::from_utf8_lossy(&document));

        let params: Vec<Value> = (0..random.below(4)).map(|_| random.value(2)).collect();
        let document = encode_call("a.b<&", &params, &EncodeLimits::default()).unwrap();
        let call = decode_call(&document, &DecodeLimits::default()).unwrap();
        assert_eq!(call, Call { method: "a.b<&".into(), params });
    }
}

#[test]
fn the_sign_of_zero_survives() {
    let document = encode_response(&Value::Double(-0.0), &EncodeLimits::default()).unwrap();
    let Ok(Ok(Value::Double(zero))) = decode_response(&document, &DecodeLimits::default()) else { panic!() };
    assert!(zero.is_sign_negative());
}

#[test]
fn scalars_are_written_as_strict_clients_read_them() {
    for (value, expected) in [
        (Value::Nil, "<value><nil/></value>"),
        (Value::Bool(true), "<value><boolean>1</boolean></value>"),
        (Value::Int(-5), "<value><int>-5</int></value>"),
        (Value::Long(5), "<value><i8>5</i8></value>"),
        (Value::Double(1.0), "<value><double>1.0</double></value>"),
        (Value::Double(1e21), "<value><double>1000000000000000000000.0</double></value>"),
        (Value::Double(1e-7), "<value><double>0.0000001</double></value>"),
        (Value::from("a\r\n]]>\u{FF0C}"), "<value><string>a&#13;\n]]&gt;\u{FF0C}</string></value>"),
        (Value::Binary(vec![0; 60]), &format!("<value><base64>{}</base64></value>", "A".repeat(80))),
        (Value::Array(vec![]), "<value><array><data></data></array></value>"),
        (
            Value::Struct(vec![("b".into(), Value::Int(1)), ("a".into(), Value::Array(vec![Value::Nil]))]),
            "<value><struct><member><name>b</name><value><int>1</int></value></member><member><name>a</name>\
             <value><array><data><value><nil/></value></data></array></value></member></struct></value>",
        ),
    ] {
        let document = encode_response(&value, &EncodeLimits::default()).unwrap();
        let expected = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<methodResponse><params><param>{expected}</param></params></methodResponse>\n"
        );
        assert_eq!(String::from_utf8(document).unwrap(), expected);
    }
}

#[test]
fn what_xml_cannot_carry_is_a_fault() {
    for (value, message) in [
        (Value::from("a\u{1}"), "the result holds U+0001, which XML cannot carry; send it as base64"),
        (Value::from("\0"), "the result holds U+0000, which XML cannot carry; send it as base64"),
        (Value::from("\u{FFFF}"), "the result holds U+FFFF, which XML cannot carry; send it as base64"),
        (Value::Struct(vec![("\u{1B}".into(), Value::Nil)]), "the result holds U+001B"),
        (Value::Double(f64::NAN), "the result holds NaN, which XML-RPC cannot carry; send it as a string"),
        (Value::Array(vec![Value::Double(f64::NEG_INFINITY)]), "the result holds -inf"),
    ] {
        let fault = encode_response(&value, &EncodeLimits::default()).unwrap_err();
        assert_eq!(fault.code, code::APPLICATION);
        assert!(fault.message.starts_with(message), "{fault}");
    }
}

#[test]
fn a_result_past_the_limit_is_a_fault() {
    let value = Value::Array(vec![Value::from("<".repeat(100)), Value::Binary(vec![1; 300]), Value::Int(1)]);
    let whole = encode_response(&value, &EncodeLimits::default()).unwrap();
    for bytes_max in 0..whole.len() {
        let fault = encode_response(&value, &EncodeLimits { bytes_max }).unwrap_err();
        assert_eq!(fault.code, code::RESPONSE_TOO_LARGE);
    }
    assert_eq!(encode_response(&value, &EncodeLimits { bytes_max: whole.len() }), Ok(whole));
}

#[test]
fn a_fault_can_always_be_sent() {
    for (message, expected) in [
        ("plain", "plain".to_owned()),
        ("<&>\r\n\u{1}\u{FFFE}", "<&>\r\n\u{FFFD}\u{FFFD}".to_owned()),
        (&"é".repeat(100_000), "é".repeat(65_536)),
    ] {
        let document = encode_fault(&Fault::new(-32500, message));
        let back = decode_response(&document, &DecodeLimits::default());
        assert_eq!(back, Ok(Err(Fault::new(-32500, expected))));
    }
}

#[test]
fn deep_values_are_written_without_recursion() {
    let deep = (0..5_000).fold(Value::Nil, |value, _| Value::Array(vec![value]));
    assert!(encode_response(&deep, &EncodeLimits::default()).is_ok());
}

#[test]
fn mutated_documents_never_panic() {
    const PIECES: [&[u8]; 20] = [
        b"<",
        b">",
        b"/",
        b"&",
        b";",
        b"]]>",
        b"<![CDATA[",
        b"<!--",
        b"-->",
        b"<?",
        b"?>",
        b"<!DOCTYPE a [",
        b"\0",
        b"\xFF",
        b"\xEF\xBB\xBF",
        b"\xFE\xFF",
        b"<value>",
        b"</value>",
        b"xmlns:ex='",
        b"<ex:nil/>",
    ];
    let mut random = Random(7);
    for _ in 0..3_000 {
        let params: Vec<Value> = (0..random.below(4)).map(|_| random.value(2)).collect();
        let mut document = encode_call("m", &params, &EncodeLimits::default()).unwrap();
        for _ in 0..=random.below(4) {
            let at = random.below(document.len());
            match random.below(4) {
                0 => document.truncate(at.max(1)),
                1 => document[at] = random.next() as u8,
                2 => drop(document.splice(at..at, random.pick(&PIECES).iter().copied())),
                _ => {
                    let end = (at + random.below(40)).min(document.len());
                    let part = document[at..end].to_vec();
                    let to = random.below(document.len());
                    drop(document.splice(to..to, part));
                }
            }
        }
        if let Err(fault) = decode_call(&document, &DecodeLimits::default()) {
            assert!((-32702..=-32600).contains(&fault.code), "{fault}");
            assert!(fault.message.len() < 400, "{fault}");
        }
        let _ = decode_response(&document, &DecodeLimits::default());
    }
}
