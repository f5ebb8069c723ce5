//! The documents that clients really send, read at once and without xml-rs: each function returns `None` for whatever it
//! does not recognise, and for whatever is wrong or may pass a limit. Then xml-rs reads the document from its start, so
//! what is right, and how it is refused, is decided there alone. Must not make faults, nor take what xml-rs would refuse.
//! A function also returns `None` when time or memory ran out; the [`Meter`] knows.
//!
//! What is recognised is a plain subset: tags exactly as they are written here, without attributes; a member's name before
//! its value; no comments, DOCTYPE, or CDATA but for a whole string; and text with all line ends and references of XML.
//! `fuzz::differential` holds both decoders against each other.
//!
//! A document is passed over once, from left to right: its cost is linear, whatever it holds and wherever it is left.
//! Texts stay where they are; the list of an array's values takes 24 bytes for each, and a struct's 40 for each member.

mod scanner;
#[cfg(test)]
mod tests;
mod values;

use super::call::owned;
use super::{BorrowedCall, DEPTH_CEILING, DecodeLimits, fault_of, scalars};
use crate::xmlrpc::lent::{Lent, Store};
use crate::xmlrpc::resources::Meter;
use crate::xmlrpc::{Fault, Value};
use scanner::Scanner;
use std::borrow::Cow;
use values::Container;

/// Nothing that is recognised here has a longer name of an element, or value of an attribute.
const MARKUP_BYTES_MAX: usize = 64;
/// The start of a root element that declares Apache's extensions, from its name on.
const DECLARATIONS: [&str; 2] = [
    " xmlns:ex=\"http://ws.apache.org/xmlrpc/namespaces/extensions\">",
    " xmlns:ex='http://ws.apache.org/xmlrpc/namespaces/extensions'>",
];
/// A prolog is looked for in so many bytes.
const PROLOG_BYTES_MAX: usize = 128;

/// A request document in UTF-8, without byte order mark.
pub(super) fn call<'a>(
    document: &'a [u8],
    limits: &DecodeLimits,
    store: &'a Store,
    meter: &Meter<'_>,
) -> Option<BorrowedCall<'a>> {
    Decoder::new(document, limits, store, meter)?.call()
}

/// A response document, likewise.
pub(super) fn response(
    document: &[u8],
    limits: &DecodeLimits,
    store: &Store,
    meter: &Meter<'_>,
) -> Option<Result<Value, Fault>> {
    Decoder::new(document, limits, store, meter)?.response()
}

/// One document on its way to values.
struct Decoder<'a, 'm> {
    scanner: Scanner<'a>,
    limits: DecodeLimits,
    store: &'a Store,
    meter: &'m Meter<'m>,
    values_read: usize,
    /// The arrays and structs that the scanner is in, outermost first.
    open: Vec<Container<'a>>,
}

impl<'a, 'm> Decoder<'a, 'm> {
    fn new(
        document: &'a [u8],
        limits: &DecodeLimits,
        store: &'a Store,
        meter: &'m Meter<'m>,
    ) -> Option<Self> {
        if limits.element_name_bytes_max.min(limits.attribute_bytes_max) < MARKUP_BYTES_MAX {
            return None;
        }
        let limits = DecodeLimits { depth_max: limits.depth_max.min(DEPTH_CEILING), ..*limits };
        let scanner = Scanner::new(document, limits.text_bytes_max)?;
        Some(Self { scanner, limits, store, meter, values_read: 0, open: Vec::new() })
    }

    fn call(&mut self) -> Option<BorrowedCall<'a>> {
        self.root("<methodCall")?;
        self.scanner.skip_space()?;
        self.scanner.expect("<methodName>")?;
        let name = self.scanner.text(self.meter)?;
        self.scanner.expect("</methodName>")?;
        let method = scalars::trim(self.store.text(name, self.meter).ok()?);
        if method.is_empty() || method.len() > self.limits.method_bytes_max {
            return None;
        }
        self.scanner.skip_space()?;
        let mut params = self.store.list();
        if self.scanner.eat("<params>") {
            while let Some(param) = self.param()? {
                params.push(param, self.meter).ok()?;
            }
            self.scanner.skip_space()?;
        } else if self.scanner.eat("<params/>") {
            self.scanner.skip_space()?;
        }
        self.end("</methodCall>")?;
        let params = self.store.items(params, self.meter).ok()?.into();
        Some(BorrowedCall { method: Cow::Borrowed(method), params })
    }

    fn response(&mut self) -> Option<Result<Value, Fault>> {
        self.root("<methodResponse")?;
        self.scanner.skip_space()?;
        let response = if self.scanner.eat("<params>") {
            match self.param()? {
                Some(result) => self.param()?.is_none().then_some(Ok(owned(result.tree())?))?,
                None => Ok(Value::Nil),
            }
        } else if self.scanner.eat("<params/>") {
            Ok(Value::Nil)
        } else {
            self.scanner.expect("<fault>")?;
            let fault = self.only_value("</fault>")?;
            Err(fault_of(&owned(fault.tree())?)?)
        };
        self.scanner.skip_space()?;
        self.end("</methodResponse>")?;
        Some(response)
    }

    /// Reads up to and with the root element's start tag.
    fn root(&mut self, start: &str) -> Option<()> {
        self.scanner.skip_space()?;
        if self.scanner.eat("<?xml") {
            let inside = self.scanner.until(b'?', PROLOG_BYTES_MAX)?;
            self.scanner.expect("?>")?;
            is_plain_prolog(inside).then_some(())?;
            self.scanner.skip_space()?;
        }
        self.scanner.expect(start)?;
        let ends = self.scanner.eat(">") || DECLARATIONS.iter().any(|end| self.scanner.eat(end));
        ends.then_some(())
    }

    /// Reads the root element's end tag and to the document's end.
    fn end(&mut self, tag: &str) -> Option<()> {
        self.scanner.expect(tag)?;
        self.scanner.skip_space()?;
        self.scanner.is_at_end().then_some(())
    }

    /// Reads the next `<param>`, or the end of them all.
    fn param(&mut self) -> Option<Option<Lent<'a>>> {
        self.scanner.skip_space()?;
        if self.scanner.eat("<param>") {
            return self.only_value("</param>").map(Some);
        }
        self.scanner.expect("</params>")?;
        Some(None)
    }

    /// Reads the one `<value>` of an element whose start tag was read, up to and with its end tag.
    fn only_value(&mut self, end: &str) -> Option<Lent<'a>> {
        self.scanner.skip_space()?;
        self.scanner.expect("<value")?;
        let value = self.value()?;
        self.scanner.skip_space()?;
        self.scanner.expect(end)?;
        Some(value)
    }
}

/// Whether what stands between `<?xml` and `?>` is a version, and perhaps an encoding and `standalone`. What the encoding
/// is has been decided.
fn is_plain_prolog(inside: &str) -> bool {
    let mut parts = inside.split_ascii_whitespace().map(pseudo_attribute);
    let starts = inside.starts_with(|c: char| c.is_ascii_whitespace());
    // XML 1.1 has other characters.
    if !starts || parts.next() != Some(Some(("version", "1.0"))) {
        return false;
    }
    let mut next = parts.next();
    if let Some(Some(("encoding", _))) = next {
        next = parts.next();
    }
    if let Some(Some(("standalone", "yes" | "no"))) = next {
        next = parts.next();
    }
    next.is_none()
}

/// `name="value"`, with either quote, of a value that is a plain word.
fn pseudo_attribute(part: &str) -> Option<(&str, &str)> {
    let (name, quoted) = part.split_once('=')?;
    let quote = quoted.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let value = quoted.strip_prefix(quote)?.strip_suffix(quote)?;
    let is_word = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    (is_word && value.len() <= MARKUP_BYTES_MAX).then_some((name, value))
}
