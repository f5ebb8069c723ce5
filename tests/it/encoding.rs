//! What goes over the wire byte for byte: the encoding of a request, and the style of a result.

use crate::{trial, trial_with};
use hotcall::xmlrpc::{DateTime, EncodeOptions, Value, encode_response};
use hotcall_tests::{Server, Setup, artifacts, foreign};
use libtest_mimic::Trial;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("encoding::the_charset_of_a_content_type_counts", the_charset_of_a_content_type_counts),
        trial("encoding::results_have_the_style_of_the_configuration", results_have_the_configured_style),
        trial_with("python3", "encoding::python_reads_every_plain_date", python_reads_every_plain_date),
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

/// Whatever date a method returns, Python's strict reader gets the same second by its own calendar, or the result was a fault.
fn python_reads_every_plain_date() {
    let mut lines = String::new();
    let (mut written, mut refused) = (0, 0);
    for date in edges() {
        let document = encode_response(&Value::DateTime(date), &EncodeOptions::default()).ok();
        *(if document.is_some() { &mut written } else { &mut refused }) += 1;
        let document = document.map(|document| String::from_utf8(document).unwrap());
        let day = (date.year(), date.month(), date.day());
        let time = (date.hour(), date.minute(), date.second(), date.offset_minutes());
        lines += &format!("{}\n", json!([[day.0, day.1, day.2, time.0, time.1, time.2, time.3], document]));
    }
    assert!(written > 1_000 && refused > 100, "{written} written, {refused} refused");
    let mut python = foreign::python_module("dates")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    // A script that fails stops reading; what it says is the better message.
    let sent = python.stdin.take().expect("a pipe").write_all(lines.as_bytes());
    let output = python.wait_with_output().expect("python3 ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    sent.expect("python3 reads");
}

/// The ends of months, of days and of the calendar, on clocks of all sorts of zones.
fn edges() -> Vec<DateTime> {
    let mut dates = Vec::new();
    for year in [0, 1, 1900, 2000, 2023, 2024, 9_998, 9_999] {
        for (month, day) in (1..=12).flat_map(|month| [1, 28, 29, 30, 31].map(|day| (month, day))) {
            for (hour, minute, second) in
                [(0, 0, 0), (14, 8, 55), (14, 8, 60), (14, 59, 60), (23, 59, 59), (23, 59, 60), (24, 0, 0)]
            {
                let date = DateTime::new(year, month, day, hour, minute, second);
                dates.extend(date);
                for offset in [-1_439, -1, 0, 330, 1_439] {
                    dates.extend(date.and_then(|date| date.with_offset_minutes(offset)));
                }
            }
        }
    }
    dates
}
