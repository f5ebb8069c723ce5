//! Builds OpenSSL contexts from certificates, by Mozilla's intermediate recommendations: TLS 1.2
//! and 1.3.
//!
//! OpenSSL keeps sessions and ticket keys in the context that begins a handshake, and lets the
//! handshake continue with another. An acceptor therefore has no certificate: it holds the
//! sessions and the client requirements. Each handshake takes the current certificate for its
//! host. New certificates replace only the second context, so sessions continue.

use super::identity::Identity;
use super::peer::Clients;
use arc_swap::ArcSwap;
use openssl::ssl::{
    AlpnError, NameType, SniError, SslAcceptor, SslAcceptorBuilder, SslContext, SslMethod, SslMode,
    SslOptions, select_next_proto,
};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

/// Sessions that are kept for clients of TLS 1.2 without tickets. Tickets are with the clients.
const SESSIONS_MAX: i32 = 1_024;

/// The certificates that are shown, by the hosts that they are for.
pub(super) struct Hosts {
    /// For clients that name no host, or one that no other is for.
    default: SslContext,
    named: HashMap<String, SslContext>,
}

impl Hosts {
    /// The first is the default. `clients` must be those of the acceptor.
    pub(super) fn new(identities: &[Identity], clients: Option<&Clients>) -> io::Result<Self> {
        let mut default = None;
        let mut named = HashMap::new();
        for identity in identities {
            let context = with_certificate(identity, clients)?;
            for host in identity.hosts() {
                named.entry(host).or_insert_with(|| context.clone());
            }
            default.get_or_insert(context);
        }
        let default = default.ok_or_else(|| io::Error::other("there is none"))?;
        Ok(Self { default, named })
    }

    /// That of the host's name, else that of a wildcard for its first label (RFC 6125, 6.4.3), else
    /// the default one.
    fn find(&self, host: Option<&str>) -> &SslContext {
        let find = |host: &str| {
            let host = host.to_ascii_lowercase();
            let wildcard = || self.named.get(&format!("*.{}", host.split_once('.')?.1));
            self.named.get(&host).or_else(wildcard)
        };
        host.and_then(find).unwrap_or(&self.default)
    }
}

/// Shakes hands with whatever `hosts` has for the host that a client names. What is asked of
/// clients stays as it is here, and so no session lets anybody in who would not be let in by a new
/// one.
pub(super) fn acceptor(
    clients: Option<&Clients>,
    hosts: Arc<ArcSwap<Hosts>>,
) -> io::Result<SslAcceptor> {
    let mut builder = builder(clients)?;
    builder.set_servername_callback(move |ssl, _| {
        let hosts = hosts.load();
        let context = hosts.find(ssl.servername(NameType::HOST_NAME));
        // OpenSSL keeps it for the connection.
        ssl.set_ssl_context(context).map_err(|_| SniError::ALERT_FATAL)
    });
    Ok(builder.build())
}

fn with_certificate(identity: &Identity, clients: Option<&Clients>) -> io::Result<SslContext> {
    let mut builder = builder(clients)?;
    builder.set_certificate(&identity.leaf)?;
    identity.chain.iter().try_for_each(|issuer| builder.add_extra_chain_cert(issuer.clone()))?;
    builder.set_private_key(&identity.key)?;
    builder.check_private_key()?;
    Ok(builder.build().into_context())
}

/// All of them ask the same of clients: naming another host is no way around.
fn builder(clients: Option<&Clients>) -> io::Result<SslAcceptorBuilder> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    // Resumption needs a name when certificates of clients are asked for.
    builder.set_session_id_context(b"hotcall")?;
    builder.set_session_cache_size(SESSIONS_MAX);
    // Mozilla's intermediate profile leaves the order to clients. Here the server's counts, but for
    // clients that put ChaCha20 first, because they have no AES in hardware.
    let order = SslOptions::CIPHER_SERVER_PREFERENCE | SslOptions::PRIORITIZE_CHACHA;
    builder.set_options(SslOptions::NO_RENEGOTIATION | order);
    // Idle connections keep no buffers.
    builder.set_mode(SslMode::RELEASE_BUFFERS);
    // One read of the socket takes what has come, and not a record's head and then the rest of it.
    builder.set_read_ahead(true);
    builder.set_alpn_select_callback(|_, offered| {
        // RFC 7301, section 3.2: who offers only other protocols is told so now.
        select_next_proto(b"\x08http/1.1", offered).ok_or(AlpnError::ALERT_FATAL)
    });
    clients.map_or(Ok(()), |clients| clients.apply(&mut builder))?;
    Ok(builder)
}
