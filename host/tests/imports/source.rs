//! What a Rust source names, read from its tokens: every path through `crate`, `self` and `super`,
//! with the branches of `use` trees apart.

use std::collections::BTreeSet;

/// A path that a source names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// From the top of the crate: `["net", "pool", "Pool"]`. An item's own segments are at the end.
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// Whether the path is re-exported: `pub use`, at any visibility.
    pub(crate) is_reexported: bool,
    /// Whether the path began with `super`. It may then end at an item within its own file.
    pub(crate) through_super: bool,
}

/// The paths named by the source of `module`, code under `#[cfg(test)]` left out. `modules`: all
/// modules of the crate, so that a path that begins with a child module is recognised.
pub(crate) fn named(source: &str, module: &str, modules: &BTreeSet<String>) -> Vec<Named> {
    let tokens = without_tests(tokens(source));
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((token, line)) = tokens.get(at) {
        if token == "use" {
            let is_reexported = is_public(&tokens[..at]);
            let (leaves, taken) = tree(&tokens[at + 1..]);
            for leaf in leaves {
                found.extend(resolve(&leaf, module, modules).map(|(path, through_super)| Named {
                    path,
                    line: *line,
                    is_reexported,
                    through_super,
                }));
            }
            at += 1 + taken;
            continue;
        }
        if starts_path(&tokens, at) {
            let leaf = path(&tokens[at..]);
            let is_reexported = is_public_alias(&tokens[..at]);
            found.extend(resolve(&leaf, module, modules).map(|(path, through_super)| Named {
                path,
                line: *line,
                is_reexported,
                through_super,
            }));
        }
        at += 1;
    }
    found
}

type Token = (String, usize);

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
    is_path && !matches!(token(1), "::" | ".") && (token(1), token(2)) != ("in", "(")
}

/// Whether the tokens end with `pub type NAME =`.
fn is_public_alias(before: &[Token]) -> bool {
    let [before @ .., (kind, _), _, (equals, _)] = before else { return false };
    kind == "type" && equals == "=" && is_public(before)
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

/// The leaves of a `use` tree, and how many tokens it takes.
fn tree(tokens: &[Token]) -> (Vec<Vec<String>>, usize) {
    let (mut leaves, mut stack) = (Vec::new(), Vec::<Vec<String>>::new());
    let (mut current, mut is_alias) = (Vec::new(), false);
    for (at, (token, _)) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => stack.push(current.clone()),
            "," | "}" | ";" => {
                if current.len() > stack.last().map_or(0, Vec::len) {
                    leaves.push(current.clone());
                }
                if token == "}" {
                    current = stack.pop().unwrap_or_default();
                    // The group itself is no leaf.
                    current.truncate(stack.last().map_or(0, Vec::len));
                } else {
                    current = stack.last().cloned().unwrap_or_default();
                }
                is_alias = false;
                if token == ";" {
                    return (leaves, at + 1);
                }
            }
            "as" => is_alias = true,
            "::" | "*" => {}
            _ if is_alias => {}
            "self" if !current.is_empty() => leaves.push(current.clone()),
            word => current.push(word.to_owned()),
        }
    }
    (leaves, tokens.len())
}

/// A path from the top of the crate, and whether it came through `super`. `None` for other crates'.
fn resolve(
    words: &[String],
    module: &str,
    modules: &BTreeSet<String>,
) -> Option<(Vec<String>, bool)> {
    let own = || module.split("::").filter(|part| !part.is_empty()).map(str::to_owned);
    let first = words.first()?.as_str();
    match first {
        "crate" => Some((words[1..].to_vec(), false)),
        "self" | "super" => {
            let ups = words.iter().filter(|word| *word == "super").count();
            let own: Vec<_> = own().collect();
            let kept = own.len().checked_sub(ups)?;
            let rest = words.iter().skip_while(|word| matches!(word.as_str(), "self" | "super"));
            Some((own[..kept].iter().chain(rest).cloned().collect(), ups > 0))
        }
        _ => {
            let child = own().chain([first.to_owned()]).collect::<Vec<_>>().join("::");
            let is_child = !module.is_empty() && modules.contains(&child);
            is_child.then(|| (own().chain(words.iter().cloned()).collect(), false))
        }
    }
}

/// Leaves out what follows `#[cfg(test)]`: a block, or all up to a semicolon.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let is_test = CFG_TEST.iter().enumerate().all(|(ahead, wanted)| {
            tokens.get(at + ahead).is_some_and(|(token, _)| token == wanted)
        });
        if !is_test {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let mut open = 0_usize;
        at += CFG_TEST.len();
        while let Some((token, _)) = tokens.get(at) {
            at += 1;
            match token.as_str() {
                "{" => open += 1,
                "}" if open <= 1 => break,
                "}" => open -= 1,
                ";" if open == 0 => break,
                _ => {}
            }
        }
    }
    kept
}

/// Words, `::` and single characters with their lines; without comments, texts and characters in
/// quotes.
fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (len, token) = match first {
            _ if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
            _ if rest.starts_with("/*") => {
                (rest.find("*/").map_or(rest.len(), |end| end + 2), false)
            }
            _ if rest.starts_with("r\"") || rest.starts_with("r#\"") => (raw_text(rest), false),
            '"' => (text(rest), false),
            '\'' => (character(rest), false),
            _ if rest.starts_with("::") => (2, true),
            _ if is_word(first) => (rest.find(|c| !is_word(c)).unwrap_or(rest.len()), true),
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

fn is_word(c: char) -> bool {
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
