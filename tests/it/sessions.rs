//! How TLS sessions are resumed, also after certificates have changed, and when they must not be.

use crate::tls::{CONFIG, HOSTS, address, served, shown};
use crate::trial::trial;
use hotcall_tests::authority::{Authority, Issued};
use hotcall_tests::{Server, WAIT_MAX, wait_for, wait_until};
use libtest_mimic::Trial;
use openssl::asn1::Asn1Time;
use rustix::process::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Instant;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("sessions::they_are_resumed_also_after_a_new_certificate", resumed),
        trial("sessions::a_revoked_certificate_resumes_none", revoked),
        trial("sessions::a_certificate_of_a_removed_authority_resumes_none", removed),
        trial("sessions::an_expired_certificate_resumes_none_and_fills_no_log", expired),
        trial("sessions::a_handshake_that_a_new_list_overtakes_gets_no_answer", overtaken),
    ]
}

/// A record with a request has more, and no record of a handshake has.
const REQUEST_BYTES: usize = 2_000;
const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

/// What became of a connection.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// A handshake of its own, and an answer.
    New,
    /// A session of before, and an answer.
    Reused,
    /// A handshake, and the answer that the request was not executed.
    Unavailable,
    /// No answer.
    Refused,
}

/// A client of one version, perhaps with a certificate, that keeps its session in a file.
struct Client<'a> {
    server: &'a Server,
    version: &'a str,
    issued: Option<&'a Issued>,
    session: &'a Path,
}

impl Client<'_> {
    fn begins(&self) -> End {
        self.connects("-sess_out")
    }

    fn resumes(&self) -> End {
        self.connects("-sess_in")
    }

    fn connects(&self, with: &str) -> End {
        self.connects_to(address(self.server), with)
    }

    fn connects_to(&self, address: &str, with: &str) -> End {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", address, self.version, "-servername", "localhost"]);
        client
            .args(["-alpn", "h2,http/1.1", "-verify_return_error", "-CAfile"])
            .arg(self.server.ca());
        if let Some(issued) = self.issued {
            client.arg("-cert").arg(&issued.cert).arg("-key").arg(&issued.key);
        }
        client.arg(with).arg(self.session).arg("-ign_eof");
        let mut client = client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // An answer is read to its end, and with it the tickets that come before it.
        let padding = "x".repeat(REQUEST_BYTES);
        let request = format!(
            "OPTIONS /RPC2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: {padding}\r\n\r\n"
        );
        // Who is refused may be gone already.
        drop(client.stdin.take().unwrap().write_all(request.as_bytes()));
        let output = client.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        if said.contains("HTTP/1.1 503 ") {
            return End::Unavailable;
        }
        if !said.contains("HTTP/1.1 200 OK") {
            return End::Refused;
        }
        assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
        match (said.contains("New, TLSv1."), said.contains("Reused, TLSv1.")) {
            (true, false) => End::New,
            (false, true) => End::Reused,
            _ => panic!("{said}"),
        }
    }
}

/// A proxy for one connection. It holds what the client sends after the server's first bytes: the
/// end of the handshake, and the request if the client sends it in the same flight.
struct Between {
    address: String,
    is_held: Receiver<()>,
    release: Sender<()>,
    thread: JoinHandle<()>,
}

/// Whether a record of application data in these bytes is as long as a request.
fn have_request(mut records: &[u8]) -> bool {
    const APPLICATION_DATA: u8 = 23;
    while let [kind, _, _, high, low, rest @ ..] = records {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind == APPLICATION_DATA && length > REQUEST_BYTES {
            return rest.len() >= length;
        }
        records = rest.get(length..).unwrap_or_default();
    }
    false
}

impl Between {
    fn start(server: &Server, with_request: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let to = crate::tls::address(server).to_owned();
        let (hold, is_held) = mpsc::channel();
        let (release, is_released) = mpsc::channel();
        let thread = thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let mut server = TcpStream::connect(to).unwrap();
            let (mut from_server, mut to_client) =
                (server.try_clone().unwrap(), client.try_clone().unwrap());
            let has_answered = Arc::new(AtomicBool::new(false));
            let answered = Arc::clone(&has_answered);
            let back = thread::spawn(move || {
                let mut bytes = [0; 4_096];
                while let Ok(count @ 1..) = from_server.read(&mut bytes) {
                    answered.store(true, Ordering::SeqCst);
                    if to_client.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
                drop(to_client.shutdown(Shutdown::Write));
            });
            let mut bytes = [0; 4_096];
            let mut held = Vec::new();
            let mut is_open = false;
            while let Ok(count @ 1..) = client.read(&mut bytes) {
                held.extend_from_slice(&bytes[..count]);
                if !is_open && has_answered.load(Ordering::SeqCst) {
                    if with_request && !have_request(&held) {
                        continue;
                    }
                    is_open = true;
                    hold.send(()).unwrap();
                    is_released.recv_timeout(WAIT_MAX).unwrap();
                }
                // All at once, so that the server finds the request behind the handshake.
                if server.write_all(&std::mem::take(&mut held)).is_err() {
                    break;
                }
            }
            drop(server.shutdown(Shutdown::Write));
            back.join().unwrap();
        });
        Self { address, is_held, release, thread }
    }
}

/// The server takes a new list of revoked certificates while two clients shake hands. It serves
/// neither the revoked one nor the other one, and tells both to connect again.
fn overtaken() {
    for version in VERSIONS {
        for with in ["-sess_out", "-sess_in"] {
            let authority = Authority::new();
            let issued = authority.issue("server", "localhost", HOSTS);
            let (ann, bob) =
                (authority.issue("ann", "Ann", &[]), authority.issue("bob", "Bob", &[]));
            let list = authority.revoke(&[]);
            let keys = format!(
                "client_ca = {:?}\nclient_crl = {list:?}\n{CONFIG}handshake_ms_max = 60_000\n",
                authority.ca()
            );
            let server = served(&authority, &issued, &keys);
            let (of_ann, of_bob) = (authority.path("session-ann"), authority.path("session-bob"));
            let client = |issued, session| Client {
                server: &server,
                version,
                issued: Some(issued),
                session,
            };
            let (ann, bob) = (client(&ann, &of_ann), client(&bob, &of_bob));
            // In a full handshake of TLS 1.2 the server speaks last.
            let with_request = (version, with) != ("-tls1_2", "-sess_out");
            let is_new = if with == "-sess_out" { End::New } else { End::Reused };
            for client in [&ann, &bob] {
                assert_eq!(client.begins(), End::New);
                let between = Between::start(&server, with_request);
                between.release.send(()).unwrap();
                assert_eq!(client.connects_to(&between.address, with), is_new, "{version} {with}");
                between.thread.join().unwrap();
                assert_eq!(client.begins(), End::New, "with TLS 1.3 a session is used once");
            }

            let [held_ann, held_bob] = [&ann, &bob].map(|_| Between::start(&server, with_request));
            thread::scope(|scope| {
                let ends = [(&ann, &held_ann.address), (&bob, &held_bob.address)]
                    .map(|(client, address)| scope.spawn(|| client.connects_to(address, with)));
                for between in [&held_ann, &held_bob] {
                    between.is_held.recv_timeout(WAIT_MAX).unwrap();
                }
                authority.revoke(&[bob.issued.unwrap()]);
                server.wait_for_log(&["the certificates have changed"]);
                assert_eq!(bob.begins(), End::Refused, "the new list is in use");
                for between in [&held_ann, &held_bob] {
                    between.release.send(()).unwrap();
                }
                for end in ends {
                    let end = end.join().unwrap();
                    // A request that comes later than the server waits for it may cost the client
                    // the answer.
                    let is_late = !with_request && end == End::Refused;
                    assert!(is_late || end == End::Unavailable, "{version} {with}: {end:?}");
                }
            });
            assert_eq!(ann.begins(), End::New, "{version} {with}");
            for between in [held_ann, held_bob] {
                between.thread.join().unwrap();
            }
        }
    }
}

fn resumed() {
    // Nobody looks at the files within the test.
    const BY_HANGUP: &str = "[limits]\ncertificate_rescan_ms = 3_600_000\n";
    let authority = Authority::new();
    let issued = authority.issue("server", "localhost", HOSTS);
    let session = authority.path("session");
    for config in [CONFIG, BY_HANGUP] {
        let server = served(&authority, &issued, config);
        for version in VERSIONS {
            let client = Client { server: &server, version, issued: None, session: &session };
            assert_eq!((client.begins(), client.resumes()), (End::New, End::Reused), "{version}");

            let new = authority.issue("server", "localhost", HOSTS).certificate();
            if config == BY_HANGUP {
                server.signal(Signal::HUP);
            }
            wait_until("the new certificate", || shown(&server) == new);
            assert_eq!(client.resumes(), End::Reused, "{version}");
        }
    }
}

fn revoked() {
    for version in VERSIONS {
        for auth in ["required", "optional"] {
            let authority = Authority::new();
            let issued = authority.issue("server", "localhost", HOSTS);
            let (ann, bob) =
                (authority.issue("ann", "Ann", &[]), authority.issue("bob", "Bob", &[]));
            let list = authority.revoke(&[]);
            let keys = format!(
                "client_ca = {:?}\nclient_crl = {list:?}\nclient_auth = '{auth}'\n{CONFIG}",
                authority.ca()
            );
            let server = served(&authority, &issued, &keys);
            let (of_ann, of_bob) = (authority.path("session-ann"), authority.path("session-bob"));
            let client = |issued, session| Client {
                server: &server,
                version,
                issued: Some(issued),
                session,
            };
            let (ann, bob) = (client(&ann, &of_ann), client(&bob, &of_bob));
            for client in [&ann, &bob] {
                assert_eq!(
                    (client.begins(), client.resumes()),
                    (End::New, End::Reused),
                    "{version} {auth}"
                );
            }

            authority.revoke(&[bob.issued.unwrap()]);
            server.wait_for_log(&["the certificates have changed"]);
            assert_eq!(bob.resumes(), End::Refused, "{version} {auth}");
            // Somebody else's session could be as old as a change that concerns it.
            assert_eq!(ann.resumes(), End::New, "{version} {auth}");
            assert_eq!((ann.begins(), ann.resumes()), (End::New, End::Reused), "{version} {auth}");
        }
    }
}

/// OpenSSL does not look at the certificate's dates again, so the server does. Clients could repeat
/// this as often as they connect.
fn expired() {
    const TRIES: usize = 4;
    /// From one such line to the next.
    const LINE_SECONDS: usize = 10;
    let authority = Authority::new();
    let issued = authority.issue("server", "localhost", HOSTS);
    let session = authority.path("session");
    let server =
        served(&authority, &issued, &format!("client_ca = {:?}\n{CONFIG}", authority.ca()));
    let since = Instant::now();
    for version in VERSIONS {
        // On a slow machine it may expire before the handshake.
        let bob = wait_for("a session", || {
            let bob = authority.issue_for("bob", "Bob", 2);
            let client = Client { server: &server, version, issued: Some(&bob), session: &session };
            let begins = client.begins();
            (begins == End::New).then_some(bob)
        });
        let client = Client { server: &server, version, issued: Some(&bob), session: &session };
        wait_until("the end of the certificate", || {
            bob.certificate().not_after() < Asn1Time::days_from_now(0).unwrap()
        });
        for _ in 0..TRIES {
            assert_eq!(client.resumes(), End::Refused, "{version}");
        }
    }
    let lines = |level: &str| {
        let log = server.log();
        let refused =
            log.lines().filter(|line| line.contains("the client's certificate has expired"));
        refused.filter(|line| line.contains(level)).count()
    };
    wait_until("a line for each", || lines("") == VERSIONS.len() * TRIES);
    let lines_max = usize::try_from(since.elapsed().as_secs()).unwrap() / LINE_SECONDS + 1;
    assert!((1..=lines_max).contains(&lines("INFO")), "{lines_max} at most: {}", server.log());
}

fn removed() {
    for version in VERSIONS {
        let (authority, other) = (Authority::new(), Authority::new());
        let issued = authority.issue("server", "localhost", HOSTS);
        let bob = authority.issue("bob", "Bob", &[]);
        let config = |authority: &Authority| format!("client_ca = {:?}\n{CONFIG}", authority.ca());
        let server = served(&authority, &issued, &config(&authority));
        let session = authority.path("session");
        let client = Client { server: &server, version, issued: Some(&bob), session: &session };
        assert_eq!((client.begins(), client.resumes()), (End::New, End::Reused), "{version}");

        let ann = other.issue("ann", "Ann", &[]);
        fs::write(server.beside("hotcall.toml"), config(&other)).unwrap();
        server.signal(Signal::HUP);
        let kept = other.path("session");
        let accepted = Client { server: &server, version, issued: Some(&ann), session: &kept };
        wait_until("the other authority", || accepted.begins() == End::New);
        assert_eq!(client.resumes(), End::Refused, "{version}");
        assert_eq!(accepted.resumes(), End::Reused, "{version}");
    }
}
