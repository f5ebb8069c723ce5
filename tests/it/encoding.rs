//! What goes over the wire byte for byte: the encoding of a request, and the style of a result.

use crate::trial::{trial, trial_with};
use hotcall::xmlrpc::{
    DateTime, DecodeLimits, Document, EncodeOptions, Value, decode_response, encode_response,
};
use hotcall_tests::{Server, Setup, artifacts, foreign};
use libtest_mimic::Trial;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "encoding::the_charset_of_a_content_type_counts",
            the_charset_of_a_content_type_counts,
        ),
        trial(
            "encoding::results_have_the_style_of_the_configuration",
            results_have_the_configured_style,
        ),
        trial_with("python3", "encoding::python_reads_the_same_characters", python_reads_the_same),
        trial_with(
            "python3",
            "encoding::python_reads_every_plain_date",
            python_reads_every_plain_date,
        ),
    ]
}

fn server(config: &str) -> Server {
    let setup =
        Setup::new().argument("--http=127.0.0.1:0").plugin("echo.so", artifacts::plugin("echo"));
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
    let address =
        server.url().strip_prefix("http://").and_then(|rest| rest.strip_suffix("/RPC2")).unwrap();
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
    let answer = echoed(&server, "text/xml; charset=koi8-r", b"<value>\xF6</value>");
    assert_holds(&answer, "<string>\u{416}</string>");
    // A `<` within a character of two bytes is no tag.
    let value = b"<value>\x1B$B$<@<\x1B(B</value>";
    let answer = echoed(&server, "text/xml; charset=iso-2022-jp", value);
    assert_holds(&answer, "<string>\u{305c}\u{58f0}</string>");
    let answer = echoed(&server, "text/xml; charset=shift_jis", b"<value>\x93</value>");
    assert_holds(&answer, "<int>-32702</int>");
    let answer = echoed(&server, "text/xml; charset=utf-7", b"<value/>");
    assert_holds(&answer, "<int>-32701</int>");
    assert_holds(&answer, "Unsupported encoding: utf-7");
}

/// Encodings, and the beginnings of what Python reads otherwise, in hexadecimal digits. Where two
/// characters are meant, Hotcall reads what browsers and Windows read.
const CHARSETS: [(&str, &str); 42] = [
    ("iso-8859-1", ""),
    ("iso-8859-2", ""),
    ("iso-8859-3", ""),
    ("iso-8859-4", ""),
    ("iso-8859-5", ""),
    ("iso-8859-6", ""),
    ("iso-8859-7", ""),
    ("iso-8859-8", ""),
    ("iso-8859-9", ""),
    ("iso-8859-10", ""),
    ("iso-8859-11", ""),
    ("iso-8859-13", ""),
    ("iso-8859-14", ""),
    ("iso-8859-15", ""),
    ("iso-8859-16", ""),
    ("windows-1250", ""),
    ("windows-1251", ""),
    ("windows-1252", ""),
    ("windows-1253", ""),
    ("windows-1254", ""),
    // Assigned since, in Hebrew.
    ("windows-1255", "ca"),
    ("windows-1256", ""),
    ("windows-1257", ""),
    ("windows-1258", ""),
    ("cp874", ""),
    // ISO 8859-11, which has a space more.
    ("tis-620", "a0"),
    ("macintosh", ""),
    ("cp866", ""),
    ("koi8-r", ""),
    ("koi8_r", ""),
    // A letter of Belarusian instead of two lines of boxes.
    ("koi8-u", "ae be"),
    ("shift_jis", "8160 8161 817c 8191 8192 81ca"),
    ("ms932", ""),
    ("euc-jp", "a1c1 a1c2 a1dd a1f1 a1f2 a2cc 8fa2b7"),
    ("iso-2022-jp", "1b24422141 1b24422142 1b2442215d 1b24422171 1b24422172 1b2442224c"),
    ("cp936", ""),
    ("gb2312", "a1a4 a1aa"),
    // The edition of 2022 has characters where that of 2000 had private ones.
    ("gb18030", "a3a0 a6 a8bc fe"),
    ("big5", "a145 a14e a1c2 a1e3 a1f2 a1f3 a241 a242 a244 a246 a247 c6 c7"),
    ("big5-hkscs", "a145 a14e a1c2 a1e3 a1f2 a1f3 a241 a242 a244 a246 a247"),
    ("cp949", ""),
    ("us-ascii", ""),
];

/// Encodings of one byte are read as xmlrpc.client reads them, and the others as Python's codecs.
fn python_reads_the_same() {
    let names = CHARSETS.map(|(name, _)| name);
    let output = foreign::python_module("charsets").args(names).output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // By encoding and first byte, because a document for each character takes long.
    let mut groups: BTreeMap<(String, String), Vec<Character>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (name, hex, text): (String, String, _) = serde_json::from_str(line).unwrap();
        let group = groups.entry((name, hex[..2].to_owned())).or_default();
        group.push(Character { bytes: bytes_of(&hex), hex, text });
    }
    let beginnings = |(name, digits): &(&'static str, &'static str)| {
        let name = *name;
        digits.split_whitespace().map(move |digits| (name, digits)).collect::<Vec<_>>()
    };
    let known: BTreeSet<(&str, &str)> = CHARSETS.iter().flat_map(beginnings).collect();
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    for ((name, _), characters) in &groups {
        for (character, ours) in differences(name, characters) {
            let Character { hex, text, .. } = character;
            match known.iter().find(|(of, digits)| of == name && hex.starts_with(digits)) {
                Some(known) => drop(seen.insert(*known)),
                None => wrong.push(format!("{name} {hex}: Hotcall {ours:?}, Python {text:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(seen, known, "the differences that there are, and that are expected");
    for name in names {
        let read = groups.iter().filter(|((of, _), _)| of == name);
        assert!(read.map(|(_, characters)| characters.len()).sum::<usize>() >= 128, "{name}");
    }
}

/// A character as Python reads it.
struct Character {
    hex: String,
    bytes: Vec<u8>,
    text: Option<String>,
}

/// The characters that Hotcall reads otherwise, with what it reads.
fn differences<'a>(name: &str, all: &'a [Character]) -> Vec<(&'a Character, Option<String>)> {
    let bytes = all.iter().flat_map(|one| [&one.bytes, b" ".as_slice()].concat());
    let text = all.iter().map(|one| Some(format!("{} ", one.text.as_ref()?)));
    let text: Option<String> = text.collect();
    if text.is_some() && text_in(name, &bytes.collect::<Vec<_>>()) == text {
        return Vec::new();
    }
    let each = all.iter().map(|one| (one, text_in(name, &one.bytes)));
    each.filter(|(one, ours)| one.text != *ours).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
    bytes.collect::<Result<_, _>>().expect("hexadecimal digits")
}

/// The text that these bytes are in an encoding; `None` when it does not have them.
fn text_in(charset: &str, bytes: &[u8]) -> Option<String> {
    let (before, after) =
        (b"<methodResponse><params><param><value>", b"</value></param></params></methodResponse>");
    let body = [before.as_slice(), bytes, after].concat();
    let content_type = format!("text/xml; charset={charset}");
    let document = Document::from(&body).with_content_type(&content_type);
    match decode_response(document, &DecodeLimits::default()) {
        Ok(Ok(Value::String(text))) => Some(text),
        Ok(other) => panic!("{charset} {bytes:?}: {other:?}"),
        Err(error) => {
            assert_eq!(error.code, -32702, "{charset} {bytes:?}: {error:?}");
            None
        }
    }
}

fn results_have_the_configured_style() {
    let value = b"<value><array><data><value><i8>5</i8></value><value><nil/></value>\
                  <value><dateTime.iso8601>2026-01-31T01:00:00.5+02:00</dateTime.iso8601></value>\
                  </data></array></value>";
    let answer = echoed(&server(""), "text/xml", value);
    assert_holds(&answer, "<i8>5</i8></value><value><nil/></value>");
    assert_holds(&answer, ">20260130T23:00:00<");

    let server = server("[xmlrpc]\ni8 = 'ex:i8'\nnil = 'ex:nil'\ndates = 'exact'\n");
    let answer = echoed(&server, "text/xml", value);
    assert_holds(&answer, "xmlns:ex=\"http://ws.apache.org/xmlrpc/namespaces/extensions\"");
    assert_holds(&answer, "<ex:i8>5</ex:i8></value><value><ex:nil/></value>");
    assert_holds(&answer, ">20260131T01:00:00.5+02:00<");
}

/// Whatever date a method returns, Python's strict reader gets the same second by its own calendar,
/// or the result was a fault.
fn python_reads_every_plain_date() {
    let mut lines = String::new();
    let (mut written, mut refused) = (0, 0);
    for date in edges() {
        let document = encode_response(&Value::DateTime(date), &EncodeOptions::default()).ok();
        *(if document.is_some() { &mut written } else { &mut refused }) += 1;
        let document = document.map(|document| String::from_utf8(document).unwrap());
        let day = (date.year(), date.month(), date.day());
        let time = (date.hour(), date.minute(), date.second(), date.offset_minutes());
        lines += &format!(
            "{}\n",
            json!([[day.0, day.1, day.2, time.0, time.1, time.2, time.3], document])
        );
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
            for (hour, minute, second) in [
                (0, 0, 0),
                (14, 8, 55),
                (14, 8, 60),
                (14, 59, 60),
                (23, 59, 59),
                (23, 59, 60),
                (24, 0, 0),
            ] {
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
