//! What vetting a request costs: `cargo bench -p hotcall --bench gate --features fuzz`.

use divan::{Bencher, black_box};
use hotcall::fuzz::vet;

const BODY: &str = "<?xml version='1.0'?>\n<methodCall>\n<methodName>add</methodName>\n<params>\n\
    <param>\n<value><int>2</int></value>\n</param>\n<param>\n<value><int>3</int></value>\n\
    </param>\n</params>\n</methodCall>\n";

fn main() {
    divan::main();
}

fn is_whole(bencher: Bencher<'_, '_>, head: &str, body: &str) {
    // Two heads in turn, because a thread vets the head that it has just vetted only once.
    let requests = ["1", "2"]
        .map(|other| format!("POST /RPC2 HTTP/1.1\r\nX-Other: {other}\r\n{head}\r\n{body}"));
    assert!(requests.iter().all(|request| vet(request.as_bytes())), "{requests:?}");
    let mut turns = requests.iter().cycle();
    bencher.bench_local(|| vet(black_box(turns.next().unwrap_or(&requests[0]).as_bytes())));
}

/// The same request each time.
#[divan::bench]
fn the_last_head(bencher: Bencher<'_, '_>) {
    let length = BODY.len();
    let request = format!(
        "POST /RPC2 HTTP/1.1\r\nHost: localhost:8443\r\nContent-Length: {length}\r\n\r\n{BODY}"
    );
    assert!(vet(request.as_bytes()), "{request}");
    bencher.bench_local(|| vet(black_box(request.as_bytes())));
}

/// As Python's client sends it.
#[divan::bench]
fn python(bencher: Bencher<'_, '_>) {
    let length = BODY.len();
    let head = format!(
        "Host: localhost:8443\r\nAccept-Encoding: gzip\r\nContent-Type: text/xml\r\n\
         User-Agent: Python-xmlrpc/3.11\r\nContent-Length: {length}\r\n"
    );
    is_whole(bencher, &head, BODY);
}

#[divan::bench]
fn chunked(bencher: Bencher<'_, '_>) {
    let body = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    is_whole(bencher, "Host: localhost:8443\r\nTransfer-Encoding: chunked\r\n", &body);
}

/// As many fields as are taken.
#[divan::bench]
fn a_hundred_fields(bencher: Bencher<'_, '_>) {
    let fields = "X-Some-Field: with some text\r\n".repeat(97);
    is_whole(bencher, &format!("Host: localhost:8443\r\nContent-Length: 0\r\n{fields}"), "");
}
