//! The header fields of one head, by name. Must not know what they mean.

/// The fields that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    AcceptEncoding,
    Authorization,
    Connection,
    ContentEncoding,
    ContentLength,
    ContentType,
    Expect,
    Host,
    Origin,
    SecFetchSite,
    TransferEncoding,
}

impl Name {
    /// The name in any case; names are case-insensitive (RFC 9110, section 5.1).
    fn of(given: &str) -> Option<Self> {
        // Most clients spell names like this, and comparing without cases takes ten times as long.
        let is = |name: &str| given == name || given.eq_ignore_ascii_case(name);
        let name = match given.len() {
            4 if is("Host") => Self::Host,
            6 if is("Expect") => Self::Expect,
            6 if is("Origin") => Self::Origin,
            10 if is("Connection") => Self::Connection,
            12 if is("Content-Type") => Self::ContentType,
            13 if is("Authorization") => Self::Authorization,
            14 if is("Content-Length") => Self::ContentLength,
            14 if is("Sec-Fetch-Site") => Self::SecFetchSite,
            15 if is("Accept-Encoding") => Self::AcceptEncoding,
            16 if is("Content-Encoding") => Self::ContentEncoding,
            17 if is("Transfer-Encoding") => Self::TransferEncoding,
            _ => return None,
        };
        Some(name)
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// The header fields, by name.
pub(crate) struct Fields<'a> {
    headers: &'a [httparse::Header<'a>],
    /// The bits of the names that are there: most heads have few of them.
    present: u16,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(headers: &'a [httparse::Header<'a>]) -> Self {
        let names = headers.iter().filter_map(|field| Name::of(field.name));
        Self { headers, present: names.fold(0, |present, name| present | name.bit()) }
    }

    /// Whether the field is there.
    pub(crate) const fn has(&self, name: Name) -> bool {
        self.present & name.bit() != 0
    }

    /// The values of the field's lines.
    pub(crate) fn all(&self, name: Name) -> impl Iterator<Item = &'a [u8]> {
        let headers = if self.has(name) { self.headers } else { &[] };
        headers
            .iter()
            .filter(move |field| Name::of(field.name) == Some(name))
            .map(|field| field.value)
    }

    /// The items of a comma-separated field, over all its lines; what is not text is no item.
    pub(crate) fn list(&self, name: Name) -> impl Iterator<Item = &'a str> {
        let items = self.all(name).flat_map(|line| line.split(|byte| *byte == b','));
        items
            .filter_map(|item| std::str::from_utf8(item).ok())
            .map(|item| item.trim_matches([' ', '\t']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_no_others() {
        for (name, text) in [
            (Name::AcceptEncoding, "Accept-Encoding"),
            (Name::Authorization, "AUTHORIZATION"),
            (Name::Connection, "connection"),
            (Name::ContentEncoding, "Content-Encoding"),
            (Name::ContentLength, "cOnTeNt-LeNgTh"),
            (Name::ContentType, "Content-Type"),
            (Name::Expect, "Expect"),
            (Name::Host, "hOST"),
            (Name::Origin, "Origin"),
            (Name::SecFetchSite, "Sec-Fetch-Site"),
            (Name::TransferEncoding, "Transfer-Encoding"),
        ] {
            assert_eq!(Name::of(text), Some(name));
            let header = httparse::Header { name: text, value: b"a, b" };
            let other = httparse::Header { name: "X-Other", value: b"c" };
            let headers = [other, header];
            let fields = Fields::new(&headers);
            assert_eq!(fields.present, name.bit());
            assert_eq!(fields.all(name).collect::<Vec<_>>(), [b"a, b"]);
            assert_eq!(fields.list(name).collect::<Vec<_>>(), ["a", "b"]);
        }
        for text in ["", "Hosts", "Hose", "content_length", "Content-Lengths", "\u{212a}ost"] {
            assert_eq!(Name::of(text), None, "{text}");
        }
    }
}
