//! Reads bytes as the few XML events that XML-RPC needs: an element opens, closes, or holds text.
//!
//! xml-rs does the XML. This module adds what a network needs:
//!
//! - limits on everything that xml-rs would hold;
//! - no entities of a document's own;
//! - positions in errors;
//! - three concessions to old clients: white space before the prolog, a prolog in capitals, and
//!   the prefix `ex:` without a declaration.
//!
//! Must not know encodings: its input is UTF-8.

use super::doctype::{Refusal, Search};
use super::error::DecodeError;
use super::limits::DecodeLimits;
use super::namespaces::{DECLARATIONS_BYTES_MAX, DECLARATIONS_MAX, Namespaces};
use super::scalars::trim;
use super::{namespaces, passed};
use crate::xmlrpc::extensions::EX_NAMESPACE;
use crate::xmlrpc::fault::code;
use crate::xmlrpc::resources::{Meter, Stop};
use std::fmt;
use std::io::{self, Read};
use xml::attribute::OwnedAttribute;
use xml::common::Position;
use xml::name::OwnedName;
use xml::reader::{ErrorKind, EventReader, ParserConfig, XmlEvent};

/// Bytes that xml-rs reads between two checks of the deadline, whatever they are. It needs a few
/// milliseconds for them at most. Shorter documents read no clock.
const UNCHECKED_BYTES_MAX: usize = 8 << 10;
/// What xml-rs allocates per byte of a text: it reads into a `String` that doubles.
const HELD_BYTES_EACH: usize = 2;
/// The same before the root element: a DOCTYPE is held as a whole and in parts.
const PROLOG_HELD_BYTES_EACH: usize = 6;
/// What xml-rs allocates per namespace declaration of a start tag. It does not limit their number.
const DECLARATION_HELD_BYTES: usize = 256;
/// How much of a client's text an error repeats.
const SHOWN_CHARS_MAX: usize = 40;
/// How much of xml-rs's own words an error repeats: some hold a piece of the document.
const REASON_CHARS_MAX: usize = 120;
/// A prolog in capitals is looked for in so many bytes.
const PROLOG_BYTES_MAX: usize = 256;

/// One XML event, reduced to what XML-RPC needs: attributes carry nothing.
pub(super) enum Event {
    /// A start tag, with the element's name. It has a prefix only if that stands for a namespace
    /// that is not known here.
    Open(String),
    /// An end tag: XML makes sure that it ends the element opened last.
    Close,
    /// Text, CDATA or white space.
    Text(String),
    /// The document's end.
    End,
}

/// A document, read event by event.
pub(super) struct Reader<'a> {
    events: EventReader<Guard<'a>>,
    lines_skipped: u64,
    limits: DecodeLimits,
    document: &'a [u8],
    namespaces: Namespaces,
    /// Where the last event ended.
    after_event: usize,
    /// Whether the last event was text. The decoder holds it until another event follows.
    has_text: bool,
    /// Where the DOCTYPE ends, if there was one.
    after_doctype: usize,
    /// Whether the last error was an element `ex:…` without a declaration of `ex`.
    prefix_undeclared: bool,
}

impl<'a> Reader<'a> {
    /// `document` is UTF-8, whatever encoding it declares.
    pub(super) fn new(document: &'a [u8], limits: DecodeLimits, meter: &'a Meter<'a>) -> Self {
        let mut config = ParserConfig::new()
            .cdata_to_characters(true)
            .whitespace_to_characters(true)
            .coalesce_characters(true)
            .ignore_comments(true)
            .allow_multiple_root_elements(false)
            .max_entity_expansion_depth(1)
            .max_entity_expansion_length(0)
            .max_attributes(limits.attributes_max)
            .max_attribute_length(limits.attribute_bytes_max)
            .max_name_length(limits.element_name_bytes_max)
            .max_data_length(limits.text_bytes_max)
            .ignore_invalid_encoding_declarations(true);
        config.override_encoding = Some(xml::Encoding::Utf8);
        let trimmed = document.trim_ascii_start();
        let skipped = document.get(..document.len() - trimmed.len()).unwrap_or_default();
        let (prolog, rest) = capital_prolog(trimmed);
        let source = Guard::new(prolog, rest, meter);
        Self {
            after_event: document.len() - rest.len(),
            events: config.create_reader(source),
            lines_skipped: skipped.iter().map(|&byte| u64::from(byte == b'\n')).sum(),
            limits,
            document,
            namespaces: Namespaces::default(),
            has_text: false,
            after_doctype: 0,
            prefix_undeclared: false,
        }
    }

    /// The next event.
    pub(super) fn next(&mut self) -> Result<Event, DecodeError> {
        loop {
            if !std::mem::take(&mut self.has_text) {
                self.let_go();
            }
            let event = self.events.next();
            let before = self.after_event;
            self.after_event = self.read_bytes();
            match event {
                Ok(XmlEvent::StartElement { name, attributes, .. }) => {
                    let markup = self.document.get(before..self.after_event).unwrap_or_default();
                    if !self.namespaces.open(markup) {
                        let what = format!(
                            "more than {DECLARATIONS_MAX} namespace declarations are in force \
                             here, or more than {DECLARATIONS_BYTES_MAX} bytes of them"
                        );
                        return Err(self.error(code::INVALID_REQUEST, what));
                    }
                    if let Some(what) = too_long(&name, &attributes, &self.limits) {
                        return Err(self.error(code::INVALID_REQUEST, what));
                    }
                    self.events.source_mut().root_opened();
                    return Ok(Event::Open(known_name(name)));
                }
                Ok(XmlEvent::EndElement { .. }) => {
                    self.namespaces.close();
                    return Ok(Event::Close);
                }
                Ok(
                    XmlEvent::Characters(text) | XmlEvent::CData(text) | XmlEvent::Whitespace(text),
                ) => {
                    // xml-rs lets a few more bytes through.
                    if text.len() > self.limits.text_bytes_max {
                        return Err(
                            self.error(code::INVALID_REQUEST, passed::text_too_long(&self.limits))
                        );
                    }
                    self.has_text = true;
                    return Ok(Event::Text(text));
                }
                Ok(XmlEvent::EndDocument) => return Ok(Event::End),
                Ok(XmlEvent::Doctype { syntax }) => {
                    // xml-rs keeps it to the end.
                    self.events.source().meter.take(HELD_BYTES_EACH * syntax.len())?;
                    self.after_doctype = self.after_event;
                }
                Ok(XmlEvent::StartDocument { .. }) => {
                    // The event may come with the start of a comment, which belongs to the comment.
                    if self
                        .document
                        .get(..self.after_event)
                        .is_some_and(|read| read.ends_with(b"<!--"))
                    {
                        self.after_event -= "<!--".len();
                    }
                }
                Ok(XmlEvent::ProcessingInstruction { .. } | XmlEvent::Comment(_)) => {}
                Err(error) => return Err(self.refusal(&error)),
            }
        }
    }

    /// The next event that is no text; white space is skipped, other text is an error.
    pub(super) fn tag(&mut self, parent: &str) -> Result<Event, DecodeError> {
        loop {
            match self.next()? {
                Event::Text(text) if trim(&text).is_empty() => {}
                Event::Text(text) => {
                    let what = format!("<{parent}> holds the text \"{}\"", shown(trim(&text)));
                    return Err(self.error(code::INVALID_REQUEST, what));
                }
                event => return Ok(event),
            }
        }
    }

    /// An error at the last event.
    pub(super) fn error(&self, code: i32, what: impl fmt::Display) -> DecodeError {
        self.error_at(self.events.position(), code, what)
    }

    /// Gives back the memory for text that the parser has handed out.
    pub(super) fn let_go(&mut self) {
        self.events.source_mut().let_go();
    }

    /// Whether reading failed because `ex` is not declared.
    pub(super) const fn lacks_prefix(&self) -> bool {
        self.prefix_undeclared
    }

    /// A document that differs from this one in a declaration of `ex`, when that is what this one
    /// lacked.
    ///
    /// The prefix is that of Apache's extensions (`<ex:nil/>`, `<ex:i8>`); parsers without
    /// namespaces, and so the clients written against them, never asked for the declaration.
    pub(super) fn with_prefix_declared(&self, document: &[u8]) -> Option<Vec<u8>> {
        let bytes_after_root_tag =
            self.events.source().bytes_after_root_tag.filter(|_| self.prefix_undeclared)?;
        let at = document.len().checked_sub(bytes_after_root_tag + 1)?;
        let (head, tail) = document.split_at_checked(at)?;
        if tail.first() != Some(&b'>') {
            return None;
        }
        Some([head, b" xmlns:ex=\"", EX_NAMESPACE.as_bytes(), b"\"", tail].concat())
    }

    /// The number of bytes that have been read.
    fn read_bytes(&self) -> usize {
        self.document.len() - self.events.source().rest.len()
    }

    fn refusal(&mut self, error: &xml::reader::Error) -> DecodeError {
        if let Some(stop) = self.events.source().stop {
            return stop.into();
        }
        if let Some(refusal) = self.events.source().refusal {
            return self.error(refusal.code(), refusal.message());
        }
        match error.kind() {
            ErrorKind::Syntax(reason) if reason.starts_with("This document is larger") => {
                self.error_at(error.position(), code::INVALID_REQUEST, self.limit_passed())
            }
            ErrorKind::Syntax(reason) => {
                self.prefix_undeclared =
                    reason.starts_with("Element ex:") && reason.ends_with("prefix is unbound");
                self.error_at(error.position(), syntax_code(reason), cut(reason, REASON_CHARS_MAX))
            }
            ErrorKind::Utf8(_) | ErrorKind::Io(_) => self.error(
                code::INVALID_CHARACTER,
                "the bytes after here are not of the document's encoding",
            ),
            _ => self.error(code::NOT_WELL_FORMED, "the document ends too early"),
        }
    }

    fn limit_passed(&self) -> String {
        let read = self.document.get(self.after_doctype..self.read_bytes());
        passed::limit_passed(read.unwrap_or_default(), &self.limits)
    }

    fn error_at(
        &self,
        position: xml::common::TextPosition,
        code: i32,
        what: impl fmt::Display,
    ) -> DecodeError {
        let (line, column) = (position.row + 1 + self.lines_skipped, position.column + 1);
        DecodeError { code, message: format!("line {line}, column {column}: {what}") }
    }
}

/// What of a start tag passes its limit. xml-rs lets a byte more through than its limits say.
fn too_long(
    name: &OwnedName,
    attributes: &[OwnedAttribute],
    limits: &DecodeLimits,
) -> Option<String> {
    if name_len(name) > limits.element_name_bytes_max {
        return Some(passed::element_name_too_long(limits));
    }
    let too_long = |attribute: &OwnedAttribute| {
        passed::attribute_too_long(name_len(&attribute.name), attribute.value.len(), limits)
    };
    attributes.iter().find_map(too_long)
}

/// As it is written, with its prefix.
fn name_len(name: &OwnedName) -> usize {
    name.local_name.len() + name.prefix.as_ref().map_or(0, |prefix| prefix.len() + 1)
}

/// A name without prefix, if what the prefix stands for is known. A default namespace, which a few
/// clients declare, says nothing.
fn known_name(OwnedName { local_name, namespace, prefix }: OwnedName) -> String {
    match prefix {
        Some(prefix) if namespace.as_deref() != Some(EX_NAMESPACE) => {
            format!("{prefix}:{local_name}")
        }
        _ => local_name,
    }
}

/// A piece of a client's text that is safe to show: short and without control characters.
pub(super) fn shown(text: &str) -> String {
    cut(text, SHOWN_CHARS_MAX)
}

fn cut(text: &str, chars_max: usize) -> String {
    let mut chars = text.chars();
    let mut shown: String =
        chars.by_ref().take(chars_max).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

/// The code for a syntax error of xml-rs, which tells them apart by its words only; a test holds
/// them fast.
fn syntax_code(reason: &str) -> i32 {
    if reason.starts_with("Invalid character") {
        code::INVALID_CHARACTER
    } else {
        code::NOT_WELL_FORMED
    }
}

/// Frontier writes `<?XML VERSION="1.0"?>`: such a prolog in small letters, and what follows it.
fn capital_prolog(document: &[u8]) -> (Vec<u8>, &[u8]) {
    let end = document
        .get(..document.len().min(PROLOG_BYTES_MAX))
        .filter(|start| start.starts_with(b"<?XML"))
        .and_then(|start| start.windows(2).position(|pair| pair == b"?>"));
    match end.and_then(|end| document.split_at_checked(end + 2)) {
        Some((prolog, rest)) => (prolog.to_ascii_lowercase(), rest),
        None => (Vec::new(), document),
    }
}

/// Feeds the document to the parser, up to a byte that the parser must not see or until the
/// resources end.
struct Guard<'a> {
    prolog: io::Cursor<Vec<u8>>,
    rest: &'a [u8],
    entities: Search,
    refusal: Option<Refusal>,
    /// What was still to be read when the root element's start tag ended; `None` before.
    bytes_after_root_tag: Option<usize>,
    meter: &'a Meter<'a>,
    /// The unread bytes at the last check of the deadline.
    unchecked: &'a [u8],
    /// The next check is due when fewer bytes are left.
    check_below: usize,
    /// Bytes reserved for the text that the parser is reading.
    held: usize,
    stop: Option<Stop>,
}

impl<'a> Guard<'a> {
    fn new(prolog: Vec<u8>, rest: &'a [u8], meter: &'a Meter<'a>) -> Self {
        Self {
            prolog: io::Cursor::new(prolog),
            rest,
            entities: Search::default(),
            refusal: None,
            bytes_after_root_tag: None,
            meter,
            unchecked: rest,
            check_below: rest.len().saturating_sub(UNCHECKED_BYTES_MAX),
            held: 0,
            stop: None,
        }
    }

    fn root_opened(&mut self) {
        self.bytes_after_root_tag.get_or_insert(self.rest.len());
    }

    /// Gives back the memory for the text that was read.
    fn let_go(&mut self) {
        if self.held > 0 {
            self.meter.give_back(std::mem::take(&mut self.held));
        }
    }

    #[cold]
    fn check(&mut self) -> Result<(), Stop> {
        self.meter.check()?;
        let read = self.unchecked.get(..self.unchecked.len() - self.rest.len()).unwrap_or_default();
        // A text about namespaces reserves too much, until it has been read.
        let each = if self.bytes_after_root_tag.is_none() {
            PROLOG_HELD_BYTES_EACH
        } else {
            HELD_BYTES_EACH
        };
        let more = each * read.len() + DECLARATION_HELD_BYTES * namespaces::declarations(read);
        self.unchecked = self.rest;
        self.check_below = self.rest.len().saturating_sub(UNCHECKED_BYTES_MAX);
        self.meter.take(more)?;
        self.held += more;
        Ok(())
    }
}

impl Read for Guard<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = self.prolog.read(buffer)?;
        if count == 0 {
            count = self.rest.read(buffer)?;
        }
        if self.rest.len() < self.check_below
            && let Err(stop) = self.check()
        {
            self.stop = Some(stop);
            return Err(io::ErrorKind::InvalidData.into());
        }
        if self.bytes_after_root_tag.is_none() {
            let read = buffer.get(..count).unwrap_or_default();
            self.refusal = read.iter().find_map(|&byte| self.entities.take(byte).err());
            if self.refusal.is_some() {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(count)
    }
}
