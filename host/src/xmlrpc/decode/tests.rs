//! Tables of documents: what real clients send, and what is refused and how.

mod limits;

use super::*;
use crate::xmlrpc::{Fault, Value, code, parse_date_time};

fn read(document: impl AsRef<[u8]>) -> Result<Call, Fault> {
    decode_call(document.as_ref(), &DecodeLimits::default())
}

/// Reads one value by way of a whole call.
fn value(xml: &str) -> Result<Value, Fault> {
    let call = read(format!(
        "<?xml version='1.0'?><methodCall><methodName>m</methodName>\
         <params><param>{xml}</param></params></methodCall>"
    ))?;
    assert_eq!(call.params.len(), 1, "{xml}");
    Ok(call.params.into_iter().next().unwrap())
}

fn member(name: &str, value: Value) -> (String, Value) {
    (name.to_owned(), value)
}

const EX: &str = "xmlns:ex='http://ws.apache.org/xmlrpc/namespaces/extensions'";

#[test]
fn scalars_are_read_as_clients_write_them() {
    let date = |text| Value::DateTime(parse_date_time(text).unwrap());
    let binary = |bytes: &[u8]| Value::Binary(bytes.to_vec());
    for (xml, expected) in [
        ("<value><int>5</int></value>", Value::Int(5)),
        ("<value><i4>-2147483648</i4></value>", Value::Int(i32::MIN)),
        ("<value>\n <i4> +007\r\n</i4>\t</value>", Value::Int(7)),
        ("<value><int>4294967296</int></value>", Value::Long(4_294_967_296)),
        ("<value><i4>4294967296</i4></value>", Value::Long(4_294_967_296)),
        ("<value><i8>5</i8></value>", Value::Long(5)),
        ("<value><i8>-9223372036854775808</i8></value>", Value::Long(i64::MIN)),
        ("<value><ex:i8>5</ex:i8></value>", Value::Long(5)),
        ("<value><ex:i1>-128</ex:i1></value>", Value::Int(-128)),
        ("<value><ex:i2>32767</ex:i2></value>", Value::Int(32_767)),
        ("<value><ex:biginteger>12</ex:biginteger></value>", Value::Long(12)),
        ("<value><ex:bigdecimal>1.5</ex:bigdecimal></value>", Value::Double(1.5)),
        ("<value><ex:bigdecimal>-0012.5000E+3</ex:bigdecimal></value>", Value::Double(-12_500.0)),
        ("<value><ex:bigdecimal>0.1</ex:bigdecimal></value>", Value::Double(0.1)),
        ("<value><ex:float>-.5</ex:float></value>", Value::Double(-0.5)),
        ("<value><nil/></value>", Value::Nil),
        ("<value><nil> </nil></value>", Value::Nil),
        ("<value><ex:nil/></value>", Value::Nil),
        ("<value><boolean>1</boolean></value>", Value::Bool(true)),
        ("<value><boolean> false </boolean></value>", Value::Bool(false)),
        ("<value><boolean>TRUE</boolean></value>", Value::Bool(true)),
        ("<value><double>-1.25</double></value>", Value::Double(-1.25)),
        ("<value><double> 3e-7 </double></value>", Value::Double(3e-7)),
        ("<value><double>1.0E10</double></value>", Value::Double(1e10)),
        ("<value><double>INF</double></value>", Value::Double(f64::INFINITY)),
        ("<value><double>-Infinity</double></value>", Value::Double(f64::NEG_INFINITY)),
        ("<value><string>a</string></value>", Value::from("a")),
        ("<value>text</value>", Value::from("text")),
        ("<value/>", Value::from("")),
        ("<value></value>", Value::from("")),
        ("<value><string/></value>", Value::from("")),
        ("<value>  \n</value>", Value::from("  \n")),
        ("<value>\n  <string> kept \n</string>\n</value>", Value::from(" kept \n")),
        ("<value><string><![CDATA[<b> & ]] ]]></string></value>", Value::from("<b> & ]] ")),
        ("<value>a<![CDATA[b]]>c<!-- d -->e<?f?>g</value>", Value::from("abceg")),
        ("<value>&lt;&#60;&#x3C;&amp;&apos;&quot;&gt;&#13;</value>", Value::from("<<<&'\">\r")),
        ("<value>a\r\nb\rc</value>", Value::from("a\nb\nc")),
        (
            "<value><dateTime.iso8601>19980717T14:08:55</dateTime.iso8601></value>",
            date("19980717T14:08:55"),
        ),
        (
            "<value><dateTime.iso8601> 1998-07-17T14:08:55.5Z\n</dateTime.iso8601></value>",
            date("19980717T14:08:55.5Z"),
        ),
        (
            "<value><ex:dateTime>1998-07-17T14:08:55.000+02:00</ex:dateTime></value>",
            date("19980717T14:08:55+02:00"),
        ),
        ("<value><base64>AAEC\n /w==</base64></value>", binary(&[0, 1, 2, 255])),
        ("<value><base64>eW91&#10;IGNhbg</base64></value>", binary(b"you can")),
        ("<value><base64/></value>", binary(b"")),
    ] {
        let declared = xml.replacen("<value", &format!("<value {EX} ignored='&lt;'"), 1);
        assert_eq!(value(&declared), Ok(expected.clone()), "{declared}");
        assert_eq!(value(xml), Ok(expected), "undeclared: {xml}");
    }
    let Ok(Value::Double(number)) = value("<value><double>NaN</double></value>") else {
        panic!("not a double")
    };
    assert!(number.is_nan());
}

/// More digits than any double has, and places that the digits' count makes up for, cost no more
/// than reading them.
#[test]
fn decimals_of_any_length_are_read_or_refused() {
    let zeros = "0".repeat(200_000);
    for (text, expected) in [
        (format!("{zeros}.{zeros}"), Some(0.0)),
        (format!("{zeros}1.50{zeros}"), Some(1.5)),
        (format!("-0.{zeros}15e{}", zeros.len() + 1), Some(-1.5)),
        (format!("15{zeros}e-{}", zeros.len() + 1), Some(1.5)),
        (format!("1.5{zeros}1"), None),
        (format!("1{zeros}"), None),
        ("1".repeat(200_000), None),
        (format!("1e{zeros}1"), Some(10.0)),
        (format!("1e{}", "9".repeat(200_000)), None),
    ] {
        let read = value(&format!("<value><bigdecimal>{text}</bigdecimal></value>"));
        assert_eq!(read.ok(), expected.map(Value::Double), "{} bytes: {text:.20}", text.len());
    }
}

#[test]
fn containers_are_read_as_clients_write_them() {
    for (xml, expected) in [
        ("<value><array/></value>", Value::Array(vec![])),
        ("<value><array><data/></array></value>", Value::Array(vec![])),
        (
            "<value>\n<array>\n<data>\n<value>a</value> <!-- c -->\n\
             <value><array><data><value/></data></array></value></data>\r\n</array>\n</value>",
            Value::Array(vec![Value::from("a"), Value::Array(vec![Value::from("")])]),
        ),
        ("<value><struct/></value>", Value::Struct(vec![])),
        ("<value><struct> \n </struct>\n</value>", Value::Struct(vec![])),
        (
            "<value><struct><member><value><i4>1</i4></value><name>b</name></member>\n\
             <member><name> a </name><value>2</value></member><member><name/><value/></member>\
             </struct></value>",
            Value::Struct(vec![
                member("b", Value::Int(1)),
                member(" a ", Value::from("2")),
                member("", Value::from("")),
            ]),
        ),
        (
            "<value><struct><member><name>a</name><value>1</value></member>\
             <member><name>b</name><value>2</value></member>\
             <member><name>a</name><value>3</value></member></struct></value>",
            Value::Struct(vec![member("a", Value::from("3")), member("b", Value::from("2"))]),
        ),
    ] {
        assert_eq!(value(xml), Ok(expected), "{xml}");
    }
}

#[test]
fn the_prefix_of_extensions_needs_no_declaration() {
    for root in ["<methodCall>", "<methodCall a='>' >", "\n<?XML VERSION='1.0'?>\n<methodCall\n>"] {
        let document = format!(
            "{root}<methodName>m</methodName><params><param><value><ex:nil/></value></param>\
             </params></methodCall>"
        );
        assert_eq!(read(&document).map(|call| call.params), Ok(vec![Value::Nil]), "{document}");
    }
    let fault = read("<methodCall><other:methodName/></methodCall>").unwrap_err();
    assert!(fault.message.contains("prefix is unbound"), "{fault}");
}

#[test]
fn many_members_with_one_name_are_one_member() {
    let member_xml =
        |n: usize| format!("<member><name>{}</name><value>{n}</value></member>", n % 50);
    let xml: String = (0..1_000).map(member_xml).collect();
    let Ok(Value::Struct(members)) = value(&format!("<value><struct>{xml}</struct></value>"))
    else {
        panic!("not a struct")
    };
    let expected: Vec<_> =
        (0..50).map(|n| member(&n.to_string(), Value::from((950 + n).to_string()))).collect();
    assert_eq!(members, expected);
}

#[test]
fn calls_are_read_however_they_are_wrapped() {
    let plain = "<methodCall><methodName>m</methodName>\
                 <params><param><value>é</value></param></params></methodCall>";
    let call = Call { method: "m".into(), params: vec![Value::from("é")] };
    let none = Call { method: "m".into(), params: vec![] };
    let latin1: Vec<u8> = plain.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{FEFF}".encode_utf16().chain(text.encode_utf16()).flat_map(bytes).collect()
    };
    let text = |xml: &str| xml.as_bytes().to_vec();
    for (document, expected) in [
        (text(plain), &call),
        (
            text(&format!(
                "<?xml version=\"1.0\" encoding=\"utf-8\" standalone='yes'?>\n{plain}\n\n"
            )),
            &call,
        ),
        (text(&format!("\r\n <?xml version='1.0'?>{plain}")), &call),
        (text(&format!("\u{FEFF}<?xml version='1.0' encoding='UTF-8'?>{plain}")), &call),
        (text(&format!("\u{FEFF}\n{plain}")), &call),
        (text(&format!("<?XML VERSION=\"1.0\"?>\r{plain}")), &call),
        (text(&format!("<!DOCTYPE methodCall>{plain}")), &call),
        (text(&format!("<!DOCTYPE methodCall SYSTEM \"http://example.org/a.dtd\">{plain}")), &call),
        (
            text(&format!(
                "<!DOCTYPE methodCall [ <!ELEMENT a (b|c)*> <!ATTLIST a b CDATA #IMPLIED> ]>{plain}"
            )),
            &call,
        ),
        (text(&format!("<!-- [a] --><?pi [b]?>{plain}<!-- <!DOCTYPE x [ -->")), &call),
        (text("<methodCall a='[' xmlns='urn:x'><methodName> m\n</methodName></methodCall>"), &none),
        (text("<methodCall><methodName>m</methodName><params/></methodCall>"), &none),
        (
            text(
                "<methodCall><params><param><value>é</value></param></params>\
                 <methodName>m</methodName></methodCall>",
            ),
            &call,
        ),
        ([b"<?xml version='1.0' encoding='iso-8859-1'?>", latin1.as_slice()].concat(), &call),
        ([b"<?XML VERSION='1.0' ENCODING='ISO-8859-1'?>", latin1.as_slice()].concat(), &call),
        (
            text(&format!(
                "<?xml version='1.0' encoding='US-ASCII'?>{}",
                plain.replace('é', "&#233;")
            )),
            &call,
        ),
        (
            utf16(&format!("<?xml version='1.0' encoding='UTF-16'?>{plain}"), u16::to_be_bytes),
            &call,
        ),
        (utf16(plain, u16::to_le_bytes), &call),
    ] {
        assert_eq!(
            read(&document).as_ref(),
            Ok(expected),
            "{}",
            String::from_utf8_lossy(&document)
        );
    }
}

fn call(inside: &str) -> String {
    format!("<methodCall><methodName>m</methodName>{inside}</methodCall>")
}

fn param(value: &str) -> String {
    call(&format!("<params><param>{value}</param></params>"))
}

fn assert_refused(document: &[u8], code: i32, message: &str) {
    let shown = String::from_utf8_lossy(document);
    let fault = read(document).unwrap_err();
    assert_eq!(fault.code, code, "{shown}\n{fault}");
    assert!(fault.message.contains(message), "{shown}\n{fault}");
    assert!(fault.message.starts_with("line "), "{shown}\n{fault}");
}

#[test]
fn what_is_no_xml_is_refused_with_its_code_and_place() {
    for (document, code, message) in [
        (
            String::new(),
            -32700,
            "line 1, column 1: Unexpected end of stream: no root element found",
        ),
        (
            "  \n".into(),
            -32700,
            "line 2, column 1: Unexpected end of stream: no root element found",
        ),
        (
            "hello".into(),
            -32700,
            "line 1, column 1: Unexpected characters outside the root element: h",
        ),
        ("<methodCall>".into(), -32700, "still inside the root element"),
        (call("<params>"), -32700, "Unexpected closing tag"),
        (
            format!("{}\ngarbage", call("")),
            -32700,
            "line 2, column 1: Unexpected characters outside the root",
        ),
        (format!("{}<more/>", call("")), -32700, "Unexpected token: <"),
        (param("<value>&unknown;</value>"), -32700, "Unexpected entity: unknown"),
        (
            "<?xml version='1.0' encoding='EBCDIC'?><a/>".into(),
            -32701,
            "Unsupported encoding: EBCDIC",
        ),
        (
            "<?xml version='1.0' encoding='ISO-2022-KR'?><a/>".into(),
            -32701,
            "Unsupported encoding: ISO-2022-KR",
        ),
        ("<?xml version='1.0' encoding=''?><a/>".into(), -32701, "Unsupported encoding"),
        ("<?xml version='1.0' encoding='UTF-16'?><a/>".into(), -32701, "Declared encoding UTF-16"),
        (param("<value>\u{1}</value>"), -32702, "Invalid character U+0001"),
        (param("<value>&#0;</value>"), -32702, "Invalid character U+0000"),
    ] {
        assert_refused(document.as_bytes(), code, message);
    }
    assert_refused(b"<methodCall>\xFF</methodCall>", -32702, "not of the document's encoding");
    assert_refused(b"<methodCall><methodName>\xE2\x80", -32700, "ends too early");
}

#[test]
fn xml_that_is_no_call_is_refused_with_its_place() {
    for (document, message) in [
        (
            "<html><p>hi</p></html>".into(),
            "line 1, column 6: the document is a <html>, not a <methodCall>",
        ),
        ("<methodCall/>".into(), "<methodCall> has no <methodName>"),
        ("<methodCall><methodName/></methodCall>".into(), "<methodName> is empty"),
        (call("<methodName>n</methodName>"), "<methodName> does not belong in <methodCall> here"),
        (call("text"), "<methodCall> holds the text \"text\""),
        (call("<params><value/></params>"), "<value> does not belong in <params> here"),
        (call("<params>\n  <param/></params>"), "line 2, column 3: <param> holds no <value>"),
        (param("<value/><value/>"), "<value> does not belong in <param> here"),
        (
            format!("<!DOCTYPE a [<!ENTITY b \"c\">]>{}", call("")),
            "a DOCTYPE that declares entities is not accepted",
        ),
        (format!("<!DOCTYPE a SYSTEM 'b' [%c;]>{}", call("")), "a DOCTYPE that declares entities"),
    ] {
        assert_refused(document.as_bytes(), code::INVALID_REQUEST, message);
    }
}

#[test]
fn xml_that_is_no_value_is_refused() {
    for (document, message) in [
        (param("<value>a<int>1</int></value>"), "<value> holds both text and an element"),
        (param("<value><int>1</int>a</value>"), "<value> holds the text \"a\""),
        (param("<value><int>1</int><int>1</int></value>"), "<int> does not belong in <value> here"),
        (param("<value><int><b/></int></value>"), "<b> does not belong in <int> here"),
        (
            param("<value><ex:serializable>rO0AB</ex:serializable></value>"),
            "<serializable> holds an object of Java, which is never read",
        ),
        (param("<value><z:i8 xmlns:z='urn:z'>1</z:i8></value>"), "<z:i8> is not a type of XML-RPC"),
        (
            param("<value><bigdecimal>0.1000000000000000055</bigdecimal></value>"),
            "which is not a decimal number that a double holds exactly",
        ),
        (param("<value><bigdecimal>1e400</bigdecimal></value>"), "a double holds exactly"),
        (param("<value><bigdecimal>.</bigdecimal></value>"), "a double holds exactly"),
        (
            param("<value><biginteger>9223372036854775808</biginteger></value>"),
            "whole number of 64 bits",
        ),
        (param("<value><money>1</money></value>"), "<money> is not a type of XML-RPC"),
        (
            param("<value><int>five</int></value>"),
            "<int> holds \"five\", which is not a whole number",
        ),
        (param("<value><int>9223372036854775808</int></value>"), "whole number of 64 bits"),
        (param("<value><int/></value>"), "<int> holds \"\""),
        (param("<value><i4>9223372036854775808</i4></value>"), "whole number of 64 bits"),
        (param("<value><i1>128</i1></value>"), "whole number of 8 bits"),
        (param("<value><boolean>2</boolean></value>"), "a boolean (0 or 1)"),
        (param("<value><double>1,5</double></value>"), "not a number"),
        (param("<value><double>1e999</double></value>"), "a number that a double can hold"),
        (param("<value><base64>a*b</base64></value>"), "not base64"),
        (param("<value><dateTime.iso8601>now</dateTime.iso8601></value>"), "not a date and time"),
        (param("<value><nil>0</nil></value>"), "<nil> holds the text \"0\""),
        (
            param("<value><array><value/></array></value>"),
            "<value> does not belong in <array> here",
        ),
        (
            param("<value><array><data><int/></data></array></value>"),
            "<int> does not belong in <data>",
        ),
        (
            param("<value><array><data/><data/></array></value>"),
            "<data> does not belong in <array> here",
        ),
        (param("<value><struct><member/></struct></value>"), "<member> has no <name>"),
        (
            param("<value><struct><member><name>a</name></member></struct></value>"),
            "<member> has no <value>",
        ),
        (
            param(
                "<value><struct><member><name>a</name><name>b</name><value/></member></struct>\
                 </value>",
            ),
            "<name> does not belong in <member> here",
        ),
    ] {
        assert_refused(document.as_bytes(), code::INVALID_REQUEST, message);
    }
}

#[test]
fn internal_subsets_are_refused_in_utf_16_too() {
    for to_bytes in [u16::to_be_bytes, u16::to_le_bytes] {
        // U+0122 has the byte of a quotation mark.
        let document: Vec<u8> = "\u{FEFF}<!DOCTYPE \u{122} [<!ENTITY a 'b'>]><methodCall/>"
            .encode_utf16()
            .flat_map(to_bytes)
            .collect();
        assert!(read(&document).unwrap_err().message.contains("DOCTYPE"));
    }
}

#[test]
fn responses_are_results_or_faults() {
    let read = |inside: &str| {
        let document = format!("<?xml version='1.0'?><methodResponse>{inside}</methodResponse>");
        decode_response(document.as_bytes(), &DecodeLimits::default())
    };
    let fault = |code: &str, text: &str| {
        format!(
            "<fault><value><struct><member><name>faultCode</name><value>{code}</value></member>\
             <member><name>faultString</name><value>{text}</value></member></struct></value>\
             </fault>"
        )
    };
    assert_eq!(
        read("<params><param><value><i4>1</i4></value></param></params>"),
        Ok(Ok(Value::Int(1)))
    );
    assert_eq!(read("<params/>"), Ok(Ok(Value::Nil)));
    assert_eq!(read(&fault("<int>4</int>", "too many")), Ok(Err(Fault::new(4, "too many"))));
    assert_eq!(read(&fault("<i8>-501</i8>", "<string/>")), Ok(Err(Fault::new(-501, ""))));
    assert_eq!(read(&fault("7", "x")), Ok(Err(Fault::new(7, "x"))));
    assert_eq!(read(&fault("<double>5.0</double>", "x")), Ok(Err(Fault::new(5, "x"))));
    assert_eq!(read(&fault("<double>-3.2601e4</double>", "x")), Ok(Err(Fault::new(-32601, "x"))));
    for code in ["5.5", "1e10", "-2147483649", "NaN", "inf"] {
        let error = read(&fault(&format!("<double>{code}</double>"), "x")).unwrap_err();
        assert!(
            error.message.contains("no faultCode that is a number of 32 bits"),
            "{code}: {error}"
        );
    }
    for (inside, message) in [
        ("", "neither <params> nor <fault>"),
        ("<result/>", "<result> does not belong"),
        ("<fault><value><struct/></value></fault>", "no faultCode"),
        ("<params><param><value/></param><param><value/></param></params>", "more than one value"),
        ("<params/><params/>", "<params> does not belong"),
    ] {
        let error = read(inside).unwrap_err();
        assert!(error.message.contains(message), "{inside}\n{error}");
    }
}
