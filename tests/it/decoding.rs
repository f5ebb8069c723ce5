//! Tests of small requests that are expensive to decode: they are refused, or bounded in time and
//! memory.

use crate::trial::trial;
use flate2::Compression;
use flate2::write::GzEncoder;
use hotcall_tests::idle::status;
use hotcall_tests::wire::{Answer, Wire, post};
use hotcall_tests::{Server, Setup, artifacts, wait_until};
use libtest_mimic::Trial;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, thread};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("decoding::namespaces_redeclared_at_every_level_are_refused", namespaces),
        trial(
            "decoding::decoding_stops_at_the_deadline_and_when_the_client_has_gone",
            nobody_waits,
        ),
        trial("decoding::inflated_and_decoded_requests_count_to_the_budget", memory),
    ]
}

fn setup(direct_lane: bool, limits: &str) -> Setup {
    Setup::new()
        .argument("--http=127.0.0.1:0")
        .config(&format!("direct_lane = {direct_lane}\n[limits]\n{limits}\n"))
        .plugin("arithmetic.so", artifacts::plugin("arithmetic"))
}

/// A call of `add` with an array of these values. The comment leaves it to xml-rs.
fn document(values: &str) -> String {
    format!(
        "<!-- --><methodCall><methodName>add</methodName>\
         <params><param><value><array><data>{values}</data></array></value></param></params>\
         </methodCall>"
    )
}

/// A POST with a gzip body.
fn compressed(content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    let body = encoder.finish().unwrap();
    let head = format!(
        "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\n\
         Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

fn answer(server: &Server, request: &[u8]) -> Answer {
    let mut wire = Wire::to(server);
    wire.send(request);
    wire.answer()
}

fn adds(server: &Server) -> bool {
    let add = "<methodCall><methodName>add</methodName>\
               <params><param><value><int>2</int></value></param>\
               <param><value><int>3</int></value></param></params></methodCall>";
    answer(server, post("", add).as_bytes()).is_int(5)
}

/// xml-rs copies the declarations of all open elements for each element. Without a limit, this
/// request of 26 kB takes minutes of processor time, and only the deadline answers it.
fn namespaces() {
    let declarations: String = ('a'..='m').map(|prefix| format!(" xmlns:{prefix}='u'")).collect();
    let open =
        format!("<value{declarations}><array{declarations}><data{declarations}>").repeat(120);
    let close = "</data></array></value>".repeat(120);
    let request = compressed(
        "text/xml",
        document(&format!("{open}{}{close}", "<value/>".repeat(900_000))).as_bytes(),
    );
    assert!(request.len() < 30_000, "{}", request.len());
    let server = setup(true, "").start();
    let answer = answer(&server, &request);
    assert!(answer.text().contains("more than 16 namespace declarations"), "{}", answer.text());
}

fn nobody_waits() {
    const BYTES: usize = 8 << 20;
    let attributes: String = (0..50).map(|number| format!(" a{number}=''")).collect();
    let value = format!("<value{attributes}/>");
    let request = compressed("text/xml", document(&value.repeat(BYTES / value.len())).as_bytes());
    for direct_lane in [true, false] {
        let late = setup(direct_lane, "call_ms_max = 1").log("debug").start();
        let answer = answer(&late, &request);
        assert!(answer.text().contains("<int>-32000</int>"), "{}", answer.text());
        late.wait_for_log(&["the call's deadline passed while its document was read"]);

        let left = setup(direct_lane, "call_ms_max = 3_600_000").log("debug").start();
        let mut wire = Wire::to(&left);
        wire.send(&request);
        drop(wire);
        left.wait_for_log(&["the call's deadline passed while its document was read"]);
    }
}

/// Forty requests of some kilobytes each inflate and decode to many times as much.
fn memory() {
    const BYTES: usize = 1 << 20;
    const REQUESTS: usize = 40;
    const ALL: u64 = 16 << 20;
    /// For threads, the memory that each keeps, and memory that is freed late.
    const BESIDE: u64 = 16 << 20;
    let many = |value: &str| document(&value.repeat(BYTES / value.len())).into_bytes();
    let text = |character: &[u8], encoding: &str| {
        let (start, end) = ("<methodCall><methodName>", "</methodName></methodCall>");
        let prolog = format!("<?xml version='1.0' encoding='{encoding}'?>{start}");
        [prolog.as_bytes(), &character.repeat(BYTES / character.len()), end.as_bytes()].concat()
    };
    let declarations =
        (0..BYTES / 20).map(|number| format!(" xmlns:p{number}='u'")).collect::<String>();
    let members = |name: fn(usize) -> usize| {
        let member = |number| format!("<member><name>{}</name><value/></member>", name(number));
        format!(
            "<value><struct>{}</struct></value>",
            (0..BYTES / 50).map(member).collect::<String>()
        )
    };
    let utf_16 = String::from_utf8(many("<value>\u{20ac}</value>")).unwrap();
    let requests: Vec<Vec<u8>> = [
        many("<value/>"),
        many("<value><array><data><value/></data></array></value>"),
        many("<value><struct><member><name>a</name><value>b</value></member></struct></value>"),
        many("<value>a &lt; b</value>")[8..].to_vec(),
        many("<value/>")[8..].to_vec(),
        document(&members(|number| number)).into_bytes(),
        document(&members(|number| number % 10)).into_bytes(),
        document(&format!("<value><base64>{}</base64></value>", "AAAA\n".repeat(BYTES / 5)))
            .into_bytes(),
        document(&format!("<value{declarations}/>")).into_bytes(),
        text(b"\x80", "windows-1252"),
        text(b"\xe9", "iso-8859-1"),
        utf_16.encode_utf16().take(BYTES / 2).flat_map(u16::to_le_bytes).collect(),
    ]
    .iter()
    .map(|body| compressed("text/xml", body))
    .collect();
    let limits = format!(
        "body_bytes_max = {}\nresponse_bytes_max = {BYTES}\nbodies_bytes_max = {ALL}",
        BYTES + 1_000
    );
    let server = setup(true, &limits).argument("--workers=40").start();
    for request in &requests {
        let answer = answer(&server, request);
        assert_eq!(answer.status, 200, "it is decoded when it comes alone: {}", answer.text());
    }
    fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
    let (before, are_done) = (status(&server, "VmRSS:"), AtomicBool::new(false));
    thread::scope(|scope| {
        let small = scope.spawn(|| {
            while !are_done.load(Ordering::Relaxed) {
                assert!(adds(&server), "small calls are served meanwhile");
            }
        });
        let send = |number: usize| {
            let request = &requests[number % requests.len()];
            scope.spawn(|| answer(&server, request))
        };
        let answers: Vec<_> = (0..REQUESTS).map(send).collect();
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.join().unwrap()).collect();
        are_done.store(true, Ordering::Relaxed);
        small.join().unwrap();
        for answer in &answers {
            let is_told = answer.status == 503 && answer.field("Retry-After") == Some("1");
            assert!(answer.status == 200 || is_told, "{}", answer.text());
        }
    });
    let peak = (status(&server, "VmHWM:") - before) * 1024;
    assert!(peak < ALL + BESIDE, "{peak} bytes");
    for request in &requests {
        wait_until("free memory", || answer(&server, request).status == 200);
    }
}
