//! How much memory a request takes, and what is left of it afterwards.

use crate::trial::trial;
use hotcall_tests::idle::{connect, connector, page_faults, status};
use hotcall_tests::wire::{self, Wire};
use hotcall_tests::{Server, Setup, artifacts, wait_until};
use libtest_mimic::Trial;
use std::fs;
use std::io::{Read, Write};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("memory::a_request_takes_no_more_than_three_times_its_size", a_request_s_peak),
        trial("memory::what_many_small_values_took_is_given_back", given_back),
        trial("memory::large_calls_use_memory_again_until_they_end", used_again),
    ]
}

const REQUEST_BYTES: usize = 12 << 20;
const STRING: &str = "<value>abcdefgh</value>";

fn server() -> Server {
    Setup::new()
        .argument("--http=127.0.0.1:0")
        .plugin("arithmetic.so", artifacts::plugin("arithmetic"))
        .plugin("interop.so", artifacts::plugin("interop"))
        .start()
}

/// The method called with an array of as many items as the request holds.
fn document(method: &str, item: &str, bytes: usize) -> String {
    let items = item.repeat(bytes / item.len());
    format!(
        "<methodCall><methodName>{method}</methodName><params><param><value><array><data>{items}\
         </data></array></value></param></params></methodCall>"
    )
}

/// What is answered.
fn post(server: &Server, document: &str) -> String {
    let mut wire = Wire::to(server);
    wire.send(wire::post("", document));
    wire.answer().text()
}

/// Whatever the request is full of. Of values that have no text at all there are a million at most.
fn a_request_s_peak() {
    for (method, item, answer) in [
        ("sum", "<value><int>1</int></value>", "<int>466033</int>"),
        ("add", STRING, "faultCode"),
        ("add", "<value><array><data><value/></data></array></value>", "faultCode"),
        (
            "add",
            "<value><struct><member><name>a</name><value/></member></struct></value>",
            "faultCode",
        ),
    ] {
        let document = document(method, item, REQUEST_BYTES);
        // One after a large request would use its memory again.
        let server = server();
        // What comes with a first call and stays is not this one's.
        post(&server, &self::document(method, item, 1));
        fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
        let before = status(&server, "VmRSS:");
        let answered = post(&server, &document);
        assert!(answered.contains(answer), "{item}: {answered}");
        let peak = (status(&server, "VmHWM:") - before) * 1024;
        let size = document.len() as u64;
        assert!(peak < 3 * size, "{item}: {peak} bytes for {size}");
    }
}

fn given_back() {
    const KILOBYTES_KEPT_MAX: u64 = 16 << 10;
    let server = server();
    // The plugin has values of its own, and the answer is made of others, each a small piece of
    // memory.
    let echo = |bytes| {
        post(&server, &document("interopEchoTests.echoStringArray", "<value>a</value>", bytes))
    };
    echo(1);
    let before = status(&server, "VmRSS:");
    let answered = echo(REQUEST_BYTES);
    assert!(
        answered.trim_end().ends_with("</array></value></param></params></methodResponse>"),
        "{}",
        &answered[..500.min(answered.len())]
    );
    wait_until("the memory to be given back", || {
        status(&server, "VmRSS:") < before + KILOBYTES_KEPT_MAX
    });
}

/// Neither buffer of a call with 1 MiB of base64 needs fresh pages: not the one for its body, the
/// parameter, the result and the response.
fn used_again() {
    const BYTES: usize = 1 << 20;
    const CALLS: u64 = 10;
    const FAULTS_MAX: u64 = 50;
    const KILOBYTES_KEPT_MAX: u64 = 4 << 10;
    let text = "AAEC/w+/".repeat(BYTES / 6);
    let document = format!(
        "<methodCall><methodName>interopEchoTests.echoBase64</methodName>\
         <params><param><value><base64>{text}</base64></value></param></params></methodCall>"
    );
    let request = wire::post("", &document);
    let setup = || Setup::new().plugin("interop.so", artifacts::plugin("interop"));
    let plain = setup().argument("--http=127.0.0.1:0").start();
    let secure = setup().argument("--https=127.0.0.1:0").start();
    let before = [&plain, &secure].map(|server| status(server, "RssAnon:"));
    faults_settle(&plain, &mut Wire::to(&plain), &request, &text);
    faults_settle(&secure, &mut Wire::on(connect(&secure, &connector())), &request, &text);
    for (server, before) in [plain, secure].iter().zip(before) {
        wait_until("the memory to be given back", || {
            status(server, "RssAnon:") < before + KILOBYTES_KEPT_MAX
        });
    }

    /// On a busy machine the server may have to return memory between two calls.
    fn faults_settle(
        server: &Server,
        wire: &mut Wire<impl Read + Write>,
        request: &str,
        text: &str,
    ) {
        wait_until("calls without fresh pages", || {
            let before = page_faults(server.pid()).unwrap();
            for _ in 0..CALLS {
                wire.send(request);
                let answer = wire.answer().text();
                assert!(answer.contains(text), "{}", &answer[..500.min(answer.len())]);
            }
            page_faults(server.pid()).unwrap() - before < CALLS * FAULTS_MAX
        });
    }
}
