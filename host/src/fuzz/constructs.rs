//! Documents made of each XML construct that a client can send, at any length. `benches/linear.rs`
//! times how they are decoded, and `costs.rs` counts the allocations.

use std::fmt::Write;

/// A name, and the function that makes a document of so many pieces.
pub type Construct = (&'static str, fn(usize) -> Vec<u8>);

/// The same document, left to xml-rs by the fast decoder.
pub fn for_xml_rs(document: &[u8]) -> Vec<u8> {
    // Nothing may precede a prolog.
    let comment: &[u8] = if document.starts_with(b"<m") { b"<!-- -->" } else { b"" };
    [comment, document].concat()
}

/// All of them.
pub const CONSTRUCTS: &[Construct] = &[
    // Values.
    ("empty values", |n| values("<value/>", n)),
    ("texts without a type", |n| values("<value>a</value>", n)),
    ("ints", |n| values("<value><int>5</int></value>", n)),
    ("ints with zeros", |n| {
        values(&format!("<value><int>{}5</int></value>", "0".repeat(500)), n / 20)
    }),
    ("doubles", |n| values("<value><double>1.5e3</double></value>", n)),
    ("doubles of many digits", |n| {
        values(&format!("<value><double>1.{}</double></value>", "7".repeat(2_000)), n / 50)
    }),
    ("one double", |n| value(&format!("<double>0.{}</double>", "7".repeat(n)))),
    ("one int", |n| value(&format!("<int>{}</int>", "7".repeat(n)))),
    ("decimals", |n| {
        let ex = "xmlns:ex='http://ws.apache.org/xmlrpc/namespaces/extensions'";
        values(&format!("<value><ex:bigdecimal {ex}>0.1</ex:bigdecimal></value>"), n / 4)
    }),
    ("dates", |n| {
        values("<value><dateTime.iso8601>20260131T12:00:00</dateTime.iso8601></value>", n)
    }),
    ("one date", |n| {
        value(&format!("<dateTime.iso8601>20260131T12:00:00.{}</dateTime.iso8601>", "1".repeat(n)))
    }),
    ("booleans", |n| values("<value><boolean>1</boolean></value>", n)),
    ("base64", |n| values("<value><base64>AAAA</base64></value>", n)),
    ("one base64 in lines", |n| value(&format!("<base64>{}</base64>", "AAAAAAAA\n ".repeat(n)))),
    ("nils", |n| values("<value><nil/></value>", n)),
    ("a long method name", |n| calls(&"m".repeat(n), "")),
    // Containers.
    ("empty arrays", |n| values("<value><array><data/></array></value>", n)),
    ("arrays of one", |n| values("<value><array><data><value/></data></array></value>", n)),
    ("nests of arrays", |n| {
        let (open, close) =
            ("<value><array><data>".repeat(100), "</data></array></value>".repeat(100));
        values(&format!("{open}{close}"), n / 100)
    }),
    ("nests of structs", |n| {
        let open = "<value><struct><member><name>a</name>".repeat(100);
        let close = "</member></struct></value>".repeat(100);
        values(&format!("{open}<value/>{close}"), n / 100)
    }),
    ("a nest past the limit", |n| value(&"<array><data><value>".repeat(n))),
    ("structs", |n| {
        values("<value><struct><member><name>a</name><value>b</value></member></struct></value>", n)
    }),
    ("members", |n| members(n, |n| n.to_string())),
    ("members of one name", |n| members(n, |_| "a".to_owned())),
    ("members of few names", |n| members(n, |n| (n % 100).to_string())),
    ("members of long names", |n| members(n / 20, |n| format!("{}{n}", "a".repeat(1_000)))),
    ("members in the other order", |n| {
        value(&format!("<struct>{}</struct>", "<member><value/><name>a</name></member>".repeat(n)))
    }),
    ("params", |n| {
        calls("m", &format!("<params>{}</params>", "<param><value/></param>".repeat(n)))
    }),
    // Text.
    ("one text", |n| value(&"text ".repeat(n))),
    ("one text of references", |n| value(&"&amp;".repeat(n))),
    ("one text of numeric references", |n| value(&"&#65;&#x42;".repeat(n))),
    ("texts with references", |n| values("<value>a &lt; b</value>", n)),
    ("one text in lines", |n| value(&"line\r\n".repeat(n))),
    ("one text that is not ASCII", |n| value(&"é€😀".repeat(n))),
    ("one text in pieces", |n| value(&"a<?p?>".repeat(n))),
    ("one text round comments", |n| value(&"a<!-- -->".repeat(n))),
    ("one text of CDATA", |n| value(&"<![CDATA[a]]>".repeat(n))),
    ("one CDATA", |n| value(&format!("<![CDATA[{}]]>", "]] <".repeat(n)))),
    ("empty CDATA", |n| value(&"<![CDATA[]]>".repeat(n))),
    ("white space", |n| values(&format!("{}<value/>", " ".repeat(1_000)), n / 20)),
    ("white space in tags", |n| values(&format!("<value{}/>", " \n".repeat(500)), n / 20)),
    ("white space in end tags", |n| {
        values(&format!("<value></value{}>", "\t".repeat(1_000)), n / 20)
    }),
    ("text that is misplaced", |n| calls("m", &"x".repeat(n))),
    // Markup without content.
    ("comments", |n| values("<!-- a --><value/>", n)),
    ("one comment", |n| values(&format!("<!--{}-->", "- ".repeat(n)), 1)),
    ("comments before the root", |n| before("<!-- xmlns -->", n)),
    ("processing instructions", |n| values("<?p a?><value/>", n)),
    ("one processing instruction", |n| before(&format!("<?p {}?>", "? ".repeat(n)), 1)),
    ("white space before the root", |n| before("\n", n)),
    ("white space behind the root", |n| behind("\n", n)),
    ("comments behind the root", |n| behind("<!-- -->", n)),
    ("a prolog without end", |n| format!("<?xml version='1.0' {}", "a='b' ".repeat(n)).into()),
    // Attributes and namespaces.
    ("attributes", |n| values("<value a='b' c='d'/>", n)),
    ("many attributes", |n| {
        let attributes: String = (0..60).map(|n| format!(" a{n}='b'")).collect();
        values(&format!("<value{attributes}/>"), n / 20)
    }),
    ("too many attributes", |n| {
        let attributes: String = (0..n).map(|n| format!(" a{n}='b'")).collect();
        values(&format!("<value{attributes}/>"), 1)
    }),
    ("long attributes", |n| values(&format!("<value a='{}'/>", "x&lt;".repeat(500)), n / 50)),
    ("an attribute of references", |n| values(&format!("<value a='{}'/>", "&#65;".repeat(n)), 1)),
    ("attributes with a prefix", |n| {
        with_root(" xmlns:p='u'", &"<value p:a='b' p:c='d'/>".repeat(n))
    }),
    ("elements with a prefix", |n| {
        with_root(
            " xmlns:p='http://ws.apache.org/xmlrpc/namespaces/extensions'",
            &"<value><p:nil/></value>".repeat(n),
        )
    }),
    ("elements with a prefix that is not declared", |n| {
        values("<value><ex:i1>5</ex:i1></value>", n)
    }),
    ("elements in a default namespace", |n| with_root(" xmlns='urn:u'", &"<value/>".repeat(n))),
    ("as many namespaces as may be", |n| {
        let declarations: String = (0..16).map(|n| format!(" xmlns:p{n}='urn:{n}'")).collect();
        with_root(&declarations, &"<value/>".repeat(n))
    }),
    ("long namespaces", |n| {
        let declarations = format!(" xmlns='{0}' xmlns:p='{0}'", "u".repeat(4_000));
        with_root(&declarations, &"<value/>".repeat(n))
    }),
    ("namespaces on each value", |n| values("<value xmlns:a='u' xmlns:b='v'/>", n)),
    ("namespaces on each of a nest", |n| {
        let tag = "<value xmlns:a='u'><array xmlns:a='u'><data xmlns:a='u'>";
        let (open, close) = (tag.repeat(n / 10), "</data></array></value>".repeat(n / 10));
        values(&format!("{open}{}{close}", "<value/>".repeat(n)), 1)
    }),
    ("namespaces of one element", |n| {
        let declarations: String = (0..n).map(|n| format!(" xmlns:p{n}='u'")).collect();
        values(&format!("<value{declarations}/>"), 1)
    }),
    ("one namespace, declared again and again", |n| {
        values(&format!("<value{}/>", " xmlns:p='u'".repeat(n)), 1)
    }),
    ("a long name", |n| value(&format!("<{}/>", "n".repeat(n)))),
    // DOCTYPE.
    ("a long DOCTYPE", |n| before(&format!("<!DOCTYPE m SYSTEM '{}'>", "x ".repeat(n)), 1)),
    ("declarations in a DOCTYPE", |n| {
        before(
            &format!("<!DOCTYPE m [{}]>", "<!ELEMENT a ANY><!ATTLIST a b CDATA 'c'>".repeat(n)),
            1,
        )
    }),
    ("comments in a DOCTYPE", |n| {
        before(&format!("<!DOCTYPE m [{}]>", "<!-- <!ENTITY a 'b'> --><?p a?>\n".repeat(n)), 1)
    }),
    ("entities in a DOCTYPE", |n| {
        before(&format!("<!DOCTYPE m [{}]>", "<!ENTITY a '&a;&a;'>".repeat(n)), 1)
    }),
    ("an entity that is not declared", |n| value(&format!("&{};", "e".repeat(n)))),
    // Encodings.
    ("ISO-8859-1", |n| encoded("iso-8859-1", &[0xE9], n)),
    ("windows-1252", |n| encoded("windows-1252", &[0x80], n)),
    ("UTF-16", |n| {
        let text = String::from_utf8(value(&"é€😀".repeat(n))).unwrap_or_default();
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }),
    ("an encoding that ends", |n| {
        let mut bytes = encoded("windows-1252", b"\n", n);
        bytes.push(0x81);
        bytes
    }),
    // Malformed documents, some only at their end.
    ("start tags without end tags", |n| value(&"<value>".repeat(n))),
    ("less-than signs", |n| value(&"<".repeat(n))),
    ("ampersands", |n| value(&"&".repeat(n))),
    ("ends of CDATA", |n| value(&"]]>".repeat(n))),
    ("a comment without end", |n| value(&format!("<!--{}", "<!-- -".repeat(n)))),
    ("CDATA without end", |n| value(&format!("<![CDATA[{}", "]]".repeat(n)))),
    ("a processing instruction without end", |n| value(&format!("<?p {}", "?".repeat(n)))),
    ("a tag without end", |n| value(&format!("<value a='{}", "b ".repeat(n)))),
    ("comments in an attribute", |n| value(&format!("<value a='{}'/>", "<!-- ".repeat(n)))),
    ("an unknown element at the end", |n| values_and("<value/>", n, "<a/>")),
    ("a comment at the end", |n| values_and("<value/>", n, "<!-- -->")),
    ("an attribute at the end", |n| values_and("<value>a</value>", n, "<value a='b'/>")),
    ("a control character at the end", |n| value(&format!("{}\u{1}", "text ".repeat(n)))),
];

fn calls(method: &str, rest: &str) -> Vec<u8> {
    format!("<methodCall><methodName>{method}</methodName>{rest}</methodCall>").into()
}

fn value(inside: &str) -> Vec<u8> {
    calls("m", &format!("<params><param><value>{inside}</value></param></params>"))
}

fn values(value: &str, count: usize) -> Vec<u8> {
    values_and(value, count, "")
}

fn values_and(value: &str, count: usize, last: &str) -> Vec<u8> {
    self::value(&format!("<array><data>{}{last}</data></array>", value.repeat(count)))
}

fn members(count: usize, name: fn(usize) -> String) -> Vec<u8> {
    let mut text = String::from("<struct>");
    for number in 0..count {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "<member><name>{}</name><value/></member>", name(number));
    }
    value(&format!("{text}</struct>"))
}

fn before(markup: &str, count: usize) -> Vec<u8> {
    [markup.repeat(count).into_bytes(), value("")].concat()
}

fn behind(markup: &str, count: usize) -> Vec<u8> {
    [value(""), markup.repeat(count).into_bytes()].concat()
}

fn with_root(attributes: &str, values: &str) -> Vec<u8> {
    let params = format!(
        "<params><param><value><array><data>{values}</data></array></value></param></params>"
    );
    format!("<methodCall{attributes}><methodName>m</methodName>{params}</methodCall>").into()
}

fn encoded(name: &str, character: &[u8], count: usize) -> Vec<u8> {
    let start = format!("<?xml version='1.0' encoding='{name}'?><methodCall><methodName>");
    [start.as_bytes(), &character.repeat(count), b"</methodName></methodCall>"].concat()
}
