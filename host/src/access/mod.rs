//! Who may call: from what is known of a request's sender to a permission or a refusal.
//!
//! [`Access`] holds what an operator chose and decides by it; `site` is about hosts and browsers. Knows no sockets, no XML
//! and no dispatch: what it judges is a [`Visit`].

mod site;

use arc_swap::ArcSwap;
use site::Sites;
use std::sync::Arc;

/// What an operator chooses of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Host names and addresses that the server answers for, besides loopback's on loopback. None: any, but on loopback.
    pub hosts: Vec<String>,
    /// Origins of web pages that may call.
    pub origins: Vec<String>,
}

/// How a request came to this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Through a Unix socket, which only this machine's own users can reach, by its permissions.
    Unix,
    /// Over TCP from this same machine.
    Loopback,
    /// From wherever.
    #[default]
    Network,
}

impl Way {
    const ALL: [Self; 3] = [Self::Unix, Self::Loopback, Self::Network];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unix => "unix",
            Self::Loopback => "loopback",
            Self::Network => "network",
        }
    }

    /// The way of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }
}

/// What is known of a request's sender, and what the request says of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Visit<'a> {
    /// How it came.
    pub way: Way,
    /// The host that it wants to reach, perhaps with a port.
    pub host: Option<&'a str>,
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`.
    pub fetch_site: Option<&'a str>,
}

/// Why a request is not served: its status, and the reason for its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// One or two sentences.
    pub why: String,
}

impl Refusal {
    fn new(status: u16, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }
}

/// What decides. Replaced as a whole while requests are judged by it.
#[derive(Debug)]
pub struct Access(ArcSwap<Policy>);

/// Settings, understood.
#[derive(Debug)]
pub struct Policy {
    sites: Sites,
}

impl Policy {
    /// Understands settings.
    ///
    /// # Errors
    /// What in them cannot be used, and what would do.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Ok(Self { sites: Sites::new(&settings.hosts, &settings.origins)? })
    }
}

impl Access {
    /// Decides by this.
    pub fn new(policy: Policy) -> Self {
        Self(ArcSwap::from_pointee(policy))
    }

    /// From now on decides by this.
    pub fn replace(&self, policy: Policy) {
        self.0.store(Arc::new(policy));
    }

    /// Judges a request.
    ///
    /// # Errors
    /// Why it is not served.
    pub fn admit(&self, visit: &Visit<'_>) -> Result<(), Refusal> {
        self.0.load().sites.check(visit)
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
}
