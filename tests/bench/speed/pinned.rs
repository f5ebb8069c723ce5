//! The one way of TLS that all clients of the bench offer. Left to themselves some servers choose
//! by their own list and some by the client's, and then ciphers are compared, and no servers.

use crate::process::Process;
use openssl::error::ErrorStack;
use openssl::pkey::Id;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslRef, SslVersion,
};
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const SUITE: &str = "TLS_AES_128_GCM_SHA256";
const GROUP: &str = "X25519";
/// What [`GROUP`] is in OpenSSL's words.
const GROUP_ID: Id = Id::X25519;

/// All else of TLS 1.3 that servers know by default.
const OTHER_SUITES: &str = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
const OTHER_GROUPS: &str = "P-256:X448:P-384:P-521";

/// How long a client that is tried may take to connect again.
const TRIAL_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// Has a client of ours offer nothing else.
///
/// # Errors
/// OpenSSL does not have it.
pub fn pin(client: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    client.set_min_proto_version(Some(SslVersion::TLS1_3))?;
    client.set_ciphersuites(SUITE)?;
    client.set_groups_list(GROUP)
}

/// The same for a program that leaves its settings to OpenSSL, as wrk does: a file for its variable
/// `OPENSSL_CONF`.
pub fn openssl_conf() -> String {
    format!(
        "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = pinned\n\
         [pinned]\nMinProtocol = TLSv1.3\nCiphersuites = {SUITE}\nGroups = {GROUP}\n"
    )
}

/// Looks at what a handshake of ours came to.
///
/// # Errors
/// It is anything else.
pub fn check(ssl: &SslRef) -> Result<(), String> {
    let suite = ssl.current_cipher().map_or("no cipher", |cipher| cipher.name());
    if suite != SUITE {
        return Err(format!("{suite} was negotiated instead of {SUITE}"));
    }
    match ssl.peer_tmp_key().map(|key| key.id()) {
        Ok(GROUP_ID) => Ok(()),
        Ok(other) => Err(format!("the key exchange was by {other:?} instead of {GROUP}")),
        Err(_) => Err(format!("there was no key exchange instead of one by {GROUP}")),
    }
}

/// A server that a client is tried with.
struct Trial {
    version_max: SslVersion,
    suites: String,
    groups: String,
    /// Why the client must be refused, in OpenSSL's words; none if it must be taken.
    refusal: Option<&'static str>,
}

impl Trial {
    /// All else that a client might offer, one thing after the other, and then everything.
    fn all() -> [Self; 4] {
        let suites = || format!("{SUITE}:{OTHER_SUITES}");
        let groups = || format!("{OTHER_GROUPS}:{GROUP}");
        let trial =
            |version_max, suites, groups, refusal| Self { version_max, suites, groups, refusal };
        let newest = SslVersion::TLS1_3;
        [
            trial(SslVersion::TLS1_2, suites(), groups(), Some("unsupported protocol")),
            trial(newest, OTHER_SUITES.to_owned(), groups(), Some("no shared cipher")),
            trial(newest, suites(), OTHER_GROUPS.to_owned(), Some("no suitable key share")),
            trial(newest, suites(), groups(), None),
        ]
    }

    fn server(&self, cert: &Path, key: &Path) -> Result<SslContext, ErrorStack> {
        let mut server = SslContext::builder(SslMethod::tls_server())?;
        server.set_max_proto_version(Some(self.version_max))?;
        server.set_ciphersuites(&self.suites)?;
        server.set_groups_list(&self.groups)?;
        server.set_certificate_chain_file(cert)?;
        server.set_private_key_file(key, SslFiletype::PEM)?;
        Ok(server.build())
    }
}

/// Proves that a client which calls `https://ADDRESS/` again and again offers nothing else: servers
/// must refuse it that have all but the version, all but the suite, or all but the group; and one
/// that has everything must take it.
///
/// # Errors
/// It does offer something else, or does not come.
pub fn prove(client: impl Fn(&str) -> Command, cert: &Path, key: &Path) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| said(&error))?;
    listener.set_nonblocking(true).map_err(|error| said(&error))?;
    let address = listener.local_addr().map_err(|error| said(&error))?;
    let _client = Process::start(&mut client(&format!("https://{address}/")))?;
    for trial in Trial::all() {
        let server = trial.server(cert, key).map_err(|error| said(&error))?;
        let stream = next_hello(&listener).map_err(|error| said(&error))?;
        let ssl = Ssl::new(&server).map_err(|error| said(&error))?;
        match (ssl.accept(stream), trial.refusal) {
            (Ok(taken), None) => check(taken.ssl())?,
            (Ok(_), Some(reason)) => {
                return Err(format!("a server takes it that should say: {reason}"));
            }
            (Err(refused), Some(reason)) if refused.to_string().contains(reason) => {}
            (Err(error), _) => return Err(said(&error)),
        }
    }
    Ok(())
}

/// The next connection with which something comes. wrk makes one at first to see whether there is
/// anybody, and closes it.
fn next_hello(listener: &TcpListener) -> std::io::Result<TcpStream> {
    let end = Instant::now() + TRIAL_MAX;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_read_timeout(Some(TRIAL_MAX))?;
                if stream.peek(&mut [0])? > 0 {
                    return Ok(stream);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                thread::sleep(POLL)
            }
            Err(error) => return Err(error),
        }
    }
}
