//! How long files and lines may be, and of which files. Must not know what is in them.

use crate::source::Source;
use std::path::Path;

/// A file that is longer does more than one thing.
const LINES_MAX: usize = 500;

/// Of a line of code, comment or documentation, tables and URLs excepted.
const COLUMNS_MAX: usize = 100;

/// The extensions of files that are written here, by hand.
const WRITTEN: &[&str] = &[
    "c", "cc", "conf", "h", "java", "js", "json", "lua", "md", "php", "pl", "py", "rb", "rs",
    "service", "sh", "socket", "template", "toml",
];

/// The folder of programs and lists without an extension, which are written here, too.
pub(crate) const BUILD_STEPS: &str = ".ci";

/// What npm writes.
const LOCK: &str = "package-lock.json";

/// Data and records, which stay as they came or were made.
const RECORDS: &[&str] = &["plugin-api/abi", "tests/bench/RESULTS.md", "tests/corpus"];

pub(crate) fn too_long(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    let path = source.path.display();
    (lines > LINES_MAX)
        .then(|| format!("{path}: {lines} lines; split it: {LINES_MAX} are the most"))
}

/// Whether a file of the repository is text that is written in it.
pub(crate) fn is_written(path: &Path) -> bool {
    let is_text = path.ends_with("Makefile")
        || path.starts_with(BUILD_STEPS)
        || path.extension().is_some_and(|end| WRITTEN.iter().any(|one| end == *one));
    let is_record = RECORDS.iter().any(|record| path.starts_with(record)) || path.ends_with(LOCK);
    is_text && !is_record
}

pub(crate) fn too_wide(path: &Path, text: &str) -> Vec<String> {
    let is_markdown = path.extension().is_some_and(|end| end == "md");
    let is_free = |line: &str| {
        let (margin, words) = line.split_at(line.len() - without_margin(line).len());
        let is_prose = is_markdown || !margin.trim().is_empty();
        is_prose && words.starts_with('|')
            || is_markdown && words.contains("://")
            || has_wide_url(margin, words)
    };
    let columns = |line: &str| line.chars().count();
    let wide =
        text.lines().zip(1..).filter(|(line, _)| columns(line) > COLUMNS_MAX && !is_free(line));
    wide.map(|(line, number)| {
        let columns = columns(line);
        format!("{}:{number}: {columns} columns; {COLUMNS_MAX} are the most", path.display())
    })
    .collect()
}

/// A line without its indentation and what begins a comment.
fn without_margin(line: &str) -> &str {
    let line = line.trim_start();
    let comments = ["//!", "///", "//", "#", "*", "--"];
    let comment = comments.iter().find_map(|begin| line.strip_prefix(begin));
    comment.unwrap_or(line).trim_start()
}

/// Whether a URL would be too wide in a line of its own, too.
fn has_wide_url(margin: &str, words: &str) -> bool {
    let longest = words.split_whitespace().filter(|word| word.contains("://"));
    let longest = longest.map(|word| word.chars().count()).max();
    longest.is_some_and(|columns| margin.chars().count() + columns > COLUMNS_MAX)
}
