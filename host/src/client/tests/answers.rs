//! What the client sends, and what it makes of every kind of answer.

use super::*;

#[test]
fn calls_share_one_connection_and_say_what_they_should() {
    let (address, server) = serve(vec![result(&Value::Int(5)), result(&Value::from("é"))]);
    let client =
        Client::builder(&format!("http://{address}")).basic("ann", "pass:word").build().unwrap();
    assert_eq!(client.call::<Value>("add", [Value::Int(2), Value::Int(3)]).unwrap(), Value::Int(5));
    let exchange = client.exchange("name", &[]).unwrap();
    assert_eq!(exchange.result().unwrap(), Value::from("é"));
    let requests = server.join().unwrap();
    assert!(requests[0].head.starts_with("POST /RPC2 HTTP/1.1\r\n"), "{}", requests[0].head);
    let head = requests[0].head.to_ascii_lowercase();
    for header in [
        format!("host: {address}"),
        "content-type: text/xml".into(),
        "user-agent: hotcall/".into(),
        "accept: text/xml".into(),
        "authorization: basic yw5uonbhc3m6d29yza==".into(),
    ] {
        assert!(head.contains(&format!("\r\n{header}")), "{header}\n{head}");
    }
    assert_eq!(requests[0].header("accept-encoding"), None);
    assert!(requests[0].body().contains("<methodName>add</methodName>"), "{}", requests[0].body());
    assert_eq!(requests[1].body, exchange.request);
}

#[test]
fn one_client_serves_many_threads() {
    const fn shared<T: Send + Sync + Clone + 'static>() {}
    const { shared::<Client>() };
    let (address, server) = echo_server();
    let client = client(address);
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let client = client.clone();
            thread::spawn(move || {
                for number in 0..25 {
                    let sent = thread * 1_000 + number;
                    assert_eq!(client.call::<i32>("echo", sent).unwrap(), sent);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    drop(client);
    // Connections were kept: a thread needs no more than one at a time.
    let connections = server();
    assert!((1..=8).contains(&connections), "{connections}");
}

/// Answers each call with its first parameter, on any number of connections at once. The function
/// that it gives stops it and tells how many there were.
fn echo_server() -> (SocketAddr, impl FnOnce() -> usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = std::sync::Arc::clone(&stop);
    let server = thread::spawn(move || {
        let mut connections = Vec::new();
        loop {
            let (stream, _) = listener.accept().unwrap();
            if stopped.load(std::sync::atomic::Ordering::SeqCst) {
                break;
            }
            connections.push(thread::spawn(move || echo_connection(stream)));
        }
        let count = connections.len();
        connections.into_iter().for_each(|connection| connection.join().unwrap());
        count
    });
    let stop = move || {
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        drop(TcpStream::connect(address).unwrap());
        server.join().unwrap()
    };
    (address, stop)
}

fn echo_connection(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while !reader.fill_buf().unwrap().is_empty() {
        let request = read_request(&mut reader);
        let call = crate::xmlrpc::decode_call(&request.body, &DecodeLimits::default()).unwrap();
        stream.write_all(&result(&call.params[0])).unwrap();
    }
}

#[test]
fn faults_are_errors() {
    let (address, server) =
        serve(vec![answer("200 OK", &encode_fault(&Fault::new(-32601, "no such method")))]);
    let error = client(address).call::<Value>("m", []).unwrap_err();
    assert_eq!(error.to_string(), "fault -32601: no such method");
    assert!(matches!(error, Error::Fault(fault) if fault.code == -32601));
    server.join().unwrap();
}

#[test]
fn pages_of_other_servers_are_named() {
    let page = b"<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n</body></html>";
    let moved =
        b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n"
            .to_vec();
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
            "the server answered HTTP status 200 and an HTML page: Welcome",
        ),
        (
            answer(
                "200 OK",
                b"<?xml version='1.0'?>\n<!DOCTYPE HTML><HTML><title>Down</title></HTML>",
            ),
            "the server answered HTTP status 200 and an HTML page: Down",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/HTML\r\nContent-Length: 7\r\n\r\nSorry.\n"
                .to_vec(),
            "the server answered HTTP status 200 and an HTML page: Sorry.",
        ),
        (
            answer("200 OK", b"Sorry.\n"),
            "the answer is not XML-RPC: line 1, column 1: Unexpected characters outside the root \
             element: S; it begins: Sorry.",
        ),
    ] {
        let (address, server) = serve(vec![answer]);
        assert_eq!(client(address).call::<Value>("m", []).unwrap_err().to_string(), expected);
        server.join().unwrap();
    }
}

#[test]
fn broken_answers_are_transport_errors() {
    let cut = result(&Value::from("whole"))[..120].to_vec();
    for answer in [cut, b"".to_vec(), b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()] {
        let (address, server) = serve(vec![answer]);
        let error = client(address).call::<Value>("m", []).unwrap_err();
        assert!(matches!(&error, Error::Transport { cause: Cause::Broken, .. }), "{error:?}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        server.join().unwrap();
    }
}

#[test]
fn who_has_answered_in_http_does_not_want_tls() {
    let hint = "it may be that this server is reached by https:// only";
    let (address, server) = serve(vec![b"".to_vec()]);
    let error = client(address).call::<Value>("m", []).unwrap_err();
    assert!(error.to_string().contains(hint), "{error}");
    server.join().unwrap();

    let (address, server) = serve(vec![result(&Value::Nil), b"".to_vec()]);
    let client = client(address);
    client.call::<()>("m", []).unwrap();
    let error = client.call::<Value>("m", []).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the exchange with {address} broke off: the connection ended without an answer; \
             whether the call was executed is not known"
        )
    );
    server.join().unwrap();
}

#[test]
fn an_answer_past_the_limit_is_refused() {
    let (address, server) = serve(vec![result(&Value::from("x".repeat(2_000)))]);
    let client =
        Client::builder(&format!("http://{address}")).response_bytes_max(1_000).build().unwrap();
    let error = client.call::<Value>("m", []).unwrap_err();
    assert!(matches!(error, Error::Transport { cause: Cause::TooLarge, .. }), "{error:?}");
    server.join().unwrap();
}

#[test]
fn silence_ends_at_the_time_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::builder(&url).timeout(Duration::from_millis(50)).build().unwrap();
    let error = client.call::<Value>("m", []).unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert!(error.to_string().ends_with("did not answer in time"), "{error}");

    // Connecting takes TLS in, and this server says nothing.
    let url = url.replace("http:", "https:");
    let client = Client::builder(&url).connect_timeout(Duration::from_millis(50)).build().unwrap();
    let error = client.call::<Value>("m", []).unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert!(error.to_string().starts_with("cannot connect to 127.0.0.1:"), "{error}");
}

#[test]
fn decoding_ends_at_the_time_limit() {
    const BYTES: usize = 16 << 20;
    for (start, slow) in [
        ("<methodResponse>", "<!-- x -->"),
        ("<methodResponse>", "<?a b?>"),
        ("<methodResponse><params><param><!-- --><value><string>", "&amp;"),
    ] {
        let document = [start, &slow.repeat(BYTES / slow.len())].concat();
        let (address, server) = serve(vec![answer("200 OK", document.as_bytes())]);
        let limit = Duration::from_millis(500);
        let client = Client::builder(&format!("http://{address}")).timeout(limit).build().unwrap();
        let error = client.call::<Value>("m", []).unwrap_err();
        assert!(error.is_timeout(), "{slow}: {error}");
        // A slow machine may have closed it before the whole answer was written.
        drop(server.join());
    }
}

#[test]
fn decoding_has_what_the_exchange_left_of_the_time() {
    let slow = "<!-- x -->".repeat(1 << 16);
    let (address, server) = serve(vec![answer("200 OK", slow.as_bytes())]);
    let exchange = client(address).exchange("m", &[]).unwrap();
    assert!(matches!(exchange.result(), Err(Error::Protocol(_))));
    let error = Exchange { time_left: Duration::ZERO, ..exchange }.result().unwrap_err();
    assert!(error.is_timeout() && error.to_string().contains("655360 bytes"), "{error}");
    server.join().unwrap();
}

#[test]
fn where_nobody_listens_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = client(address).call::<Value>("m", []).unwrap_err();
    assert!(matches!(error, Error::Transport { cause: Cause::Unreachable, .. }), "{error:?}");
}

#[test]
fn what_cannot_be_sent_is_said_before_sending() {
    let error =
        client(([127, 0, 0, 1], 1).into()).call::<Value>("m", [Value::from("\u{1}")]).unwrap_err();
    assert!(matches!(error, Error::Params(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the parameters of m cannot be sent: the call holds U+0001, which XML cannot carry; send \
         it as base64"
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
        let Err(Error::Url(message)) = Client::builder(url).build() else {
            panic!("{url} was taken")
        };
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
    let refused = |builder: Builder| match builder.build() {
        Err(Error::Credentials(message)) => message,
        _ => panic!("not refused"),
    };
    let builder = || Client::builder("https://localhost");
    assert!(
        refused(builder().ca_file("/nonexistent/ca.pem"))
            .starts_with("cannot read /nonexistent/ca.pem: ")
    );
    assert!(refused(builder().ca_pem("hello")).contains("holds no certificate"));
    assert!(refused(builder().basic("a:b", "c")).contains("colon"));
}

#[test]
fn headers_are_sent_unless_they_are_the_clients_own() {
    let (address, server) = serve(vec![result(&Value::Nil)]);
    let client = Client::builder(&format!("http://{address}"))
        .header("X-Tenant", "blue")
        .header("authorization", "Bearer t0ken")
        .header("x-tenant", "green");
    client.build().unwrap().call::<()>("m", ()).unwrap();
    let head = server.join().unwrap()[0].head.to_ascii_lowercase();
    for line in ["x-tenant: blue", "x-tenant: green", "authorization: bearer t0ken"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
    }

    for (name, value, expected) in [
        ("Host", "x", "is the client's own"),
        ("content-length", "5", "is the client's own"),
        ("Transfer-Encoding", "chunked", "is the client's own"),
        ("Proxy-Authorization", "Basic eA==", "is the client's own"),
        ("X y", "x", "has no possible name"),
        ("", "x", "has no possible name"),
        ("X", "secret\r\nHost: evil", "has a value that cannot be sent"),
        ("Authorization", "secret", "and a user name cannot both be sent"),
    ] {
        let builder = Client::builder("http://localhost").basic("ann", "pw").header(name, value);
        let Err(Error::Header(message)) = builder.build() else { panic!("{name} was taken") };
        assert!(message.contains(expected) && !message.contains("secret"), "{message}");
    }
    let many =
        (0..65).fold(Client::builder("http://localhost"), |builder, _| builder.header("x", "y"));
    assert!(matches!(many.build(), Err(Error::Header(_))));
}

#[test]
fn nothing_that_is_printed_for_debugging_is_secret() {
    let builder = Client::builder("http://localhost").basic("ann", "secret").header("x", "secret");
    assert!(!format!("{builder:?}").contains("secret"));
    let client = builder.build().unwrap();
    assert_eq!(format!("{client:?}"), "Client(\"localhost\")");
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
        assert_eq!(client.0.http.url.path_and_query().unwrap().as_str(), path, "{url}");
    }
}

#[test]
fn a_unix_socket_is_an_address_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let url = format!("unix:{}", path.display());
    let why = Client::builder(&url).build().unwrap().call::<Value>("m", []).unwrap_err();
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
        assert_eq!(client.call::<Value>("m", []).unwrap(), Value::Int(number));
    }
    for request in server.join().unwrap() {
        assert!(request.head.starts_with("POST /RPC2 HTTP/1.1\r\n"), "{}", request.head);
    }
    assert!(matches!(Client::builder("unix:").build(), Err(Error::Url(_))));
}

#[test]
fn a_silent_unix_socket_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let client =
        Client::builder(&format!("unix:{}", path.display())).timeout(Duration::from_millis(50));
    let why = client.build().unwrap().call::<Value>("m", []).unwrap_err();
    assert!(matches!(why, Error::Transport { cause: Cause::Timeout, .. }), "{why}");
}

#[test]
fn the_first_line_of_a_page_is_its_cause() {
    for (page, line) in [
        (
            "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title>\
             <style>body{color:red}</style></head><body><h1>Bad",
            "502 Bad Gateway",
        ),
        (
            "<html><STYLE type='x'>\nbody{a</b}\n</STYLE><title>502  Bad\tGateway</title>",
            "502 Bad Gateway",
        ),
        ("<script>if (a < b) {}</script>down for now\nsorry", "down for now"),
        ("<fault><name>faultCode</name><int>4</int></fault>", "faultCode 4"),
        ("plain\r\ntext", "plain"),
        ("\n\n <style>never ends", ""),
        ("", ""),
    ] {
        assert_eq!(super::super::http::first_line(page.as_bytes()), line, "{page}");
    }
}

#[test]
fn the_charset_of_an_answer_counts() {
    let body = b"<?xml version='1.0'?><methodResponse>\
                 <params><param><value>caf\xE9</value></param></params></methodResponse>";
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=iso-8859-1\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let (address, server) = serve(vec![[head.as_bytes(), body].concat()]);
    assert_eq!(client(address).call::<String>("m", ()).unwrap(), "caf\u{e9}");
    server.join().unwrap();
}

#[test]
fn an_answer_is_read_within_its_limits() {
    let nested = |depth| (0..depth).fold(Value::Int(1), |value, _| Value::Array(vec![value]));
    let many = |count| Value::Array(vec![Value::Int(1); count]);
    type Limit = fn(Builder) -> Builder;
    let (depth, values): (Limit, Limit) =
        (|builder| builder.response_depth_max(3), |builder| builder.response_values_max(5));
    for (limit, within, past, message) in [
        (depth, nested(3), nested(4), "nested deeper than 3"),
        ((|builder| builder) as Limit, nested(128), nested(129), "nested deeper than 128"),
        (values, many(4), many(5), "more than 5 values"),
    ] {
        // Some servers call it HTML whatever it is.
        let past =
            String::from_utf8(result(&past)).unwrap().replace("text/xml", "text/html").into_bytes();
        let (address, server) = serve(vec![result(&within), past]);
        let client = limit(Client::builder(&format!("http://{address}"))).build().unwrap();
        assert_eq!(client.call::<Value>("m", ()).unwrap(), within);
        match client.call::<Value>("m", ()) {
            Err(Error::Protocol(told)) => assert!(told.contains(message), "{told}"),
            other => panic!("{other:?}"),
        }
        server.join().unwrap();
    }
}
