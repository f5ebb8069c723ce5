//! The client against a server of a few lines: what it sends, and what it makes of every kind of answer.

use super::*;
use crate::xmlrpc::{Fault, encode_fault, encode_response};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Answers one connection's requests with these bytes, one after the other, and returns what it read.
fn serve(answers: Vec<Vec<u8>>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        answers
            .iter()
            .map(|answer| {
                let request = read_request(&mut reader);
                stream.write_all(answer).unwrap();
                request
            })
            .collect()
    });
    (address, server)
}

fn read_request(reader: &mut impl BufRead) -> String {
    let (mut request, mut length) = (String::new(), 0);
    loop {
        let start = request.len();
        reader.read_line(&mut request).unwrap();
        let line = request[start..].to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    request + std::str::from_utf8(&body).unwrap()
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn result(value: &Value) -> Vec<u8> {
    answer("200 OK", &encode_response(value, &EncodeOptions::default()).unwrap())
}

fn client(address: SocketAddr) -> Client {
    Client::builder(&format!("http://{address}")).timeout(Duration::from_secs(20)).build().unwrap()
}

#[test]
fn calls_share_one_connection_and_say_what_they_should() {
    let (address, server) = serve(vec![result(&Value::Int(5)), result(&Value::from("é"))]);
    let client = Client::builder(&format!("http://{address}")).basic("ann", "pass:word").build().unwrap();
    assert_eq!(client.call("add", [Value::Int(2), Value::Int(3)]).unwrap(), Value::Int(5));
    let exchange = client.exchange("name", &[]).unwrap();
    assert_eq!(exchange.result().unwrap(), Value::from("é"));
    let requests = server.join().unwrap();
    assert!(requests[0].starts_with("POST /RPC2 HTTP/1.1\r\n"), "{}", requests[0]);
    let head = requests[0].to_ascii_lowercase();
    for header in [
        format!("host: {address}"),
        "content-type: text/xml".into(),
        "user-agent: hotcall/".into(),
        "authorization: basic yw5uonbhc3m6d29yza==".into(),
    ] {
        assert!(head.contains(&format!("\r\n{header}")), "{header}\n{head}");
    }
    assert!(requests[0].contains("<methodName>add</methodName>"), "{}", requests[0]);
    assert!(requests[1].ends_with(std::str::from_utf8(&exchange.request).unwrap()), "{}", requests[1]);
}

#[test]
fn one_client_serves_many_threads() {
    let (first, first_server) = serve(vec![result(&Value::Int(1))]);
    let client = client(first);
    let other = client.clone();
    let thread = thread::spawn(move || other.call("m", []).unwrap());
    assert_eq!(thread.join().unwrap(), Value::Int(1));
    drop(client);
    first_server.join().unwrap();
}

#[test]
fn a_connection_that_the_server_has_closed_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(listener.local_addr().unwrap());
    let (closed, on_closed) = mpsc::channel();
    let server = thread::spawn(move || {
        for number in [1, 2] {
            let (mut stream, _) = listener.accept().unwrap();
            read_request(&mut BufReader::new(stream.try_clone().unwrap()));
            stream.write_all(&result(&Value::Int(number))).unwrap();
            drop(stream);
            closed.send(()).unwrap();
        }
    });
    for number in [1, 2] {
        assert_eq!(client.call("m", []).unwrap(), Value::Int(number));
        on_closed.recv().unwrap();
    }
    server.join().unwrap();
}

#[test]
fn faults_are_errors() {
    let (address, server) =
        serve(vec![answer("200 OK", &encode_fault(&Fault::new(-32601, "no such method")))]);
    let error = client(address).call("m", []).unwrap_err();
    assert_eq!(error.to_string(), "fault -32601: no such method");
    assert!(matches!(error, Error::Fault(fault) if fault.code == -32601));
    server.join().unwrap();
}

#[test]
fn pages_of_other_servers_are_named() {
    let page = b"<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n</body></html>";
    let moved = b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n".to_vec();
    for (answer, expected) in [
        (answer("404 Not Found", page), "the server answered HTTP status 404: 404 Not Found"),
        (
            answer("503 Busy", b"\ntoo many calls wait\nmore"),
            "the server answered HTTP status 503: too many calls wait",
        ),
        (answer("403 No", b""), "the server answered HTTP status 403"),
        (moved, "the server answered HTTP status 301"),
        (
            answer("200 OK", b"<html><p>Welcome</p></html>"),
            "the answer is not XML-RPC: line 1, column 6: the document is a <html>, not a <methodResponse>; it begins: Welcome",
        ),
    ] {
        let (address, server) = serve(vec![answer]);
        assert_eq!(client(address).call("m", []).unwrap_err().to_string(), expected);
        server.join().unwrap();
    }
}

#[test]
fn broken_answers_are_transport_errors() {
    let cut = result(&Value::from("whole"))[..120].to_vec();
    for answer in [cut, b"".to_vec(), b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()] {
        let (address, server) = serve(vec![answer]);
        let error = client(address).call("m", []).unwrap_err();
        assert!(matches!(&error, Error::Transport { cause: Cause::Broken, .. }), "{error:?}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        server.join().unwrap();
    }
}

#[test]
fn an_answer_past_the_limit_is_refused() {
    let (address, server) = serve(vec![result(&Value::from("x".repeat(2_000)))]);
    let client = Client::builder(&format!("http://{address}")).response_bytes_max(1_000).build().unwrap();
    let error = client.call("m", []).unwrap_err();
    assert!(matches!(error, Error::Transport { cause: Cause::TooLarge, .. }), "{error:?}");
    server.join().unwrap();
}

#[test]
fn silence_ends_at_the_time_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::builder(&url).timeout(Duration::from_millis(50)).build().unwrap();
    let error = client.call("m", []).unwrap_err();
    assert!(matches!(error, Error::Transport { cause: Cause::Timeout, .. }), "{error:?}");
}

#[test]
fn where_nobody_listens_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = client(address).call("m", []).unwrap_err();
    assert!(matches!(error, Error::Transport { cause: Cause::Unreachable, .. }), "{error:?}");
}

#[test]
fn what_cannot_be_sent_is_said_before_sending() {
    let error = client(([127, 0, 0, 1], 1).into()).call("m", [Value::from("\u{1}")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "fault -32500: the call holds U+0001, which XML cannot carry; send it as base64"
    );
}

#[test]
fn addresses_and_credentials_are_checked_first() {
    for (url, expected) in [
        ("localhost:8443", "does not start with http://, https:// or unix:"),
        ("ftp://localhost", "does not start with http://, https:// or unix:"),
        ("https://", "\"https://\""),
        ("https:///RPC2", "\"https:///RPC2\""),
        ("https://a b/", "is not a URL"),
        ("https://ann:secret@localhost/", "a user name does not belong in the URL"),
    ] {
        let Err(Error::Url(message)) = Client::builder(url).build() else { panic!("{url} was taken") };
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
    let refused = |builder: Builder| match builder.build() {
        Err(Error::Credentials(message)) => message,
        _ => panic!("not refused"),
    };
    let builder = || Client::builder("https://localhost");
    assert!(
        refused(builder().ca_file("/nonexistent/ca.pem")).starts_with("cannot read /nonexistent/ca.pem: ")
    );
    assert!(refused(builder().ca_pem("hello")).contains("holds no certificate"));
    assert!(refused(builder().basic("a:b", "c")).contains("colon"));
}

#[test]
fn an_empty_path_means_rpc2() {
    for (url, path) in [
        ("http://localhost", "/RPC2"),
        ("http://[::1]:80", "/RPC2"),
        ("http://localhost/", "/"),
        ("http://localhost/x?y", "/x?y"),
    ] {
        let client = Client::builder(url).build().unwrap();
        assert_eq!(client.url.path_and_query().unwrap().as_str(), path, "{url}");
    }
}

#[test]
fn a_unix_socket_is_an_address_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let url = format!("unix:{}", path.display());
    let why = Client::builder(&url).build().unwrap().call("m", []).unwrap_err();
    assert!(matches!(why, Error::Transport { cause: Cause::Unreachable, .. }), "{why}");
    assert!(why.to_string().contains(&url), "{why}");

    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        [1, 2].map(|number| {
            let request = read_request(&mut reader);
            stream.write_all(&result(&Value::Int(number))).unwrap();
            request
        })
    });
    let client = Client::builder(&url).build().unwrap();
    // Both on one connection: the server accepts no second one.
    for number in [1, 2] {
        assert_eq!(client.call("m", []).unwrap(), Value::Int(number));
    }
    for request in server.join().unwrap() {
        assert!(request.starts_with("POST /RPC2 HTTP/1.1\r\n"), "{request}");
    }
    assert!(matches!(Client::builder("unix:").build(), Err(Error::Url(_))));
}

#[test]
fn a_silent_unix_socket_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let client = Client::builder(&format!("unix:{}", path.display())).timeout(Duration::from_millis(50));
    let why = client.build().unwrap().call("m", []).unwrap_err();
    assert!(matches!(why, Error::Transport { cause: Cause::Timeout, .. }), "{why}");
}
