//! Which module may name which. Data flows one way, from bytes to a plugin and back as a result. A
//! module that names one further up would bend that, so each may name only what stands beside it in
//! [`RULES`].

use crate::named::{Named, named};
use crate::scopes::STEPS_MAX;
use crate::source::{Source, all_modules, top};
use std::collections::BTreeMap;

/// What a module at the top of the crate may name, and why no more.
pub(crate) struct Rule {
    module: &'static str,
    may: &'static [&'static str],
    why: &'static str,
}

/// One row for each module of the crate but the [`FREE`] ones.
const RULES: &[Rule] = &[
    Rule { module: "text", may: &[], why: "text is characters, not meaning" },
    Rule { module: "settings", may: &[], why: "how settings are declared knows no setting" },
    Rule { module: "limits", may: &["settings"], why: "limits are numbers" },
    Rule { module: "address", may: &[], why: "a key of counts knows nothing that is counted" },
    Rule {
        module: "cancellation",
        may: &[],
        why: "whether anybody waits says nothing of the call",
    },
    Rule { module: "pause", may: &[], why: "what waits does not know for what" },
    Rule { module: "queue", may: &["address"], why: "a queue does not know what waits in it" },
    Rule { module: "memory", may: &[], why: "a budget is numbers" },
    Rule { module: "arena", may: &[], why: "memory does not know what is in it" },
    Rule { module: "slice", may: &[], why: "how soon a thread runs says nothing of its work" },
    Rule { module: "stamp", may: &[], why: "whether a file changed says nothing of what is in it" },
    Rule {
        module: "request",
        may: &["cancellation"],
        why: "facts know neither who found them nor who judges them",
    },
    Rule {
        module: "access",
        may: &["address", "request", "settings", "text"],
        why: "who may call is decided by facts, wherever they come from",
    },
    Rule {
        module: "xmlrpc",
        may: &["settings"],
        why: "documents are pure: no I/O, no clock, no plugins",
    },
    Rule {
        module: "registry",
        may: &["arena", "cancellation", "pause", "queue", "xmlrpc"],
        why: "a snapshot knows no files and no limits",
    },
    Rule {
        module: "rpc",
        may: &["access", "arena", "pause", "queue", "registry", "xmlrpc", "limits", "text"],
        why: "dispatch knows no HTTP and no plugins",
    },
    Rule {
        module: "web",
        may: &[
            "access",
            "arena",
            "cancellation",
            "limits",
            "memory",
            "pause",
            "queue",
            "registry",
            "request",
            "rpc",
            "text",
            "xmlrpc",
        ],
        why: "from request to response, for all kinds of sockets and methods",
    },
    Rule {
        module: "net",
        may: &[
            "address",
            "cancellation",
            "limits",
            "memory",
            "pause",
            "queue",
            "request",
            "settings",
            "slice",
            "stamp",
            "text",
            "web",
        ],
        why: "sockets and HTTP framing know no XML and no plugins",
    },
    Rule {
        module: "plugin",
        may: &[
            "address", "arena", "limits", "pause", "queue", "registry", "settings", "stamp",
            "text", "xmlrpc",
        ],
        why: "the life cycle writes the registry and is asked by nobody",
    },
    Rule {
        module: "client",
        may: &["xmlrpc", "limits"],
        why: "a client uses nothing of the server's inside",
    },
    Rule { module: "dev", may: &["stamp"], why: "building plugins knows cargo, make and files" },
    Rule { module: "docs", may: &[], why: "a page holds no code" },
    Rule {
        module: "config",
        may: &["access", "limits", "net", "plugin", "settings", "xmlrpc"],
        why: "rooms declare what they take, and the config gathers it",
    },
];

/// Where everything is put together, or shaken.
const FREE: &[&str] = &["", "cli", "server", "fuzz"];

/// The macro that rooms put around their settings. `config` gathers them, and may name it itself.
const GATHERED: &str = "settings::settings";

/// Names of modules that the [`RULES`] do not allow, and names for all of the crate.
pub(crate) fn upward(sources: &[Source]) -> Vec<String> {
    let modules = all_modules(sources);
    let mut violations = Vec::new();
    for source in sources {
        let place = source.path.display();
        let own = top(&source.module);
        let rule = rule(&own);
        for Named { path, line, is_extern, .. } in named(source, &modules) {
            if is_extern {
                violations.push(format!("{place}:{line}: the crate must have no second name"));
            }
            let Some(Rule { may, why, .. }) = rule else { continue };
            let name = path.first().map_or("crate", String::as_str);
            if name != own && !may.contains(&name) {
                violations.push(format!(
                    "{place}:{line}: `{own}` must not name `{name}` (it may name {may:?}: {why})"
                ));
            }
        }
    }
    violations
}

/// Re-exports, types and macros by which one module hands on what is another's.
pub(crate) fn passed_on(sources: &[Source]) -> Vec<String> {
    let modules = all_modules(sources);
    let all: Vec<_> = sources.iter().map(|source| (source, named(source, &modules))).collect();
    // Files also find there what another file imports.
    let imports = all.iter().flat_map(|(_, found)| found);
    let imports: Imports<'_> =
        imports.filter_map(|named| Some((named.name.as_deref()?, &*named.path))).collect();
    let mut violations = Vec::new();
    for (source, found) in &all {
        let own = top(&source.module);
        // Only free modules may name it.
        if free(&own) {
            continue;
        }
        for Named { path, line, .. } in found.iter().filter(|named| named.is_reexported) {
            let path = in_full(path, &imports);
            let is_other = path.first().is_some_and(|name| *name != own && modules.contains(name));
            let (place, path) = (source.path.display(), path.join("::"));
            if is_other && path != GATHERED {
                violations.push(format!(
                    "{place}:{line}: `{own}` passes on `{path}`: name it where it is used"
                ));
            }
        }
    }
    violations
}

/// What the files of a crate import, by the names that it gets.
type Imports<'a> = BTreeMap<&'a [String], &'a [String]>;

/// A path that leads through no import any more.
fn in_full(path: &[String], imports: &Imports<'_>) -> Vec<String> {
    let mut path = path.to_vec();
    for _ in 0..STEPS_MAX {
        let step = |len| Some((len, *imports.get(&path[..len])?));
        let Some((len, import)) = (1..=path.len()).find_map(step) else { break };
        path.splice(..len, import.iter().cloned());
    }
    path
}

pub(crate) fn rule(module: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.module == module)
}

pub(crate) fn free(module: &str) -> bool {
    FREE.contains(&module)
}
