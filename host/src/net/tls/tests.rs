//! Handshakes with what [`Tls`] gives, over a pair of sockets. How sessions are resumed is tested
//! from outside.

use super::server::{Ready, Tls};
use super::settings::{CertificateFiles, ClientAuth, ClientKeys, Settings};
use super::stamps::Stamps;
use super::trials::Made;
use openssl::ssl::{
    SslConnector, SslConnectorBuilder, SslMethod, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

fn settings(certificates: &[&CertificateFiles]) -> Settings {
    Settings { certificates: certificates.iter().copied().cloned().collect(), clients: None }
}

fn serving(certificates: &[&CertificateFiles]) -> Tls {
    Tls::new(Ready::new(settings(certificates)).unwrap())
}

fn shake(
    tls: &Tls,
    host: &str,
    configure: impl FnOnce(&mut SslConnectorBuilder),
) -> Result<SslStream<UnixStream>, String> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    builder.set_verify(SslVerifyMode::NONE);
    configure(&mut builder);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let context = tls.context();
    let server =
        thread::spawn(move || context.acceptor().accept(ours).map_err(|error| error.to_string()));
    let stream = builder.build().connect(host, theirs).map_err(|error| error.to_string());
    server.join().unwrap().and(stream)
}

fn shown(tls: &Tls, host: &str) -> X509 {
    shake(tls, host, |_| ()).unwrap().ssl().peer_certificate().unwrap()
}

fn certificate(files: &CertificateFiles) -> X509 {
    X509::from_pem(&fs::read(&files.cert).unwrap()).unwrap()
}

#[test]
fn old_versions_are_refused_and_the_protocol_is_http_1_1() {
    let dir = tempfile::tempdir().unwrap();
    let tls = serving(&[&Made::new("localhost").write(dir.path(), "a")]);
    let with = |version| {
        shake(&tls, "localhost", move |builder| {
            // Old versions need what OpenSSL does not let clients use by default.
            builder.set_security_level(0);
            builder.set_min_proto_version(Some(version)).unwrap();
            builder.set_max_proto_version(Some(version)).unwrap();
            builder.set_alpn_protos(b"\x02h2\x08http/1.1").unwrap();
        })
    };
    assert!(with(SslVersion::TLS1).is_err() && with(SslVersion::TLS1_1).is_err());
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let stream = with(version).unwrap();
        assert_eq!(stream.ssl().selected_alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(stream.ssl().version2(), Some(version));
    }
}

#[test]
fn a_client_gets_the_certificate_for_the_host_that_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let first = Made::new("first.example").write(dir.path(), "first");
    let second =
        Made::new("x").host("second.example").host("*.w.example").write(dir.path(), "second");
    let third = Made::new("x").host("a.w.example").host("First.example").write(dir.path(), "third");
    let tls = serving(&[&first, &second, &third]);
    let cases = [
        ("first.example", &first),
        ("second.example", &second),
        ("SECOND.example", &second),
        ("b.w.example", &second),
        ("a.w.example", &third),
        ("a.b.w.example", &first),
        ("w.example", &first),
        ("other.example", &first),
        ("127.0.0.1", &first),
    ];
    for (host, files) in cases {
        assert!(shown(&tls, host) == certificate(files), "{host}");
    }
}

#[test]
fn a_chain_is_sent_whole() {
    let dir = tempfile::tempdir().unwrap();
    let root = Made::new("root").authority().make(None);
    let middle = Made::new("middle").authority().make(Some(&root));
    let leaf = Made::new("localhost").make(Some(&middle));
    let files = Made::new("localhost").write(dir.path(), "a");
    let chain = [&leaf, &middle].map(|pair| pair.certificate.to_pem().unwrap()).concat();
    fs::write(&files.cert, chain).unwrap();
    fs::write(&files.key, leaf.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    let tls = serving(&[&files]);
    let anchor = root.certificate;
    let stream = shake(&tls, "localhost", |builder| {
        builder.set_verify(SslVerifyMode::PEER);
        builder.cert_store_mut().add_cert(anchor).unwrap();
    });
    assert_eq!(stream.unwrap().ssl().peer_cert_chain().unwrap().len(), 2);
}

#[test]
fn changed_files_are_read_when_they_rest_and_bad_ones_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let files = Made::new("localhost").write(dir.path(), "a");
    let tls = serving(&[&files]);
    let first = shown(&tls, "localhost");
    let look = |last: Option<Stamps>| (tls.look(last), shown(&tls, "localhost"));

    replace(&Made::new("localhost").write(dir.path(), "b"), &files);
    let (last, now) = look(None);
    assert!(now == first, "not before they have rested for a look");
    let (last, second) = look(Some(last));
    assert!(second == certificate(&files) && second != first);

    fs::write(&files.cert, first.to_pem().unwrap()).unwrap();
    let (last, _) = look(Some(last));
    let (last, now) = look(Some(last));
    assert!(now == second, "another's key");
    fs::remove_file(&files.key).unwrap();
    let (last, _) = look(Some(last));
    let (last, now) = look(Some(last));
    assert!(now == second, "no key");
    assert!(Ready::new(settings(&[&files])).is_err());

    replace(&Made::new("localhost").write(dir.path(), "b"), &files);
    let (last, _) = look(Some(last));
    let (_, third) = look(Some(last));
    assert!(third == certificate(&files) && third != second);
}

#[test]
fn new_ticket_keys_need_no_files() {
    let dir = tempfile::tempdir().unwrap();
    let files = Made::new("localhost").write(dir.path(), "a");
    let tls = serving(&[&files]);
    let before = tls.context();
    fs::remove_file(&files.key).unwrap();
    tls.renew(&mut tls.lock()).unwrap();
    assert!(!Arc::ptr_eq(&before, &tls.context()));
    assert!(shown(&tls, "localhost") == certificate(&files));
}

#[test]
fn contexts_are_outdated_once_something_else_is_asked_of_clients() {
    let dir = tempfile::tempdir().unwrap();
    let [one, other] = ["a", "b"].map(|name| Made::new("localhost").write(dir.path(), name));
    let ca = dir.path().join("ca.pem");
    let authority = Made::new("root").authority().make(None).certificate;
    fs::write(&ca, authority.to_pem().unwrap()).unwrap();
    let tls = serving(&[&one]);
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    tls.on_outdated(move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let first = tls.context();
    tls.replace(Ready::new(settings(&[&other])).unwrap());
    tls.renew(&mut tls.lock()).unwrap();
    let second = tls.context();
    assert!(!Arc::ptr_eq(&first, &second) && !first.is_outdated() && !second.is_outdated());
    assert_eq!(told.load(Ordering::Relaxed), 0);

    let clients = ClientAuth { ca, keys: ClientKeys::default() };
    tls.replace(Ready::new(Settings { clients: Some(clients), ..settings(&[&other]) }).unwrap());
    assert!(first.is_outdated() && second.is_outdated() && !tls.context().is_outdated());
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

fn replace(new: &CertificateFiles, old: &CertificateFiles) {
    let rename = |from: &Path, to: &Path| fs::rename(from, to).unwrap();
    rename(&new.cert, &old.cert);
    rename(&new.key, &old.key);
}
