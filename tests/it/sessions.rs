//! How TLS sessions are resumed, also after certificates have changed, and when they must not be.

use crate::tls::{CONFIG, HOSTS, address, served, shown};
use crate::trial;
use hotcall_tests::authority::{Authority, Issued};
use hotcall_tests::{Server, wait_until};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("sessions::they_are_resumed_also_after_a_new_certificate", resumed),
        trial("sessions::a_revoked_certificate_resumes_none", revoked),
        trial("sessions::a_certificate_of_a_removed_authority_resumes_none", removed),
    ]
}

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

/// What became of a connection.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// A handshake of its own, and an answer.
    New,
    /// A session of before, and an answer.
    Reused,
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
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", address(self.server), self.version, "-servername", "localhost"]);
        client.args(["-alpn", "h2,http/1.1", "-verify_return_error", "-CAfile"]).arg(self.server.ca());
        if let Some(issued) = self.issued {
            client.arg("-cert").arg(&issued.cert).arg("-key").arg(&issued.key);
        }
        client.arg(with).arg(self.session).arg("-ign_eof");
        let mut client =
            client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // An answer is read to its end, and with it the tickets that come before it.
        let request = b"OPTIONS /RPC2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        // Who is refused may be gone already.
        drop(client.stdin.take().unwrap().write_all(request));
        let output = client.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
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
            let (ann, bob) = (authority.issue("ann", "Ann", &[]), authority.issue("bob", "Bob", &[]));
            let list = authority.revoke(&[]);
            let keys = format!(
                "client_ca = {:?}\nclient_crl = {list:?}\nclient_auth = '{auth}'\n{CONFIG}",
                authority.ca()
            );
            let server = served(&authority, &issued, &keys);
            let (of_ann, of_bob) = (authority.path("session-ann"), authority.path("session-bob"));
            let client = |issued, session| Client { server: &server, version, issued: Some(issued), session };
            let (ann, bob) = (client(&ann, &of_ann), client(&bob, &of_bob));
            for client in [&ann, &bob] {
                assert_eq!((client.begins(), client.resumes()), (End::New, End::Reused), "{version} {auth}");
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
