//! The client behind a proxy that makes tunnels.

use super::*;
use std::{io, iter};

/// Makes a tunnel to `server`, whatever name it is asked for, on so many connections. Returns what
/// it was asked.
fn tunnels(server: SocketAddr, connections: usize) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = thread::spawn(move || {
        let tunnel = |_| {
            let (mut near, _) = listener.accept().unwrap();
            // No byte behind the head is lost: the client waits for the answer.
            let head = read_head(&mut BufReader::new(near.try_clone().unwrap()));
            let mut far = TcpStream::connect(server).unwrap();
            near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
            let (mut near_too, mut far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            let back = thread::spawn(move || {
                drop(io::copy(&mut far_too, &mut near_too));
                drop(near_too.shutdown(std::net::Shutdown::Both));
            });
            drop(io::copy(&mut near, &mut far));
            drop(far.shutdown(std::net::Shutdown::Both));
            back.join().unwrap();
            head
        };
        (0..connections).map(tunnel).collect()
    });
    (address, proxy)
}

#[test]
fn calls_go_through_one_tunnel_and_what_is_the_servers_goes_there_only() {
    let (server_address, server) = serve(vec![result(&Value::Int(1)), result(&Value::Int(2))]);
    let (proxy_address, proxy) = tunnels(server_address, 1);
    let client = Client::builder("http://server.test:1234")
        .proxy(&format!("http://bob:proxy%20secret@{proxy_address}"))
        .basic("ann", "secret")
        .header("X-Secret", "secret")
        .build()
        .unwrap();
    for number in [1, 2] {
        assert_eq!(client.call::<i32>("m", ()).unwrap(), number);
    }
    drop(client);
    let heads = proxy.join().unwrap();
    assert_eq!(heads.len(), 1);
    assert!(heads[0].starts_with("CONNECT server.test:1234 HTTP/1.1\r\n"), "{}", heads[0]);
    let head = heads[0].to_ascii_lowercase();
    // Of "bob:proxy secret".
    assert!(
        head.contains(
            "\r\nproxy-authorization: basic ym9iOnByb3h5IHNlY3JldA==\r\n"
                .to_ascii_lowercase()
                .as_str()
        ),
        "{head}"
    );
    assert!(!head.contains("\r\nauthorization:") && !head.contains("x-secret"), "{head}");
    for request in server.join().unwrap() {
        assert_eq!(request.header("authorization"), Some("Basic YW5uOnNlY3JldA=="));
        assert_eq!(request.header("host"), Some("server.test:1234"));
        assert_eq!(request.header("proxy-authorization"), None);
    }
}

#[test]
fn tls_runs_within_the_tunnel() {
    let identity = tls::identity("server");
    let (port, server) = tls::serve(&identity, None);
    let (proxy_address, proxy) = tunnels(([127, 0, 0, 1], port).into(), 1);
    // The proxy is asked although the server is on this machine, because it is asked for by name.
    let client = Client::builder("https://localhost:8443")
        .proxy(&proxy_address.to_string())
        .ca_pem(identity.certificate.to_pem().unwrap())
        .build()
        .unwrap();
    assert_eq!(client.call::<String>("m", ()).unwrap(), "");
    drop(client);
    server.join().unwrap();
    assert!(proxy.join().unwrap()[0].starts_with("CONNECT localhost:8443 "));
}

#[test]
fn a_proxy_that_refuses_or_is_away_is_named() {
    let (proxy, refusing) = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let refusing = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            read_head(&mut BufReader::new(stream.try_clone().unwrap()));
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").unwrap();
        });
        (address, refusing)
    };
    let through = |proxy: SocketAddr| {
        let client = Client::builder("http://server.test")
            .proxy(&format!("http://{proxy}"))
            .build()
            .unwrap();
        client.call::<Value>("m", ()).unwrap_err()
    };
    let error = through(proxy);
    assert_eq!(cause(&error), Cause::Proxy, "{error}");
    assert!(
        error.to_string().contains("403") && error.to_string().contains("server.test"),
        "{error}"
    );
    refusing.join().unwrap();
    let error = through(proxy);
    assert_eq!(cause(&error), Cause::Unreachable, "{error}");
    assert!(error.to_string().contains(&format!("through the proxy {proxy}")), "{error}");
}

#[test]
fn a_proxy_that_closes_without_an_answer_is_the_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let closing = thread::spawn(move || {
        read_head(&mut BufReader::new(listener.accept().unwrap().0));
    });
    let client = Client::builder("http://server.test").proxy(&proxy).build().unwrap();
    let error = client.call::<Value>("m", ()).unwrap_err();
    assert_eq!(cause(&error), Cause::Proxy, "{error}");
    closing.join().unwrap();
}

/// A proxy that reads `CONNECT` and then writes these pieces, with a pause after each. It ends with
/// its client.
fn talks(
    pieces: impl IntoIterator<Item = Vec<u8>> + Send + 'static,
    pause: Duration,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_head(&mut BufReader::new(stream.try_clone().unwrap()));
        for piece in pieces {
            if stream.write_all(&piece).is_err() {
                return;
            }
            thread::sleep(pause);
        }
    });
    address
}

#[test]
fn the_connect_timeout_covers_all_of_the_proxys_answer() {
    let status = iter::once(b"HTTP/1.1 200 OK\r\n".to_vec());
    // It ends after some seconds, so that a client that waits for the end fails this test and does
    // not hang.
    let trickle = status.chain(iter::repeat_n(b"X".to_vec(), 500));
    let proxy = talks(trickle, Duration::from_millis(10));
    let client = Client::builder("http://server.test")
        .proxy(&format!("http://{proxy}"))
        .connect_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let error = client.call::<Value>("m", ()).unwrap_err();
    assert_eq!(cause(&error), Cause::Timeout, "{error}");
    assert!(error.to_string().starts_with("cannot connect to "), "{error}");
}

#[test]
fn the_proxys_answer_is_bounded_in_bytes() {
    let header = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 32 << 10]].concat();
    let silence = iter::repeat_n(Vec::new(), 500);
    let proxy = talks(iter::once(header).chain(silence), Duration::from_millis(10));
    let client =
        Client::builder("http://server.test").proxy(&format!("http://{proxy}")).build().unwrap();
    let error = client.call::<Value>("m", ()).unwrap_err();
    assert_eq!(cause(&error), Cause::Proxy, "{error}");
    assert!(error.to_string().contains("16384 bytes"), "{error}");
}

#[test]
fn a_call_through_a_proxy_is_never_repeated() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server_address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        read_request(&mut reader);
        stream.write_all(&result(&Value::Int(1))).unwrap();
        // The second call is left half read.
        read_head(&mut reader);
    });
    let (proxy_address, proxy) = tunnels(server_address, 1);
    let client = Client::builder("http://server.test")
        .proxy(&format!("http://{proxy_address}"))
        .build()
        .unwrap();
    assert_eq!(client.call::<i32>("m", ()).unwrap(), 1);
    let error = client.call::<Value>("m", "x".repeat(8 << 20)).unwrap_err();
    assert_eq!(cause(&error), Cause::Broken, "{error}");
    drop(client);
    server.join().unwrap();
    assert_eq!(proxy.join().unwrap().len(), 1);
}

#[test]
fn a_unix_socket_has_no_proxy() {
    let refused = Client::builder("unix:/run/x").proxy("http://p:1").build();
    assert!(matches!(refused, Err(Error::Proxy(_))));
    assert!(Client::builder("unix:/run/x").build().is_ok());
    assert!(matches!(
        Client::builder("http://x").proxy("socks5://p").build(),
        Err(Error::Proxy(_))
    ));
    assert!(Client::builder("http://x").no_proxy().build().is_ok());
}
