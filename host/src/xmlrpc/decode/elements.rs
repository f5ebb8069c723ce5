//! The elements of a document that is read by xml-rs, one after the other. Must not know which ones
//! XML-RPC has.

use super::error::DecodeError;
use super::limits::{DEPTH_CEILING, DecodeLimits};
use super::reader::{Event, Reader, shown};
use crate::xmlrpc::fault::code;
use crate::xmlrpc::resources::Meter;
use std::fmt;

/// One document on its way to values.
pub(super) struct Decoder<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) meter: &'a Meter<'a>,
    pub(super) limits: DecodeLimits,
    pub(super) values_read: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(text: &'a [u8], limits: &DecodeLimits, meter: &'a Meter<'a>) -> Self {
        let limits = DecodeLimits { depth_max: limits.depth_max.min(DEPTH_CEILING), ..*limits };
        Self { reader: Reader::new(text, limits, meter), meter, limits, values_read: 0 }
    }

    /// The name of the next element within this one, or `None` at its end.
    pub(super) fn child(&mut self, parent: &str) -> Result<Option<String>, DecodeError> {
        match self.reader.tag(parent)? {
            Event::Open(name) => Ok(Some(name)),
            _ => Ok(None),
        }
    }

    pub(super) fn only_child(&mut self, parent: &str, expected: &str) -> Result<(), DecodeError> {
        match self.child(parent)? {
            Some(name) if name == expected => Ok(()),
            Some(name) => Err(self.misplaced(&name, parent)),
            None => Err(self.invalid(format!("<{parent}> holds no <{expected}>"))),
        }
    }

    /// Reads this element's end.
    pub(super) fn close(&mut self, element: &str) -> Result<(), DecodeError> {
        match self.child(element)? {
            None => Ok(()),
            Some(name) => Err(self.misplaced(&name, element)),
        }
    }

    /// Reads an element that holds nothing but text, its end included. White space is kept.
    pub(super) fn text(&mut self, element: &str) -> Result<String, DecodeError> {
        let mut text = String::new();
        loop {
            match self.reader.next()? {
                Event::Text(more) if text.is_empty() => text = more,
                Event::Text(more) => text.push_str(&more),
                Event::Open(name) => return Err(self.misplaced(&name, element)),
                Event::Close | Event::End => return Ok(text),
            }
        }
    }

    pub(super) fn misplaced(&self, name: &str, parent: &str) -> DecodeError {
        self.invalid(format!("<{}> does not belong in <{parent}> here", shown(name)))
    }

    pub(super) fn invalid(&self, what: impl fmt::Display) -> DecodeError {
        self.reader.error(code::INVALID_REQUEST, what)
    }
}
