//! Who may call, as an operator chooses it. Must not know how it is decided.

use super::rules::RuleKeys;
use std::path::PathBuf;

/// Gives `settings!` the settings that this room takes as they are. A new one needs only its entry
/// here and the code that uses it.
macro_rules! access_keys {
    ({ $($struct:tt)* } { $($before:tt)* } { $($after:tt)* } $($rest:tt)*) => {
        $crate::settings::settings! { $($struct)* { $($before)*
            /// Names and passwords, a file that `hotcall passwd users NAME` writes.
            users: Option<PathBuf> = None =>
                reloaded(),
                heading(
                    "Who may call. With `users` or `client_ca`, callers must be somebody: a user \
                     with a password, or whom a certificate names. On addresses that are not \
                     loopback one of these two is needed, or allow_anonymous."
                ),
                example("\"users\"");
            /// Whether callers without a name are let in nevertheless.
            allow_anonymous: bool = false => reloaded();
            /// Names that the server answers for, besides loopback's there. Elsewhere by default
            /// any.
            hosts: Vec<String> = Vec::new() => reloaded(), example("[\"rpc.example.com\"]");
            /// Web sites whose pages may call, besides its own.
            origins: Vec<String> = Vec::new() =>
                reloaded(),
                example("[\"https://app.example.com\"]");
        $($after)* } $($rest)* }
    };
}
pub(crate) use access_keys;

access_keys! {
    {
        /// Who must have a name, and which hosts and origins requests are for.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct AccessKeys
    } {} {}
}

/// What an operator chooses of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Further settings. With users, callers must be somebody, but on Unix sockets.
    pub keys: AccessKeys,
    /// Whether certificates name callers, below HTTP. If so, callers must be somebody, but on Unix
    /// sockets.
    pub by_certificate: bool,
    /// Who may call what. None: all may call all, but for what operators may.
    pub allow: Vec<RuleKeys>,
}

impl Settings {
    /// Whether callers are somebody, or need not be.
    pub fn settles_who_may_call(&self) -> bool {
        self.names_callers() || self.keys.allow_anonymous
    }

    /// Whether a caller can have a name.
    pub(super) fn names_callers(&self) -> bool {
        self.keys.users.is_some() || self.by_certificate
    }
}
