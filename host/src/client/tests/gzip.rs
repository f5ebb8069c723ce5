//! Compression, both ways.

use super::*;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::io::Read;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn coded(status: &str, coding: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn document(value: &Value) -> Vec<u8> {
    encode_response(value, &EncodeOptions::default()).unwrap()
}

#[test]
fn large_requests_and_answers_are_compressed_when_asked() {
    let compressed = coded("200 OK", "GZIP", &gzip(&document(&Value::from("back"))));
    let (address, server) = serve(vec![compressed, result(&Value::from("plain"))]);
    let client = Client::builder(&format!("http://{address}")).gzip(true).build().unwrap();
    let large = "large ".repeat(1_000);
    assert_eq!(client.call::<String>("m", large.as_str()).unwrap(), "back");
    assert_eq!(client.call::<String>("m", "small").unwrap(), "plain");
    let requests = server.join().unwrap();
    for request in &requests {
        assert_eq!(request.header("accept-encoding"), Some("gzip"));
    }
    assert_eq!(requests[0].header("content-encoding"), Some("gzip"));
    let mut inflated = String::new();
    GzDecoder::new(&requests[0].body[..]).read_to_string(&mut inflated).unwrap();
    assert!(inflated.contains(&large) && requests[0].body.len() < 1_000);
    assert_eq!(requests[1].header("content-encoding"), None);
    assert!(requests[1].body().contains("small"));
}

#[test]
fn compressed_answers_are_read_unasked_and_their_errors_named() {
    let page = b"<html><body>\n<p>No such page</p></body></html>";
    let whole = gzip(&document(&Value::from("x")));
    let mut damaged = whole.clone();
    damaged[20] ^= 0xFF;
    for (answer, expected) in [
        (coded("200 OK", "x-gzip", &whole), "Ok(\"x\")"),
        (coded("200 OK", "identity", &document(&Value::from("x"))), "Ok(\"x\")"),
        (
            coded("404 Not Found", "gzip", &gzip(page)),
            "the server answered HTTP status 404: No such page",
        ),
        (
            coded("200 OK", "br", &whole),
            "answered in the content coding \"br\", which was not asked for",
        ),
        (coded("200 OK", "gzip", &whole[..whole.len() / 2]), "broke off"),
        (coded("200 OK", "gzip", &damaged), "broke off"),
        (coded("200 OK", "gzip", b"<?xml not compressed"), "its gzip data is damaged"),
    ] {
        let (address, server) = serve(vec![answer]);
        let got = match client(address).call::<String>("m", ()) {
            Ok(text) => format!("Ok({text:?})"),
            Err(error) => error.to_string(),
        };
        assert!(got.contains(expected), "{got}, wanted {expected}");
        server.join().unwrap();
    }
}

#[test]
fn the_limit_holds_while_inflating() {
    let bomb = gzip(&document(&Value::from("0".repeat(32 << 20))));
    assert!(bomb.len() < 200_000);
    let (address, server) = serve(vec![coded("200 OK", "gzip", &bomb)]);
    let client =
        Client::builder(&format!("http://{address}")).response_bytes_max(200_000).build().unwrap();
    let error = client.call::<Value>("m", ()).unwrap_err();
    assert_eq!(cause(&error), Cause::TooLarge, "{error}");
    drop(client);
    server.join().unwrap();

    // Members without content inflate to nothing, however many there are.
    let empty = gzip(b"").repeat(20_000);
    let (address, server) = serve(vec![coded("200 OK", "gzip", &empty)]);
    let client =
        Client::builder(&format!("http://{address}")).response_bytes_max(200_000).build().unwrap();
    let error = client.call::<Value>("m", ()).unwrap_err();
    assert_eq!(cause(&error), Cause::TooLarge, "{error}");
    drop(client);
    // The client may have left before all was written.
    drop(server.join());
}
