//! Counts the namespace declarations in force. For each element xml-rs copies every declaration of
//! every open element, also those that inner ones hide. Without a limit, a document would take time
//! quadratic in its length. Must not know the parser.

use memchr::{memchr, memchr2, memmem};

/// Declarations in force at one element: its own and those of the elements around it.
pub(super) const DECLARATIONS_MAX: usize = 16;
/// The length of these declarations: of each start tag, from its first declaration on.
pub(super) const DECLARATIONS_BYTES_MAX: usize = 8 << 10;

/// Every declaration begins with this.
const WORD: &[u8] = b"xmlns";

/// The open elements and their declarations.
#[derive(Default)]
pub(super) struct Namespaces {
    /// The number of open elements.
    open: usize,
    /// Those with declarations, outermost first.
    declaring: Vec<Declaring>,
}

/// An open element with declarations.
struct Declaring {
    /// The number of elements around it.
    depth: usize,
    /// In force inside it.
    declarations: usize,
    bytes: usize,
}

/// An upper bound on the declarations in this markup.
pub(super) fn declarations(markup: &[u8]) -> usize {
    memmem::find_iter(markup, WORD).count()
}

impl Namespaces {
    /// Opens an element. Returns whether its declarations are within the limits. `markup` ends with
    /// its start tag and may begin with comments.
    pub(super) fn open(&mut self, markup: &[u8]) -> bool {
        let depth = self.open;
        self.open += 1;
        let tag = without_comments(markup);
        let Some((own, own_bytes)) = declared(tag) else { return true };
        let (declarations, bytes) =
            self.declaring.last().map_or((0, 0), |last| (last.declarations, last.bytes));
        let (declarations, bytes) = (declarations + own, bytes + own_bytes);
        self.declaring.push(Declaring { depth, declarations, bytes });
        declarations <= DECLARATIONS_MAX && bytes <= DECLARATIONS_BYTES_MAX
    }

    /// Closes the element that was opened last.
    pub(super) fn close(&mut self) {
        self.open = self.open.saturating_sub(1);
        let open = self.open;
        self.declaring.pop_if(|last| last.depth == open);
    }
}

/// The markup behind its leading comments, empty CDATA sections and white space. xml-rs reports any
/// other markup as an event of its own, and ends comments and CDATA sections at the same bytes.
fn without_comments(markup: &[u8]) -> &[u8] {
    let mut rest = markup.trim_ascii_start();
    while let Some(after) =
        behind(rest, b"<!--", b"-->").or_else(|| behind(rest, b"<![CDATA[", b"]]>"))
    {
        rest = after.trim_ascii_start();
    }
    rest
}

/// The number of declarations in a start tag that xml-rs accepted, and their length from the first
/// one on. Quotation marks stand only around attribute values there, so the rest of the tag can be
/// told apart exactly. A longer name that contains the word counts too.
fn declared(tag: &[u8]) -> Option<(usize, usize)> {
    let (mut rest, mut count, mut bytes) = (tag, 0, 0);
    while !rest.is_empty() {
        let quote = memchr2(b'"', b'\'', rest).unwrap_or(rest.len());
        let (names, value) = rest.split_at(quote);
        if count == 0
            && let Some(first) = memmem::find(names, WORD)
        {
            bytes = rest.len() - first;
        }
        count += declarations(names);
        rest = value.split_first().map_or(value, |(quote, inside)| {
            memchr(*quote, inside).and_then(|end| inside.get(end + 1..)).unwrap_or_default()
        });
    }
    (count > 0).then_some((count, bytes))
}

/// The markup behind a section with these delimiters, if it begins with one.
fn behind<'a>(markup: &'a [u8], start: &[u8], end: &[u8]) -> Option<&'a [u8]> {
    let inside = markup.strip_prefix(start)?;
    inside.get(memmem::find(inside, end)? + end.len()..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_declarations_in_force_count() {
        let tag = |declarations: usize| format!("<value{}>", " xmlns:a='u'".repeat(declarations));
        let mut namespaces = Namespaces::default();
        assert!(namespaces.open(tag(DECLARATIONS_MAX - 1).as_bytes()));
        for _ in 0..1_000 {
            assert!(namespaces.open(b"<data>") && namespaces.open(tag(1).as_bytes()));
            assert!(namespaces.open(b"<a>"), "it declares none itself");
            namespaces.close();
            namespaces.close();
            namespaces.close();
        }
        assert!(namespaces.open(tag(1).as_bytes()) && !namespaces.open(tag(1).as_bytes()));
        namespaces.close();
        assert!(!namespaces.open(tag(2).as_bytes()));
    }

    #[test]
    fn long_declarations_are_bounded_in_bytes() {
        let tag = |bytes: usize| format!("<value xmlns='{}'>", "u".repeat(bytes));
        let mut namespaces = Namespaces::default();
        assert!(namespaces.open(tag(DECLARATIONS_BYTES_MAX / 2).as_bytes()));
        assert!(!namespaces.open(tag(DECLARATIONS_BYTES_MAX / 2).as_bytes()));
        namespaces.close();
        // Comments and attribute values do not count, whatever they are about.
        let mentions =
            format!("<value a='{0}' b=\"'{0}\"{1}>", "xmlns ".repeat(2_000), &tag(100)[6..]);
        assert!(namespaces.open(mentions.as_bytes()));
        namespaces.close();
        for comments in [
            "<!-- -->".repeat(10_000),
            "<!--xmlns-->\n<![CDATA[]]>".repeat(100),
            "<!--->-->".into(),
        ] {
            assert!(namespaces.open(format!("{comments}{}", tag(100)).as_bytes()), "{comments}");
            namespaces.close();
        }
        for hidden in [
            format!("<!--> xmlns -->{}", tag(DECLARATIONS_BYTES_MAX)),
            tag(DECLARATIONS_BYTES_MAX).replace("<value", "<value a='\"' b=\"'\""),
        ] {
            assert!(!namespaces.open(hidden.as_bytes()), "{}", &hidden[..40]);
            namespaces.close();
        }
    }
}
