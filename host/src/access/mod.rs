//! Who may call: from what is known of a request's sender to a permission or a refusal.
//!
//! [`Access`] holds what an operator chose and decides by it. `site` is about hosts and browsers; `basic` takes names and
//! passwords, which `verify` verifies against `users`, as often as `throttle` lets; `rules` say who may call what. Knows no sockets, no XML and no
//! dispatch: what it judges is a [`Visit`].

mod basic;
mod rules;
mod site;
mod throttle;
pub mod users;
mod verify;

pub use rules::{Permit, RuleKeys};

use arc_swap::ArcSwap;
use rules::Rules;
use site::Sites;
use smol_str::SmolStr;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use throttle::Throttle;
use users::Users;
use verify::Verifier;

/// What an operator chooses of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Host names and addresses that the server answers for, besides loopback's on loopback. None: any, but on loopback.
    pub hosts: Vec<String>,
    /// Origins of web pages that may call.
    pub origins: Vec<String>,
    /// The users file. With one, callers must be somebody, but on Unix sockets.
    pub users: Option<PathBuf>,
    /// Whether certificates name callers, below HTTP. If so, callers must be somebody, but on Unix sockets.
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
    fn names_callers(&self) -> bool {
        self.users.is_some() || self.by_certificate
    }

    /// Whether somebody may be an operator who does not come through a Unix socket.
    pub fn names_operators(&self) -> bool {
        self.allow.iter().any(|rule| rule.methods.iter().any(|method| method.starts_with(rules::OPERATORS)))
    }
}

/// How a request came to this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Through a Unix socket, from a process of the server's own user or of root: whoever could also replace the server.
    Owner,
    /// Through a Unix socket, from another user of this machine, whom the socket's mode lets in.
    Unix,
    /// Over TCP from this same machine.
    Loopback,
    /// From wherever.
    #[default]
    Network,
}

impl Way {
    const ALL: [Self; 4] = [Self::Owner, Self::Unix, Self::Loopback, Self::Network];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Unix => "unix",
            Self::Loopback => "loopback",
            Self::Network => "network",
        }
    }

    /// Whether it is a Unix socket, whoever is at its other end.
    pub const fn is_unix(self) -> bool {
        matches!(self, Self::Owner | Self::Unix)
    }

    /// The way of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }
}

/// What is known of a request's sender, and what the request says of it.
#[derive(Clone, Copy, Default)]
pub struct Visit<'a> {
    /// How it came.
    pub way: Way,
    /// The host that it wants to reach, perhaps with a port.
    pub host: Option<&'a str>,
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`.
    pub fetch_site: Option<&'a str>,
    /// Where it came from, when it has an address.
    pub address: Option<IpAddr>,
    /// Whether it came through TLS.
    pub is_encrypted: bool,
    /// The name that was proven below HTTP; empty when none was.
    pub name: &'a str,
    /// `Authorization`.
    pub authorization: Option<&'a str>,
}

/// Why a request is not served: its status, and the reason for its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// One or two sentences.
    pub why: String,
    /// A header field that belongs to the status.
    pub header: Option<(&'static str, &'static str)>,
}

/// Somebody who is let in.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is; empty when not known.
    pub name: SmolStr,
    /// What it may call.
    pub permit: Permit,
}

impl Refusal {
    fn new(status: u16, why: impl Into<String>) -> Self {
        Self { status, why: why.into(), header: None }
    }

    fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }
}

/// What decides. Its policy can be replaced as a whole while requests are judged by it.
pub struct Access {
    policy: ArcSwap<Policy>,
    // These outlive policies. A reload gives nobody new tries, and takes no more workers.
    throttle: Throttle,
    verifier: Verifier,
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
        Ok(Self {
            sites: Sites::new(&settings.hosts, &settings.origins)?,
            users: settings.users.as_deref().map(Users::read).transpose()?,
            by_certificate: settings.by_certificate,
            allow_anonymous: settings.allow_anonymous,
            rules: Rules::new(&settings.allow, settings.names_callers())?,
        })
    }

    /// Whether a caller without a name is let in.
    const fn takes_nobody(&self, way: Way) -> bool {
        let names_callers = self.users.is_some() || self.by_certificate;
        self.allow_anonymous || way.is_unix() || !names_callers
    }

    /// What tells a caller without a name how to have one.
    fn name_wanted(&self, visit: &Visit<'_>) -> Refusal {
        if self.users.is_some() {
            return basic::wanted(visit, self.by_certificate);
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
        let (throttle, verifier) = (Throttle::default(), Verifier::new(workers)?);
        Ok(Self { policy: ArcSwap::from_pointee(policy), throttle, verifier })
    }

    /// From now on decides by this.
    pub fn replace(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
    }

    /// Whether the operator has listed this origin, as that of pages that may call.
    pub fn lists_origin(&self, origin: &str) -> bool {
        self.policy.load().sites.lists(origin)
    }

    /// Judges a request by its sender. Waits and works when there is a password to verify.
    ///
    /// # Errors
    /// Why it is not served.
    pub fn admit(&self, visit: &Visit<'_>) -> Result<Caller, Refusal> {
        let policy = self.policy.load();
        policy.sites.check(visit)?;
        let name = self.identify(&policy, visit)?;
        let permit = policy.rules.permit(&name, visit.way, visit.address);
        if permit.allows_nothing() {
            return Err(Refusal::new(403, "Forbidden: this caller may not call any method."));
        }
        Ok(Caller { name, permit })
    }

    /// Credentials name the caller; else what was proven below HTTP does. Names of both are one kind, and either will do.
    fn identify(&self, policy: &Policy, visit: &Visit<'_>) -> Result<SmolStr, Refusal> {
        if let Some(users) = &policy.users
            && let Some(user) = basic::user(users, &self.verifier, visit, &self.throttle)?
        {
            return Ok(user.into());
        }
        if visit.name.is_empty() && !policy.takes_nobody(visit.way) {
            return Err(policy.name_wanted(visit));
        }
        Ok(visit.name.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_have_names() {
        for way in Way::ALL {
            assert_eq!(Way::of_name(way.name()), Some(way));
        }
        assert_eq!(Way::of_name("x"), None);
    }

    /// `ann:one`, `ann:two`, what is no base64, no pair, and no Basic.
    const RIGHT: &str = "Basic YW5uOm9uZQ==";
    const WRONG: &str = "Basic YW5uOnR3bw==";
    const BROKEN: [&str; 2] = ["Basic !", "Basic YW5u"];

    fn access(allow_anonymous: bool) -> Access {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        users::set_password(&path, "ann", "one").unwrap();
        let settings = Settings { users: Some(path), allow_anonymous, ..Settings::default() };
        Access::new(Policy::new(&settings).unwrap(), 2).unwrap()
    }

    /// The caller's name, or the status.
    fn judged(access: &Access, visit: &Visit<'_>) -> Result<String, u16> {
        access.admit(visit).map(|caller| caller.name.into()).map_err(|refusal| refusal.status)
    }

    /// A visit, and what becomes of it where a name is wanted and where not.
    type Row<'a> = (Visit<'a>, Result<&'a str, u16>, Result<&'a str, u16>);

    #[test]
    fn callers_are_named_or_refused() {
        let (strict, open) = (access(false), access(true));
        let network = Visit::default();
        let tls = Visit { is_encrypted: true, ..network };
        let loopback = Visit { way: Way::Loopback, ..network };
        let unix = Visit { way: Way::Unix, ..network };
        let with =
            |visit: Visit<'static>, authorization| Visit { authorization: Some(authorization), ..visit };
        let rows: [Row<'_>; 17] = [
            (tls, Err(401), Ok("")),
            (loopback, Err(401), Ok("")),
            (network, Err(403), Ok("")),
            (unix, Ok(""), Ok("")),
            (with(tls, RIGHT), Ok("ann"), Ok("ann")),
            (with(tls, "bAsIc  YW5uOm9uZQ=="), Ok("ann"), Ok("ann")),
            (with(loopback, RIGHT), Ok("ann"), Ok("ann")),
            (with(unix, RIGHT), Ok("ann"), Ok("ann")),
            (with(network, RIGHT), Err(403), Err(403)),
            (with(tls, WRONG), Err(401), Err(401)),
            (with(unix, WRONG), Err(401), Err(401)),
            (with(tls, BROKEN[0]), Err(401), Err(401)),
            (with(tls, BROKEN[1]), Err(401), Err(401)),
            (with(tls, "Bearer x"), Err(401), Ok("")),
            (Visit { name: "cert", ..tls }, Ok("cert"), Ok("cert")),
            (Visit { name: "cert", ..with(tls, RIGHT) }, Ok("ann"), Ok("ann")),
            (Visit { name: "cert", ..with(tls, WRONG) }, Err(401), Err(401)),
        ];
        for (number, (visit, by_strict, by_open)) in rows.iter().enumerate() {
            let owned = |result: &Result<&str, u16>| result.map(str::to_owned);
            assert_eq!(judged(&strict, visit), owned(by_strict), "row {number}");
            assert_eq!(judged(&open, visit), owned(by_open), "row {number}");
        }
    }

    /// `tests/it/permits.rs` has all combinations.
    #[test]
    fn where_certificates_name_callers_nobody_else_is_let_in() {
        let access = |allow_anonymous| {
            let settings = Settings { by_certificate: true, allow_anonymous, ..Settings::default() };
            assert!(settings.settles_who_may_call());
            Access::new(Policy::new(&settings).unwrap(), 2).unwrap()
        };
        let tls = Visit { is_encrypted: true, ..Visit::default() };
        let rows = [
            (tls, Err(403), Ok("")),
            (Visit::default(), Err(403), Ok("")),
            (Visit { way: Way::Loopback, ..tls }, Err(403), Ok("")),
            (Visit { way: Way::Unix, ..Visit::default() }, Ok(""), Ok("")),
            (Visit { authorization: Some(RIGHT), ..tls }, Err(403), Ok("")),
            (Visit { name: "cert", ..tls }, Ok("cert"), Ok("cert")),
        ];
        for (number, (visit, by_strict, by_open)) in rows.iter().enumerate() {
            let owned = |result: &Result<&str, u16>| result.map(str::to_owned);
            assert_eq!(judged(&access(false), visit), owned(by_strict), "row {number}");
            assert_eq!(judged(&access(true), visit), owned(by_open), "row {number}");
        }
    }

    #[test]
    fn without_users_credentials_are_nothing() {
        let access = Access::new(Policy::new(&Settings::default()).unwrap(), 2).unwrap();
        let visit = Visit { authorization: Some(WRONG), ..Visit::default() };
        assert_eq!(judged(&access, &visit), Ok(String::new()));
        assert_eq!(judged(&access, &Visit { name: "cert", ..visit }), Ok("cert".to_owned()));
    }
}
