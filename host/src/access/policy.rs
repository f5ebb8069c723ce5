//! Decides whether a caller may call, and which methods. The settings can be replaced while
//! requests are judged.

use super::basic::{self, Basic};
use super::refusal::Refusal;
use super::rules::{Permit, Rules};
use super::settings::Settings;
use super::site::Sites;
use super::users::Users;
use crate::request::{Head, Peer, Way};
use arc_swap::ArcSwap;
use smol_str::SmolStr;
use std::sync::Arc;

/// Somebody who is let in.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is; empty when not known.
    pub name: SmolStr,
    /// What it may call.
    pub permit: Permit,
}

/// What decides. Its policy can be replaced as a whole while requests are judged by it.
pub struct Access {
    policy: ArcSwap<Policy>,
    basic: Basic,
}

/// Settings, understood.
pub struct Policy {
    sites: Sites,
    users: Option<Users>,
    by_certificate: bool,
    allow_anonymous: bool,
    rules: Rules,
}

impl Policy {
    /// Understands settings, and reads the users file.
    ///
    /// # Errors
    /// What in them cannot be used, and what would do.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let keys = &settings.keys;
        Ok(Self {
            sites: Sites::new(&keys.hosts, &keys.origins)?,
            users: keys.users.as_deref().map(Users::read).transpose()?,
            by_certificate: settings.by_certificate,
            allow_anonymous: keys.allow_anonymous,
            rules: Rules::new(&settings.allow, settings.names_callers())?,
        })
    }

    /// Whether a caller without a name is let in.
    const fn takes_nobody(&self, way: Way) -> bool {
        let names_callers = self.users.is_some() || self.by_certificate;
        self.allow_anonymous || way.is_unix() || !names_callers
    }

    /// What tells a caller without a name how to have one.
    fn name_wanted(&self, peer: &Peer) -> Refusal {
        if self.users.is_some() {
            return basic::wanted(peer, self.by_certificate);
        }
        Refusal::new(403, "Forbidden: a client's certificate is wanted, over HTTPS.")
    }
}

impl Access {
    /// Decides by this. Passwords take at most half of so many workers, but for the only one.
    ///
    /// # Errors
    /// OpenSSL has no random numbers.
    pub fn new(policy: Policy, workers: usize) -> Result<Self, String> {
        Ok(Self { policy: ArcSwap::from_pointee(policy), basic: Basic::new(workers)? })
    }

    /// From now on decides by this.
    pub fn replace(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
    }

    /// Whether the operator has listed this origin, as that of pages that may call.
    pub fn lists_origin(&self, origin: &str) -> bool {
        self.policy.load().sites.lists(origin)
    }

    /// Judges a request by its head and its sender. Waits and works when there is a password to
    /// verify.
    ///
    /// # Errors
    /// Why it is not served.
    pub fn admit(&self, head: &Head, peer: &Peer) -> Result<Caller, Refusal> {
        let policy = self.policy.load();
        policy.sites.check(head, peer.way)?;
        let name = self.identify(&policy, head, peer)?;
        let permit = policy.rules.permit(&name, peer.way, peer.ip);
        if permit.allows_nothing() {
            return Err(Refusal::new(403, "Forbidden: this caller may not call any method."));
        }
        Ok(Caller { name, permit })
    }

    /// Credentials name the caller; else what was proven below HTTP does. Names of both are one
    /// kind, and either will do.
    fn identify(&self, policy: &Policy, head: &Head, peer: &Peer) -> Result<SmolStr, Refusal> {
        if let Some(users) = &policy.users
            && let Some(user) = self.basic.user(users, head, peer)?
        {
            return Ok(user.into());
        }
        if peer.name.is_empty() && !policy.takes_nobody(peer.way) {
            return Err(policy.name_wanted(peer));
        }
        Ok(peer.name.clone())
    }
}
