//! Tables of senders: who is named, who is let in, and who is refused.

use super::*;
use crate::request::{Head, Peer, Way};

/// `ann:one`, `ann:two`, then no base64, no pair and nothing.
const RIGHT: &str = "Basic YW5uOm9uZQ==";
const WRONG: &str = "Basic YW5uOnR3bw==";
const BROKEN: [&str; 3] = ["Basic !", "Basic YW5u", "Basic"];

fn access(allow_anonymous: bool) -> Access {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users");
    users::set_password(&path, "ann", "one").unwrap();
    let keys = AccessKeys { users: Some(path), allow_anonymous, ..AccessKeys::default() };
    let settings = Settings { keys, ..Settings::default() };
    Access::new(Policy::new(&settings).unwrap(), 2).unwrap()
}

/// A request's sender, with what it says under `Authorization`.
type Sender = (Peer, Option<&'static str>);

fn sender(way: Way, is_encrypted: bool, name: &str) -> Sender {
    (Peer { way, is_encrypted, name: name.into(), ..Peer::default() }, None)
}

fn network() -> Sender {
    sender(Way::Network, false, "")
}

fn loopback() -> Sender {
    sender(Way::Loopback, false, "")
}

fn unix() -> Sender {
    sender(Way::Unix, false, "")
}

fn tls() -> Sender {
    certified("")
}

/// One whose certificate has this name.
fn certified(name: &str) -> Sender {
    sender(Way::Network, true, name)
}

fn with((peer, _): Sender, authorization: &'static str) -> Sender {
    (peer, Some(authorization))
}

/// The caller's name, or the status.
fn judged(access: &Access, (peer, authorization): &Sender) -> Result<String, u16> {
    let head = Head { authorization: authorization.map(Into::into), ..Head::default() };
    access.admit(&head, peer).map(|caller| caller.name.into()).map_err(|refusal| refusal.status)
}

/// A sender, and what becomes of it where a name is wanted and where not.
type Row = (Sender, Result<&'static str, u16>, Result<&'static str, u16>);

fn are_judged(rows: &[Row], strict: &Access, open: &Access) {
    for (number, (sender, by_strict, by_open)) in rows.iter().enumerate() {
        let owned = |result: &Result<&str, u16>| result.map(str::to_owned);
        assert_eq!(judged(strict, sender), owned(by_strict), "row {number}");
        assert_eq!(judged(open, sender), owned(by_open), "row {number}");
    }
}

#[test]
fn callers_are_named_or_refused() {
    let rows = [
        (tls(), Err(401), Ok("")),
        (loopback(), Err(401), Ok("")),
        (network(), Err(403), Ok("")),
        (unix(), Ok(""), Ok("")),
        (with(tls(), RIGHT), Ok("ann"), Ok("ann")),
        (with(tls(), "bAsIc  YW5uOm9uZQ=="), Ok("ann"), Ok("ann")),
        (with(loopback(), RIGHT), Ok("ann"), Ok("ann")),
        (with(unix(), RIGHT), Ok("ann"), Ok("ann")),
        (with(network(), RIGHT), Err(403), Err(403)),
        (with(tls(), WRONG), Err(401), Err(401)),
        (with(unix(), WRONG), Err(401), Err(401)),
        (with(tls(), BROKEN[0]), Err(401), Err(401)),
        (with(tls(), BROKEN[1]), Err(401), Err(401)),
        (with(tls(), BROKEN[2]), Err(401), Err(401)),
        (with(tls(), "Bearer x"), Err(401), Ok("")),
        (certified("cert"), Ok("cert"), Ok("cert")),
        (with(certified("cert"), RIGHT), Ok("ann"), Ok("ann")),
        (with(certified("cert"), WRONG), Err(401), Err(401)),
    ];
    are_judged(&rows, &access(false), &access(true));
}

/// `tests/it/permits.rs` has all combinations.
#[test]
fn where_certificates_name_callers_nobody_else_is_let_in() {
    let access = |allow_anonymous| {
        let keys = AccessKeys { allow_anonymous, ..AccessKeys::default() };
        let settings = Settings { keys, by_certificate: true, ..Settings::default() };
        assert!(settings.settles_who_may_call());
        Access::new(Policy::new(&settings).unwrap(), 2).unwrap()
    };
    let rows = [
        (tls(), Err(403), Ok("")),
        (network(), Err(403), Ok("")),
        (sender(Way::Loopback, true, ""), Err(403), Ok("")),
        (unix(), Ok(""), Ok("")),
        (with(tls(), RIGHT), Err(403), Ok("")),
        (certified("cert"), Ok("cert"), Ok("cert")),
    ];
    are_judged(&rows, &access(false), &access(true));
}

#[test]
fn without_users_credentials_are_nothing() {
    let access = Access::new(Policy::new(&Settings::default()).unwrap(), 2).unwrap();
    assert_eq!(judged(&access, &with(network(), WRONG)), Ok(String::new()));
    let certified = sender(Way::Network, false, "cert");
    assert_eq!(judged(&access, &with(certified, WRONG)), Ok("cert".to_owned()));
}
