//! `[[allow]]`: which callers may call which methods. With any rule, everything else is denied.
//!
//! A [`Permit`] is the set of rules that one caller fits. `web` asks it about the method of a
//! request, where a denial is an HTTP status. `rpc` asks it about each entry of a batch and about
//! introspection. The answer depends on the name alone, so a denial does not tell whether the
//! method exists.
//!
//! `hotcall.*` is for operators. On a Unix socket these are the server's own user and root, whom
//! the kernel names for each connection. The socket's mode does not make operators: it may be
//! wide, and systemd's default is 0666.

use crate::request::Way;
use crate::settings::settings;
use ipnet::{IpNet, Ipv4Net};
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;

/// The word among addresses for callers on Unix sockets.
const UNIX: &str = "unix";
/// The server's own methods for operators: no pattern means them that does not begin so.
const OPERATORS: &str = "hotcall.";
/// The server's own methods for all. They tell a caller only of what it may call.
const SYSTEM: &str = "system.";

settings! {
    /// The keys of one `[[allow]]`. A caller must fit both `users` and `addresses` where both are
    /// there.
    #[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
    #[serde(deny_unknown_fields)]
    pub struct RuleKeys {
        /// Names. Default: callers of any name or none.
        users: Option<Vec<String>> => shown("[\"ann\"]");
        /// Networks, addresses, or unix for Unix sockets. Default: all.
        addresses: Option<Vec<String>> => shown("[\"10.0.0.0/8\", \"unix\"]");
        /// Names, or their beginnings. Operators need "hotcall.*".
        ///
        /// A beginning has a `*` at its end.
        methods: Vec<String> => shown("[\"add\", \"counter.*\"]");
    }
}

/// All rules; none at all allows all.
#[derive(Default)]
pub(super) struct Rules(Vec<Arc<Rule>>);

#[derive(Debug)]
struct Rule {
    users: Option<Vec<String>>,
    places: Option<Vec<Place>>,
    methods: Vec<Pattern>,
}

#[derive(Debug)]
enum Place {
    Unix,
    Net(IpNet),
}

#[derive(Debug)]
enum Pattern {
    Exactly(String),
    Beginning(String),
}

/// What one caller may call.
#[derive(Clone, Debug, Default)]
pub struct Permit {
    /// Whether it came through a Unix socket from the server's own user or from root, who are
    /// operators.
    is_owner: bool,
    /// The rules that the caller fits, when there are any rules.
    rules: Option<Vec<Arc<Rule>>>,
}

impl Permit {
    /// Whether a call of this method is let through. It says nothing of whether there is such a
    /// method.
    pub fn allows(&self, method: &str) -> bool {
        let Some(rules) = &self.rules else { return true };
        if method.starts_with(OPERATORS) {
            return self.operates(method);
        }
        if method.starts_with(SYSTEM) {
            return self.is_owner || !rules.is_empty();
        }
        rules.iter().any(|rule| rule.names(method))
    }

    /// Whether every call is refused, whatever its method.
    pub(super) fn allows_nothing(&self) -> bool {
        !self.is_owner && self.rules.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether the caller is an operator as far as this method of the server's own goes.
    pub fn operates(&self, method: &str) -> bool {
        let named = |rule: &Arc<Rule>| rule.users.is_some() && rule.names(method);
        self.is_owner || self.rules.iter().flatten().any(named)
    }
}

#[cfg(test)]
impl Permit {
    /// That of a user `ann` with one rule for these methods, or without any rule.
    pub(crate) fn of_tests(is_owner: bool, methods: &[&str]) -> Self {
        let rule = RuleKeys {
            users: Some(vec!["ann".into()]),
            methods: methods.iter().map(|&method| method.into()).collect(),
            ..RuleKeys::default()
        };
        let keys = if methods.is_empty() { vec![] } else { vec![rule] };
        let way = if is_owner { Way::Owner } else { Way::Network };
        Rules::new(&keys, true).expect("rules that fit").permit("ann", way, None)
    }
}

impl Rules {
    /// `are_named`: whether callers can have names.
    ///
    /// # Errors
    /// The rule that could never fit, or would make everybody an operator.
    pub(super) fn new(keys: &[RuleKeys], are_named: bool) -> Result<Self, String> {
        let rule = |(number, keys): (usize, &RuleKeys)| {
            Rule::new(keys, are_named)
                .map(Arc::new)
                .map_err(|why| format!("[[allow]] number {number}: {why}"))
        };
        (1..).zip(keys).map(rule).collect::<Result<_, _>>().map(Self)
    }

    /// What a caller may call.
    pub(super) fn permit(&self, name: &str, way: Way, address: Option<IpAddr>) -> Permit {
        let fitting =
            || self.0.iter().filter(|rule| rule.fits(name, way, address)).cloned().collect();
        Permit { is_owner: way == Way::Owner, rules: (!self.0.is_empty()).then(fitting) }
    }
}

impl Rule {
    fn new(keys: &RuleKeys, are_named: bool) -> Result<Self, String> {
        let RuleKeys { users, addresses, methods } = keys;
        let is_empty = |list: &Option<Vec<String>>| list.as_ref().is_some_and(Vec::is_empty);
        if is_empty(users) || is_empty(addresses) || methods.is_empty() {
            return Err("an empty list fits nothing; give it something or leave it out".into());
        }
        if users.iter().flatten().any(String::is_empty) {
            return Err("an empty name is nobody's".into());
        }
        if users.is_some() && !are_named {
            return Err(
                "no caller has a name without a users file (users = \"FILE\" above the first \
                 [table]) or client_ca: give one of these, or remove the rule"
                    .into(),
            );
        }
        if users.is_none() && methods.iter().any(|method| method.starts_with(OPERATORS)) {
            return Err(format!("{OPERATORS}* is for operators: name them in users"));
        }
        let places = addresses
            .as_ref()
            .map(|addresses| addresses.iter().map(|text| Place::new(text)).collect());
        Ok(Self {
            users: users.clone(),
            places: places.transpose()?,
            methods: methods.iter().map(|text| Pattern::new(text)).collect::<Result<_, _>>()?,
        })
    }

    fn fits(&self, name: &str, way: Way, address: Option<IpAddr>) -> bool {
        let by_name = self.users.as_ref().is_none_or(|users| users.iter().any(|user| user == name));
        let by_place = self.places.as_ref().is_none_or(|places| {
            places.iter().any(|place| match (place, address) {
                (Place::Unix, _) => way.is_unix(),
                (Place::Net(net), Some(address)) => net.contains(&address.to_canonical()),
                (Place::Net(_), None) => false,
            })
        });
        by_name && by_place
    }

    fn names(&self, method: &str) -> bool {
        self.methods.iter().any(|pattern| pattern.matches(method))
    }
}

impl Place {
    fn new(text: &str) -> Result<Self, String> {
        if text == UNIX {
            return Ok(Self::Unix);
        }
        let one = || text.parse::<IpAddr>().map(IpNet::from);
        let net = text.parse::<IpNet>().or_else(|_| one());
        net.map(|net| Self::Net(canonical(net.trunc()))).map_err(|_| {
            format!(
                "addresses has {text:?}: give networks as in \"10.0.0.0/8\", addresses, or \
                 \"{UNIX}\""
            )
        })
    }
}

/// Converts an IPv4 network that is written in IPv6. Callers' addresses are compared in this form.
fn canonical(net: IpNet) -> IpNet {
    /// `::ffff:0:0/96` (RFC 4291, section 2.5.5.2).
    const MAPPED_BITS: u8 = 96;
    let v4 = match net {
        IpNet::V6(v6) => v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(MAPPED_BITS)),
        IpNet::V4(_) => None,
    };
    v4.and_then(|(address, bits)| Ipv4Net::new(address, bits).ok()).map_or(net, IpNet::V4)
}

impl Pattern {
    fn new(text: &str) -> Result<Self, String> {
        match text.strip_suffix('*') {
            Some(beginning) if !beginning.contains('*') => {
                Ok(Self::Beginning(beginning.to_owned()))
            }
            None if !text.is_empty() && !text.contains('*') => Ok(Self::Exactly(text.to_owned())),
            _ => Err(format!(
                "methods has {text:?}: give names, with * at the end for all that begin so"
            )),
        }
    }

    fn matches(&self, method: &str) -> bool {
        match self {
            Self::Exactly(name) => name == method,
            // What is for operators is never meant by the way.
            Self::Beginning(beginning) => {
                method.starts_with(beginning.as_str())
                    && (beginning.starts_with(OPERATORS) || !method.starts_with(OPERATORS))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(users: &[&str], addresses: &[&str], methods: &[&str]) -> RuleKeys {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let some = |texts: &[&str]| (!texts.is_empty()).then(|| owned(texts));
        RuleKeys { users: some(users), addresses: some(addresses), methods: owned(methods) }
    }

    #[test]
    fn what_no_rule_allows_is_denied() {
        let rules = Rules::new(
            &[
                keys(&["ann", "bert"], &[], &["add", "stats.*"]),
                keys(&["ann"], &["10.1.2.3/8"], &["*"]),
                keys(&["op"], &[], &["hotcall.*"]),
                keys(&["half"], &[], &["hotcall.plugins"]),
                keys(&[], &["unix", "2001:db8::1"], &["local"]),
                keys(&["mapped"], &["::ffff:10.0.0.0/104", "::ffff:192.0.2.1"], &["near"]),
                keys(&["mapped"], &["::/0"], &["six"]),
            ],
            true,
        )
        .unwrap();
        let rows = [
            (
                "ann",
                "1.2.3.4",
                "add stats.x stats. system.listMethods",
                "Add addx stat stats local hotcall.plugins",
            ),
            ("ann", "10.9.9.9", "add anything system.x", "hotcall.plugins hotcall."),
            ("ann", "::ffff:10.0.0.1", "anything", ""),
            ("bert", "10.9.9.9", "add", "anything"),
            ("mapped", "10.9.9.9", "near", "six"),
            ("mapped", "::ffff:192.0.2.1", "near", "six"),
            ("mapped", "192.0.2.2", "", "near six"),
            ("mapped", "2001:db8::2", "six", "near"),
            ("op", "1.2.3.4", "hotcall.plugins hotcall.reload system.x", "add"),
            ("half", "1.2.3.4", "hotcall.plugins", "hotcall.reload"),
            ("", "1.2.3.4", "", "add system.listMethods hotcall.plugins local"),
            ("", "2001:db8::1", "local system.x", "add hotcall.plugins"),
            ("", "unix", "local system.x", "add hotcall.plugins"),
            ("ann", "unix", "local add", "anything hotcall.plugins"),
            ("op", "unix", "local hotcall.plugins", "add"),
            ("", "owner", "local system.x hotcall.plugins", "add"),
            ("ann", "owner", "local add hotcall.plugins", "anything"),
        ];
        for (name, from, allowed, denied) in rows {
            let way = match from {
                "owner" => Way::Owner,
                "unix" => Way::Unix,
                _ => Way::Network,
            };
            let permit = rules.permit(name, way, from.parse().ok());
            for method in allowed.split_whitespace() {
                assert!(permit.allows(method), "{name} {from} {method}");
            }
            for method in denied.split_whitespace() {
                assert!(!permit.allows(method), "{name} {from} {method}");
            }
        }
    }

    #[test]
    fn without_rules_all_is_allowed_and_operators_are_the_servers_own() {
        let rules = Rules::default();
        let rows =
            [(Way::Owner, true), (Way::Unix, false), (Way::Loopback, false), (Way::Network, false)];
        for (way, is_operator) in rows {
            let permit = rules.permit("", way, None);
            assert!(permit.allows("add") && permit.allows("hotcall.plugins"));
            assert_eq!(permit.operates("hotcall.plugins"), is_operator, "{way:?}");
        }
    }

    #[test]
    fn rules_that_cannot_be_meant_are_refused() {
        let none = Some(Vec::new());
        let rows = [
            (keys(&["a"], &[], &[]), "an empty list"),
            (RuleKeys { users: none.clone(), ..keys(&[], &[], &["x"]) }, "an empty list"),
            (RuleKeys { addresses: none, ..keys(&[], &[], &["x"]) }, "an empty list"),
            (keys(&[""], &[], &["x"]), "nobody's"),
            (keys(&[], &["10.0.0.1"], &["hotcall.*"]), "name them in users"),
            (keys(&[], &["ten"], &["x"]), "addresses has \"ten\""),
            (keys(&[], &["10.0.0.0/40"], &["x"]), "addresses has"),
            (keys(&[], &[], &["a*b"]), "methods has \"a*b\""),
            (keys(&[], &[], &["a**"]), "methods has"),
            (keys(&[], &[], &[""]), "methods has"),
        ];
        for (keys, why) in rows {
            let good = self::keys(&[], &[], &["x"]);
            let said = Rules::new(&[good, keys], true).err().unwrap();
            assert!(said.starts_with("[[allow]] number 2: ") && said.contains(why), "{said}");
        }
        let rules = [keys(&[], &["unix"], &["x"]), keys(&["ann"], &[], &["x"])];
        assert!(Rules::new(&rules, true).is_ok() && Rules::new(&rules[..1], false).is_ok());
        let said = Rules::new(&rules, false).err().unwrap();
        assert!(said.starts_with("[[allow]] number 2: no caller has a name"), "{said}");
    }
}
