//! Sessions of TLS that a client keeps from one connection to the next.
#![allow(unsafe_code, reason = "OpenSSL's own condition on a session cannot be said in a type")]

use crate::pinned;
use openssl::error::ErrorStack;
use openssl::ssl::{
    ConnectConfiguration, SslConnector, SslMethod, SslSession, SslSessionCacheMode, SslVerifyMode,
};
use std::sync::{Arc, Mutex, PoisonError};

/// The last session that a server gave. One client's only, as is its connector.
pub struct Tickets {
    connector: SslConnector,
    last: Arc<Mutex<Option<SslSession>>>,
}

impl Tickets {
    /// None yet. Whose the server's certificate is, is not looked at: that costs the client, and is
    /// the same for all peers.
    ///
    /// # Errors
    /// OpenSSL has no memory, or not what all clients offer.
    pub fn new() -> Result<Self, ErrorStack> {
        let last = Arc::<Mutex<Option<SslSession>>>::default();
        let kept = last.clone();
        let mut connector = SslConnector::builder(SslMethod::tls())?;
        pinned::pin(&mut connector)?;
        connector.set_verify(SslVerifyMode::NONE);
        connector
            .set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        connector.set_new_session_callback(move |_, session| {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        });
        Ok(Self { connector: connector.build(), last })
    }

    /// What connections are made with.
    pub const fn connector(&self) -> &SslConnector {
        &self.connector
    }

    /// A copy of the last session. Of its own accord OpenSSL takes up a session of TLS 1.3 once
    /// only, and Node gives none with one that is taken up.
    pub fn last(&self) -> Option<SslSession> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().and_then(|session| SslSession::from_der(&session.to_der().ok()?).ok())
    }
}

/// Has the next handshake ask for this session, which must be of the same [`Tickets`].
///
/// # Errors
/// OpenSSL cannot use it.
pub fn offer(
    configured: &mut ConnectConfiguration,
    session: &SslSession,
) -> Result<(), ErrorStack> {
    // SAFETY: the session comes from a connection of the same context, or is a copy of one, since
    // each caller has a `Tickets` of its own.
    unsafe { configured.set_session(session) }
}
