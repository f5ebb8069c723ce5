//! How long files and lines may be, and of which files. Must not know what is in them.

use crate::source::Source;
use std::path::Path;

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

pub(crate) fn too_long(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    let path = source.path.display();
    (lines > LINES_MAX)
        .then(|| format!("{path}: {lines} lines; split it: {LINES_MAX} are the most"))
}

/// Whether a file of the repository is text that is written in it.
pub(crate) fn is_written(path: &Path) -> bool {
    let is_text = path.ends_with("Makefile")
        || path.extension().is_some_and(|end| WRITTEN.iter().any(|one| end == *one));
    is_text && !RECORDS.iter().any(|record| path.starts_with(record))
}

pub(crate) fn too_wide(path: &Path, text: &str) -> Vec<String> {
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
