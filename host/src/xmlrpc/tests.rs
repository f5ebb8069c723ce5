//! What is written for each value, byte for byte, and what is refused.

use super::*;

fn written(value: &Value, style: EncodeStyle) -> Result<String, Fault> {
    let options = EncodeOptions { style, ..EncodeOptions::default() };
    encode_response(value, &options).map(|document| String::from_utf8(document).unwrap())
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
        (
            Value::Binary(vec![0; 60]),
            &format!("<value><base64>{}</base64></value>", "A".repeat(80)),
        ),
        (Value::Array(vec![]), "<value><array><data></data></array></value>"),
        (
            Value::Struct(vec![
                ("b".into(), Value::Int(1)),
                ("a".into(), Value::Array(vec![Value::Nil])),
            ]),
            "<value><struct><member><name>b</name><value><int>1</int></value></member>\
             <member><name>a</name><value><array><data><value><nil/></value></data></array></value>\
             </member></struct></value>",
        ),
    ] {
        let document = encode_response(&value, &EncodeOptions::default()).unwrap();
        let expected = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <methodResponse><params><param>{expected}</param></params></methodResponse>\n"
        );
        assert_eq!(String::from_utf8(document).unwrap(), expected);
    }
}

#[test]
fn what_xml_cannot_carry_is_a_fault() {
    for (value, message) in [
        (
            Value::from("a\u{1}"),
            "the result holds U+0001, which XML cannot carry; send it as base64",
        ),
        (Value::from("\0"), "the result holds U+0000, which XML cannot carry; send it as base64"),
        (
            Value::from("\u{FFFF}"),
            "the result holds U+FFFF, which XML cannot carry; send it as base64",
        ),
        (Value::Struct(vec![("\u{1B}".into(), Value::Nil)]), "the result holds U+001B"),
        (
            Value::Double(f64::NAN),
            "the result holds NaN, which XML-RPC cannot carry; send it as a string",
        ),
        (Value::Array(vec![Value::Double(f64::NEG_INFINITY)]), "the result holds -inf"),
    ] {
        let fault = encode_response(&value, &EncodeOptions::default()).unwrap_err();
        assert_eq!(fault.code, code::APPLICATION);
        assert!(fault.message.starts_with(message), "{fault}");
    }
}

#[test]
fn a_result_past_the_limit_is_a_fault() {
    let value = Value::Array(vec![
        Value::from("<".repeat(100)),
        Value::Binary(vec![1; 300]),
        Value::Int(1),
    ]);
    let whole = encode_response(&value, &EncodeOptions::default()).unwrap();
    for bytes_max in 0..whole.len() {
        let fault =
            encode_response(&value, &EncodeOptions { bytes_max, ..EncodeOptions::default() })
                .unwrap_err();
        assert_eq!(fault.code, code::RESPONSE_TOO_LARGE);
    }
    assert_eq!(
        encode_response(
            &value,
            &EncodeOptions { bytes_max: whole.len(), ..EncodeOptions::default() }
        ),
        Ok(whole)
    );
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
    assert!(encode_response(&deep, &EncodeOptions::default()).is_ok());
}

#[test]
fn extensions_are_written_as_the_style_has_them() {
    const DECLARED: &str =
        "<methodResponse xmlns:ex=\"http://ws.apache.org/xmlrpc/namespaces/extensions\">";
    let value = Value::Array(vec![Value::Nil, Value::Long(5), Value::Int(6)]);
    let plain = EncodeStyle::default();
    for (style, root, inside) in [
        (plain, "<methodResponse>", "<nil/></value><value><i8>5</i8>"),
        (
            EncodeStyle { nil: NilStyle::Ex, ..plain },
            DECLARED,
            "<ex:nil/></value><value><i8>5</i8>",
        ),
        (
            EncodeStyle { i8: I8Style::Ex, ..plain },
            DECLARED,
            "<nil/></value><value><ex:i8>5</ex:i8>",
        ),
    ] {
        let document = written(&value, style).unwrap();
        assert!(document.contains(&format!("\n{root}<params>")), "{document}");
        assert!(
            document.contains(&format!("<value>{inside}</value><value><int>6</int></value>")),
            "{document}"
        );
        assert_eq!(decode_response(&document, &DecodeLimits::default()), Ok(Ok(value.clone())));
        let options = EncodeOptions { style, ..EncodeOptions::default() };
        let params = [value.clone()];
        let document = encode_call("m", &params, &options).unwrap();
        assert_eq!(decode_call(&document, &DecodeLimits::default()).unwrap().params, params);
    }
    let fault = written(&value, EncodeStyle { nil: NilStyle::Refuse, ..plain }).unwrap_err();
    assert_eq!(fault.code, code::APPLICATION);
    assert!(fault.message.contains("nil, which is set to be refused (xmlrpc.nil"), "{fault}");
}

#[test]
fn forbidden_characters_are_replaced_if_so_chosen() {
    let style = EncodeStyle { invalid_chars: InvalidChars::Replace, ..EncodeStyle::default() };
    let value = Value::Struct(vec![("\0".into(), Value::from("a\u{1}\t\u{FFFF}\u{FFFD}b"))]);
    let expected =
        Value::Struct(vec![("\u{FFFD}".into(), Value::from("a\u{FFFD}\t\u{FFFD}\u{FFFD}b"))]);
    let document = written(&value, style).unwrap();
    assert_eq!(decode_response(&document, &DecodeLimits::default()), Ok(Ok(expected)));
}

#[test]
fn dates_are_plain_or_exact() {
    let plain = EncodeStyle::default();
    let exact = EncodeStyle { dates: Dates::Exact, ..plain };
    for (date, exactly, plainly) in [
        ("19980717T14:08:55", "19980717T14:08:55", "19980717T14:08:55"),
        ("1998-07-17T14:08:55.250+02:00", "19980717T14:08:55.25+02:00", "19980717T12:08:55"),
        ("20161231T23:59:60", "20161231T23:59:60", "20170101T00:00:00"),
        ("20161231T24:00:00", "20161231T24:00:00", "20170101T00:00:00"),
    ] {
        let date = Value::DateTime(parse_date_time(date).unwrap());
        let element = |text| format!("<dateTime.iso8601>{text}</dateTime.iso8601>");
        assert!(written(&date, exact).unwrap().contains(&element(exactly)));
        assert!(written(&date, plain).unwrap().contains(&element(plainly)));
    }
    for date in [
        "00000101T00:00:00",
        "00000101T00:00:00+01:00",
        "00010101T00:00:00+01:00",
        "99991231T24:00:00",
    ] {
        let unwritten = Value::DateTime(parse_date_time(date).unwrap());
        let fault = written(&unwritten, plain).unwrap_err();
        assert_eq!(fault.code, code::APPLICATION);
        let message = format!("holds {date}, which is not in the years 0001 to 9999");
        assert!(fault.message.contains(&message), "{fault}");
        assert!(written(&unwritten, exact).is_ok());
    }
}

fn numbers(count: i32) -> Value {
    let item = |n: i32| Value::Struct(vec![("number".into(), n.into())]);
    Value::Array((0..count).map(item).collect())
}

fn counted(value: &Value, resources: &Counted) -> Result<Vec<u8>, Unwritten> {
    encode_result(value.into(), ReadLimits::NONE, &EncodeOptions::default(), resources)
}

#[test]
fn a_long_document_is_given_its_room_at_once() {
    let resources = Counted::new(usize::MAX);
    let document = counted(&numbers(50_000), &resources).unwrap();
    assert!(document.len() > 3 << 20);
    assert_eq!(resources.taken() + 512, document.len(), "the rest is given back");
    assert!(resources.peak() < document.len() + document.len() / 8, "{}", resources.peak());
}

#[test]
fn a_document_is_written_without_memory_for_its_estimate() {
    // The first of two is most of the document, so that as much again is expected.
    let value = Value::Array(vec![numbers(10_000), Value::Nil]);
    let needed = counted(&value, &Counted::new(usize::MAX)).unwrap();
    let scarce = Counted::new(needed.len() + needed.len() / 2);
    assert_eq!(counted(&value, &scarce), Ok(needed));
}

#[test]
fn a_document_keeps_little_memory_that_it_does_not_need() {
    let long = Value::from("x".repeat(70_000));
    let value = Value::Array([vec![long], vec![Value::Nil; 30]].concat());
    let resources = Counted::new(usize::MAX);
    let document = counted(&value, &resources).unwrap();
    assert!(resources.peak() > 20 * document.len(), "much more was expected");
    assert!(document.capacity() <= 2 * document.len());
}
