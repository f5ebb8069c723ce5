//! How long files and lines may be, and of which files. Must not know what is in them.

use std::path::Path;

/// A file that is longer does more than one thing. Documentation may: readers search its headings.
const LINES_MAX: usize = 500;

/// Of a line of code, comment or documentation, tables and URLs excepted.
const COLUMNS_MAX: usize = 100;

/// As make and terminals show it.
const TAB_COLUMNS: usize = 8;

/// Data, and files that a program wrote. All others are written here, by hand.
const RECORDS: &[&str] = &[
    "plugin-api/abi",
    "tests/bench/RESULTS.md",
    "tests/bench/results.svg",
    "tests/corpus",
    "tests/foreign/node/package-lock.json",
    "tests/fuzz/corpus",
];

/// Whether a file of the repository is written in it.
pub(crate) fn is_written(path: &Path) -> bool {
    !RECORDS.iter().any(|record| path.starts_with(record)) && !ends(path, "lock")
}

fn ends(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|end| end == wanted)
}

pub(crate) fn too_long(path: &Path, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > LINES_MAX && !ends(path, "md"))
        .then(|| format!("{}: {lines} lines; split it: {LINES_MAX} are the most", path.display()))
}

pub(crate) fn too_wide(path: &Path, text: &str) -> Vec<String> {
    let is_markdown = ends(path, "md");
    let is_free = |line: &str| {
        let (margin, words) = line.split_at(line.len() - without_margin(line).len());
        let is_prose = is_markdown || !margin.trim().is_empty();
        let url = longest_url(words);
        // A link of Markdown stays in its sentence. Any other URL can have a line of its own.
        let excuses = match is_markdown {
            true => columns(line) - url <= COLUMNS_MAX,
            false => columns(margin) + url > COLUMNS_MAX,
        };
        is_prose && words.starts_with('|') || excuses
    };
    let wide =
        text.lines().zip(1..).filter(|(line, _)| columns(line) > COLUMNS_MAX && !is_free(line));
    wide.map(|(line, number)| {
        let columns = columns(line);
        format!("{}:{number}: {columns} columns; {COLUMNS_MAX} are the most", path.display())
    })
    .collect()
}

fn columns(line: &str) -> usize {
    let step = |at, c| if c == '\t' { (at / TAB_COLUMNS + 1) * TAB_COLUMNS } else { at + 1 };
    line.chars().fold(0, step)
}

/// A line without its indentation and what begins a comment.
fn without_margin(line: &str) -> &str {
    let line = line.trim_start();
    let comments = ["//!", "///", "//", "#", "*", "--"];
    let comment = comments.iter().find_map(|begin| line.strip_prefix(begin));
    comment.unwrap_or(line).trim_start()
}

fn longest_url(words: &str) -> usize {
    let parts = words.split(|c: char| c.is_whitespace() || "()<>[]`\"".contains(c));
    parts.filter(|part| part.contains("://")).map(columns).max().unwrap_or(0)
}
