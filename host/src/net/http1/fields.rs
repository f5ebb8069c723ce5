//! The header fields of one head, by name. Must not know what they mean.

/// The header fields, by name.
pub(crate) struct Fields<'a>(pub(crate) &'a [httparse::Header<'a>]);

impl Fields<'_> {
    pub(crate) fn all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b [u8]> {
        self.0
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// The items of a comma-separated field, over all its lines; what is not text is no item.
    pub(crate) fn list<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b str> {
        let items = self.all(name).flat_map(|line| line.split(|byte| *byte == b','));
        items
            .filter_map(|item| std::str::from_utf8(item).ok())
            .map(|item| item.trim_matches([' ', '\t']))
    }
}
