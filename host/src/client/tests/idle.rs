//! Which connections are kept, and which one the next call takes.

use super::*;
use std::io::Read;

/// One more than a client keeps.
const CONNECTIONS: usize = 17;

/// Waits until a call has come on one of these connections: on which.
fn called(connections: &[BufReader<TcpStream>]) -> usize {
    loop {
        let has_come = |reader: &BufReader<TcpStream>| {
            rustix::io::ioctl_fionread(reader.get_ref()).is_ok_and(|bytes| bytes > 0)
        };
        if let Some(number) = connections.iter().position(has_come) {
            return number;
        }
        thread::yield_now();
    }
}

#[test]
fn the_last_connection_used_is_the_first_one_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(listener.local_addr().unwrap());
    let call = || {
        let client = client.clone();
        thread::spawn(move || client.call::<i32>("m", ()).unwrap())
    };
    let answer = |reader: &mut BufReader<TcpStream>| {
        reader.get_mut().write_all(&result(&Value::Int(1))).unwrap();
    };
    // Each call has a connection of its own, because none has ended.
    let mut busy = Vec::new();
    for _ in 0..CONNECTIONS {
        let call = call();
        let mut reader = BufReader::new(listener.accept().unwrap().0);
        read_request(&mut reader);
        busy.push((call, reader));
    }
    let mut connections = Vec::new();
    for (call, mut reader) in busy {
        answer(&mut reader);
        call.join().unwrap();
        connections.push(reader);
    }
    assert_eq!(connections[0].read(&mut [0]).unwrap(), 0, "the oldest one is not closed");
    connections.remove(0);
    for _ in 0..3 {
        let call = call();
        let number = called(&connections);
        assert_eq!(number, connections.len() - 1);
        read_request(&mut connections[number]);
        answer(&mut connections[number]);
        call.join().unwrap();
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "there was a connection more");
}

#[test]
fn a_connection_with_bytes_that_nobody_asked_for_is_not_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        for number in [1, 2] {
            let mut reader = BufReader::new(listener.accept().unwrap().0);
            read_request(&mut reader);
            let surplus = result(&Value::Int(3));
            reader.get_mut().write_all(&[result(&Value::Int(number)), surplus].concat()).unwrap();
            // Until the client closes it.
            assert_eq!(reader.read(&mut [0]).unwrap_or(0), 0, "it was used again");
        }
    });
    for number in [1, 2] {
        assert_eq!(client.call::<i32>("m", ()).unwrap(), number);
    }
    drop(client);
    server.join().unwrap();
}
