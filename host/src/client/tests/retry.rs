//! When a call is sent again: servers that count what they get.

use super::*;
use crate::client::socket;
use crate::client::watched::IDLE_RESET_MAX;
use rustix::net::sockopt::set_socket_linger;
use std::io::Read;
use std::net::Shutdown;

/// What a server does with one connection: it answers one call, and then this with the next one.
type Then = fn(&mut BufReader<TcpStream>);

/// A request that no socket's buffers hold.
fn large() -> String {
    "x".repeat(16 << 20)
}

/// Answers one call on a connection, and does something else with the next; what the client makes
/// of the second. The server then waits for one more connection, if it is to come, and answers one
/// call there. Returns the bodies of all calls that were read whole, with the second call's end.
fn second_call(then: Then, text: &str, comes_again: bool) -> (Result<i32, Error>, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut reader = BufReader::new(listener.accept().unwrap().0);
        read_request(&mut reader);
        reader.get_mut().write_all(&result(&Value::Int(1))).unwrap();
        then(&mut reader);
        drop(reader);
        if comes_again {
            let mut reader = BufReader::new(listener.accept().unwrap().0);
            read_request(&mut reader);
            reader.get_mut().write_all(&result(&Value::Int(2))).unwrap();
        }
        listener
    });
    let client = client(address);
    assert_eq!(client.call::<i32>("m", "first").unwrap(), 1);
    let second = client.call("m", text);
    drop(client);
    // Unexpected connections stand in the queue.
    let listener = server.join().unwrap();
    listener.set_nonblocking(true).unwrap();
    let more = std::iter::from_fn(|| listener.accept().ok()).count();
    (second, more)
}

fn is_broken(call: (Result<i32, Error>, usize)) {
    let (second, more) = call;
    let error = second.unwrap_err();
    assert_eq!(cause(&error), Cause::Broken, "{error}");
    assert_eq!(more, 0, "the call was sent again");
}

#[test]
fn an_idle_connection_that_was_closed_is_replaced() {
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
        assert_eq!(client.call::<i32>("m", []).unwrap(), number);
        on_closed.recv().unwrap();
    }
    server.join().unwrap();
}

#[test]
fn a_kept_connection_that_closes_before_the_whole_call_was_read_is_replaced_once() {
    let (second, more) = second_call(|_| {}, &large(), true);
    assert_eq!((second.unwrap(), more), (2, 0));
    let half_read: Then = |reader| drop(reader.read_exact(&mut vec![0; 1 << 20]));
    let (second, more) = second_call(half_read, &large(), true);
    assert_eq!((second.unwrap(), more), (2, 0));
}

/// So that closing resets the connection, whatever was read.
fn will_abort(stream: &TcpStream) {
    set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_call_on_a_kept_connection_that_is_reset_is_sent_again_once() {
    let unread: Then = |reader| assert_eq!(reader.get_ref().peek(&mut [0]).unwrap(), 1);
    let half_read: Then = |reader| reader.get_ref().read_exact(&mut [0; 100]).unwrap();
    // Nobody can tell this from the others.
    let aborted: Then = |reader| {
        read_request(reader);
        will_abort(reader.get_ref());
    };
    for then in [unread, half_read, aborted] {
        let (second, more) = second_call(then, "x", true);
        assert_eq!((second.unwrap(), more), (2, 0));
    }
}

#[test]
fn a_reset_that_comes_late_is_no_idle_connections_end() {
    let works_for_long: Then = |reader| {
        read_request(reader);
        thread::sleep(IDLE_RESET_MAX);
        will_abort(reader.get_ref());
    };
    is_broken(second_call(works_for_long, "x", false));
}

/// Each connection is closed so soon that many a call is on its way by then.
#[test]
fn a_server_that_closes_each_connection_after_a_moment_fails_no_call() {
    const CALLS: i32 = 400;
    const MOMENT: Duration = Duration::from_micros(500);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        for number in 0..CALLS {
            let (mut stream, _) = listener.accept().unwrap();
            read_request(&mut BufReader::new(stream.try_clone().unwrap()));
            stream.write_all(&result(&Value::Int(number))).unwrap();
            thread::sleep(MOMENT);
        }
    });
    for number in 0..CALLS {
        assert_eq!(client.call::<i32>("m", ()).unwrap(), number);
    }
    server.join().unwrap();
}

#[test]
fn nor_does_one_that_ends_tls_first() {
    const CALLS: usize = 50;
    const MOMENT: Duration = Duration::from_micros(500);
    let identity = tls::identity("server");
    let acceptor = tls::acceptor(&identity, None);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        for _ in 0..CALLS {
            let mut stream = acceptor.accept(listener.accept().unwrap().0).unwrap();
            tls::answer(&mut stream);
            thread::sleep(MOMENT);
            stream.shutdown().unwrap();
        }
    });
    let client =
        Client::builder(&url).ca_pem(identity.certificate.to_pem().unwrap()).build().unwrap();
    for _ in 0..CALLS {
        assert_eq!(client.call::<String>("m", ()).unwrap(), "");
    }
    server.join().unwrap();
}

#[test]
fn unix_sockets_tell_what_was_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let accept = || BufReader::new(listener.accept().unwrap().0);
        let answer = |reader: &mut BufReader<std::os::unix::net::UnixStream>, number| {
            read_request(reader);
            reader.get_mut().write_all(&result(&Value::Int(number))).unwrap();
        };
        let mut reader = accept();
        answer(&mut reader, 1);
        // The second call waits, and is not read.
        while rustix::io::ioctl_fionread(reader.get_ref()).unwrap() == 0 {
            thread::yield_now();
        }
        drop(reader);
        let mut reader = accept();
        answer(&mut reader, 2);
        // The third one is read.
        read_request(&mut reader);
        drop(reader);
        listener
    });
    let client = Client::builder(&format!("unix:{}", path.display())).build().unwrap();
    assert_eq!(client.call::<i32>("m", ()).unwrap(), 1);
    assert_eq!(client.call::<i32>("m", ()).unwrap(), 2);
    let error = client.call::<i32>("m", ()).unwrap_err();
    assert_eq!(cause(&error), Cause::Broken, "{error}");
    let listener = server.join().unwrap();
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "the call was sent again");
}

#[test]
fn a_call_that_was_read_whole_is_not_sent_again() {
    is_broken(second_call(|reader| drop(read_request(reader)), "x", false));
    is_broken(second_call(
        |reader| {
            read_request(reader);
            reader.get_ref().shutdown(Shutdown::Write).unwrap();
            // Until the client has given the connection up.
            drop(reader.read_to_end(&mut Vec::new()));
        },
        "x",
        false,
    ));
}

#[test]
fn a_call_whose_answer_began_is_not_sent_again() {
    for part in [1, 10, 100] {
        let begins: Then = match part {
            1 => |reader| begin(reader, 1),
            10 => |reader| begin(reader, 10),
            _ => |reader| begin(reader, 100),
        };
        is_broken(second_call(begins, "x", false));
    }
}

fn begin(reader: &mut BufReader<TcpStream>, bytes: usize) {
    read_request(reader);
    reader.get_mut().write_all(&result(&Value::Int(2))[..bytes]).unwrap();
}

#[test]
fn a_call_on_a_new_connection_is_not_sent_again() {
    let closes: [fn(TcpStream); 3] = [
        |stream| drop(read_request(&mut BufReader::new(stream))),
        |stream| drop(BufReader::new(stream).read_exact(&mut [0; 1 << 10])),
        |stream| {
            will_abort(&stream);
            drop(read_request(&mut BufReader::new(stream)));
        },
    ];
    for close in closes {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            close(listener.accept().unwrap().0);
            listener
        });
        let error = client(address).call::<Value>("m", large()).unwrap_err();
        assert_eq!(cause(&error), Cause::Broken, "{error}");
        let listener = server.join().unwrap();
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "the call was sent again");
    }
}

#[test]
fn a_call_is_sent_again_once_and_on_a_new_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        // Two calls at once make two connections that are kept.
        let mut kept: Vec<_> =
            (0..2).map(|_| BufReader::new(listener.accept().unwrap().0)).collect();
        kept.iter_mut().for_each(|reader| drop(read_request(reader)));
        kept.iter_mut()
            .for_each(|reader| reader.get_mut().write_all(&result(&Value::Int(1))).unwrap());
        // Whichever is used is closed in the midst of the call, and so is the new one.
        let readers: Vec<_> = kept
            .into_iter()
            .map(|mut reader| thread::spawn(move || reader.read_exact(&mut [0; 1 << 10]).is_ok()))
            .collect();
        BufReader::new(listener.accept().unwrap().0).read_exact(&mut [0; 1 << 10]).unwrap();
        (listener, readers)
    });
    let first: Vec<_> = (0..2)
        .map(|_| client.clone())
        .map(|client| thread::spawn(move || client.call::<i32>("m", ()).unwrap()))
        .collect();
    first.into_iter().for_each(|call| assert_eq!(call.join().unwrap(), 1));
    let error = client.call::<Value>("m", large()).unwrap_err();
    assert_eq!(cause(&error), Cause::Broken, "{error}");
    drop(client);
    let (listener, readers) = server.join().unwrap();
    let used = readers.into_iter().map(|reader| reader.join().unwrap()).filter(|used| *used);
    assert_eq!(used.count(), 1, "one kept connection was used, the other was not");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "the call was sent a third time");
}

#[test]
fn silence_on_a_kept_connection_is_a_timeout_and_not_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::builder(&url).timeout(Duration::from_millis(500)).build().unwrap();
    let server = thread::spawn(move || {
        let mut reader = BufReader::new(listener.accept().unwrap().0);
        read_request(&mut reader);
        reader.get_mut().write_all(&result(&Value::Int(1))).unwrap();
        read_request(&mut reader);
        drop(reader.read_to_end(&mut Vec::new()));
        listener
    });
    assert_eq!(client.call::<i32>("m", ()).unwrap(), 1);
    let error = client.call::<Value>("m", ()).unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    drop(client);
    let listener = server.join().unwrap();
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "the call was sent again");
}

#[test]
fn it_is_the_same_over_tls() {
    for is_read_whole in [false, true] {
        let identity = tls::identity("server");
        let acceptor = tls::acceptor(&identity, None);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let ca = identity.certificate.to_pem().unwrap();
        let server = thread::spawn(move || {
            let mut kept = acceptor.accept(listener.accept().unwrap().0).unwrap();
            tls::answer(&mut kept);
            let mut read = vec![0; 1 << 10];
            kept.read_exact(&mut read).unwrap();
            while is_read_whole && !read.ends_with(b"</methodCall>\n") {
                let start = read.len();
                read.resize(start + (1 << 14), 0);
                let count = kept.read(&mut read[start..]).unwrap();
                read.truncate(start + count);
            }
            drop(kept);
            if !is_read_whole {
                tls::answer(&mut acceptor.accept(listener.accept().unwrap().0).unwrap());
            }
            listener
        });
        let client = Client::builder(&url).ca_pem(ca).build().unwrap();
        assert_eq!(client.call::<String>("m", ()).unwrap(), "");
        match client.call::<String>("m", "x".repeat(4 << 20)) {
            Ok(_) => assert!(!is_read_whole),
            Err(error) => assert!(is_read_whole && cause(&error) == Cause::Broken, "{error}"),
        }
        let listener = server.join().unwrap();
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "the call was sent again");
    }
}

/// A connection: our end, and the server's.
fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (ours, listener.accept().unwrap().0)
}

/// What the kernel says in the end is what the whole rule stands on.
#[test]
fn the_kernel_tells_a_call_that_was_taken_from_one_that_was_not() {
    let ends = |server: fn(TcpStream), before: bool| {
        let (mut ours, mut theirs) = connected();
        if before {
            server(theirs);
            // Its end has come when there is something to read.
            assert_eq!(ours.peek(&mut [0]).unwrap(), 0);
            ours.write_all(b"call").unwrap();
        } else {
            ours.write_all(b"call").unwrap();
            theirs.read_exact(&mut [0; 4]).unwrap();
            server(theirs);
        }
        assert_eq!(ours.read(&mut [0]).unwrap(), 0);
        socket::is_reset(
            &ours.into(),
            if before { Duration::from_secs(20) } else { Duration::ZERO },
        )
    };
    assert!(ends(drop, true), "closed, then called");
    assert!(!ends(drop, false), "read, then closed");
    assert!(!ends(|stream| stream.shutdown(Shutdown::Write).map_or((), |()| drop(stream)), false));

    // As under TLS, whose own end comes before the socket's.
    let (mut ours, mut theirs) = connected();
    theirs.write_all(b"end").unwrap();
    ours.write_all(b"call").unwrap();
    ours.read_exact(&mut [0; 3]).unwrap();
    theirs.peek(&mut [0]).unwrap();
    drop(theirs);
    assert!(
        socket::is_reset(&ours.into(), Duration::from_secs(20)),
        "closed on a call that nobody read"
    );
}
