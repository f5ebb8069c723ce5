//! What hides from the other rules what a file names: globs, files that stand elsewhere, and macros
//! that are used without an import.

use crate::named::{Named, named};
use crate::source::{Source, all_modules};

/// Words in code, and why they are refused.
const WORDS: &[(&[&str], &str)] = &[
    (&["include", "!"], "declare the file as a module"),
    (&["macro_export"], "let users import the macro from its module: `pub(crate) use`"),
    (&["macro_use"], "let users import the macro from its module"),
];

/// A line for each thing that is hidden.
pub(crate) fn hidden(sources: &[Source]) -> Vec<String> {
    let modules = all_modules(sources);
    let mut violations = Vec::new();
    for source in sources {
        let mut refuse = |line: usize, what: &str, why: &str| {
            violations.push(format!("{}:{line}: {what}: {why}", source.path.display()));
        };
        let globs = named(source, &modules).into_iter().filter(|named| named.is_glob);
        for Named { path, line, .. } in globs.filter(|_| !source.is_for_tests(sources)) {
            let module = path.join("::");
            if modules.contains(&module) {
                refuse(line, "a glob", &format!("name what you use of `{module}`"));
            }
        }
        let tokens = &source.tokens_with_tests;
        let is = |at: usize, words: &[&str]| {
            words.iter().zip(at..).all(|(word, at)| tokens.get(at).is_some_and(|t| t.0 == *word))
        };
        for (at, (_, line)) in tokens.iter().enumerate() {
            for (words, why) in WORDS.iter().filter(|(words, _)| is(at, words)) {
                refuse(*line, &format!("`{}`", words.concat()), why);
            }
            let mut attribute = tokens[..at].iter().rev().take_while(|(token, _)| token != "]");
            if is(at, &["path", "="]) && attribute.any(|(token, _)| token == "#") {
                refuse(*line, "`#[path]`", "put the file where its module is");
            }
            let mut later = at..tokens.len();
            let declares = |at| is(at, &["mod"]) && is(at + 2, &[";"]);
            if is(at, &["macro_rules", "!"]) && later.any(declares) {
                refuse(*line, "a macro above `mod`", "children see it without an import");
            }
        }
    }
    violations
}
