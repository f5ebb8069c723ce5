//! Finds out which limit a document passed. The parser says only that it was one of its own; the
//! place where it stopped says which.
//!
//! Must not know the parser: its input is the text that the parser has read.

use super::limits::DecodeLimits;

/// How far the parser reads past what it judges: it must see `]]>` and `-->` to know them.
const LOOKAHEAD_BYTES: usize = 2;

/// In words, the limit that was passed at the end of what was `read`, which begins with no part of
/// a DOCTYPE, unless it ends in that.
pub(super) fn limit_passed(read: &[u8], limits: &DecodeLimits) -> String {
    let DecodeLimits { text_bytes_max, element_name_bytes_max: name_bytes_max, .. } = limits;
    match markup_at_end(read) {
        Some(markup) if markup.starts_with(b"<?") => format!(
            "a processing instruction is longer than {text_bytes_max} bytes, or its name is longer \
             than {name_bytes_max}"
        ),
        Some(markup) if is_doctype(markup) => {
            format!(
                "a DOCTYPE is longer than {text_bytes_max} bytes, or a name in it is longer than \
                 {name_bytes_max}"
            )
        }
        Some(tag) if !tag.starts_with(b"<!") => {
            Tag::read(tag).limit_passed(limits).unwrap_or_else(|| text_too_long(limits))
        }
        _ => text_too_long(limits),
    }
}

/// In words, that it is a text's.
pub(super) fn text_too_long(limits: &DecodeLimits) -> String {
    format!("a text is longer than {} bytes", limits.text_bytes_max)
}

/// In words, that it is that of an element's name.
pub(super) fn element_name_too_long(limits: &DecodeLimits) -> String {
    format!("the name of an element is longer than {} bytes", limits.element_name_bytes_max)
}

/// In words, what of an attribute passes its limit, if something does.
pub(super) fn attribute_too_long(
    name_bytes: usize,
    value_bytes: usize,
    limits: &DecodeLimits,
) -> Option<String> {
    let (name_max, value_max) = (limits.element_name_bytes_max, limits.attribute_bytes_max);
    if name_bytes > name_max {
        return Some(format!("the name of an attribute is longer than {name_max} bytes"));
    }
    (value_bytes > value_max)
        .then(|| format!("the value of an attribute is longer than {value_max} bytes"))
}

/// The tag or other markup that what was read ends in, from its `<` on; `None` when that is text.
fn markup_at_end(read: &[u8]) -> Option<&[u8]> {
    let mut rest = read;
    loop {
        let at = rest.iter().position(|&byte| byte == b'<')?;
        rest = rest.get(at..)?;
        match markup_len(rest) {
            Some(len) if len + LOOKAHEAD_BYTES < rest.len() => rest = rest.get(len..)?,
            _ => return Some(rest),
        }
    }
}

/// How long the markup is that stands here, when it ends.
fn markup_len(markup: &[u8]) -> Option<usize> {
    for (start, end) in [(&b"<!--"[..], &b"-->"[..]), (b"<![CDATA[", b"]]>"), (b"<?", b"?>")] {
        if let Some(inside) = markup.strip_prefix(start) {
            let at = inside.windows(end.len()).position(|window| window == end)?;
            return Some(start.len() + at + end.len());
        }
    }
    if is_doctype(markup) {
        return None;
    }
    let mut quote = None;
    let end = markup.iter().position(|&byte| {
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
        quote.is_none() && byte == b'>'
    });
    end.map(|at| at + 1)
}

fn is_doctype(markup: &[u8]) -> bool {
    markup.starts_with(b"<!D")
}

/// A tag as far as it was read.
#[derive(Default)]
struct Tag {
    name_bytes: usize,
    /// Without declarations of namespaces, which are counted apart.
    attributes: usize,
    /// Of the last attribute.
    attribute_name_bytes: usize,
    attribute_value_bytes: usize,
}

impl Tag {
    fn read(markup: &[u8]) -> Self {
        let (name, mut rest) = split_name(markup.strip_prefix(b"<").unwrap_or(markup));
        let mut tag = Self { name_bytes: name.len(), ..Self::default() };
        loop {
            let (name, after) = split_name(rest.trim_ascii_start());
            if name.is_empty() {
                return tag;
            }
            let value = after.trim_ascii_start();
            let value = value.strip_prefix(b"=").unwrap_or_default().trim_ascii_start();
            let (quote, value) = value.split_first().unwrap_or((&0, &[]));
            let len = value.iter().position(|byte| byte == quote);
            tag.attributes += usize::from(!(name == b"xmlns" || name.starts_with(b"xmlns:")));
            tag.attribute_name_bytes = name.len();
            tag.attribute_value_bytes = len.unwrap_or(value.len());
            rest = len.and_then(|len| value.get(len + 1..)).unwrap_or_default();
        }
    }

    fn limit_passed(&self, limits: &DecodeLimits) -> Option<String> {
        if self.name_bytes > limits.element_name_bytes_max {
            return Some(element_name_too_long(limits));
        }
        if self.attributes > limits.attributes_max {
            return Some(format!("an element has more than {} attributes", limits.attributes_max));
        }
        attribute_too_long(self.attribute_name_bytes, self.attribute_value_bytes, limits)
    }
}

/// The name that stands here, and what follows it.
fn split_name(text: &[u8]) -> (&[u8], &[u8]) {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'=' | b'>' | b'/');
    let text = text.strip_prefix(b"/").unwrap_or(text);
    text.split_at(text.iter().position(ends).unwrap_or(text.len()))
}
