//! The tokens of a Rust source, without comments and literals. Must not know what they mean.

use proc_macro2::{Delimiter, Ident, Literal, Spacing, TokenStream, TokenTree};
use std::iter::Peekable;

/// A word, `::` or a single character, and its line.
pub(crate) type Token = (String, usize);

/// Words that begin something. A raw identifier of the same letters does not.
const KEYWORDS: &[&str] = &["as", "extern", "impl", "in", "mod", "pub", "type", "use"];

/// Words with which an item begins that may have commas outside of braces.
const ITEMS: &[&str] = &["const", "enum", "fn", "impl", "struct", "trait", "type", "unsafe", "use"];

/// The tokens of a stream, with or without code under `#[cfg(test)]`.
pub(crate) fn tokens_of(stream: &TokenStream, with_tests: bool) -> Vec<Token> {
    let mut reader = Reader { tokens: Vec::new(), with_tests };
    reader.read(stream.clone(), false, false);
    reader.tokens
}

struct Reader {
    tokens: Vec<Token>,
    with_tests: bool,
}

impl Reader {
    /// `is_list`: in parentheses or brackets. `is_attribute`: in `#[…]`.
    fn read(&mut self, stream: TokenStream, is_list: bool, is_attribute: bool) {
        let mut trees = stream.into_iter().peekable();
        while let Some(tree) = trees.next() {
            let line = tree.span().start().line;
            match tree {
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::Brace | Delimiter::None => ("{", "}"),
                    };
                    let begins_attribute =
                        open == "[" && (self.ends(&["#"]) || self.ends(&["#", "!"]));
                    self.push(open, line);
                    self.read(group.stream(), open != "{", is_attribute || begins_attribute);
                    self.push(close, group.span_close().start().line);
                }
                TokenTree::Punct(mark) => {
                    let is_path = mark.as_char() == ':' && mark.spacing() == Spacing::Joint;
                    if is_path && trees.next_if(|next| is_mark(next, ':')).is_some() {
                        self.push("::", line);
                    } else if mark.as_char() == '#'
                        && !self.with_tests
                        && takes_cfg_test(&mut trees)
                    {
                        skip(&mut trees, is_list);
                    } else {
                        self.push(&mark.to_string(), line);
                    }
                }
                TokenTree::Ident(word) => self.push(&unraw(&word), line),
                TokenTree::Literal(text) if is_attribute && !self.ends(&["doc", "="]) => {
                    self.quoted(&text, line);
                }
                TokenTree::Literal(_) => {}
            }
        }
    }

    /// Reads what a text in an attribute names, such as `#[serde(with = "crate::text")]`.
    fn quoted(&mut self, text: &Literal, line: usize) {
        let text = text.to_string();
        let inside = text.find('"').zip(text.rfind('"')).map(|(begin, end)| &text[begin + 1..end]);
        let Some(names) = inside.filter(|inside| inside.contains("::")) else { return };
        let Ok(stream) = names.parse() else { return };
        let begin = self.tokens.len();
        self.read(stream, true, false);
        // A `use` in prose ends with it.
        self.push(";", line);
        self.tokens[begin..].iter_mut().for_each(|token| token.1 = line);
    }

    fn push(&mut self, token: &str, line: usize) {
        self.tokens.push((token.to_owned(), line));
    }

    fn ends(&self, wanted: &[&str]) -> bool {
        let begin = self.tokens.len().saturating_sub(wanted.len());
        self.tokens[begin..].iter().map(|(token, _)| token.as_str()).eq(wanted.iter().copied())
    }
}

/// Takes `[cfg(test)]` if it is next.
fn takes_cfg_test(trees: &mut Peekable<impl Iterator<Item = TokenTree>>) -> bool {
    let is_cfg_test = |tree: &TokenTree| {
        let TokenTree::Group(group) = tree else { return false };
        let is_bracket = group.delimiter() == Delimiter::Bracket;
        is_bracket && group.stream().to_string().replace(' ', "") == "cfg(test)"
    };
    trees.next_if(is_cfg_test).is_some()
}

/// Skips one item, statement, field or match arm. It may end too early, but never too late.
fn skip(trees: &mut impl Iterator<Item = TokenTree>, is_list: bool) {
    let mut is_item = None;
    for tree in trees {
        match &tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return,
            TokenTree::Ident(word) if is_item.is_none() && *word != "pub" => {
                is_item = Some(ITEMS.iter().any(|item| word == item));
            }
            tree if is_mark(tree, ';') => return,
            tree if is_mark(tree, ',') && (is_list || is_item == Some(false)) => return,
            _ => {}
        }
    }
}

fn is_mark(tree: &TokenTree, wanted: char) -> bool {
    matches!(tree, TokenTree::Punct(mark) if mark.as_char() == wanted)
}

/// `plugin` of `r#plugin`.
fn unraw(word: &Ident) -> String {
    let word = word.to_string();
    let inside = word.strip_prefix("r#").filter(|inside| !KEYWORDS.contains(inside));
    inside.unwrap_or(&word).to_owned()
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
