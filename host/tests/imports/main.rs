//! Rules of the house that no compiler knows: which module may name which, that files import each
//! other in no circle, and how long files and lines may be.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed helper is a failed test"
)]

mod circles;
mod fixtures;
mod flow;
mod named;
mod order;
mod scopes;
mod size;
mod source;
mod tokens;

use flow::{free, globs, passed_on, rule, upward};
use order::{out_of_order, strangers};
use size::{BUILD_STEPS, is_written, too_long, too_wide};
use source::{Source, files, sources, top, workspace};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

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
    "server/large_blocks.rs",
    "slice.rs",
    // Builds values of the ABI that borrow from a document. Encoding reads them by safe code.
    "xmlrpc/borrowed.rs",
];

/// The roots of the workspace's crates, each a folder of modules.
const CRATES: &[&str] = &[
    "host/src",
    "host/tests/imports",
    "host/tests/life_cycle",
    "plugin-api/src",
    "plugin-api/macros/src",
    "plugins/arithmetic/src",
    "plugins/counter/src",
    "plugins/interop/src",
    "plugins/validator1/src",
    "tests/src",
    "tests/it",
    "tests/bench/speed",
];

/// The folders whose Rust files may not be too long.
const SIZED: &[&str] = &["host", "plugin-api", "plugins", "tests"];

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
fn no_room_names_one_that_stands_beside_or_below_it() {
    refuse(out_of_order(&sources("host/src")));
}

#[test]
fn no_room_names_a_crate_that_another_stands_before() {
    refuse(strangers(&sources("host/src")));
}

#[test]
fn no_module_passes_on_the_items_of_another() {
    refuse(passed_on(&sources("host/src")));
}

#[test]
fn no_module_is_imported_by_a_glob() {
    for root in CRATES {
        refuse(globs(&sources(root)));
    }
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
    let files: Vec<_> = SIZED.iter().flat_map(|folder| sources(folder)).collect();
    for seen in ["benches/codec.rs", "tests/imports/main.rs", "it/main.rs"] {
        let is_read = files.iter().any(|source| source.path == Path::new(seen));
        assert!(is_read, "{seen} is not read");
    }
    refuse(files.iter().filter_map(too_long).collect());
}

#[test]
fn no_line_is_too_long() {
    let root = workspace();
    let folders = ["host", "plugin-api", "plugins", "tests", BUILD_STEPS];
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
