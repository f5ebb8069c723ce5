//! HTTP Basic (RFC 7617): reads a user's name and password from an `Authorization` field, or
//! refuses it.

use super::failures::FailureLog;
use super::refusal::Refusal;
use super::throttle::{RETRY_AFTER, Throttle};
use super::users::Users;
use super::verify::{Credentials, Verdict, Verifier, refuse};
use crate::request::{Head, Peer, Way};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

const CHALLENGE: (&str, &str) = ("WWW-Authenticate", "Basic realm=\"Hotcall\", charset=\"UTF-8\"");

/// Takes names and passwords. Outlives policies: a reload gives nobody new tries, and takes no more
/// workers.
pub(super) struct Basic {
    verifier: Verifier,
    throttle: Throttle,
    failures: FailureLog,
}

impl Basic {
    /// Passwords take at most half of so many workers, but for the only one.
    ///
    /// # Errors
    /// OpenSSL has no random numbers.
    pub(super) fn new(workers: usize) -> Result<Self, String> {
        let (throttle, failures) = (Throttle::default(), FailureLog::default());
        Ok(Self { verifier: Verifier::new(workers)?, throttle, failures })
    }

    /// Returns the user whose credentials came, or `None` when none came. Malformed credentials
    /// count as wrong ones.
    ///
    /// # Errors
    /// They are wrong, came where others could read them, or cannot be verified now.
    pub(super) fn user(
        &self,
        users: &Users,
        head: &Head,
        peer: &Peer,
    ) -> Result<Option<String>, Refusal> {
        let Some(encoded) = head.authorization.as_deref().and_then(encoded) else {
            return Ok(None);
        };
        check_secret(peer)?;
        let decoded = BASE64.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let given = decoded.as_deref().and_then(|text| text.split_once(':'));
        let verdict = match given {
            Some((name, password)) => self.verifier.verify(
                users,
                &Credentials { name, password },
                peer.ip,
                &self.throttle,
            ),
            None => refuse(peer.ip, &self.throttle),
        };
        match verdict {
            Verdict::Right => Ok(given.map(|(name, _)| name.to_owned())),
            Verdict::Wrong => {
                self.failures.note(peer.ip);
                Err(wrong())
            }
            Verdict::Throttled => {
                let why =
                    "Too many requests: too many wrong names or passwords came from this address.";
                Err(Refusal::new(429, why).with_header("Retry-After", RETRY_AFTER))
            }
            Verdict::Busy => {
                let why = "Overloaded: too many passwords are being verified.";
                Err(Refusal::new(503, why).with_header("Retry-After", "1"))
            }
        }
    }
}

/// What tells a caller without a name to give one.
pub(super) fn wanted(peer: &Peer, or_certificate: bool) -> Refusal {
    match check_secret(peer) {
        Ok(()) if or_certificate => challenge(
            "Unauthorized: a name and a password are wanted, or, over HTTPS, a client's \
             certificate.",
        ),
        Ok(()) => challenge("Unauthorized: a name and a password are wanted."),
        Err(refusal) => refusal,
    }
}

fn wrong() -> Refusal {
    challenge("Unauthorized: wrong name or password.")
}

fn challenge(why: &str) -> Refusal {
    let (name, value) = CHALLENGE;
    Refusal::new(401, why).with_header(name, value)
}

/// Asking for credentials that anybody on the way could read would be asking for harm.
fn check_secret(peer: &Peer) -> Result<(), Refusal> {
    if peer.is_encrypted || peer.way != Way::Network {
        return Ok(());
    }
    let why = "Forbidden: names and passwords are accepted over HTTPS, loopback and Unix sockets \
               only. A password that was sent here may have been read on the network: change it.";
    Err(Refusal::new(403, why))
}

/// The credentials, perhaps empty, if the scheme is Basic.
fn encoded(authorization: &str) -> Option<&str> {
    let (scheme, rest) = authorization.split_once(' ').unwrap_or((authorization, ""));
    scheme.eq_ignore_ascii_case("basic").then(|| rest.trim())
}
