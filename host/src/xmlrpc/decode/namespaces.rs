//! Declarations of namespaces that are in force. xml-rs copies all of them for each element, those that others hide too, so without
//! a limit on them a document takes time in the square of its length. Must not know the parser.

use memchr::memmem;

/// Declarations in force at one element: its own, and those of every element that it is in.
pub(super) const DECLARATIONS_MAX: usize = 16;
/// The bytes of their start tags, from the first declaration of each on.
pub(super) const DECLARATIONS_BYTES_MAX: usize = 8 << 10;

/// The word that every declaration begins with.
const WORD: &[u8] = b"xmlns";

/// The elements that are open, and what they declare.
#[derive(Default)]
pub(super) struct Namespaces {
    /// How many elements are open.
    open: usize,
    /// Those of them that declare something, outermost first.
    declaring: Vec<Declaring>,
}

/// An element with declarations.
struct Declaring {
    /// How many elements it is in.
    depth: usize,
    /// In force at it.
    declarations: usize,
    bytes: usize,
}

/// How many declarations this markup holds at most: the word may stand elsewhere too.
pub(super) fn declarations(markup: &[u8]) -> usize {
    memmem::find_iter(markup, WORD).count()
}

impl Namespaces {
    /// An element opens with the start tag that ends this markup. Whether as much is in force at it as may be. The word counts
    /// wherever it stands, also in a comment before the tag: so no declaration is missed, however it is hidden from a reader
    /// that is not the parser itself.
    pub(super) fn open(&mut self, markup: &[u8]) -> bool {
        let depth = self.open;
        self.open += 1;
        let Some(first) = memmem::find(markup, WORD) else { return true };
        let (declarations, bytes) =
            self.declaring.last().map_or((0, 0), |last| (last.declarations, last.bytes));
        let declarations = declarations + self::declarations(markup);
        let bytes = bytes + markup.len() - first;
        self.declaring.push(Declaring { depth, declarations, bytes });
        declarations <= DECLARATIONS_MAX && bytes <= DECLARATIONS_BYTES_MAX
    }

    /// The element that was opened last closes.
    pub(super) fn close(&mut self) {
        self.open = self.open.saturating_sub(1);
        let open = self.open;
        self.declaring.pop_if(|last| last.depth == open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_counts_and_nothing_else() {
        let tag = |declarations: usize| format!("<value{}>", " xmlns:a='u'".repeat(declarations));
        let mut namespaces = Namespaces::default();
        assert!(namespaces.open(tag(DECLARATIONS_MAX - 1).as_bytes()));
        for _ in 0..1_000 {
            assert!(namespaces.open(b"<data>") && namespaces.open(tag(1).as_bytes()));
            assert!(namespaces.open(b"<a>"), "none of its own");
            namespaces.close();
            namespaces.close();
            namespaces.close();
        }
        assert!(namespaces.open(tag(1).as_bytes()) && !namespaces.open(tag(1).as_bytes()));
        namespaces.close();
        assert!(!namespaces.open(tag(2).as_bytes()));
    }

    #[test]
    fn long_ones_are_few() {
        let tag = |bytes: usize| format!("<value xmlns='{}'>", "u".repeat(bytes));
        let mut namespaces = Namespaces::default();
        assert!(namespaces.open(tag(DECLARATIONS_BYTES_MAX / 2).as_bytes()));
        assert!(!namespaces.open(tag(DECLARATIONS_BYTES_MAX / 2).as_bytes()));
        namespaces.close();
        // What stands before the declarations makes no difference.
        assert!(namespaces.open(format!("<!--{}-->{}", " ".repeat(100_000), tag(100)).as_bytes()));
    }
}
