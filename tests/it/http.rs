//! What HTTP clients get that do not send a plain XML-RPC call: bytes in, bytes out.

use crate::trial::trial;
use hotcall_tests::{Server, Setup, artifacts, wait_until};
use libtest_mimic::Trial;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::{fs, thread};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("http::each_request_gets_its_status_and_a_reason", each_request_gets_its_status),
        trial(
            "http::bad_documents_are_faults_and_the_connection_goes_on",
            bad_documents_are_faults,
        ),
        trial("http::a_body_past_the_limit_is_refused", a_body_past_the_limit_is_refused),
        trial("http::chunks_are_put_together", chunks_are_put_together),
        trial(
            "http::pipelined_requests_are_answered_in_order",
            pipelined_requests_are_answered_in_order,
        ),
        trial(
            "http::who_asks_first_is_not_told_to_send_too_much",
            who_asks_first_is_not_told_to_send_too_much,
        ),
        trial("http::a_full_queue_answers_at_once", a_full_queue_answers_at_once),
        trial("http::a_unix_socket_serves_like_the_others", a_unix_socket_serves),
        trial(
            "http::unix_sockets_are_their_owner_s_alone_whatever_the_umask",
            unix_sockets_are_private,
        ),
    ]
}

const ADD: &str = "<?xml version='1.0'?>\n<methodCall><methodName>add</methodName>\
    <params><param><value><int>2</int></value></param><param><value><i4>3</i4></value></param>\
    </params></methodCall>";

fn plain() -> Setup {
    Setup::new()
        .argument("--http=127.0.0.1:0")
        .plugin("arithmetic.so", artifacts::plugin("arithmetic"))
}

/// A connection to its first listener, which speaks plain HTTP.
pub fn connect(server: &Server) -> TcpStream {
    let address =
        server.url().strip_prefix("http://").and_then(|rest| rest.strip_suffix("/RPC2")).unwrap();
    TcpStream::connect(address).unwrap()
}

fn post(target: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// Reads one response: its status, its head, its body.
fn response(stream: &mut impl Read) -> (u16, String, String) {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            other => {
                panic!("the response ends early ({other:?}): {:?}", String::from_utf8_lossy(&bytes))
            }
        }
    }
    let head = String::from_utf8(bytes).unwrap();
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    if status == 100 {
        return response(stream);
    }
    let length =
        head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (status, head, String::from_utf8(body).unwrap())
}

/// Sends a request and reads its response: the status, the head, the body.
pub fn exchange(stream: &mut (impl Read + Write), request: &str) -> (u16, String, String) {
    stream.write_all(request.as_bytes()).unwrap();
    response(stream)
}

fn each_request_gets_its_status() {
    let server = plain().start();
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let cases = [
        (post("/RPC2", "", ADD), 200, "<int>5</int>", "Content-Type: text/xml; charset=utf-8"),
        (post("/", "", ADD), 200, "<int>5</int>", "Server: Hotcall/"),
        (post("/?query", "Content-Encoding: identity\r\n", ADD), 200, "<int>5</int>", ""),
        (post("/RPC2/", "", ADD), 404, "/RPC2", "Content-Type: text/plain"),
        (post("/elsewhere", "", ADD), 404, "/RPC2", ""),
        (get("/RPC2"), 405, "POST", "Allow: OPTIONS, POST"),
        (
            post("/RPC2", "Content-Encoding: br\r\n", ADD),
            415,
            "\"br\"",
            "Accept-Encoding: gzip, deflate",
        ),
        (post("/RPC2", "Expect: 100-continue\r\n", ADD), 200, "<int>5</int>", ""),
        (post("/RPC2", "", ""), 200, "<int>-32700</int>", ""),
    ];
    // All on one connection: none of them leaves it out of step.
    let mut stream = connect(&server);
    for (request, status, body_has, head_has) in cases {
        let (got, head, body) = exchange(&mut stream, &request);
        assert_eq!(got, status, "{request}\n{head}\n{body}");
        assert!(body.contains(body_has) && head.contains(head_has), "{request}\n{head}\n{body}");
    }
}

fn bad_documents_are_faults() {
    let server = plain().start();
    let mut stream = connect(&server);
    let nested =
        format!("{}{}", "<value><array><data>".repeat(200), "</data></array></value>".repeat(200));
    let cases = [
        ("not xml at all".to_owned(), -32700),
        ("<methodCall><methodName>add</methodName>".to_owned(), -32700),
        ("<?xml version='1.0' encoding='klingon'?><methodCall/>".to_owned(), -32701),
        ("<html></html>".to_owned(), -32600),
        ("<methodCall><params/></methodCall>".to_owned(), -32600),
        (
            format!(
                "<methodCall><methodName>sum</methodName><params><param>{nested}</param></params>\
                 </methodCall>"
            ),
            -32600,
        ),
        (ADD.replace("add", "nope"), -32601),
        (ADD.replace("<i4>3</i4>", "<string>x</string>"), -32602),
    ];
    for (document, code) in cases {
        let (status, _, body) = exchange(&mut stream, &post("/RPC2", "", &document));
        assert_eq!(status, 200, "{document}");
        assert!(body.contains(&format!("<int>{code}</int>")), "{document}\n{body}");
    }
    let (_, _, body) = exchange(&mut stream, &post("/RPC2", "", ADD));
    assert!(body.contains("<int>5</int>"), "{body}");
}

fn a_body_past_the_limit_is_refused() {
    let server = plain().config("[limits]\nbody_bytes_max = 10_000\n").start();
    let large = ADD.replace("<?xml", &format!("{}<?xml", " ".repeat(20_000)));
    let chunk = "x".repeat(8_000);
    let head = "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked = format!("{head}1f40\r\n{chunk}\r\n1f40\r\n{chunk}\r\n0\r\n\r\n");
    let huge = |length: &str| {
        format!("POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
    };
    let declared = ["99999999999999", "9223372036854775807", "18446744073709551615"].map(huge);
    for request in [post("/RPC2", "", &large), chunked].into_iter().chain(declared) {
        let mut stream = connect(&server);
        let (status, head, body) = exchange(&mut stream, &request);
        assert_eq!(status, 413, "{body}");
        assert!(head.contains("Connection: close") && body.contains("10000 bytes"), "{head}{body}");
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the connection is closed");
    }
    let (_, _, body) = exchange(&mut connect(&server), &post("/RPC2", "", ADD));
    assert!(body.contains("<int>5</int>"), "{body}");
}

fn chunks_are_put_together() {
    let server = plain().start();
    let mut stream = connect(&server);
    let (one, other) = ADD.split_at(30);
    let head = "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = format!(
        "{:x};name=value\r\n{one}\r\n{:X}\r\n{other}\r\n0\r\nTrailer: x\r\n\r\n",
        one.len(),
        other.len()
    );
    for _ in 0..3 {
        let (status, _, body) = exchange(&mut stream, &format!("{head}{chunks}"));
        assert!(status == 200 && body.contains("<int>5</int>"), "{status} {body}");
    }
}

fn pipelined_requests_are_answered_in_order() {
    let server = plain().start();
    let mut stream = connect(&server);
    let requests: String = (0..20)
        .map(|n| post("/RPC2", "", &ADD.replace("<i4>3</i4>", &format!("<i4>{n}</i4>"))))
        .collect();
    stream.write_all(requests.as_bytes()).unwrap();
    for n in 0..20 {
        let (_, _, body) = response(&mut stream);
        assert!(body.contains(&format!("<int>{}</int>", n + 2)), "{n}: {body}");
    }
}

/// Who asks first is not told to go on with what is too large.
fn who_asks_first_is_not_told_to_send_too_much() {
    let server = plain().start();
    let mut stream = connect(&server);
    let head =
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
}

fn a_full_queue_answers_at_once() {
    let server = Setup::new()
        .argument("--http=127.0.0.1:0")
        .argument("--workers=1")
        .plugin("echo.so", artifacts::plugin("echo"))
        .config("[limits]\nqueue_len_max = 2\nqueue_len_per_client_percent_max = 100\n")
        .start();
    let file = server.beside("done");
    let until = format!(
        "<methodCall><methodName>echo.until</methodName>\
         <params><param><value>{}</value></param></params></methodCall>",
        file.display()
    );
    let (sender, answers) = mpsc::channel();
    for _ in 0..8 {
        let (mut stream, sender) = (connect(&server), sender.clone());
        stream.write_all(post("/RPC2", "", &until).as_bytes()).unwrap();
        thread::spawn(move || sender.send(response(&mut stream)));
    }
    drop(sender);
    // The worker has one call and the queue two. The others are refused while those wait for the
    // file.
    let is_refusal = |(status, head, body): &(u16, String, String)| {
        *status == 503 && head.contains("Retry-After: 1") && body.contains("Overloaded")
    };
    for answer in answers.iter().take(5) {
        assert!(is_refusal(&answer), "{answer:?}");
    }
    fs::write(&file, "").unwrap();
    let others: Vec<_> = answers.iter().collect();
    assert_eq!(others.len(), 3);
    assert!(others.iter().any(|(status, ..)| *status == 200), "{others:?}");
    assert!(others.iter().all(|answer| answer.0 == 200 || is_refusal(answer)), "{others:?}");
}

fn unix_sockets_are_private() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let root = tempfile::tempdir().unwrap();
    let state = root.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, PermissionsExt::from_mode(0o755)).unwrap();
    let socket = state.join("operator.sock");
    let _server = plain()
        .state_dir(&state)
        .argument(format!("--unix={}", socket.display()))
        .after("umask 0")
        .start();
    let files = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap());
    let sockets: Vec<_> = files.filter(|file| file.file_type().unwrap().is_socket()).collect();
    // The operators', and the one to which only the gate may connect.
    assert_eq!(sockets.len(), 2, "{sockets:?}");
    for file in sockets {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

fn a_unix_socket_serves() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("hotcall.sock");
    // A file that a killed server left behind is in nobody's way.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut server = plain().argument(format!("--unix={}", path.display())).start();
    assert_eq!(server.urls()[1], format!("unix:{}", path.display()));
    let (status, _, body) =
        exchange(&mut UnixStream::connect(&path).unwrap(), &post("/RPC2", "", ADD));
    assert!(status == 200 && body.contains("<int>5</int>"), "{body}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(server.stop().success());
    wait_until("the socket's end", || match UnixStream::connect(&path) {
        Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused),
        Ok(_) => false,
    });
}
