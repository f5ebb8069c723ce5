//! The example of a config file: every key, commented out, with its default and documentation.

use super::keys::{Config, tables};
use crate::settings::{Section, Setting};

const COLUMNS: usize = 100;
/// Where comments beside keys begin, unless the key and its value are longer.
const COMMENT_COLUMN: usize = 36;
/// A comment that would begin further right stands above its key.
const COMMENT_COLUMN_MAX: usize = 60;

const TOP: [&str; 3] = [
    "Hotcall's config file with every key. What stands here is the default, or an example where \
     the comment says so.",
    "`hotcall serve --config FILE` takes it, `--check-config` says what it would do, and SIGHUP \
     reads it again.",
    "Relative paths start at this file's directory.",
];

/// A config file with every key, its default and what it does.
pub fn example() -> String {
    let mut lines: Vec<String> = TOP.iter().flat_map(|text| wrapped(text, 0)).collect();
    for setting in Config::SETTINGS.iter().filter(|setting| setting.table.is_none()) {
        lines.extend(setting.heading.into_iter().flat_map(heading));
        lines.extend(key(setting));
    }
    for (setting, table) in tables() {
        lines.extend(setting.heading.into_iter().flat_map(heading));
        lines.push(format!("#{}", table.example));
        lines.extend(table.settings.iter().flat_map(key));
    }
    lines.join("\n") + "\n"
}

/// An empty line, and the text.
fn heading(text: &str) -> impl Iterator<Item = String> {
    std::iter::once(String::new()).chain(wrapped(text, 0))
}

/// `#key = value`, and beside it or above it the comment, on as many lines as it takes.
fn key(setting: &Setting) -> Vec<String> {
    let assignment = format!("#{} = {}", setting.key, setting.value);
    let paragraph = setting.doc.iter().map(|line| line.trim()).take_while(|line| !line.is_empty());
    let example = setting.is_example.then_some("Example.");
    let text = example.into_iter().chain(paragraph).collect::<Vec<_>>().join(" ");
    let column = COMMENT_COLUMN.max(assignment.chars().count() + 1);
    let is_above = column > COMMENT_COLUMN_MAX;
    let mut lines = wrapped(&text, if is_above { 0 } else { column });
    match lines.first_mut().filter(|_| !is_above) {
        Some(first) => {
            *first = format!("{assignment:column$}{}", first.trim_start());
        }
        None => lines.push(assignment),
    }
    lines
}

/// Comment lines that begin at a column.
fn wrapped(text: &str, column: usize) -> Vec<String> {
    let begin = " ".repeat(column) + "#";
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{begin} {word}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Table;

    const LONG: [&str; 2] = ["word word word word word word", "word word word word word word word"];
    const SHA256: &str = "'5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5'";

    #[test]
    fn the_file_is_made_from_the_declarations() {
        let how = "run: hotcall serve --print-config > host/src/config/example.toml";
        assert!(example() == include_str!("example.toml"), "example.toml is not up to date; {how}");
    }

    #[test]
    fn no_line_is_too_long() {
        for line in example().lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
    }

    #[test]
    fn a_key_has_its_first_paragraph_beside_it() {
        let setting = Setting::new("k", "1", &[" One.", " Two.", "", " Three."]);
        assert_eq!(key(&setting), [format!("{:36}# One. Two.", "#k = 1")]);
        let value = "'longer than the column of comments'";
        let setting = Setting::new("k", "", &[" One."]).example(value);
        assert_eq!(key(&setting), [format!("#k = {value} # Example. One.")]);
        let setting = Setting::new("k", "", &[" One."]).shown(SHA256);
        assert_eq!(key(&setting), ["# One.".to_owned(), format!("#k = {SHA256}")]);
        assert_eq!(key(&Setting::new("k", "1", &[])), ["#k = 1"]);
        let long = Setting::new("k", "1", &LONG);
        let words = "word word word word word word word word word word word word";
        assert_eq!(key(&long), [format!("{:36}# {words}", "#k = 1"), format!("{:36}# word", "")]);
    }

    #[test]
    fn every_table_is_declared_with_its_keys() {
        let is_whole = |table: &Table| !table.settings.is_empty() && table.example.starts_with("[");
        assert!(tables().all(|(_, table)| is_whole(table)));
    }
}
