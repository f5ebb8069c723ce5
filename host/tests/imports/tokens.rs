//! The tokens of a Rust source, without comments and quoted text. Must not know what they mean.

/// A token and its line.
pub(crate) type Token = (String, usize);

/// The tokens of a source, code under `#[cfg(test)]` left out.
pub(crate) fn tokens_of(source: &str) -> Vec<Token> {
    without_tests(tokens(source))
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

pub(crate) fn is_word(c: char) -> bool {
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
