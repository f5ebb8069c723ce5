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

mod document;
mod scanner;
#[cfg(test)]
mod tests;
mod values;

pub(super) use document::{call, response};
