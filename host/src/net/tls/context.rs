//! From certificates to what shakes hands with them, by Mozilla's intermediate recommendations: TLS 1.2 and 1.3.

use super::identity::Identity;
use super::peer::Clients;
use openssl::ssl::{
    AlpnError, NameType, SniError, SslAcceptor, SslAcceptorBuilder, SslContext, SslMethod, SslMode,
    SslOptions, select_next_proto,
};
use std::collections::HashMap;
use std::io;

/// Sessions that are kept for clients of TLS 1.2 without tickets. Tickets are with the clients.
const SESSIONS_MAX: i32 = 1_024;

/// Shakes hands as the identity that is for the host which a client names, or as the first.
pub(super) fn acceptor(identities: &[Identity], clients: Option<&Clients>) -> io::Result<SslAcceptor> {
    let mut default = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    let mut hosts = HashMap::new();
    for (number, identity) in identities.iter().enumerate() {
        let context = if number == 0 {
            configure(&mut default, identity, clients)?;
            None
        } else {
            let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
            configure(&mut builder, identity, clients)?;
            Some(builder.build().into_context())
        };
        for host in identity.hosts() {
            hosts.entry(host).or_insert_with(|| context.clone());
        }
    }
    if identities.len() > 1 {
        default.set_servername_callback(move |ssl, _| {
            let chosen = ssl.servername(NameType::HOST_NAME).and_then(|host| find(&hosts, host)).cloned();
            match chosen {
                Some(context) => ssl.set_ssl_context(&context).map_err(|_| SniError::ALERT_FATAL),
                None => Ok(()),
            }
        });
    }
    Ok(default.build())
}

/// All of them ask the same of clients: naming another host is no way around.
fn configure(
    builder: &mut SslAcceptorBuilder,
    identity: &Identity,
    clients: Option<&Clients>,
) -> io::Result<()> {
    builder.set_certificate(&identity.leaf)?;
    identity.chain.iter().try_for_each(|issuer| builder.add_extra_chain_cert(issuer.clone()))?;
    builder.set_private_key(&identity.key)?;
    builder.check_private_key()?;
    // Resumption needs a name when certificates of clients are asked for.
    builder.set_session_id_context(b"hotcall")?;
    builder.set_session_cache_size(SESSIONS_MAX);
    builder.set_options(SslOptions::NO_RENEGOTIATION);
    // Idle connections keep no buffers.
    builder.set_mode(SslMode::RELEASE_BUFFERS);
    builder.set_alpn_select_callback(|_, offered| {
        select_next_proto(b"\x08http/1.1", offered).ok_or(AlpnError::NOACK)
    });
    clients.map_or(Ok(()), |clients| clients.apply(builder))
}

/// The context for a host, if it is another than the default one: that of its name, else that of a wildcard for its first
/// label (RFC 6125, 6.4.3).
fn find<'a>(hosts: &'a HashMap<String, Option<SslContext>>, host: &str) -> Option<&'a SslContext> {
    let host = host.to_ascii_lowercase();
    let wildcard = || hosts.get(&format!("*.{}", host.split_once('.')?.1));
    hosts.get(&host).or_else(wildcard)?.as_ref()
}
