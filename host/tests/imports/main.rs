//! Rules of the house that no compiler knows: which module may name which, that files import each
//! other in no circle, and how long files and lines may be.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed helper is a failed test"
)]

mod circles;
mod fixtures;
mod flow;
mod hidden;
mod named;
mod order;
mod scopes;
mod size;
mod source;
mod tokens;

use flow::{free, passed_on, rule, upward};
use order::{out_of_order, strangers};
use size::{is_written, too_long, too_wide};
use source::{CRATES, Source, files, top, workspace};
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

/// Crates of one file each, which a test compiles without cargo. Most must be refused by rustc.
const COMPILED_ALONE: &str = "plugin-api/tests/compile_fail";

/// The crate of the server.
fn host() -> &'static [Source] {
    &CRATES[Path::new("host/src/lib.rs")]
}

#[test]
fn no_module_names_another_against_the_flow() {
    let modules: BTreeSet<_> = host().iter().map(|source| top(&source.module)).collect();
    let unruled: Vec<_> =
        modules.iter().filter(|name| rule(name).is_none() && !free(name)).collect();
    assert!(unruled.is_empty(), "no rule for {unruled:?}: add a row to RULES");
    refuse(upward(host()));
}

#[test]
fn no_room_names_one_that_stands_beside_or_below_it() {
    refuse(out_of_order(host()));
}

#[test]
fn no_room_names_a_crate_that_another_stands_before() {
    refuse(strangers(host()));
}

#[test]
fn no_module_passes_on_the_items_of_another() {
    refuse(passed_on(host()));
}

#[test]
fn nothing_is_hidden_from_these_rules() {
    refuse(CRATES.values().flat_map(|sources| hidden::hidden(sources)).collect());
    let all: BTreeSet<_> = CRATES.values().flatten().map(|source| source.path.clone()).collect();
    let rust = files().into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let unread = rust.filter(|path| !all.contains(path) && !path.starts_with(COMPILED_ALONE));
    refuse(unread.map(|path| format!("{}: no crate declares it", path.display())).collect());
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    refuse(CRATES.values().flat_map(|sources| circles::circles(sources)).collect());
}

#[test]
fn unsafe_code_is_where_it_is_said_to_be() {
    let allows = |source: &&Source| {
        // Of the whole file or of a part, in one line or in several.
        let text: String = source.text.split_whitespace().collect();
        text.contains("allow(unsafe_code") || text.contains("expect(unsafe_code")
    };
    let found: Vec<_> = CRATES.values().flatten().filter(allows).collect();
    let found: BTreeSet<_> =
        found.iter().filter_map(|source| source.path.strip_prefix("host/src").ok()).collect();
    assert_eq!(found, UNSAFE.iter().map(Path::new).collect());
}

#[test]
fn no_file_and_no_line_is_too_long() {
    let written = files().into_iter().filter(|path| is_written(path));
    // Files that are no text were built here.
    let text = |path: PathBuf| {
        let text = fs::read_to_string(workspace().join(&path)).ok()?;
        Some((path, text))
    };
    let refused = |(path, text): (PathBuf, String)| {
        too_long(&path, &text).into_iter().chain(too_wide(&path, &text)).collect::<Vec<_>>()
    };
    refuse(written.filter_map(text).flat_map(refused).collect());
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = CRATES.values().flatten().filter(|source| !source.text.starts_with("//! "));
    let say = |source: &Source| {
        format!("{}:1: begin with //! and what the module is for", source.path.display())
    };
    refuse(silent.map(say).collect());
}

fn refuse(violations: Vec<String>) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}
