//! Clients that show who they are by a certificate.

use crate::http::exchange;
use crate::tls::address;
use crate::trial::trial;
use hotcall::client::{Builder, Error};
use hotcall::xmlrpc::Value;
use hotcall_tests::authority::{Authority, Issued};
use hotcall_tests::{Server, Setup, WAIT_MAX, artifacts, wait_until};
use libtest_mimic::Trial;
use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslStream};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("client_certificates::required_ones_say_who_calls", required),
        trial("client_certificates::without_an_optional_one_callers_have_no_name", optional),
        trial("client_certificates::the_name_is_where_the_configuration_says", names),
        trial("client_certificates::without_https_there_is_a_warning", without_https),
        trial("client_certificates::a_revoked_one_is_refused_once_the_list_is_there", revoked),
        trial(
            "client_certificates::connections_of_before_end_with_what_was_asked_then",
            connections_end,
        ),
    ]
}

fn start(authority: &Authority, keys: &str) -> Server {
    let config = format!(
        "client_ca = '{}'\n{keys}\n[limits]\ncertificate_rescan_ms = 20\n",
        authority.ca().display()
    );
    Setup::new().plugin("echo.so", artifacts::plugin("echo")).config(&config).start()
}

fn builder(server: &Server) -> Builder {
    hotcall_tests::client(server.url()).ca_file(server.ca())
}

fn caller(builder: Builder) -> Result<Value, Error> {
    let caller: Value = builder.build().unwrap().call("echo.caller", vec![])?;
    let Value::Array(parts) = caller else { panic!("an array wanted: {caller:?}") };
    Ok(parts[0].clone())
}

fn of(server: &Server, issued: &Issued) -> Result<Value, Error> {
    caller(builder(server).client_certificate(&issued.cert, &issued.key))
}

fn required() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = start(&authority, "");
    assert_eq!(
        of(&server, &authority.issue("ann", "Ann Ångström", &[])).unwrap(),
        "Ann Ångström".into()
    );
    assert!(caller(builder(&server)).is_err(), "none");
    assert!(of(&server, &other.issue("ann", "Ann", &[])).is_err(), "of another authority");
    assert!(
        of(&server, &authority.issue("two-lines", "Ann\nroot", &[])).is_err(),
        "with a name that is none"
    );
}

fn optional() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = start(&authority, "client_auth = 'optional'\nallow_anonymous = true");
    assert_eq!(of(&server, &authority.issue("ann", "Ann", &[])).unwrap(), "Ann".into());
    assert_eq!(caller(builder(&server)).unwrap(), "".into());
    // "Ann" in base64, as the gate itself tells the inside.
    assert_eq!(caller(builder(&server).header("Hotcall-Name", "QW5u")).unwrap(), "".into());
    assert!(of(&server, &other.issue("ann", "Ann", &[])).is_err(), "of another authority");
}

fn without_https() {
    let authority = Authority::new();
    let config = format!("client_ca = {:?}\n", authority.ca());
    let server = Setup::new().argument("--http=127.0.0.1:0").config(&config).start();
    server.wait_for_log(&["WARN", "ca.pem", "names nobody, because there is no https listener"]);
}

fn names() {
    let authority = Authority::new();
    let server = start(&authority, "client_name = 'dns'");
    assert_eq!(
        of(&server, &authority.issue("ann", "Ann", &["ann.example"])).unwrap(),
        "ann.example".into()
    );
    assert!(of(&server, &authority.issue("bob", "Bob", &[])).is_err(), "without a host name");
}

fn revoked() {
    let authority = Authority::new();
    let (ann, bob) = (authority.issue("ann", "Ann", &[]), authority.issue("bob", "Bob", &[]));
    let list = authority.revoke(&[&bob]);
    let server = start(&authority, &format!("client_crl = '{}'", list.display()));
    assert_eq!(of(&server, &ann).unwrap(), "Ann".into());
    assert!(of(&server, &bob).is_err());

    authority.revoke(&[&ann]);
    wait_until("the new list", || of(&server, &ann).is_err());
    assert_eq!(of(&server, &bob).unwrap(), "Bob".into());

    fs::write(&list, "nonsense").unwrap();
    server.wait_for_log(&["no PEM list of revoked certificates", "those before stay in use"]);
    assert!(of(&server, &ann).is_err());
}

/// A connection of its own.
fn connect(server: &Server, issued: &Issued) -> SslStream<TcpStream> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    builder.set_ca_file(server.ca()).unwrap();
    builder.set_certificate_chain_file(&issued.cert).unwrap();
    builder.set_private_key_file(&issued.key, SslFiletype::PEM).unwrap();
    let socket = TcpStream::connect(address(server)).unwrap();
    socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
    builder.build().connect("localhost", socket).unwrap()
}

fn connections_end() {
    const BODY: &str = "<methodCall><methodName>echo.caller</methodName></methodCall>";
    let authority = Authority::new();
    let (ann, bob) = (authority.issue("ann", "Ann", &[]), authority.issue("bob", "Bob", &[]));
    let list = authority.revoke(&[]);
    let server = start(&authority, &format!("client_crl = {list:?}"));
    let request = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let (mut idle, mut busy) = (connect(&server, &ann), connect(&server, &ann));
    for stream in [&mut idle, &mut busy] {
        let (status, head, body) = exchange(stream, &request);
        assert!(
            status == 200 && body.contains("Ann") && !head.contains("Connection: close"),
            "{head}{body}"
        );
    }
    let (begun, rest) = request.split_at(request.len() - 1);
    busy.write_all(begun.as_bytes()).unwrap();
    let of_bob = builder(&server).client_certificate(&bob.cert, &bob.key).build().unwrap();
    assert!(of_bob.call::<Value>("echo.caller", ()).is_ok());

    authority.revoke(&[&ann]);
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "closed in order, with nothing said");
    let (status, head, body) = exchange(&mut busy, rest);
    assert!(
        status == 200 && body.contains("Ann") && head.contains("Connection: close"),
        "{head}{body}"
    );
    assert_eq!(busy.read(&mut [0]).unwrap(), 0);
    assert!(of(&server, &ann).is_err());
    assert!(of_bob.call::<Value>("echo.caller", ()).is_ok(), "by another connection");
}
