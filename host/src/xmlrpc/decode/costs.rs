//! Tests that decoding is bounded, and stops at the deadline and when memory runs out.

use super::*;
use crate::xmlrpc::{Counted, Fault, Store, code};

const EX: &str = "xmlns:ex='http://ws.apache.org/xmlrpc/namespaces/extensions'";

fn document(value: &str) -> String {
    format!(
        "<methodCall><methodName>m</methodName><params><param>{value}</param></params></methodCall>"
    )
}

fn array(items: &str) -> String {
    format!("<value><array><data>{items}</data></array></value>")
}

/// The same document, left to xml-rs by the fast decoder.
fn for_xml_rs(document: &str) -> String {
    format!("<!-- -->{document}")
}

fn read(document: &str) -> Result<usize, Fault> {
    decode_call(document, &DecodeLimits::default()).map(|call| call.params.len())
}

/// Without a limit on declarations in force, this document of 100 kB takes seconds.
#[test]
fn namespaces_redeclared_at_every_level_are_refused() {
    let declarations: String = ('a'..='m').map(|prefix| format!(" xmlns:{prefix}='u'")).collect();
    let tag = |name: &str| format!("<{name}{declarations}>");
    let open = [tag("value"), tag("array"), tag("data")].concat().repeat(120);
    let close = "</data></array></value>".repeat(120);
    let document = document(&format!("{open}{}{close}", "<value/>".repeat(4_000)));
    let counted = Counted::new(usize::MAX);
    let read = Store::with(|store| {
        let read = decode_call_in(&document, &DecodeLimits::default(), store, &counted);
        read.map(|call| call.params.items().len())
    });
    let fault = read.unwrap_err();
    assert!(fault.message.contains("column 217: more than 16 namespace declarations"), "{fault}");
    assert_eq!(counted.checks(), 0, "reading stops at the second element");
}

/// Clients declare them on the root, on each value, or on each element of the namespace.
#[test]
fn namespaces_that_clients_declare_are_accepted() {
    let nil = format!("<value {EX}><ex:nil {EX}/></value>");
    let nested = (0..6).fold(nil.clone(), |inside, _| {
        format!("<value {EX}><array {EX}><data>{inside}</data></array></value>")
    });
    let soap = "<methodCall xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' \
                xmlns:xsd='http://www.w3.org/2001/XMLSchema' \
                xmlns:SOAP-ENV='http://schemas.xmlsoap.org/soap/envelope/' \
                xmlns:SOAP-ENC='http://schemas.xmlsoap.org/soap/encoding/' xmlns:ns1='urn:ns1' \
                xmlns='urn:default'>";
    for document in [
        document(&array(&nil.repeat(1_000))),
        document(&nested),
        document(&nil).replace("<methodCall>", soap),
        document(&nil).replace("<methodCall>", &format!("<methodCall {EX}>")),
        // Text, comments and attribute values are no declarations.
        document(&array(&format!(
            "<value a='{0}' xmlns:b=\"{0}\"/>",
            "http://xmlns.a/".repeat(20)
        ))),
        document(&array(&format!(
            " <!-- {0} --> <value/><![CDATA[]]><!-- {0} --><?p {0} ?>",
            "xmlns ".repeat(20)
        ))),
        document(&array("<value>xmlns xmlns</value>".repeat(100).as_str())),
        document(&array("<value><!-- xmlns xmlns -->a</value><!-- xmlns -->".repeat(100).as_str())),
        format!("<!-- {} --> {}", "xmlns ".repeat(100), document("<value/>")),
        format!("<?xml version='1.0'?><!-- {} -->{}", "xmlns ".repeat(100), document("<value/>")),
    ] {
        let document = if document.starts_with("<m") { for_xml_rs(&document) } else { document };
        assert_eq!(read(&document), Ok(1), "{document}");
    }
}

/// Elements, texts, and markup that is skipped: each is checked at the same distance.
#[test]
fn decoding_stops_at_the_deadline() {
    const CHECKS: usize = 3;
    let many = 20_000;
    for (document, bytes_each) in [
        (document(&array(&"<value/>".repeat(many))), 1_024 * "<value/>".len()),
        (for_xml_rs(&document(&array(&"<value/>".repeat(many)))), 8 << 10),
        (for_xml_rs(&document(&format!("<value>{}</value>", "x".repeat(8 * many)))), 8 << 10),
        (for_xml_rs(&document(&format!("<value>{}</value>", "&lt;".repeat(2 * many)))), 8 << 10),
        (format!("<!--{}-->{}", "x".repeat(8 * many), document("<value/>")), 8 << 10),
        (format!("<?p {}?>{}", "x".repeat(8 * many), document("<value/>")), 8 << 10),
        (
            format!("<!DOCTYPE m [<!--{}-->]>{}", "x".repeat(8 * many), document("<value/>")),
            8 << 10,
        ),
        (document(&array(&format!("<value a='{}'/>", " ".repeat(4_000)).repeat(200))), 8 << 10),
    ] {
        let counted = Counted::new(usize::MAX).late_after(CHECKS);
        let stopped = Store::with(|store| {
            decode_call_in(&document, &DecodeLimits::default(), store, &counted)
                .map(|call| call.method.len())
        });
        let shown = &document[..100];
        assert_eq!(stopped.map_err(|fault| fault.code), Err(code::DEADLINE), "{shown}");
        assert_eq!(counted.checks(), CHECKS + 1, "no work follows: {shown}");
        let counted = Counted::new(usize::MAX);
        let _ = Store::with(|store| {
            decode_call_in(&document, &DecodeLimits::default(), store, &counted)
                .map(|call| call.method.len())
        });
        let checks_min = document.len() / bytes_each;
        assert!(
            (checks_min.saturating_sub(2)..=checks_min + 2).contains(&counted.checks()),
            "{shown}"
        );
    }
}

#[test]
fn small_documents_read_no_clock() {
    let counted = Counted::new(0).late_after(0);
    for document in [
        document("<value>text</value>"),
        document(&array(&"<value><int>5</int></value>".repeat(100))),
        for_xml_rs(&document("<value/>")),
    ] {
        let _ = Store::with(|store| {
            decode_call_in(&document, &DecodeLimits::default(), store, &counted)
                .map(|call| call.method.len())
        });
        assert_eq!(counted.checks(), 0);
    }
}

#[test]
fn conversion_stops_at_the_deadline() {
    let text = "\u{20ac}".repeat(200_000);
    let utf_16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let encodings = [
        ("utf-16le", utf_16),
        ("windows-1252", vec![0x80; 200_000]),
        ("iso-8859-1", vec![0x80; 200_000]),
        ("shift_jis", b"\x93\xFA".repeat(200_000)),
        ("iso-2022-jp", b"\x1B$BF|\x1B(B ".repeat(200_000)),
    ];
    for (encoding, bytes) in encodings {
        let content_type = format!("text/xml; charset={encoding}");
        let document = Document::from(&bytes).with_content_type(&content_type);
        let checks_each_pass = (bytes.len() - 1) / (64 << 10);
        // In the pass that measures the text, and in the one that collects it.
        for checks_max in [1, checks_each_pass + 1] {
            let late = Counted::new(usize::MAX).late_after(checks_max);
            let stopped = Store::with(|store| {
                decode_call_in(document, &DecodeLimits::default(), store, &late)
                    .map(|call| call.method.len())
            });
            assert_eq!(stopped.map_err(|fault| fault.code), Err(code::DEADLINE), "{encoding}");
            assert_eq!(late.checks(), checks_max + 1);
            assert_eq!(late.taken() > 0, checks_max > checks_each_pass, "{encoding}");
        }
    }
}

/// With any amount of memory, decoding reserves no more, and fails with -32001.
#[test]
fn decoding_stops_when_memory_runs_out() {
    let texts = format!("<value>{}</value>", "text &amp; ".repeat(4_000));
    let base64 = format!("<value><base64>{}</base64></value>", "AAAA\n".repeat(6_000));
    let members = |name: fn(usize) -> usize| {
        let member = |n| format!("<member><name>{}</name><value>a</value></member>", name(n));
        format!("<value><struct>{}</struct></value>", (0..1_000).map(member).collect::<String>())
    };
    for (inside, copies) in [
        (array(&"<value><int>5</int></value>".repeat(4_000)), false),
        (array(&"<value>a</value>".repeat(4_000)), false),
        (array(&array("<value/>").repeat(2_000)), false),
        (array(&texts.repeat(3)), true),
        (array(&base64.repeat(3)), true),
        (members(|n| n), false),
        (members(|n| n % 100), false),
    ] {
        let document = document(&inside);
        let latin1 =
            document.replace("<methodCall>", "<?xml version='1.0' encoding='latin1'?><methodCall>");
        let latin1: Vec<u8> = latin1.replace("text", "\u{e9}").chars().map(|c| c as u8).collect();
        for bytes in [document.clone().into_bytes(), for_xml_rs(&document).into_bytes(), latin1] {
            let decode = |counted: &Counted| {
                Store::with(|store| {
                    let call = decode_call_in(&bytes, &DecodeLimits::default(), store, counted);
                    call.map(|call| call.params.items().len())
                })
            };
            // The thread keeps some memory between documents, which does not count.
            assert_eq!(decode(&Counted::new(usize::MAX)), Ok(1));
            let all = Counted::new(usize::MAX);
            assert_eq!(decode(&all), Ok(1));
            let shown = String::from_utf8_lossy(&bytes[..120]);
            assert!(!copies || all.peak() > bytes.len() / 2, "{}: {shown}", all.peak());
            for part in [0, 10, 50, 90, 99] {
                let less = Counted::new(all.peak() * part / 100);
                if let Err(fault) = decode(&less) {
                    assert_eq!(fault.code, code::OVERLOADED, "{fault}: {shown}");
                }
                assert!(less.peak() <= all.peak() * part / 100);
            }
            let none = Counted::new(all.peak().saturating_sub(1));
            assert_eq!(decode(&none).map_err(|fault| fault.code), Err(code::OVERLOADED), "{shown}");
        }
    }
}
