//! Answers that come before the call is written whole, from servers that then take no more of it.

use super::*;
use std::io::Read;

/// A request that no socket's buffers hold.
fn large() -> String {
    "x".repeat(16 << 20)
}

/// The next connection. What is written to it leaves at once, because what waits in a socket is
/// lost when that is closed on unread bytes.
fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Answers to a request's head, and closes the connection on what follows it. How many bytes of the
/// answer come is told.
fn refuse(mut stream: impl Read + Write, bytes: usize) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let answer = answer("413 Too Large", b"Too large: at most 5 bytes.");
    stream.write_all(&answer[..bytes.min(answer.len())]).unwrap();
}

fn is_told(call: Result<Value, Error>) {
    match call {
        Err(Error::Http { status: 413, first_line }) => {
            assert_eq!(first_line, "Too large: at most 5 bytes.")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_that_came_before_the_call_was_written_counts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        // A new connection, and one that was kept.
        refuse(accept(&listener), usize::MAX);
        let mut reader = BufReader::new(accept(&listener));
        read_request(&mut reader);
        reader.get_mut().write_all(&result(&Value::Int(1))).unwrap();
        refuse(reader.into_inner(), usize::MAX);
        // And half an answer.
        refuse(accept(&listener), 20);
        listener
    });
    is_told(client.call("m", large()));
    assert_eq!(client.call::<i32>("m", ()).unwrap(), 1);
    is_told(client.call("m", large()));
    let error = client.call::<Value>("m", large()).unwrap_err();
    assert_eq!(cause(&error), Cause::Broken, "{error}");
    let listener = server.join().unwrap();
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "a call was sent again");
}

#[test]
fn it_is_the_same_over_tls() {
    let identity = tls::identity("server");
    let acceptor = tls::acceptor(&identity, None);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        refuse(acceptor.accept(accept(&listener)).unwrap(), usize::MAX);
        let mut kept = acceptor.accept(accept(&listener)).unwrap();
        tls::answer(&mut kept);
        refuse(kept, usize::MAX);
        listener
    });
    let client =
        Client::builder(&url).ca_pem(identity.certificate.to_pem().unwrap()).build().unwrap();
    is_told(client.call("m", large()));
    assert_eq!(client.call::<String>("m", ()).unwrap(), "");
    is_told(client.call("m", large()));
    let listener = server.join().unwrap();
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "a call was sent again");
}
