//! Rules of the house that no compiler knows: which module may name which, and how files begin and end.
//!
//! Data flows one way, from bytes to a plugin and back as a result. A module that names one further up or one that
//! is none of its business would bend that, so each may name only what stands beside it in [`RULES`]. Read from
//! the sources: every `crate::` path, and every `super::` path that leads out of a module.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed helper is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a module at the top of the crate may name, and why no more.
struct Rule {
    module: &'static str,
    may: &'static [&'static str],
    why: &'static str,
}

/// One row for each module of the crate but the [`FREE`] ones.
const RULES: &[Rule] = &[
    Rule { module: "text", may: &[], why: "text is characters, not meaning" },
    Rule { module: "limits", may: &[], why: "limits are numbers" },
    Rule { module: "address", may: &[], why: "a key of counts knows nothing that is counted" },
    Rule {
        module: "access",
        may: &["address"],
        why: "who may call is decided by facts, wherever they come from",
    },
    Rule { module: "xmlrpc", may: &[], why: "documents are pure: no I/O, no clock, no plugins" },
    Rule { module: "registry", may: &["xmlrpc"], why: "a snapshot knows no files and no limits" },
    Rule {
        module: "rpc",
        may: &["access", "registry", "xmlrpc", "limits"],
        why: "dispatch knows no HTTP and no plugins",
    },
    Rule {
        module: "web",
        may: &["access", "rpc", "registry", "xmlrpc", "limits"],
        why: "from request to response, whatever the socket and whoever answers",
    },
    Rule {
        module: "net",
        may: &["address", "web", "limits", "text"],
        why: "sockets and HTTP framing know no XML and no plugins",
    },
    Rule {
        module: "plugin",
        may: &["registry", "xmlrpc", "limits", "text"],
        why: "the life cycle writes the registry and is asked by nobody",
    },
    Rule {
        module: "client",
        may: &["xmlrpc", "limits"],
        why: "a client uses nothing of the server's inside",
    },
    Rule { module: "dev", may: &[], why: "building plugins knows cargo, make and files" },
    Rule { module: "docs", may: &[], why: "a page holds no code" },
    Rule {
        module: "config",
        may: &["access", "limits", "plugin", "xmlrpc"],
        why: "what an operator chooses says nothing of how it is served",
    },
];

/// Where everything is put together, or shaken.
const FREE: &[&str] = &["lib", "main", "cli", "server", "fuzz"];

/// A file that is longer does more than one thing.
const LINES_MAX: usize = 500;

#[test]
fn no_module_names_another_against_the_flow() {
    let sources = rust_files(&root().join("host/src"));
    let modules = modules(&sources);
    let unruled: Vec<_> = modules.iter().filter(|module| rule(module).is_none() && !free(module)).collect();
    assert!(unruled.is_empty(), "no rule for {unruled:?}: add a row to RULES in host/tests/imports.rs");

    let mut violations = Vec::new();
    for path in &sources {
        let inside = path.strip_prefix(root().join("host/src")).unwrap();
        violations.extend(violations_in(inside, &fs::read_to_string(path).unwrap(), &modules));
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = ["host/src", "plugin-api", "plugins"]
        .iter()
        .flat_map(|folder| rust_files(&root().join(folder)))
        .map(|path| (fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, path)| format!("{}: {lines} lines; split it: {LINES_MAX} are the most", path.display()))
        .collect();
    assert!(long.is_empty(), "\n{}\n", long.join("\n"));
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent: Vec<_> = ["host/src", "plugin-api", "plugins"]
        .iter()
        .flat_map(|folder| rust_files(&root().join(folder)))
        .filter(|path| path.components().any(|part| part.as_os_str() == "src"))
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//! "))
        .map(|path| format!("{}:1: begin with //! and what the module is for", path.display()))
        .collect();
    assert!(silent.is_empty(), "\n{}\n", silent.join("\n"));
}

#[test]
fn the_checker_finds_every_way_to_name_a_module() {
    let modules = ["net", "plugin", "rpc", "web", "xmlrpc"].map(str::to_owned).into();
    let source = "//! crate::plugin in a comment\n\
        use crate::web::Request;\n\
        use crate::{rpc, web::{self, Response}, plugin::Loader as L};\n\
        const TEXT: &str = \"crate::plugin\";\n\
        fn f() -> super::super::xmlrpc::Value { crate :: plugin::x(r#\"\"crate::rpc\"#, '\"') }\n\
        /* crate::rpc\n */ use super::{frame, super::rpc};\n\
        use crate::Shortcut;\n";
    let found = violations_in(Path::new("net/http.rs"), source, &modules);
    let places: Vec<_> = found.iter().map(|text| text.split(" (").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "host/src/net/http.rs:3: `net` must not name `rpc`",
            "host/src/net/http.rs:3: `net` must not name `plugin`",
            "host/src/net/http.rs:5: `net` must not name `xmlrpc`",
            "host/src/net/http.rs:5: `net` must not name `plugin`",
            "host/src/net/http.rs:7: `net` must not name `rpc`",
            "host/src/net/http.rs:8: `net` must not name `Shortcut`",
        ]
    );
    assert!(
        found[0]
            .contains("it may name [\"address\", \"web\", \"limits\", \"text\"]: sockets and HTTP framing"),
        "{}",
        found[0]
    );
    assert!(violations_in(Path::new("main.rs"), source, &modules).is_empty());
}

/// The rules broken by one file, whose path is relative to `host/src`.
fn violations_in(path: &Path, source: &str, modules: &BTreeSet<String>) -> Vec<String> {
    let module = top_module(path);
    let Some(rule) = rule(&module) else { return Vec::new() };
    names(source, depth(path))
        .into_iter()
        .filter(|Name { name, through_super, .. }| {
            let another = *name != module && !rule.may.contains(&name.as_str());
            // A `super::` of a module within a file may end in the file itself, at an item of any name.
            another && (!through_super || modules.contains(name))
        })
        .map(|Name { name, line, .. }| {
            let Rule { may, why, .. } = rule;
            let path = path.display();
            format!("host/src/{path}:{line}: `{module}` must not name `{name}` (it may name {may:?}: {why})")
        })
        .collect()
}

/// A module or item at the top of the crate that a path leads to.
struct Name {
    name: String,
    line: usize,
    through_super: bool,
}

/// What the paths of a source lead to at the top of the crate. `depth`: how many `super` lead there.
fn names(source: &str, depth: usize) -> Vec<Name> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    for (at, (token, _)) in tokens.iter().enumerate() {
        let continues = at.checked_sub(1).is_some_and(|before| tokens[before].0 == "::");
        if continues {
            continue;
        }
        match token.as_str() {
            "crate" => collect(&tokens[at + 1..], 0, false, &mut found),
            "super" => collect(&tokens[at + 1..], depth.saturating_sub(1), true, &mut found),
            _ => {}
        }
    }
    found
}

/// Collects the first names after a path that stands `up` modules below the top of the crate.
fn collect(rest: &[(String, usize)], up: usize, through_super: bool, found: &mut Vec<Name>) {
    let [(colons, _), (next, line), rest @ ..] = rest else { return };
    if colons != "::" {
        return;
    }
    let mut branch = |next: &str, line: usize, rest: &[(String, usize)]| match (next, up) {
        ("super", _) => collect(rest, up.saturating_sub(1), through_super, found),
        ("self" | "*", _) => {}
        (name, 0) => found.push(Name { name: name.to_owned(), line, through_super }),
        _ => {}
    };
    if next != "{" {
        return branch(next, *line, rest);
    }
    let mut open = 1;
    let mut starts = true;
    for (at, (token, line)) in rest.iter().enumerate() {
        match token.as_str() {
            "{" => open += 1,
            "}" => open -= 1,
            _ if starts && open == 1 => branch(token, *line, &rest[at + 1..]),
            _ => {}
        }
        starts = token == "," && open == 1;
        if open == 0 {
            return;
        }
    }
}

/// Words, `::` and single characters with their lines; without comments, texts and characters in quotes.
fn tokens(source: &str) -> Vec<(String, usize)> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (len, token) = match first {
            _ if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
            _ if rest.starts_with("/*") => (rest.find("*/").map_or(rest.len(), |end| end + 2), false),
            _ if rest.starts_with("r\"") || rest.starts_with("r#\"") => (raw_text(rest), false),
            '"' => (text(rest), false),
            '\'' => (character(rest), false),
            _ if rest.starts_with("::") => (2, true),
            _ if word(first) => (rest.find(|c| !word(c)).unwrap_or(rest.len()), true),
            _ => (first.len_utf8(), !first.is_whitespace()),
        };
        let (taken, after) = rest.split_at(len);
        if token {
            tokens.push((taken.to_owned(), line));
        }
        line += taken.matches('\n').count();
        rest = after;
    }
    tokens
}

fn word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn text(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_text(rest: &str) -> usize {
    let end = if rest.starts_with("r#") { "\"#" } else { "\"" };
    let begin = end.len() + 1;
    rest[begin..].find(end).map_or(rest.len(), |at| begin + at + end.len())
}

/// A character in quotes; of a lifetime, only the quote.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    let skipped = if rest.starts_with("'\\") { 2 } else { 1 };
    let end = chars.nth(skipped);
    match end {
        Some((at, '\'')) => at + 1,
        _ if skipped == 2 => rest[2..].find('\'').map_or(1, |at| at + 3),
        _ => 1,
    }
}

fn rule(module: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.module == module)
}

fn free(module: &str) -> bool {
    FREE.contains(&module)
}

fn modules(sources: &[PathBuf]) -> BTreeSet<String> {
    sources.iter().map(|path| top_module(path.strip_prefix(root().join("host/src")).unwrap())).collect()
}

/// `net` for net.rs, net/mod.rs and net/http.rs.
fn top_module(path: &Path) -> String {
    path.components()
        .next()
        .map(|part| Path::new(&part).file_stem().unwrap().to_string_lossy().into_owned())
        .unwrap()
}

/// How many modules a file's module stands below the top of the crate.
fn depth(path: &Path) -> usize {
    path.components().count() - usize::from(path.ends_with("mod.rs"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
