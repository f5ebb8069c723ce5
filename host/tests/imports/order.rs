//! In which order the rooms of a module stand, and which crates only one room may name.

use crate::named::{Named, named};
use crate::source::{Source, all_modules, top};

/// Modules whose children stand in an order: each may name children in the lines above its own, and
/// no others.
const ORDERS: &[(&str, &[&str])] = &[
    (
        "net",
        &[
            "error handler seldom unix",
            "bind body_budget tls",
            "http1",
            "workers",
            "relay",
            "conn",
            "listen",
            "front",
            "fuzz",
        ],
    ),
    (
        "plugin",
        &[
            "clock error refusal",
            "directory",
            "config library",
            "instance",
            "probe",
            "lifecycle",
            "admin",
            "handle",
        ],
    ),
    (
        "plugin::lifecycle",
        &[
            "alive events pauses quarantine status",
            "generation stall_watch",
            "action published slot",
            "context",
            "create handover slots",
            // The parts.
            "admission exclusive looks reloads retirement trials",
            "loader",
        ],
    ),
];

/// Crates that only these modules and those below them may name.
const KEPT: &[(&str, &[&str])] = &[
    // The relay runs it. All responses have its reason phrases, whichever lane they take.
    ("tiny_http", &["net::relay", "net::http1::reply"]),
    ("xml", &["xmlrpc::decode::reader"]),
];

/// Names of rooms that stand beside or below the room that names them.
pub(crate) fn out_of_order(sources: &[Source]) -> Vec<String> {
    let modules = all_modules(sources);
    let mut violations = Vec::new();
    for (parent, lines) in ORDERS {
        let rank =
            |room: &str| lines.iter().position(|line| line.split(' ').any(|one| one == room));
        for source in sources.iter().filter(|source| !source.is_for_tests(sources)) {
            let Some(own) = below(parent, &source.module).map(top) else { continue };
            for Named { path, line, .. } in named(source, &modules) {
                let Some(room) = below(parent, &path.join("::")).map(top) else { continue };
                let is_above = rank(&room).is_some_and(|above| Some(above) < rank(&own));
                if room != own && !is_above {
                    let place = source.path.display();
                    violations.push(format!(
                        "{place}:{line}: `{parent}::{own}` must not name `{room}`: see ORDERS"
                    ));
                }
            }
        }
    }
    violations
}

/// Names of crates that are kept to another room.
pub(crate) fn strangers(sources: &[Source]) -> Vec<String> {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| !source.is_for_tests(sources)) {
        let tokens = &source.tokens;
        let is = |at: Option<usize>, words: &[&str]| {
            at.and_then(|at| tokens.get(at)).is_some_and(|(token, _)| words.contains(&&**token))
        };
        for (name, may) in KEPT {
            let is_in =
                |room: &&str| *room == source.module || below(room, &source.module).is_some();
            let is_named = |at: &usize| {
                let (before, behind) = (at.checked_sub(1), Some(at + 1));
                tokens[*at].0 == *name
                    && (is(before, &["use", "crate"]) || is(behind, &["::", "as"]))
            };
            if may.iter().any(is_in) {
                continue;
            }
            let (place, found) = (source.path.display(), (0..tokens.len()).filter(is_named));
            let say = |at: usize| {
                format!("{place}:{}: only {may:?} may name the crate `{name}`", tokens[at].1)
            };
            violations.extend(found.map(say));
        }
    }
    violations
}

/// `conn::stream` of `net::conn::stream`, below `net`.
fn below<'a>(parent: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(parent)?.strip_prefix("::")
}
