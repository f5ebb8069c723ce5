//! What a stream says of what came, and how many writes an answer is. On pairs of sockets, without
//! threads.

use super::*;
use crate::net::http1::head::Version;
use crate::net::http1::reply::{Outgoing, Reply};
use crate::net::tls::{Ready, Settings, Tls, development_certificate};
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair, sockopt};
use std::os::fd::OwnedFd;

/// More than a connection holds, with what encryption adds.
const PACKET_BYTES_MAX: usize = 2 * HELD_BYTES_MAX;

/// Two ends that keep the borders of what is written at once, so that writes can be counted, or
/// not.
fn pair(kind: SocketType) -> (Socket, OwnedFd) {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, kind, SocketFlags::NONBLOCK, None).unwrap();
    (Socket::from(UnixStream::from_std(ours.into())), theirs)
}

/// A client's end.
struct Client {
    socket: OwnedFd,
    /// What has come and is not read yet.
    come: VecDeque<u8>,
    writes: usize,
}

impl Client {
    fn new(socket: OwnedFd) -> Self {
        Self { socket, come: VecDeque::new(), writes: 0 }
    }

    /// Takes one write of the other end's, if it kept to one packet.
    fn receive(&mut self) -> io::Result<usize> {
        let mut packet = vec![0; PACKET_BYTES_MAX];
        let (count, bytes) = recv(&self.socket, &mut packet, RecvFlags::TRUNC)?;
        assert!(bytes <= PACKET_BYTES_MAX, "{bytes} bytes in one write");
        self.writes += usize::from(count > 0);
        self.come.extend(&packet[..count]);
        Ok(count)
    }
}

impl Read for Client {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.come.is_empty() {
            self.receive()?;
        }
        self.come.read(buffer)
    }
}

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.socket, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Both ends after a handshake.
fn secure(kind: SocketType) -> (Stream, SslStream<Client>) {
    let dir = tempfile::tempdir().unwrap();
    let certificates = vec![development_certificate(dir.path()).unwrap()];
    let tls = Tls::new(Ready::new(Settings { certificates, clients: None }).unwrap());
    let (ours, theirs) = pair(kind);
    let mut ours = Stream::new(ours, Some(&tls.context())).unwrap();
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    builder.set_verify(SslVerifyMode::NONE);
    let ssl = builder.build().configure().unwrap().into_ssl("localhost").unwrap();
    let mut theirs = SslStream::new(ssl, Client::new(theirs)).unwrap();
    let (mut is_ours_done, mut is_theirs_done) = (false, false);
    while !(is_ours_done && is_theirs_done) {
        is_theirs_done = is_theirs_done || theirs.connect().is_ok();
        ours.hear(false);
        is_ours_done = is_ours_done || ours.shake_hands().unwrap();
    }
    // What follows a handshake, tickets, is not to be counted.
    assert!(is_wait(theirs.read(&mut [0])));
    theirs.get_mut().writes = 0;
    (ours, theirs)
}

fn is_wait(result: io::Result<usize>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn answer(body_bytes: usize) -> (Outgoing, Vec<u8>) {
    let body: Vec<u8> = (0..=250).cycle().take(body_bytes).collect();
    let head = b"HTTP/1.1 200 OK\r\nA: b\r\n".to_vec();
    let whole = [&head[..], b"Connection: keep-alive\r\n\r\n", &body].concat();
    (Reply { head, body }.framed(Version::Http11, true), whole)
}

/// Reads whatever has come until now.
fn all(mut from: impl Read) -> Vec<u8> {
    let mut come = Vec::new();
    assert!(is_wait(from.read_to_end(&mut come)));
    come
}

#[test]
fn an_answer_is_one_write() {
    for body_bytes in
        [0, 1_000, RECORD_BYTES_MAX - 1, RECORD_BYTES_MAX, RECORD_BYTES_MAX + 1, 40_000]
    {
        let (mut outgoing, whole) = answer(body_bytes);
        let (ours, theirs) = pair(SocketType::SEQPACKET);
        let (mut ours, mut theirs) = (Stream::Plain(ours), Client::new(theirs));
        outgoing.write_to(&mut ours).unwrap();
        assert!(all(&mut theirs) == whole);
        assert_eq!(theirs.writes, 1, "{body_bytes} bytes");

        let (mut outgoing, whole) = answer(body_bytes);
        let (mut ours, mut theirs) = secure(SocketType::SEQPACKET);
        outgoing.write_to(&mut ours).unwrap();
        assert!(all(&mut theirs) == whole);
        assert_eq!(theirs.get_ref().writes, 1, "{body_bytes} bytes, encrypted");
        assert!(ours.socket().held.is_none());
    }
}

#[test]
fn four_records_are_one_write() {
    const RECORDS: usize = 11;
    let (mut outgoing, whole) = answer(RECORDS * RECORD_BYTES_MAX - 1_000);
    let (mut ours, mut theirs) = secure(SocketType::SEQPACKET);
    let mut come = Vec::new();
    while outgoing.write_to(&mut ours).is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
        come.extend(all(&mut theirs));
    }
    come.extend(all(&mut theirs));
    assert!(come == whole);
    assert_eq!(theirs.get_ref().writes, RECORDS.div_ceil(4));
}

#[test]
fn a_client_that_takes_little_gets_all_and_little_is_held_meanwhile() {
    let (mut outgoing, whole) = answer(1_000_000);
    let (mut ours, mut theirs) = secure(SocketType::STREAM);
    let Kind::Unix(socket) = &ours.socket().kind else { panic!("a pair is no TCP") };
    sockopt::set_socket_send_buffer_size(socket, 8_000).unwrap();
    let (mut come, mut waits) = (Vec::new(), 0);
    while let Err(error) = outgoing.write_to(&mut ours) {
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        waits += 1;
        let Held(held) = &**ours.socket().held.as_ref().unwrap();
        assert!(!held.is_empty() && held.capacity() <= HELD_BYTES_MAX, "{}", held.capacity());
        come.extend(all(&mut theirs));
    }
    come.extend(all(&mut theirs));
    assert!(come == whole);
    assert!(waits > 10, "{waits}");
    assert!(ours.socket().held.is_none());
}

#[test]
fn an_alert_takes_along_what_is_held() {
    let (mut ours, mut theirs) = secure(SocketType::STREAM);
    let whole = vec![b'x'; RECORD_BYTES_MAX + 1];
    let first = ours.write(&whole).unwrap();
    assert_eq!(first, RECORD_BYTES_MAX);
    assert!(is_wait(theirs.read(&mut [0])), "it is held");
    ours.finish().unwrap();
    let mut come = Vec::new();
    theirs.read_to_end(&mut come).unwrap();
    assert!(come == whole[..first]);
}

#[test]
fn a_client_that_is_gone_is_an_error() {
    let (ours, theirs) = pair(SocketType::STREAM);
    drop(theirs);
    let error = answer(40_000).0.write_to(&mut Stream::Plain(ours)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_socket_that_gave_less_than_there_was_room_for_is_not_asked_again_before_it_is_heard_of() {
    let (mut ours, theirs) = pair(SocketType::STREAM);
    let mut theirs = Client::new(theirs);
    let buffer = &mut [0; 4];
    assert!(
        is_wait(ours.read(buffer)) && !ours.is_drained,
        "that nothing has come says nothing of an event"
    );

    theirs.write_all(b"abcd").unwrap();
    assert_eq!(ours.read(buffer).unwrap(), 4);
    assert!(!ours.is_drained, "there may be more than there was room for");

    theirs.write_all(b"ef").unwrap();
    assert_eq!(ours.read(buffer).unwrap(), 2);
    assert!(ours.is_drained);
    theirs.write_all(b"g").unwrap();
    assert!(is_wait(ours.read(buffer)), "the event of what came after is still to come");

    let mut ours = Stream::Plain(ours);
    assert!(is_wait(ours.discard()), "nor is it asked for what nobody wants");
    ours.hear(false);
    assert_eq!(ours.read(buffer).unwrap(), 1);
    assert_eq!(&buffer[..1], b"g");
}

#[test]
fn the_end_behind_what_came_is_read_once_it_is_heard_of() {
    for is_heard_first in [true, false] {
        let (ours, theirs) = pair(SocketType::STREAM);
        let mut ours = Stream::Plain(ours);
        let mut theirs = Client::new(theirs);
        theirs.write_all(b"ab").unwrap();
        rustix::net::shutdown(&theirs.socket, rustix::net::Shutdown::Write).unwrap();
        if is_heard_first {
            ours.hear(true);
        }
        let buffer = &mut [0; 4];
        assert_eq!(ours.read(buffer).unwrap(), 2);
        if !is_heard_first {
            assert!(is_wait(ours.read(buffer)), "its event is still to come");
            ours.hear(true);
        }
        // No event comes any more, so it is asked each time.
        assert_eq!(ours.read(buffer).unwrap(), 0);
        assert_eq!(ours.read(buffer).unwrap(), 0);
        // The other half is open still.
        ours.write_all(b"answer").unwrap();
        ours.finish().unwrap();
        let mut come = Vec::new();
        theirs.read_to_end(&mut come).unwrap();
        assert_eq!(come, b"answer");
    }
}

#[test]
fn what_is_decrypted_already_is_read_from_a_drained_socket() {
    let (mut ours, mut theirs) = secure(SocketType::STREAM);
    theirs.write_all(b"first").unwrap();
    theirs.write_all(b"second").unwrap();
    ours.hear(false);
    let buffer = &mut [0; 100];
    // One read of the socket takes both records, and gives less than there was room for.
    assert_eq!(ours.read(&mut buffer[..2]).unwrap(), 2);
    assert!(ours.socket().is_drained);
    assert_eq!(ours.read(buffer).unwrap(), 3, "the rest of the record");
    assert_eq!(ours.read(buffer).unwrap(), 6, "the record behind it");
    assert!(is_wait(ours.read(buffer)));

    theirs.write_all(b"third").unwrap();
    assert!(is_wait(ours.read(buffer)), "the event of what came after is still to come");
    ours.hear(false);
    assert_eq!(ours.read(buffer).unwrap(), 5);
}
