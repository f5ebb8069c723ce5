//! What goes over the wire byte for byte: the encoding of a request, and the style of a result.

use crate::trial;
use hotcall_tests::{Server, Setup, artifacts};
use libtest_mimic::Trial;
use std::io::{Read, Write};
use std::net::TcpStream;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("encoding::the_charset_of_a_content_type_counts", the_charset_of_a_content_type_counts),
        trial("encoding::results_have_the_style_of_the_configuration", results_have_the_configured_style),
    ]
}

fn server(config: &str) -> Server {
    let setup = Setup::new().argument("--http=127.0.0.1:0").plugin("echo.so", artifacts::plugin("echo"));
    setup.config(config).start()
}

/// Posts a call of `echo` with this value, and gives what the server sends back, whole.
fn echoed(server: &Server, content_type: &str, value: &[u8]) -> String {
    let body: Vec<u8> = [
        b"<methodCall><methodName>echo</methodName><params><param>".as_slice(),
        value,
        b"</param></params></methodCall>",
    ]
    .concat();
    let address = server.url().strip_prefix("http://").and_then(|rest| rest.strip_suffix("/RPC2")).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /RPC2 HTTP/1.0\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[track_caller]
fn assert_holds(answer: &str, part: &str) {
    assert!(answer.contains(part), "{part:?} is not in {answer}");
}

fn the_charset_of_a_content_type_counts() {
    let server = server("");
    let value = b"<value>\x80 5</value>";
    let answer = echoed(&server, "text/xml; charset=\"windows-1252\"", value);
    assert_holds(&answer, "<string>€ 5</string>");
    let answer = echoed(&server, "text/xml", value);
    assert_holds(&answer, "<int>-32702</int>");
    let answer = echoed(&server, "text/xml; charset=koi8-r", b"<value/>");
    assert_holds(&answer, "<int>-32701</int>");
    assert_holds(&answer, "Unsupported encoding: koi8-r");
}

fn results_have_the_configured_style() {
    let value = b"<value><array><data><value><i8>5</i8></value><value><nil/></value><value>\
        <dateTime.iso8601>2026-01-31T01:00:00.5+02:00</dateTime.iso8601></value></data></array></value>";
    let answer = echoed(&server(""), "text/xml", value);
    assert_holds(&answer, "<i8>5</i8></value><value><nil/></value>");
    assert_holds(&answer, ">20260130T23:00:00<");

    let server = server("[xmlrpc]\ni8 = 'ex:i8'\nnil = 'ex:nil'\ndates = 'exact'\n");
    let answer = echoed(&server, "text/xml", value);
    assert_holds(&answer, "xmlns:ex=\"http://ws.apache.org/xmlrpc/namespaces/extensions\"");
    assert_holds(&answer, "<ex:i8>5</ex:i8></value><value><ex:nil/></value>");
    assert_holds(&answer, ">20260131T01:00:00.5+02:00<");
}
