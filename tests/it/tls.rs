//! Certificates: which one clients get, and how it changes under them.

use crate::trial::trial;
use hotcall::xmlrpc::Value;
use hotcall_tests::authority::{Authority, Issued};
use hotcall_tests::load::{End, Load};
use hotcall_tests::{Server, Setup, artifacts, wait_until};
use libtest_mimic::Trial;
use openssl::ssl::{SslConnector, SslMethod};
use openssl::x509::X509;
use rustix::process::Signal;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::{fs, thread};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("tls::twenty_rotations_under_load_fail_no_call", rotations),
        trial("tls::a_hangup_takes_other_files_and_keeps_the_old_ones_when_they_are_bad", hangup),
        trial("tls::a_bad_new_certificate_keeps_the_old_one_and_is_told_once", bad_new_certificate),
    ]
}

/// Rests for so little that a test need not wait long.
pub const CONFIG: &str = "[limits]\ncertificate_rescan_ms = 20\n";
pub const HOSTS: &[&str] = &["localhost", "127.0.0.1"];

pub fn served(authority: &Authority, issued: &Issued, config: &str) -> Server {
    let setup =
        Setup::new().plugin("version.so", &version(authority)).config(config).ca(&authority.ca());
    let setup = [
        "--cert".into(),
        issued.cert.display().to_string(),
        "--key".into(),
        issued.key.display().to_string(),
    ]
    .into_iter()
    .fold(setup, |setup, argument: String| setup.argument(argument));
    setup.start()
}

/// A plugin whose `version` answers 1.
fn version(authority: &Authority) -> std::path::PathBuf {
    let path = authority.path("version.so");
    let source = hotcall_tests::repository().join("tests/fixtures/version.c");
    artifacts::compile_c(&source, &path, &["-DVERSION=1"]);
    path
}

pub fn address(server: &Server) -> &str {
    server.url().strip_prefix("https://").and_then(|rest| rest.strip_suffix("/RPC2")).unwrap()
}

/// What a new client is shown.
pub fn shown(server: &Server) -> X509 {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    builder.set_ca_file(server.ca()).unwrap();
    let stream =
        builder.build().connect("localhost", TcpStream::connect(address(server)).unwrap()).unwrap();
    stream.ssl().peer_certificate().unwrap()
}

fn rotations() {
    const ROTATIONS: usize = 20;
    const SHOWN_AFTERWARDS: usize = 3;
    let authority = Authority::new();
    let issued = authority.issue("server", "localhost", HOSTS);
    let server = served(&authority, &issued, CONFIG);
    let (done, handshakes) = (AtomicBool::new(false), AtomicU64::new(0));
    let fresh = || {
        while !done.load(Ordering::Relaxed) {
            // A client of its own for each call, so that each shakes hands.
            assert_eq!(server.call("version", vec![]).expect("no call fails"), Value::Int(1));
            handshakes.fetch_add(1, Ordering::Relaxed);
        }
    };
    Load::during(
        &server,
        4,
        "version",
        |answer| answer == 1,
        |load| {
            thread::scope(|scope| {
                let caller = scope.spawn(fresh);
                let end = End(&done);
                for _ in 0..ROTATIONS {
                    let new = authority.issue("server", "localhost", HOSTS).certificate();
                    wait_until("the new certificate", || shown(&server) == new);
                    for _ in 0..SHOWN_AFTERWARDS {
                        assert!(shown(&server) == new, "never the old one again");
                    }
                    let reached = handshakes.load(Ordering::Relaxed) + 2;
                    wait_until("calls with it", || handshakes.load(Ordering::Relaxed) >= reached);
                    load.goes_on();
                }
                drop(end);
                caller.join().expect("no call fails");
            });
        },
    );
}

fn hangup() {
    let authority = Authority::new();
    let first = authority.issue("first", "localhost", HOSTS);
    let second = authority.issue("second", "localhost", HOSTS);
    let config = |issued: &Issued| {
        // The files are not looked at within a test.
        let (cert, key) = (issued.cert.display(), issued.key.display());
        format!("cert = '{cert}'\nkey = '{key}'\n[limits]\ncertificate_rescan_ms = 3_600_000\n")
    };
    let setup = Setup::new().plugin("version.so", &version(&authority)).ca(&authority.ca());
    let server = setup.config(&config(&first)).start();
    let client = server.client();
    assert_eq!(client.call::<Value>("version", vec![]).unwrap(), Value::Int(1));
    assert!(shown(&server) == first.certificate());

    fs::write(server.beside("hotcall.toml"), config(&second)).unwrap();
    server.signal(Signal::HUP);
    wait_until("the second certificate", || shown(&server) == second.certificate());
    assert_eq!(
        client.call::<Value>("version", vec![]).unwrap(),
        Value::Int(1),
        "its connection lives"
    );

    let mixed = Issued { cert: first.cert.clone(), key: second.key.clone() };
    fs::write(server.beside("hotcall.toml"), config(&mixed)).unwrap();
    server.signal(Signal::HUP);
    server.wait_for_log(&["does not belong to the certificate", "everything stays as it is"]);
    assert!(shown(&server) == second.certificate());

    // The same paths, other content.
    let renewed = authority.issue("second", "localhost", HOSTS);
    fs::write(server.beside("hotcall.toml"), config(&renewed)).unwrap();
    server.signal(Signal::HUP);
    wait_until("the renewed certificate", || shown(&server) == renewed.certificate());
}

fn bad_new_certificate() {
    let authority = Authority::new();
    let issued = authority.issue("server", "localhost", HOSTS);
    let server = served(&authority, &issued, CONFIG);
    let before = issued.certificate();
    fs::write(&issued.cert, "nonsense").unwrap();
    server.wait_for_log(&["no PEM certificate", "those before stay in use"]);
    assert!(shown(&server) == before);
    let right = authority.path("right");
    fs::write(&right, before.to_pem().unwrap()).unwrap();
    fs::rename(right, &issued.cert).unwrap();
    server.wait_for_log(&["the certificates have changed"]);
    // Two looks have passed at least since the line about the nonsense.
    assert_eq!(server.log().matches("those before stay in use").count(), 1, "{}", server.log());
    assert_eq!(server.call("version", vec![]).unwrap(), Value::Int(1));
}
