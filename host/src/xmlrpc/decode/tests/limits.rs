//! What each limit refuses, and how little a hostile document costs.

use super::*;

#[test]
fn every_limit_holds() {
    let limits = DecodeLimits {
        bytes_max: 11_000,
        depth_max: 3,
        values_max: 5,
        text_bytes_max: 100,
        method_bytes_max: 4,
        name_bytes_max: 3,
        ..DecodeLimits::default()
    };
    let read = |inside: &str| {
        decode_call(format!("<methodCall>{inside}</methodCall>").as_bytes(), &limits)
    };
    let nested = |depth: usize| {
        let open = "<value><array><data>".repeat(depth);
        let close = "</data></array></value>".repeat(depth);
        format!("<methodName>m</methodName><params><param>{open}{close}</param></params>")
    };
    let params = |n: usize| {
        format!(
            "<methodName>m</methodName><params>{}</params>",
            "<param><value/></param>".repeat(n)
        )
    };
    let text = |n: usize| {
        format!(
            "<methodName>m</methodName><params><param><value>{}</value></param></params>",
            "x".repeat(n)
        )
    };
    assert!(read(&nested(3)).is_ok());
    assert!(read(&nested(4)).unwrap_err().message.contains("nested deeper than 3"));
    assert!(read(&params(5)).is_ok());
    assert!(read(&params(6)).unwrap_err().message.contains("more than 5 values"));
    assert!(read(&text(100)).is_ok());
    assert!(read(&text(101)).unwrap_err().message.contains("a text is longer than 100 bytes"));
    assert!(
        read(&text(12_000))
            .unwrap_err()
            .message
            .contains("the document is larger than 11000 bytes")
    );
    let named = |name: &str| {
        let member = format!("<member><name>{name}</name><value/></member>");
        read(&format!(
            "<methodName>m</methodName><params>\
             <param><value><struct>{member}</struct></value></param></params>"
        ))
    };
    assert!(named("abc").is_ok());
    assert!(named("abcd").unwrap_err().message.contains("<name> is longer than 3 bytes"));
    assert!(read("<methodName>abcd</methodName>").is_ok());
    assert!(
        read("<methodName>abcde</methodName>").unwrap_err().message.contains("longer than 4 bytes")
    );
}

#[test]
fn each_limit_of_xml_has_its_own_message() {
    let limits = DecodeLimits {
        element_name_bytes_max: 20,
        attribute_bytes_max: 30,
        attributes_max: 2,
        text_bytes_max: 40,
        ..DecodeLimits::default()
    };
    let (element, attribute) =
        ("the name of an element is longer than 20", "the name of an attribute is longer than 20");
    let (value, count) =
        ("the value of an attribute is longer than 30", "an element has more than 2 attributes");
    let (text, doctype) = ("a text is longer than 40", "a DOCTYPE is longer than 40");
    let instruction = "a processing instruction is longer than 40";
    let x = |count| "x".repeat(count);
    let within = format!("<methodCall xmlns='{}' {}='{}' b='>'>", x(20), x(20), x(30));
    assert!(
        decode_call(format!("{within}<methodName>m</methodName></methodCall>").as_bytes(), &limits)
            .is_ok()
    );
    for (document, limit) in [
        (format!("<{}/>", x(21)), element),
        (format!("<{}>", x(200)), element),
        (format!("<a:{} xmlns:a='u'>", x(19)), element),
        (format!("<{}-><b/>", x(25)), element),
        (format!("<methodCall></{}>", x(30)), element),
        (format!("<methodCall {}='1'/>", x(21)), attribute),
        (format!("<methodCall b='>' {}='1'/>", x(200)), attribute),
        (format!("<methodCall b='{}'/>", x(31)), value),
        (format!("<methodCall b='{}'/>", x(200)), value),
        (format!("<methodCall b='<![CDATA[{}'/>", x(200)), value),
        (format!("<methodCall b='>>{}'/>", x(200)), value),
        (format!("<methodCall b='{}/'/>", x(40)), value),
        (format!("<methodCall b='{}'/>", "&lt;".repeat(60)), value),
        ("<methodCall a='' b='' c=''/>".into(), count),
        ("<methodCall a='' xmlns='u' b='' xmlns:d='u' c=''>text".into(), count),
        (format!("<methodCall a='' b=''>{}</methodCall>", x(41)), text),
        (format!("<methodCall a='>' b='\"'>{}", x(200)), text),
        (format!("<methodCall><![CDATA[<{}]]></methodCall>", x(200)), text),
        (format!("<methodCall><![CDATA[<a b='{}]]></methodCall>", x(200)), text),
        (format!("<methodCall>{}<!-- <{} -->{}", x(30), x(30), x(30)), text),
        (format!("<!DOCTYPE methodCall [<!-- ' -->]><methodCall>{}", x(200)), text),
        (format!("<!DOCTYPE methodCall><{}/>", x(200)), element),
        (format!("<!DOCTYPE {}><a/>", x(200)), doctype),
        (format!("<!DOCTYPE a SYSTEM '{}'><a/>", x(200)), doctype),
        (format!("<methodCall><?a {}?>", x(200)), instruction),
        (format!("<methodCall><?{} b?>", x(200)), instruction),
    ] {
        let fault = decode_call(document.as_bytes(), &limits).unwrap_err();
        assert!(fault.message.contains(limit), "{document}\n{fault}");
        assert_eq!(fault.code, code::INVALID_REQUEST, "{document}\n{fault}");
    }
}

#[test]
fn no_limit_lets_a_document_exhaust_the_stack() {
    let limits = DecodeLimits { depth_max: usize::MAX, ..DecodeLimits::default() };
    let nested = "<value><array><data>".repeat(100_000);
    let document = format!("<methodCall><methodName>m</methodName><params><param>{nested}");
    let fault = decode_call(document.as_bytes(), &limits).unwrap_err();
    assert!(fault.message.ends_with("values are nested deeper than 2000"), "{fault}");
}

/// xml-rs copies all namespaces for each element: without a limit this document would take hours.
#[test]
fn many_namespaces_are_refused_at_once() {
    let declarations: String = (0..10_000).map(|n| format!(" xmlns:n{n}='u'")).collect();
    let document = format!("<methodCall{declarations}>{}</methodCall>", "<a/>".repeat(100_000));
    assert!(read(&document).unwrap_err().message.contains("namespace declarations"));
}

#[test]
fn messages_stay_small() {
    let huge = "y".repeat(1_000_000);
    for document in [
        format!("<methodCall><methodName>m</methodName>{huge}</methodCall>"),
        format!(
            "<methodCall><methodName>m</methodName>\
             <params><param><value><int>{huge}</int></value></param></params></methodCall>"
        ),
        format!("<methodCall>&{huge};</methodCall>"),
        format!("<?xml version='1.0' encoding='{}'?><a/>", "z".repeat(4_000)),
        format!("<{}/>", "w".repeat(200)),
    ] {
        let fault = read(&document).unwrap_err();
        assert!(fault.message.len() < 300, "{fault}");
    }
}
