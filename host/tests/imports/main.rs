//! Rules of the house that no compiler knows: which module may name which, that files import each
//! other in no circle, and how long files and lines may be.
//!
//! Data flows one way, from bytes to a plugin and back as a result. A module that names one further
//! up would bend that, so each may name only what stands beside it in [`RULES`].
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed helper is a failed test"
)]

mod circles;
mod fixtures;
mod source;

use source::{Named, named};
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
    Rule { module: "settings", may: &[], why: "how settings are declared knows no setting" },
    Rule { module: "limits", may: &["settings"], why: "limits are numbers" },
    Rule { module: "address", may: &[], why: "a key of counts knows nothing that is counted" },
    Rule {
        module: "cancellation",
        may: &[],
        why: "whether anybody waits says nothing of the call",
    },
    Rule { module: "pause", may: &[], why: "what waits does not know for what" },
    Rule { module: "memory", may: &[], why: "a budget is numbers" },
    Rule { module: "arena", may: &[], why: "memory does not know what is in it" },
    Rule { module: "stamp", may: &[], why: "whether a file changed says nothing of what is in it" },
    Rule {
        module: "request",
        may: &["cancellation"],
        why: "facts know neither who found them nor who judges them",
    },
    Rule {
        module: "access",
        may: &["address", "request", "text"],
        why: "who may call is decided by facts, wherever they come from",
    },
    Rule { module: "xmlrpc", may: &[], why: "documents are pure: no I/O, no clock, no plugins" },
    Rule {
        module: "registry",
        may: &["arena", "cancellation", "pause", "xmlrpc"],
        why: "a snapshot knows no files and no limits",
    },
    Rule {
        module: "rpc",
        may: &["access", "arena", "pause", "registry", "xmlrpc", "limits", "text"],
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
            "registry",
            "request",
            "rpc",
            "text",
            "xmlrpc",
        ],
        why: "from request to response, whatever the socket and whoever answers",
    },
    Rule {
        module: "net",
        may: &[
            "address",
            "cancellation",
            "limits",
            "memory",
            "pause",
            "request",
            "stamp",
            "text",
            "web",
        ],
        why: "sockets and HTTP framing know no XML and no plugins",
    },
    Rule {
        module: "plugin",
        may: &["address", "arena", "limits", "pause", "registry", "stamp", "text", "xmlrpc"],
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
        may: &["access", "limits", "plugin", "settings", "xmlrpc"],
        why: "what an operator chooses says nothing of how it is served",
    },
];

/// The files that may hold unsafe code, each for the reason that its `allow` states. The compiler
/// checks everything else.
const UNSAFE: &[&str] = &[
    "fuzz/memory.rs",
    "plugin/directory/arrival.rs",
    "plugin/instance/fuzz.rs",
    "plugin/instance/host_table.rs",
    "plugin/instance/live.rs",
    "plugin/library/image.rs",
    "plugin/library/table.rs",
    "plugin/probe/inherited.rs",
    "server/allocator.rs",
    "server/environment.rs",
    // Builds values of the ABI that borrow from a document. Encoding reads them by safe code.
    "xmlrpc/borrowed.rs",
];

/// Where everything is put together, or shaken.
const FREE: &[&str] = &["", "main", "cli", "server", "fuzz"];

/// A file that is longer does more than one thing.
const LINES_MAX: usize = 500;

/// Of a line of code, comment or documentation, tables and URLs excepted.
const COLUMNS_MAX: usize = 100;

/// The extensions of files that are written here, by hand.
const WRITTEN: &[&str] = &[
    "c", "cc", "h", "java", "js", "lua", "md", "php", "pl", "py", "rb", "rs", "service",
    "template", "toml",
];

/// Data and records, which stay as they came or were made.
const RECORDS: &[&str] = &["plugin-api/abi", "tests/bench/RESULTS.md", "tests/corpus"];

/// The roots of the workspace's crates, each a folder of modules.
const CRATES: &[&str] = &[
    "host/src",
    "plugin-api/src",
    "plugin-api/macros/src",
    "plugins/arithmetic/src",
    "plugins/counter/src",
    "plugins/interop/src",
    "plugins/validator1/src",
    "tests/src",
    "tests/it",
];

/// A file of a crate: its path from the crate's root, the module that it is, and its text.
struct Source {
    path: PathBuf,
    module: String,
    text: String,
}

impl Source {
    fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        let path = path.into();
        Self { module: module(&path), path, text: text.into() }
    }

    /// Modules for tests only may name what they test, wherever it is.
    fn is_test(&self) -> bool {
        self.module.split("::").any(|part| part == "tests" || part == "fuzz")
    }
}

#[test]
fn no_module_names_another_against_the_flow() {
    let sources = sources("host/src");
    let modules: BTreeSet<_> = sources.iter().map(|source| top(&source.module)).collect();
    let unruled: Vec<_> =
        modules.iter().filter(|name| rule(name).is_none() && !free(name)).collect();
    assert!(unruled.is_empty(), "no rule for {unruled:?}: add a row to RULES");
    refuse(upward(&sources));
}

#[test]
fn no_module_passes_on_the_items_of_another() {
    refuse(passed_on(&sources("host/src")));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for root in CRATES {
        refuse(circles::circles(&sources(root)));
    }
}

#[test]
fn unsafe_code_is_where_it_is_said_to_be() {
    let sources = sources("host/src");
    let allows = |source: &&Source| {
        // Of the whole file or of a part, in one line or in several.
        let text: String = source.text.split_whitespace().collect();
        text.contains("allow(unsafe_code") || text.contains("expect(unsafe_code")
    };
    let found: Vec<_> = sources.iter().filter(allows).map(|source| source.path.clone()).collect();
    assert_eq!(found, UNSAFE.iter().map(PathBuf::from).collect::<Vec<_>>());
}

#[test]
fn no_file_is_too_long() {
    let files = ["host/src", "plugin-api", "plugins"].iter().flat_map(|folder| sources(folder));
    refuse(files.filter_map(|source| too_long(&source)).collect());
}

#[test]
fn no_line_is_too_long() {
    let root = workspace();
    let folders = ["host", "plugin-api", "plugins", "tests"];
    let below = folders.iter().flat_map(|folder| files(&root.join(folder)));
    let top = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    let all = below.chain(top.filter(|path| path.is_file()));
    let paths = all.map(|path| path.strip_prefix(&root).unwrap().to_owned());
    let read = |path: PathBuf| too_wide(&path, &fs::read_to_string(root.join(&path)).unwrap());
    refuse(paths.filter(|path| is_written(path)).flat_map(read).collect());
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = CRATES.iter().flat_map(|folder| sources(folder));
    let silent = silent.filter(|source| !source.text.starts_with("//! "));
    let say = |source: Source| {
        format!("{}:1: begin with //! and what the module is for", source.path.display())
    };
    refuse(silent.map(say).collect());
}

fn refuse(violations: Vec<String>) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// Names of modules that the [`RULES`] do not allow.
fn upward(sources: &[Source]) -> Vec<String> {
    let modules = all_modules(sources);
    let mut violations = Vec::new();
    for source in sources {
        let own = top(&source.module);
        let Some(Rule { may, why, .. }) = rule(&own) else { continue };
        for Named { path, line, through_super, .. } in named(&source.text, &source.module, &modules)
        {
            let Some(name) = path.first() else { continue };
            let is_other = *name != own && !may.contains(&name.as_str());
            // A `super::` of a module within a file may end in the file itself, at any item.
            if is_other && (!through_super || modules.contains(name)) {
                let path = source.path.display();
                violations.push(format!(
                    "{path}:{line}: `{own}` must not name `{name}` (it may name {may:?}: {why})"
                ));
            }
        }
    }
    violations
}

/// Re-exports by which one module hands on what is another's.
fn passed_on(sources: &[Source]) -> Vec<String> {
    let modules = all_modules(sources);
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| !source.module.is_empty()) {
        let own = top(&source.module);
        for Named { path, line, is_reexported, .. } in named(&source.text, &source.module, &modules)
        {
            let is_other = path.first().is_some_and(|name| *name != own && modules.contains(name));
            if is_reexported && is_other {
                let (place, path) = (source.path.display(), path.join("::"));
                violations.push(format!(
                    "{place}:{line}: `{own}` passes on `{path}`: name it where it is used"
                ));
            }
        }
    }
    violations
}

fn too_long(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    let path = source.path.display();
    (lines > LINES_MAX)
        .then(|| format!("{path}: {lines} lines; split it: {LINES_MAX} are the most"))
}

/// Whether a file of the repository is text that is written in it.
fn is_written(path: &Path) -> bool {
    let is_text = path.ends_with("Makefile")
        || path.extension().is_some_and(|end| WRITTEN.iter().any(|one| end == *one));
    is_text && !RECORDS.iter().any(|record| path.starts_with(record))
}

fn too_wide(path: &Path, text: &str) -> Vec<String> {
    let is_table = |line: &str| {
        line.trim_start()
            .trim_start_matches("//!")
            .trim_start_matches("///")
            .trim_start()
            .starts_with('|')
    };
    let wide = text.lines().zip(1..).filter(|(line, _)| {
        line.chars().count() > COLUMNS_MAX && !line.contains("://") && !is_table(line)
    });
    wide.map(|(line, number)| {
        let columns = line.chars().count();
        format!("{}:{number}: {columns} columns; {COLUMNS_MAX} are the most", path.display())
    })
    .collect()
}

fn rule(module: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.module == module)
}

fn free(module: &str) -> bool {
    FREE.contains(&module)
}

fn all_modules(sources: &[Source]) -> BTreeSet<String> {
    sources.iter().map(|source| source.module.clone()).collect()
}

/// `net` of `net::conn::stream`.
fn top(module: &str) -> String {
    module.split("::").next().unwrap_or_default().to_owned()
}

/// `net` for net.rs and net/mod.rs, `net::pool` for net/pool.rs, and nothing for lib.rs.
fn module(path: &Path) -> String {
    let mut parts: Vec<_> =
        path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts.join("::")
}

/// The Rust files of a folder of the workspace.
fn sources(folder: &str) -> Vec<Source> {
    let root = workspace().join(folder);
    let rust =
        files(&root).into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    rust.map(|path| {
        Source::new(path.strip_prefix(&root).unwrap(), fs::read_to_string(&path).unwrap())
    })
    .collect()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files below a folder, but for what is built there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}
