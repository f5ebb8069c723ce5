//! Decodes `<value>` elements without recursion, as `decode::values` does for xml-rs.

use super::scanner::Scanner;
use crate::xmlrpc::borrowed::{Borrowed, List, MemberList, Store};
use crate::xmlrpc::decode::limits::{DEPTH_CEILING, DecodeLimits};
use crate::xmlrpc::decode::scalars::{self, Parser};
use crate::xmlrpc::resources::Meter;
use hotcall_plugin::Value;
use std::borrow::Cow;

/// Values between two checks of the deadline. Small documents have fewer and read no clock.
const UNCHECKED_VALUES_MAX: usize = 1_024;

/// Nothing that is recognised here has a longer name of an element, or value of an attribute.
pub(super) const MARKUP_BYTES_MAX: usize = 64;

/// One document on its way to values.
pub(super) struct Decoder<'a, 'm> {
    pub(super) scanner: Scanner<'a>,
    pub(super) limits: DecodeLimits,
    pub(super) store: &'a Store,
    pub(super) meter: &'m Meter<'m>,
    values_read: usize,
    /// The arrays and structs that the scanner is in, outermost first.
    open: Vec<Container<'a>>,
}

/// An array or struct whose end is still to come.
enum Container<'a> {
    Array(List<'a>),
    Struct {
        members: MemberList<'a>,
        /// Of the member whose value is still to come.
        name: &'a str,
    },
}

/// What stands in a `<value>`.
enum Started<'a> {
    Whole(Borrowed<'a>),
    Container(Container<'a>),
}

impl<'a, 'm> Decoder<'a, 'm> {
    pub(super) fn new(
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

    /// Reads the rest of a `<value>` from its name on, its end tag included.
    pub(super) fn value(&mut self) -> Option<Borrowed<'a>> {
        loop {
            let mut value = match self.start()? {
                Started::Whole(value) => value,
                Started::Container(mut container) => {
                    if container.has_another(
                        &mut self.scanner,
                        self.limits.name_bytes_max,
                        self.store,
                        self.meter,
                    )? {
                        self.open.push(container);
                        continue;
                    }
                    container.whole(self.store, self.meter)?
                }
            };
            // Hand the whole value outwards until some container has another one to read.
            loop {
                let Some(container) = self.open.last_mut() else { return Some(value) };
                container.put(value, &mut self.scanner, self.meter)?;
                if container.has_another(
                    &mut self.scanner,
                    self.limits.name_bytes_max,
                    self.store,
                    self.meter,
                )? {
                    break;
                }
                value = self.open.pop()?.whole(self.store, self.meter)?;
            }
        }
    }

    /// Reads the start of what a `<value>` holds; all of it, its end tag included, when it is no
    /// container with something in it.
    fn start(&mut self) -> Option<Started<'a>> {
        self.values_read += 1;
        if self.values_read > self.limits.values_max {
            return None;
        }
        if self.values_read.is_multiple_of(UNCHECKED_VALUES_MAX) {
            self.meter.check().ok()?;
        }
        if !self.scanner.eat(">") {
            self.scanner.expect("/>")?;
            return Some(Started::Whole(Borrowed::string("")));
        }
        let at_text = self.scanner;
        self.scanner.skip_space()?;
        match (self.scanner.ahead(0)?, self.scanner.ahead(1)?) {
            (b'<', initial) if initial != b'/' => self.typed(initial),
            _ => {
                self.scanner = at_text;
                let text = self.text("</value>")?;
                Some(Started::Whole(Borrowed::string(text)))
            }
        }
    }

    /// Reads the element that a `<value>` holds, whose name begins with this.
    fn typed(&mut self, initial: u8) -> Option<Started<'a>> {
        let value = match initial {
            b'i' if self.scanner.eat("<int>") => self.int("</int>")?,
            b'i' if self.scanner.eat("<i4>") => self.int("</i4>")?,
            b'i' if self.scanner.eat("<i8>") => self.long("</i8>")?,
            b's' if self.scanner.eat("<string>") => self.string()?,
            b's' if self.scanner.eat("<string/>") => Borrowed::string(""),
            b's' if self.scanner.eat("<struct>") => {
                let container = Container::Struct { members: self.store.member_list(), name: "" };
                return self.has_room().then_some(Started::Container(container));
            }
            b's' if self.scanner.eat("<struct/>") => self
                .has_room()
                .then(|| self.store.structure(self.store.member_list(), self.meter).ok())??,
            b'd' if self.scanner.eat("<double>") => self.scalar(scalars::double, "</double>")?,
            b'd' if self.scanner.eat("<dateTime.iso8601>") => {
                self.scalar(scalars::date_time, "</dateTime.iso8601>")?
            }
            b'b' if self.scanner.eat("<boolean>") => self.scalar(scalars::boolean, "</boolean>")?,
            b'b' if self.scanner.eat("<base64>") => self.base64()?,
            b'b' if self.scanner.eat("<base64/>") => Borrowed::binary(&[]),
            b'n' if self.scanner.eat("<nil/>") => Borrowed::NIL,
            b'n' if self.scanner.eat("<nil></nil>") => Borrowed::NIL,
            b'a' => {
                if let Some(container) = self.array()? {
                    return Some(Started::Container(container));
                }
                self.store.array(self.store.list(), self.meter).ok()?
            }
            // Whether the prefix was declared makes no difference: a document without its
            // declaration is read as if it had one.
            b'e' if self.scanner.eat("<ex:nil/>") => Borrowed::NIL,
            b'e' if self.scanner.eat("<ex:i8>") => self.long("</ex:i8>")?,
            _ => return None,
        };
        self.scanner.skip_space()?;
        self.scanner.expect("</value>")?;
        Some(Started::Whole(value))
    }

    /// Reads the start of an array: `None` within when it was all of it, up to and with its end
    /// tag.
    fn array(&mut self) -> Option<Option<Container<'a>>> {
        if !self.has_room() {
            return None;
        }
        if self.scanner.eat("<array/>") {
            return Some(None);
        }
        self.scanner.expect("<array>")?;
        self.scanner.skip_space()?;
        if self.scanner.eat("<data>") {
            return Some(Some(Container::Array(self.store.list())));
        }
        self.scanner.expect("<data/>")?;
        self.scanner.skip_space()?;
        self.scanner.expect("</array>")?;
        Some(None)
    }

    /// Whether an array or struct may stand here.
    fn has_room(&self) -> bool {
        self.open.len() < self.limits.depth_max
    }

    /// Reads on to the end of a string's element. Node's client sends what it would have to escape
    /// as CDATA.
    fn string(&mut self) -> Option<Borrowed<'a>> {
        if !self.scanner.eat("<![CDATA[") {
            return Some(Borrowed::string(self.text("</string>")?));
        }
        let text = self.scanner.cdata(self.meter)?;
        self.scanner.expect("</string>")?;
        Some(Borrowed::string(self.store.text(text, self.meter).ok()?))
    }

    /// Reads on to the end of an element of base64.
    fn base64(&mut self) -> Option<Borrowed<'a>> {
        let text = self.scanner.text_in_lines(self.meter)?;
        self.scanner.expect("</base64>")?;
        let text = self.store.text(text, self.meter).ok()?;
        let bytes = scalars::base64(text, self.meter).ok()??;
        Some(Borrowed::binary(self.store.bytes(Cow::Owned(bytes), self.meter).ok()?))
    }

    #[inline]
    fn int(&mut self, end: &str) -> Option<Borrowed<'a>> {
        let before = self.scanner;
        match self.scanner.plain_number() {
            Some(number) => {
                self.scanner.expect(end)?;
                Some(i32::try_from(number).map_or(Borrowed::long(number), Borrowed::int))
            }
            None => {
                self.scanner = before;
                self.scalar(scalars::int, end)
            }
        }
    }

    fn long(&mut self, end: &str) -> Option<Borrowed<'a>> {
        self.scalar(scalars::long, end)
    }

    /// Reads on to the end of a scalar's element.
    #[inline]
    fn scalar(&mut self, parse: Parser, end: &str) -> Option<Borrowed<'a>> {
        Some(match parse(self.text(end)?).ok()? {
            Value::Bool(value) => Borrowed::boolean(value),
            Value::Int(value) => Borrowed::int(value),
            Value::Long(value) => Borrowed::long(value),
            Value::Double(value) => Borrowed::double(value),
            Value::DateTime(value) => Borrowed::date_time(value),
            _ => return None,
        })
    }

    /// Reads an element's text, and its end tag.
    #[inline]
    fn text(&mut self, end: &str) -> Option<&'a str> {
        let text = self.scanner.text(self.meter)?;
        self.scanner.expect(end)?;
        self.store.text(text, self.meter).ok()
    }
}

impl<'a> Container<'a> {
    /// Takes the value that was read last, and reads to where it ends.
    #[inline]
    fn put(
        &mut self,
        value: Borrowed<'a>,
        scanner: &mut Scanner<'a>,
        meter: &Meter<'_>,
    ) -> Option<()> {
        match self {
            Self::Array(values) => values.push(value, meter).ok()?,
            Self::Struct { members, name } => {
                members.push(name, value, meter).ok()?;
                scanner.skip_space()?;
                scanner.expect("</member>")?;
            }
        }
        Some(())
    }

    /// Reads on: true just inside the start tag of the next `<value>`, false past the end tag of
    /// the one round this.
    #[inline]
    fn has_another(
        &mut self,
        scanner: &mut Scanner<'a>,
        name_bytes_max: usize,
        store: &'a Store,
        meter: &Meter<'_>,
    ) -> Option<bool> {
        scanner.skip_space()?;
        match self {
            Self::Array(_) => {
                if scanner.eat("<value") {
                    return Some(true);
                }
                scanner.expect("</data>")?;
                scanner.skip_space()?;
                scanner.expect("</array>")?;
            }
            Self::Struct { name, .. } => {
                if scanner.eat("<member>") {
                    scanner.skip_space()?;
                    *name = store.text(member_name(scanner, name_bytes_max, meter)?, meter).ok()?;
                    scanner.skip_space()?;
                    return scanner.eat("<value").then_some(true);
                }
                scanner.expect("</struct>")?;
            }
        }
        scanner.skip_space()?;
        scanner.eat("</value>").then_some(false)
    }

    fn whole(self, store: &'a Store, meter: &Meter<'_>) -> Option<Borrowed<'a>> {
        match self {
            Self::Array(values) => store.array(values, meter).ok(),
            Self::Struct { mut members, .. } => {
                members.deduplicate(meter).ok()?;
                store.structure(members, meter).ok()
            }
        }
    }
}

fn member_name<'a>(
    scanner: &mut Scanner<'a>,
    bytes_max: usize,
    meter: &Meter<'_>,
) -> Option<Cow<'a, str>> {
    if scanner.eat("<name/>") {
        return Some(Cow::Borrowed(""));
    }
    scanner.expect("<name>")?;
    let name = scanner.text(meter)?;
    scanner.expect("</name>")?;
    (name.len() <= bytes_max).then_some(name)
}
