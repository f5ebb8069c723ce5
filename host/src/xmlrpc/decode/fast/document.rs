//! `<methodCall>` and `<methodResponse>`, and what stands before and after them.

use super::values::{Decoder, MARKUP_BYTES_MAX};
use crate::xmlrpc::borrowed::{Borrowed, Store};
use crate::xmlrpc::decode::call::{BorrowedCall, owned};
use crate::xmlrpc::decode::encoding::USUAL_PROLOGS;
use crate::xmlrpc::decode::fault::fault_of;
use crate::xmlrpc::decode::limits::DecodeLimits;
use crate::xmlrpc::decode::scalars;
use crate::xmlrpc::extensions::ex_namespace;
use crate::xmlrpc::fault::Fault;
use crate::xmlrpc::resources::Meter;
use hotcall_plugin::Value;
use std::borrow::Cow;

/// The start of a root element that declares Apache's extensions, from its name on.
const DECLARATIONS: [&str; 2] = [
    concat!(" xmlns:ex=\"", ex_namespace!(), "\">"),
    concat!(" xmlns:ex='", ex_namespace!(), "'>"),
];
/// A prolog is looked for in so many bytes.
const PROLOG_BYTES_MAX: usize = 128;

/// A request document in UTF-8, without byte order mark.
pub(in crate::xmlrpc::decode) fn call<'a>(
    document: &'a [u8],
    limits: &DecodeLimits,
    store: &'a Store,
    meter: &Meter<'_>,
) -> Option<BorrowedCall<'a>> {
    Decoder::new(document, limits, store, meter)?.call()
}

/// A response document, likewise.
pub(in crate::xmlrpc::decode) fn response(
    document: &[u8],
    limits: &DecodeLimits,
    store: &Store,
    meter: &Meter<'_>,
) -> Option<Result<Value, Fault>> {
    Decoder::new(document, limits, store, meter)?.response()
}

impl<'a> Decoder<'a, '_> {
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
        if USUAL_PROLOGS.iter().any(|prolog| self.scanner.eat(prolog)) {
            self.scanner.skip_space()?;
        } else if self.scanner.eat("<?xml") {
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
    fn param(&mut self) -> Option<Option<Borrowed<'a>>> {
        self.scanner.skip_space()?;
        if self.scanner.eat("<param>") {
            return self.only_value("</param>").map(Some);
        }
        self.scanner.expect("</params>")?;
        Some(None)
    }

    /// Reads the one `<value>` of an element whose start tag was read, up to and with its end tag.
    fn only_value(&mut self, end: &str) -> Option<Borrowed<'a>> {
        self.scanner.skip_space()?;
        self.scanner.expect("<value")?;
        let value = self.value()?;
        self.scanner.skip_space()?;
        self.scanner.expect(end)?;
        Some(value)
    }
}

/// Whether what stands between `<?xml` and `?>` is a version, and perhaps an encoding and
/// `standalone`. What the encoding is has been decided.
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
