//! What a Rust source names, read from its tokens: every path into its own crate, with the branches
//! of `use` trees apart, and with each name that the file imports put in full.

use crate::scopes::{Leaf, Scopes};
use crate::source::Source;
use crate::tokens::{Token, is_word};
use std::collections::BTreeSet;
use std::ops::Range;

/// A path that a source names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// From the top of the crate: `["net", "pool", "Pool"]`. An item's own segments are at the end.
    /// Empty for the crate as a whole: a glob of it, another name for it, or more `super`s than
    /// there are modules.
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// Whether the path is passed on: by `pub use` or `pub type` at any visibility, by a type of an
    /// `impl`, or by a macro.
    pub(crate) is_reexported: bool,
    /// Whether it is `extern crate self`, whose name holds in all files of the crate.
    pub(crate) is_extern: bool,
    /// Whether it is a glob of the path.
    pub(crate) is_glob: bool,
    /// The path that it gets besides, if it is an import.
    pub(crate) name: Option<Vec<String>>,
}

/// The paths named by a source, code under `#[cfg(test)]` left out. `modules`: all modules of the
/// crate, so that a path that begins with a child module is recognised.
pub(crate) fn named(source: &Source, modules: &BTreeSet<String>) -> Vec<Named> {
    let tokens = &source.tokens;
    let mut scopes = Scopes::new(tokens, &source.module, modules);
    let leaves = imported(tokens);
    let impls = bodies(tokens, |at| tokens[at].0 == "impl" && begins_item(&tokens[..at]), &["{"]);
    // Other files know no macro by another way.
    let is_exported = |name: &str| {
        let mut exports = leaves.iter().filter(|import| import.is_reexported);
        exports.any(|import| import.leaf.words.last().is_some_and(|last| last == name))
    };
    let is_macro = |at: usize| tokens[at].0 == "macro_rules" && is_exported(&tokens[at + 2].0);
    let macros = bodies(tokens, is_macro, &["{", "(", "["]);
    let is_in = |bodies: &[Range<usize>], at| bodies.iter().any(|body| body.contains(&at));
    for Import { at, leaf, .. } in &leaves {
        scopes.import(*at, leaf);
    }
    let mut found: Vec<_> = leaves.iter().filter_map(|import| import.named(&scopes)).collect();
    let mut at = 0;
    while at < tokens.len() {
        if is_import(tokens, at) {
            at = end_of_statement(tokens, at);
        } else if tokens[at].0 == "type" && (is_public(&tokens[..at]) || is_in(&impls, at)) {
            let end = end_of_statement(tokens, at);
            let begin = (at..end).find(|at| tokens[*at].0 == "=").unwrap_or(end);
            // Names without `::`, too: they may be imported ones.
            let words = (begin..end).filter(|at| begins_word(tokens, *at));
            found.extend(words.filter_map(|at| named_at(tokens, at, true, &scopes)));
            at = end;
        } else {
            if starts_path(tokens, at) {
                found.extend(named_at(tokens, at, is_in(&macros, at), &scopes));
            }
            at += 1;
        }
    }
    found.sort_by_key(|named| named.line);
    found
}

/// One leaf of a `use` tree, or an `extern crate self`.
struct Import {
    at: usize,
    line: usize,
    leaf: Leaf,
    is_reexported: bool,
    is_extern: bool,
}

impl Import {
    fn named(&self, scopes: &Scopes<'_>) -> Option<Named> {
        let Self { at, line, ref leaf, is_reexported, is_extern } = *self;
        let path = scopes.resolve(at, &leaf.words)?;
        let is_glob = leaf.name.is_none();
        let name = leaf.name.as_ref().map(|name| scopes.name(at, name));
        Some(Named { path, line, is_reexported, is_extern, is_glob, name })
    }
}

/// All that the source imports.
fn imported(tokens: &[Token]) -> Vec<Import> {
    let mut imports = Vec::new();
    for at in (0..tokens.len()).filter(|at| is_import(tokens, *at)) {
        let is_extern = tokens[at].0 == "extern";
        let mut leaves = Vec::new();
        // `extern crate self as name;` is `use crate as name;`.
        let (begin, prefix) =
            if is_extern { (at + 3, vec!["crate".into()]) } else { (at + 1, vec![]) };
        tree(&tokens[begin..], &prefix, &mut leaves);
        let (line, is_reexported) = (tokens[at].1, is_public(&tokens[..at]));
        let import = |leaf| Import { at, line, leaf, is_reexported, is_extern };
        imports.extend(leaves.into_iter().map(import));
    }
    imports
}

/// Whether a `use` or an `extern crate self` begins here.
fn is_import(tokens: &[Token], at: usize) -> bool {
    let is = |ahead: usize, text| tokens.get(at + ahead).is_some_and(|(token, _)| token == text);
    // `use<…>` of an `impl Trait` imports nothing.
    is(0, "use") && !is(1, "<") || is(0, "extern") && is(1, "crate") && is(2, "self")
}

/// Where the semicolon is that is not one of an array.
fn end_of_statement(tokens: &[Token], at: usize) -> usize {
    let mut open = 0_usize;
    let mut is_end = |at: &usize| {
        match tokens[*at].0.as_str() {
            "[" => open += 1,
            "]" => open = open.saturating_sub(1),
            ";" => return open == 0,
            _ => {}
        }
        false
    };
    (at..tokens.len()).find(|at| is_end(at)).unwrap_or(tokens.len())
}

/// The groups that follow certain tokens and begin with one of `opens`.
fn bodies(tokens: &[Token], wanted: impl Fn(usize) -> bool, opens: &[&str]) -> Vec<Range<usize>> {
    let is = |at: &usize, marks: &[&str]| marks.contains(&tokens[*at].0.as_str());
    let body = |at: usize| {
        let begin = (at..tokens.len()).find(|at| is(at, opens)).unwrap_or(tokens.len());
        let mut open = 0;
        let mut is_end = |at: &usize| {
            open += usize::from(is(at, &["{", "(", "["]));
            open -= usize::from(is(at, &["}", ")", "]"]));
            open == 0
        };
        begin..(begin..tokens.len()).find(|at| is_end(at)).unwrap_or(tokens.len())
    };
    (0..tokens.len()).filter(|at| wanted(*at)).map(body).collect()
}

/// Whether what was before has ended.
fn begins_item(before: &[Token]) -> bool {
    let last = before.last().map_or(";", |(token, _)| token);
    matches!(last, ";" | "{" | "}" | "]" | "unsafe")
}

fn named_at(tokens: &[Token], at: usize, is_passed: bool, scopes: &Scopes<'_>) -> Option<Named> {
    let path = scopes.resolve(at, &path(&tokens[at..]))?;
    let line = tokens[at].1;
    let (is_extern, is_glob, name) = (false, false, None);
    Some(Named { path, line, is_reexported: is_passed, is_extern, is_glob, name })
}

/// Whether the tokens end with `pub` or `pub(…)`.
fn is_public(before: &[Token]) -> bool {
    match before.last().map(|(token, _)| token.as_str()) {
        Some("pub") => true,
        Some(")") => before
            .iter()
            .rposition(|(token, _)| token == "(")
            .and_then(|open| open.checked_sub(1))
            .is_some_and(|at| before[at].0 == "pub"),
        _ => false,
    }
}

/// Whether a path of two words or more begins here, other than one of `pub(in …)`.
fn starts_path(tokens: &[Token], at: usize) -> bool {
    let token = |back: usize| at.checked_sub(back).map_or("", |at| tokens[at].0.as_str());
    let is_path = tokens.get(at + 1).is_some_and(|(next, _)| next == "::");
    is_path && begins_word(tokens, at) && (token(1), token(2)) != ("in", "(")
}

/// Whether a word begins here that no path or value before it leads to.
fn begins_word(tokens: &[Token], at: usize) -> bool {
    let before = at.checked_sub(1).map_or("", |at| tokens[at].0.as_str());
    tokens[at].0.chars().all(is_word) && !matches!(before, "::" | ".")
}

/// The words of one path without branches.
fn path(tokens: &[Token]) -> Vec<String> {
    let mut words = Vec::new();
    for pair in tokens.chunks(2) {
        words.push(pair[0].0.clone());
        if pair.get(1).is_none_or(|(token, _)| token != "::") {
            break;
        }
    }
    words.retain(|word| word.chars().all(is_word));
    words
}

/// Collects the leaves of a `use` tree below `prefix`, and gives how many tokens it takes.
fn tree(tokens: &[Token], prefix: &[String], leaves: &mut Vec<Leaf>) -> usize {
    let mut words = prefix.to_vec();
    let mut at = 0;
    while let Some((token, _)) = tokens.get(at) {
        match token.as_str() {
            "{" => return at + group(&tokens[at..], &words, leaves),
            "*" => {
                leaves.push(Leaf { words, name: None });
                return at + 1;
            }
            "as" => {
                let name = tokens.get(at + 1).map(|(name, _)| name.clone());
                leaves.push(Leaf { words, name });
                return at + 2;
            }
            "," | "}" | ";" => break,
            // Of another crate for certain.
            "::" if words.is_empty() => words.push(String::new()),
            "::" => {}
            "self" if !words.is_empty() => {}
            word => words.push(word.to_owned()),
        }
        at += 1;
    }
    if at > 0 {
        let name = words.last().cloned();
        leaves.push(Leaf { words, name });
    }
    at
}

/// The same of a group in braces.
fn group(tokens: &[Token], prefix: &[String], leaves: &mut Vec<Leaf>) -> usize {
    let mut at = 1;
    while let Some((token, _)) = tokens.get(at) {
        match token.as_str() {
            "}" => return at + 1,
            "," => at += 1,
            _ => at += tree(&tokens[at..], prefix, leaves).max(1),
        }
    }
    at
}
