//! What is taken and what is left, and that all documents of `tests/corpus` come out as xml-rs has
//! them.

use crate::xmlrpc::fuzz::differential::agree;
use crate::xmlrpc::{DecodeLimits, Document, call_both_ways};
use std::fs;
use std::path::Path;

fn is_taken(document: impl AsRef<[u8]>, limits: &DecodeLimits) -> bool {
    agree(Document::from(&document), limits)
}

/// A call with this as its only parameter.
fn param(value: &str) -> String {
    format!(
        "<methodCall><methodName>m</methodName><params><param>{value}</param></params></methodCall>"
    )
}

#[test]
fn what_clients_write_is_taken() {
    let limits = DecodeLimits::default();
    for value in [
        "<value/>",
        "<value></value>",
        "<value> \n </value>",
        "<value>text &amp; more\r\n</value>",
        "<value>\r\n\t<int>5</int>\r\n</value>",
        "<value><i4> +007 </i4></value>",
        "<value><int>4294967296</int></value>",
        "<value><i8>-9223372036854775808</i8></value>",
        "<value><boolean>1</boolean></value>",
        "<value><double>-1.5E-7</double></value>",
        "<value><double>NaN</double></value>",
        "<value><string/></value>",
        "<value><string>&#60;caf&#xE9;&gt; ]] > \u{FFFD}</string></value>",
        "<value><string><![CDATA[<b> & ]] \r\n]]></string></value>",
        "<value><dateTime.iso8601>19980717T14:08:55</dateTime.iso8601></value>",
        "<value><base64>\nAAEC\n/w==\n</base64></value>",
        "<value><base64>AAEC&#10;</base64></value>",
        "<value><base64>\r\nAAEC\r\n/w==\r\n</base64></value>",
        "<value><base64>AA\rEC&#13;\r\n/w==</base64></value>",
        "<value><nil/></value>",
        "<value><ex:nil/></value>",
        "<value><ex:i8>5</ex:i8></value>",
        "<value><array><data/></array></value>",
        "<value><array>\n<data>\n<value/>\n<value><array/></value>\n</data>\n</array>\n</value>",
        "<value><struct/></value>",
        "<value><struct><member><name/><value/></member>\n<member>\n<name>a&lt;</name>\n\
         <value><nil/></value>\n</member></struct></value>",
        // The last of a name wins.
        "<value><struct><member><name>a</name><value>1</value></member>\
         <member><name>a</name><value>2</value></member></struct></value>",
    ] {
        assert!(is_taken(param(value), &limits), "{value}");
    }
}

#[test]
fn what_is_unusual_is_left_to_xml_rs() {
    for value in [
        "<value >a</value>",
        "<value>a</value >",
        "<value a='1'>a</value>",
        "<value>a<!-- b --></value>",
        "<value><!-- b --><int>1</int></value>",
        "<value><?p?>a</value>",
        "<value><![CDATA[a]]></value>",
        "<value><string>a<![CDATA[b]]></string></value>",
        "<value>&#10;<int>1</int></value>",
        "<value><nil> </nil></value>",
        "<value><i1>1</i1></value>",
        "<value><ex:float>1</ex:float></value>",
        "<value><struct><member><value/><name>a</name></member></struct></value>",
        "<value><array></array></value>",
    ] {
        let (taken, read) = call_both_ways(Document::from(&param(value)), &DecodeLimits::default());
        assert!(taken.is_none() && read.is_ok(), "{value}: {read:?}");
    }
    for document in [
        "<!DOCTYPE methodCall><methodCall><methodName>m</methodName></methodCall>",
        "<?xml version='1.1'?><methodCall><methodName>m</methodName></methodCall>",
        "<?XML VERSION='1.0'?><methodCall><methodName>m</methodName></methodCall>",
        "<methodCall><params/><methodName>m</methodName></methodCall>",
        "<methodCall><methodName>m</methodName></methodCall><!-- -->",
    ] {
        let (taken, read) = call_both_ways(Document::from(document), &DecodeLimits::default());
        assert!(taken.is_none() && read.is_ok(), "{document}: {read:?}");
    }
}

#[test]
fn what_is_wrong_is_left_to_xml_rs() {
    for value in [
        "<value>a]]>b</value>",
        "<value><base64>AAEC]]></base64></value>",
        "<value><base64>AAEC\r\n]]></base64></value>",
        "<value><base64>AAEC\u{1}</base64></value>",
        "<value>\u{1}</value>",
        "<value>\u{FFFE}</value>",
        "<value>&#0;</value>",
        "<value>&#xFFFF;</value>",
        "<value>&#+65;</value>",
        "<value>&nbsp;</value>",
        "<value>&amp</value>",
        "<value><int></int></value>",
        "<value><int>-</int></value>",
        "<value><int>9223372036854775808</int></value>",
        "<value><int>1</i4></value>",
        "<value><double>1e999</double></value>",
        "<value><string><![CDATA[a]]</string></value>",
        "<value>a<int>1</int></value>",
        "<value><int>1</int>a</value>",
        "<value><struct><member><name>a</name></member></struct></value>",
        "<value><array><data><int>1</int></data></array></value>",
    ] {
        assert!(!is_taken(param(value), &DecodeLimits::default()), "{value}");
    }
    let whole = param("<value>\u{E9}</value>");
    for end in 0..whole.len() {
        assert!(!is_taken(&whole.as_bytes()[..end], &DecodeLimits::default()), "{end}");
    }
}

#[test]
fn a_limit_that_is_passed_is_left_to_xml_rs() {
    let open = "<value><array><data>".repeat(2_000);
    let close = "</data></array></value>".repeat(2_000);
    let deep = param(&format!("{open}{close}"));
    let name =
        "<value><struct><member><name>name</name><value>text</value></member></struct></value>";
    let large = DecodeLimits::default();
    for (document, limits) in [
        (deep, DecodeLimits { depth_max: 2_000, ..large }),
        (param("<value/>"), DecodeLimits { values_max: 1, ..large }),
        (param("<value>text</value>"), DecodeLimits { text_bytes_max: 4, ..large }),
        (param("<value>    <nil/></value>"), DecodeLimits { text_bytes_max: 4, ..large }),
        (
            param("<value><string><![CDATA[text]]></string></value>"),
            DecodeLimits { text_bytes_max: 4, ..large },
        ),
        (param(name), DecodeLimits { name_bytes_max: 4, ..large }),
        (param(name), DecodeLimits { depth_max: 1, values_max: 2, method_bytes_max: 1, ..large }),
    ] {
        assert!(is_taken(&document, &limits), "{limits:?}");
        for less in [
            DecodeLimits { depth_max: limits.depth_max - 1, ..limits },
            DecodeLimits { values_max: limits.values_max - 1, ..limits },
            DecodeLimits { text_bytes_max: limits.text_bytes_max - 1, ..limits },
            DecodeLimits { name_bytes_max: limits.name_bytes_max - 1, ..limits },
            DecodeLimits { method_bytes_max: limits.method_bytes_max - 1, ..limits },
        ] {
            agree(Document::from(&document), &less);
        }
    }
    let past_the_ceiling = DecodeLimits { depth_max: usize::MAX, ..large };
    let open = "<value><array><data>".repeat(2_001);
    let close = "</data></array></value>".repeat(2_001);
    assert!(!is_taken(param(&format!("{open}{close}")), &past_the_ceiling));
}

#[test]
fn all_of_the_corpus_is_read_as_xml_rs_reads_it() {
    let documents = corpus();
    assert!(documents.len() > 300, "{} documents", documents.len());
    let tight = DecodeLimits {
        depth_max: 1,
        values_max: 3,
        text_bytes_max: 20,
        name_bytes_max: 4,
        ..DecodeLimits::default()
    };
    for Case { content_type, bytes, .. } in &documents {
        let document = Document::from(bytes).with_content_type(content_type);
        agree(document, &DecodeLimits::default());
        agree(document, &tight);
    }
}

/// Of what clients send, only this is not taken.
#[test]
fn what_clients_of_the_corpus_send_is_taken() {
    const LEFT: [&str; 2] = ["Frontier, with a prolog in capitals", "params before the name"];
    let from_clients = |case: &Case| case.file == "calls/clients.txt";
    let left: Vec<_> = corpus()
        .into_iter()
        .filter(|case| from_clients(case) && !is_taken(&case.bytes, &DecodeLimits::default()))
        .map(|case| case.name)
        .collect();
    assert_eq!(left, LEFT);
}

/// A document of `tests/corpus`, whose README says how one is written.
struct Case {
    file: &'static str,
    name: String,
    content_type: String,
    bytes: Vec<u8>,
}

fn corpus() -> Vec<Case> {
    const FILES: [&str; 14] = [
        "calls/clients.txt",
        "calls/encodings.txt",
        "calls/grammar.txt",
        "calls/xml.txt",
        "responses/responses.txt",
        "values/arrays.txt",
        "values/base64.txt",
        "values/booleans.txt",
        "values/dates.txt",
        "values/doubles.txt",
        "values/extensions.txt",
        "values/integers.txt",
        "values/strings.txt",
        "values/structs.txt",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let read = |file: &'static str| {
        let text = fs::read_to_string(root.join(file)).unwrap();
        text.split("\n== ").skip(1).map(|case| Case::read(file, case)).collect::<Vec<_>>()
    };
    FILES.into_iter().flat_map(read).collect()
}

impl Case {
    fn read(file: &'static str, text: &str) -> Self {
        let (name, mut rest) = text.split_once('\n').unwrap();
        let (mut content_type, mut is_escaped) = (String::new(), false);
        while let Some((option, after)) =
            rest.strip_prefix('%').and_then(|rest| rest.split_once('\n'))
        {
            is_escaped |= option.trim() == "escapes";
            content_type.push_str(option.strip_prefix("content-type ").unwrap_or_default());
            rest = after;
        }
        let document = &rest[..rest.rfind("\n=").unwrap()];
        let document =
            if file.starts_with("values/") { param(document) } else { document.to_owned() };
        let bytes = if is_escaped { unescaped(&document) } else { document.into_bytes() };
        Self { file, name: name.trim().to_owned(), content_type, bytes }
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, taken) = match (first, after) {
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'\\', ..]) => (b'\\', 2),
            (b'\\', [b'x', ..]) => {
                (u8::from_str_radix(std::str::from_utf8(&after[1..3]).unwrap(), 16).unwrap(), 4)
            }
            _ => (first, 1),
        };
        bytes.push(byte);
        rest = &rest[taken..];
    }
    bytes
}
