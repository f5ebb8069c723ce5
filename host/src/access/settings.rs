//! Who may call, as an operator chooses it. Must not know how it is decided.

use super::rules::{OPERATORS, RuleKeys};
use std::path::PathBuf;

/// What an operator chooses of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Host names and addresses that the server answers for, besides loopback's on loopback. None:
    /// any, but on loopback.
    pub hosts: Vec<String>,
    /// Origins of web pages that may call.
    pub origins: Vec<String>,
    /// The users file. With one, callers must be somebody, but on Unix sockets.
    pub users: Option<PathBuf>,
    /// Whether certificates name callers, below HTTP. If so, callers must be somebody, but on Unix
    /// sockets.
    pub by_certificate: bool,
    /// Whether callers without a name are let in nevertheless.
    pub allow_anonymous: bool,
    /// Who may call what. None: all may call all, but for what operators may.
    pub allow: Vec<RuleKeys>,
}

impl Settings {
    /// Whether callers are somebody, or need not be.
    pub fn settles_who_may_call(&self) -> bool {
        self.names_callers() || self.allow_anonymous
    }

    /// Whether a caller can have a name.
    pub(super) fn names_callers(&self) -> bool {
        self.users.is_some() || self.by_certificate
    }

    /// Whether somebody may be an operator who does not come through a Unix socket.
    pub fn names_operators(&self) -> bool {
        self.allow
            .iter()
            .any(|rule| rule.methods.iter().any(|method| method.starts_with(OPERATORS)))
    }
}
