//! The page `docs` cannot rot: each row of its table names tests of Hotcall's answer, those tests
//! exist, and numbers are the program's.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed helper is a failed test"
)]

use hotcall::client::{CONNECT_TIMEOUT, TIMEOUT};
use hotcall::limits::Limits;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::{fs, mem};

const PAGE: &str = include_str!("../src/docs/comparison.md");

/// A question, Hotcall, and seven others.
const COLUMNS: usize = 9;

#[test]
fn every_row_is_whole_and_names_its_tests() {
    let [answers, proofs] = &tables(PAGE)[..] else {
        panic!("two tables wanted: answers and what proves them")
    };
    assert!(answers.len() > 20, "{} rows", answers.len());
    for row in answers {
        assert_eq!(row.len(), COLUMNS, "{row:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        assert!(!row[1].contains("not checked"), "of Hotcall everything is known: {row:?}");
    }
    let questions =
        |table: &[Vec<String>]| table.iter().map(|row| row[0].clone()).collect::<Vec<_>>();
    assert_eq!(questions(answers), questions(proofs), "the same rows in the same order");
    let distinct: BTreeSet<_> = questions(answers).into_iter().collect();
    assert_eq!(distinct.len(), answers.len(), "a question stands twice");
}

#[test]
fn every_test_that_is_named_exists() {
    let missing: Vec<String> =
        named_tests(&tables(PAGE)[1]).into_iter().filter(|name| !exists(name)).collect();
    assert!(
        missing.is_empty(),
        "no such tests, which host/src/docs/comparison.md names:\n{}",
        missing.join("\n")
    );
}

#[test]
fn what_is_no_test_is_not_taken_for_one() {
    assert!(exists("host/tests/docs.rs::what_is_no_test_is_not_taken_for_one"));
    assert!(exists("tests/it/http.rs::chunks_are_put_together"));
    for name in [
        "host/tests/docs.rs::exists",
        "host/tests/docs.rs::what_is_no_test",
        "host/tests/nowhere.rs::every_test_that_is_named_exists",
        "tests/it/http.rs::unchunked",
        "every_test_that_is_named_exists",
    ] {
        assert!(!exists(name), "{name}");
    }
    let found = |source: &str| is_test(source.parse().unwrap(), "a");
    assert!(found("mod tests { #[test] #[should_panic] fn a() {} }"));
    assert!(found("proptest! { #[test] fn a(b in 0..3) {} }"));
    for source in [
        "fn a() {}",
        "#[test] fn b() {} fn a() {}",
        "/* #[test] fn a() {} */",
        "const A: &str = \"#[test]\nfn a() {}\";",
        "#[test] #[ignore = \"slow\"] fn a() {}",
        "#[ignore] #[test] fn a() {}",
        "#[cfg(windows)] #[test] fn a() {}",
        "fn b() { #[test] fn a() {} }",
    ] {
        assert!(!found(source), "{source}");
    }
    let found = |source: &str| is_trial(source.parse().unwrap(), "\"a::b\"");
    assert!(found("fn trials() -> Vec<Trial> { vec![trial(\"a::b\", b)] }"));
    for source in [
        "fn trials() { /* trial(\"a::b\", b) */ }",
        "fn trials() {} fn b() { trial(\"a::b\", b) }",
        "fn trials() { vec![#[cfg(any())] trial(\"a::b\", b)] }",
        "fn trials() { trial(\"a::b\", b).with_ignored_flag(true) }",
    ] {
        assert!(!found(source), "{source}");
    }
}

#[test]
fn limits_are_those_of_the_program() {
    let limits = Limits::default();
    assert_begins("Nesting of values in a request", &limits.xml_depth_max.to_string());
    assert_begins("Size of a request", &format!("{} MiB", limits.body_bytes_max >> 20));
    assert_begins(
        "Calls in one multicall",
        &format!(
            "{},{:03}",
            limits.multicall_calls_max / 1_000,
            limits.multicall_calls_max % 1_000
        ),
    );
    let times = answer("Time limits in the client");
    for told in [
        format!("to connect, {} s", CONNECT_TIMEOUT.as_secs()),
        format!("for a call, {} s", TIMEOUT.as_secs()),
    ] {
        assert!(times.contains(&told), "{told} wanted in {times:?}");
    }
}

#[test]
fn the_manifest_says_the_same() {
    assert_eq!(answer("Licence"), env!("CARGO_PKG_LICENSE"));
    assert!(fs::read_to_string(root().join("LICENSE")).unwrap().starts_with("MIT License"));
    assert_begins("How old", env!("CARGO_PKG_VERSION"));
}

fn answer(question: &str) -> String {
    let row = tables(PAGE)[0].iter().find(|row| row[0] == question).cloned();
    row.unwrap_or_else(|| panic!("no row {question:?}"))[1].clone()
}

#[track_caller]
fn assert_begins(question: &str, wanted: &str) {
    let answer = answer(question);
    let rest = answer
        .strip_prefix(wanted)
        .unwrap_or_else(|| panic!("{question}: {wanted:?} wanted, got {answer:?}"));
    assert!(
        !rest.starts_with(char::is_alphanumeric),
        "{question}: {wanted:?} wanted, got {answer:?}"
    );
}

/// The rows of each table, without its head.
fn tables(page: &str) -> Vec<Vec<Vec<String>>> {
    let blocks = page.split("\n\n").filter(|block| block.starts_with('|'));
    blocks.map(|block| block.lines().skip(2).map(cells).collect()).collect()
}

fn cells(row: &str) -> Vec<String> {
    let inside = row.trim().strip_prefix('|').and_then(|row| row.strip_suffix('|'));
    inside
        .unwrap_or_else(|| panic!("no row: {row}"))
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}

/// All that stands between backticks in the second column; nothing else may stand there.
fn named_tests(proofs: &[Vec<String>]) -> Vec<String> {
    let names = |row: &Vec<String>| {
        let names: Vec<String> =
            row[1].split(", ").map(|name| name.trim_matches('`').to_owned()).collect();
        let written: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        assert_eq!(
            written.join(", "),
            row[1],
            "names of tests in backticks, with commas between them"
        );
        names
    };
    proofs.iter().flat_map(names).collect()
}

/// Whether `FILE::TEST` is a test that runs: a function under `#[test]`, or a trial of the
/// end-to-end tests, which are named with their module.
fn exists(name: &str) -> bool {
    let Some((file, test)) = name.split_once("::") else { return false };
    let Some(tokens) = tokens(file) else { return false };
    let Some(module) = file.strip_prefix("tests/it/") else { return is_test(tokens, test) };
    let module = module.trim_end_matches(".rs");
    is_run(module) && is_trial(tokens, &format!("\"{module}::{test}\""))
}

/// The tokens of a source, without its comments.
fn tokens(file: &str) -> Option<TokenStream> {
    Some(fs::read_to_string(root().join(file)).ok()?.parse().unwrap())
}

/// Whether a function of this name is a test that is neither ignored nor left out.
fn is_test(tokens: TokenStream, name: &str) -> bool {
    let (mut attributes, mut before) = (Vec::new(), [String::new(), String::new()]);
    for tree in tokens {
        let text = squeezed(&tree);
        if let TokenTree::Group(group) = &tree {
            let is_attribute = before[1] == "#";
            let is_module = before[0] == "mod" || before[1] == "!";
            match group.delimiter() {
                Delimiter::Bracket if is_attribute => attributes.push(text.clone()),
                Delimiter::Brace if is_module && is_test(group.stream(), name) => return true,
                Delimiter::Brace => attributes.clear(),
                _ => {}
            }
        }
        if before[1] == "fn" && text == name {
            let has = |wanted| attributes.iter().any(|attribute| attribute.starts_with(wanted));
            return has("[test]") && !has("[ignore") && !has("[cfg");
        }
        if text == ";" {
            attributes.clear();
        }
        before = [mem::take(&mut before[1]), text];
    }
    false
}

/// Whether the end-to-end tests run the trials of a module.
fn is_run(module: &str) -> bool {
    let main = squeezed(tokens("tests/it/main.rs").unwrap());
    main.split(['[', ',']).any(|part| part == format!("{module}::trials()"))
}

/// Whether the function `trials` makes a trial of this name, under no condition.
fn is_trial(tokens: TokenStream, name: &str) -> bool {
    let behind = tokens.into_iter().skip_while(|tree| tree.to_string() != "trials");
    let body = behind.map(squeezed).find(|text| text.starts_with('{'));
    let is_left_out = |body: &str| body.contains('#') || body.contains("ignored_flag(true)");
    body.is_some_and(|body| body.contains(name) && !is_left_out(&body))
}

/// As text without blanks.
fn squeezed(tokens: impl Display) -> String {
    tokens.to_string().replace(' ', "")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
