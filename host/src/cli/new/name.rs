//! Which names a plugin may be given: those that cargo, Rust, make and the plugin ABI all take.

use std::fmt;
use std::str::FromStr;

/// As long as the longest that crates.io takes.
const NAME_BYTES_MAX: usize = 64;

/// Keywords of the 2024 edition, which no crate can be named.
const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else \
    enum extern false final fn for gen if impl in let loop macro match mod move mut override priv \
    pub ref return self Self static struct super trait true try type typeof unsafe unsized use \
    virtual where while yield";

/// Crates that a plugin's crate would be mistaken for, and prefixes of methods that are the
/// server's own.
const TAKEN: &str =
    "alloc core hotcall hotcall_plugin hotcall_plugin_macros proc_macro std system test";

/// A plugin's name, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in Rust, and before the dot of its methods' names, where `-` is not allowed.
    pub(super) fn ident(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = Self(text.to_owned());
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !text.bytes().all(allowed)
            || !text.starts_with(|first: char| first.is_ascii_alphabetic())
        {
            return Err(
                "a name is of ASCII letters, digits, - and _, and begins with a letter".into()
            );
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(format!("a name has {NAME_BYTES_MAX} letters at most"));
        }
        let ident = name.ident();
        if KEYWORDS.split_whitespace().any(|keyword| keyword == ident) {
            return Err("this is a keyword of Rust".into());
        }
        if TAKEN.split_whitespace().any(|taken| taken == ident) {
            return Err("this name is taken by Rust or by Hotcall".into());
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_work_everywhere_are_taken_and_no_others() {
        for good in ["greet", "a", "my-plugin_2", "Self-made", "testing"] {
            assert_eq!(good.parse::<Name>().map(|name| name.to_string()), Ok(good.to_owned()));
        }
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        let bad = [
            "",
            "-a",
            "_",
            "2fast",
            "a b",
            "a/b",
            "..",
            "a.b",
            "gr\u{fc}n",
            "fn",
            "Self",
            "test",
            "proc-macro",
            "system",
            &long,
        ];
        for bad in bad {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_name_in_rust_has_no_dashes() {
        assert_eq!("my-plugin".parse::<Name>().unwrap().ident(), "my_plugin");
    }
}
