//! Counts the namespace declarations in force. For each element xml-rs copies every declaration of
//! every open element, also those that inner ones hide. Without a limit, a document would take time
//! quadratic in its length. Must not know the parser.

use memchr::memmem;

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
    /// its start tag and may begin with a comment. Every occurrence of the word counts, because no
    /// second parser could tell declarations from other text exactly as xml-rs does.
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

    /// Closes the element that was opened last.
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
        // Markup before the first declaration does not count.
        assert!(namespaces.open(format!("<!--{}-->{}", " ".repeat(100_000), tag(100)).as_bytes()));
    }
}
