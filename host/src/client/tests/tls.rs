//! The client over TLS: whom it trusts, and how it shows who it is.

use super::{Cause, Client, EncodeOptions, Error, Value, encode_response};
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{SslAcceptor, SslMethod, SslStream, SslVerifyMode};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

pub(super) struct Identity {
    pub(super) certificate: X509,
    key: PKey<Private>,
}

/// A self-signed certificate for 127.0.0.1 and localhost, which says nothing of being a CA.
pub(super) fn identity(name: &str) -> Identity {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    let names = SubjectAlternativeName::new()
        .ip("127.0.0.1")
        .dns("localhost")
        .build(&builder.x509v3_context(None, None));
    builder.append_extension(names.unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    Identity { certificate: builder.build(), key }
}

/// What takes connections over TLS, of clients with a certificate of this CA if there is one.
pub(super) fn acceptor(identity: &Identity, client_ca: Option<&X509>) -> SslAcceptor {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_private_key(&identity.key).unwrap();
    acceptor.set_certificate(&identity.certificate).unwrap();
    if let Some(ca) = client_ca {
        acceptor.cert_store_mut().add_cert(ca.clone()).unwrap();
        acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }
    acceptor.build()
}

/// Takes one connection over TLS and answers one call, if it comes to that, with the caller's
/// common name.
pub(super) fn serve(identity: &Identity, client_ca: Option<&X509>) -> (u16, JoinHandle<()>) {
    let acceptor = acceptor(identity, client_ca);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        if let Ok(mut stream) = acceptor.accept(stream) {
            answer(&mut stream);
        }
    });
    (port, server)
}

pub(super) fn answer(stream: &mut SslStream<TcpStream>) {
    let caller = stream.ssl().peer_certificate().map_or_else(String::new, |certificate| {
        certificate.subject_name().entries().next().unwrap().data().to_string().unwrap()
    });
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    while !request.ends_with(b"</methodCall>\n") {
        match stream.read(&mut chunk) {
            Ok(count) if count > 0 => request.extend_from_slice(&chunk[..count]),
            // A client that does not trust the certificate leaves here.
            _ => return,
        }
    }
    let body = encode_response(&Value::from(caller), &EncodeOptions::default()).unwrap();
    stream
        .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes())
        .unwrap();
    stream.write_all(&body).unwrap();
}

#[test]
fn a_self_signed_certificate_is_trusted_when_it_is_named() {
    let identity = identity("server");
    let pem = identity.certificate.to_pem().unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let (port, server) = serve(&identity, None);
        let client =
            Client::builder(&format!("https://{host}:{port}")).ca_pem(pem.clone()).build().unwrap();
        assert_eq!(client.call::<Value>("m", []).unwrap(), Value::from(""), "{host}");
        server.join().unwrap();
    }
}

#[test]
fn nobody_is_trusted_unasked() {
    let identity = identity("server");
    let other = self::identity("other").certificate.to_pem().unwrap();
    let (port, server) = serve(&identity, None);
    let url = format!("https://127.0.0.1:{port}");
    let error = Client::builder(&url).build().unwrap().call::<Value>("m", []).unwrap_err();
    assert!(matches!(error, Error::Transport { cause: Cause::Untrusted, .. }), "{error:?}");
    assert!(error.to_string().ends_with("is not trusted: self-signed certificate"), "{error}");
    server.join().unwrap();

    let (port, server) = serve(&identity, None);
    let url = format!("https://127.0.0.1:{port}");
    let error =
        Client::builder(&url).ca_pem(other).build().unwrap().call::<Value>("m", []).unwrap_err();
    assert!(matches!(error, Error::Transport { cause: Cause::Untrusted, .. }), "{error:?}");
    server.join().unwrap();

    let (port, server) = serve(&identity, None);
    let url = format!("https://127.0.0.1:{port}");
    assert!(Client::builder(&url).insecure(true).build().unwrap().call::<Value>("m", []).is_ok());
    server.join().unwrap();
}

#[test]
fn a_client_certificate_is_shown_whatever_form_its_key_has() {
    let (server_identity, client_identity) = (identity("server"), identity("ann"));
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(&certificate, client_identity.certificate.to_pem().unwrap()).unwrap();
    let pkcs1 = client_identity.key.rsa().unwrap().private_key_to_pem().unwrap();
    for key_pem in [client_identity.key.private_key_to_pem_pkcs8().unwrap(), pkcs1] {
        std::fs::write(&key, key_pem).unwrap();
        let (port, server) = serve(&server_identity, Some(&client_identity.certificate));
        let client = Client::builder(&format!("https://127.0.0.1:{port}"))
            .ca_pem(server_identity.certificate.to_pem().unwrap())
            .client_certificate(&certificate, &key)
            .build()
            .unwrap();
        assert_eq!(client.call::<Value>("m", []).unwrap(), Value::from("ann"));
        server.join().unwrap();
    }
}

#[test]
fn plain_http_behind_an_https_address_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 16];
        stream.read_exact(&mut hello).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let error = Client::builder(&url).build().unwrap().call::<Value>("m", []).unwrap_err();
    assert!(matches!(error, Error::Transport { cause: Cause::Tls, .. }), "{error:?}");
    server.join().unwrap();
}
