//! Decodes the documents that clients really send, without xml-rs, which inspects every character.
//!
//! Each function returns `None` for anything that it does not recognise, that is wrong or that may
//! pass a limit. xml-rs then reads the document from its start. It alone decides what is right and
//! how a document is refused, so each fault has one place. Must not make faults, nor take what
//! xml-rs would refuse. A function also returns `None` when time or memory ran out; the [`Meter`]
//! knows.
//!
//! It recognises a plain subset: tags exactly as they are written here, without attributes; a
//! member's name before its value; no comments or DOCTYPE; CDATA only as a whole string; and text
//! with all line ends and references of XML. `fuzz::differential` compares both decoders.
//!
//! A document is read once, from left to right, so the cost is linear. A document that is left to
//! xml-rs costs one more pass. Texts stay where they are. A value of an array takes 24 bytes and a
//! member of a struct 40. Ten thousand strings need no more allocations than ten.
//!
//! If many clients start to send a new form, teach it here and add its document to
//! `tests/corpus/calls/clients.txt`. A test lists the documents there that are left to xml-rs.

mod document;
mod scanner;
#[cfg(test)]
mod tests;
mod values;

pub(super) use document::{call, response};
