//! The rules that hold for any value that crosses the ABI. Must not know of the fuzzer.
#![allow(clippy::indexing_slicing, reason = "a target fails by a panic")]
#![allow(unsafe_code, reason = "trees are made as a plugin would make them, from raw parts")]

use super::lend;
use crate::xmlrpc::fuzz::{STYLES, notation};
use crate::xmlrpc::{EncodeOptions, Unlimited, Unwritten, Value, encode_response, encode_result};
use bumpalo::Bump;
use hotcall_plugin::tree::{Defect, ReadLimits};
use hotcall_plugin::{Tree, abi};
use std::ptr;

const LARGE: ReadLimits = ReadLimits { depth_max: 100, values_max: 100_000, bytes_max: usize::MAX };

/// A value that is lent to a plugin comes back the same, within exact limits; and a tree in which a
/// plugin was careless is refused for the first mistake in it. The bytes are a value in `notation`,
/// and after `!` mistakes: a letter of [`Careless`]'s, the number of a node in reading order, and
/// after a point another number.
pub(crate) fn abi(bytes: &[u8]) {
    let (written, mistakes) =
        bytes.split_at(bytes.iter().position(|byte| *byte == b'!').unwrap_or(bytes.len()));
    let value = notation::value(written);
    let arena = Bump::new();
    let lent = lend::one(&arena, &value);
    assert!(lent.is_ok(), "an arena without a limit takes everything");
    if let Ok(lent) = &lent {
        // SAFETY: the tree points into `arena` and `value`, which outlive it and nobody writes to.
        reads_as(unsafe { Tree::new(lent) }, Ok(&value));
    }
    reads_as(Tree::from(&value), Ok(&value));

    let mut careless =
        Careless { arena: &arena, mistakes: Mistake::list(mistakes), node: 0, defect: None };
    let (raw, expected) = careless.make(&value);
    let expected = careless.defect.map_or(Ok(&expected), Err);
    // SAFETY: every pointer of the tree that is not NULL is of memory of `arena` or `value` of its
    // length, but where the reader checks that it is aligned and that the length can be.
    reads_as(unsafe { Tree::new(&raw) }, expected);
}

fn reads_as(tree: Tree<'_>, expected: Result<&Value, Defect>) {
    let read = |limits| {
        is_written_as_its_copy_is(tree, limits);
        format!("{:?}", tree.to_value(limits))
    };
    assert_eq!(read(LARGE), format!("{expected:?}"));
    let Ok(value) = expected else { return };
    let exact = extent(value);
    let ReadLimits { depth_max, values_max, bytes_max } = exact;
    assert_eq!(read(exact), format!("{expected:?}"), "{exact:?}");
    let fewer = ReadLimits { values_max: values_max - 1, ..exact };
    assert_eq!(tree.to_value(fewer), Err(Defect::Values(values_max - 1)));
    is_written_as_its_copy_is(tree, fewer);
    let shorter = ReadLimits { bytes_max: bytes_max - 1, ..exact };
    assert_eq!(tree.to_value(shorter), Err(Defect::Bytes(bytes_max - 1)));
    is_written_as_its_copy_is(tree, shorter);
    if depth_max > 0 {
        let flatter = ReadLimits { depth_max: depth_max - 1, ..exact };
        assert_eq!(tree.to_value(flatter), Err(Defect::Depth(depth_max - 1)));
        is_written_as_its_copy_is(tree, flatter);
    }
}

/// A tree becomes the document that its copy becomes. What refuses the copy refuses the tree, in
/// the same order: a defect anywhere comes before a value that cannot be sent.
fn is_written_as_its_copy_is(tree: Tree<'_>, limits: ReadLimits) {
    const DOCUMENT_BYTES_MAX: [usize; 2] = [250, usize::MAX];
    let all_options = STYLES
        .iter()
        .flat_map(|&style| DOCUMENT_BYTES_MAX.map(|bytes_max| EncodeOptions { bytes_max, style }));
    for options in all_options {
        let copied = tree.to_value(limits).map_err(Unwritten::Defect);
        let of_copy = |value| encode_response(&value, &options).map_err(Unwritten::Fault);
        assert_eq!(encode_result(tree, limits, &options, &Unlimited), copied.and_then(of_copy));
    }
}

/// The least limits that a value is within.
fn extent(value: &Value) -> ReadLimits {
    let (inside, own): (Vec<_>, usize) = match value {
        Value::Array(items) => (items.iter().map(extent).collect(), 0),
        Value::Struct(members) => (
            members.iter().map(|(_, value)| extent(value)).collect(),
            members.iter().map(|(name, _)| name.len()).sum(),
        ),
        Value::String(text) => (Vec::new(), text.len()),
        Value::Binary(bytes) => (Vec::new(), bytes.len()),
        _ => (Vec::new(), 0),
    };
    ReadLimits {
        depth_max: inside.iter().map(|inside| inside.depth_max + 1).max().unwrap_or(0),
        values_max: inside.iter().map(|inside| inside.values_max).sum::<usize>() + 1,
        bytes_max: inside.iter().map(|inside| inside.bytes_max).sum::<usize>() + own + 8,
    }
}

/// One mistake in a tree.
#[derive(Clone, Copy)]
struct Mistake {
    kind: u8,
    node: usize,
    variant: usize,
}

impl Mistake {
    fn list(bytes: &[u8]) -> Vec<Self> {
        let number = |text: &[u8]| {
            let digits = text.iter().filter(|byte| byte.is_ascii_digit()).take(6);
            digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
        };
        let words = bytes.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'.');
        let mistake = |word: &[u8]| {
            let (kind, rest) = word.split_first()?;
            let (node, variant) =
                rest.split_at(rest.iter().position(|byte| *byte == b'.').unwrap_or(rest.len()));
            Some(Self { kind: *kind, node: number(node), variant: number(variant) })
        };
        words.filter_map(mistake).collect()
    }
}

/// A plugin that makes mistakes.
struct Careless<'a> {
    arena: &'a Bump,
    mistakes: Vec<Mistake>,
    node: usize,
    /// The first, which the reader sees before all others.
    defect: Option<Defect>,
}

impl<'a> Careless<'a> {
    /// A tree, and the value that is read from it when nothing in it is a defect.
    fn make(&mut self, value: &'a Value) -> (abi::Value, Value) {
        let node = self.node;
        self.node += 1;
        if let Some(variant) = self.spoils(b't', node) {
            let tag = [10, 11, 255, u32::MAX][variant % 4];
            self.defect.get_or_insert(Defect::Tag(tag));
            return (
                abi::Value { tag, reserved: 0, payload: abi::Payload { long: -1 } },
                Value::Nil,
            );
        }
        let (tag, payload, read) = match value {
            Value::Nil => (abi::NIL, abi::Payload { long: -1 }, Value::Nil),
            Value::Bool(flag) => {
                // Any byte but 0 is true.
                let boolean = if *flag { [1, 2, 128, 255][node % 4] } else { 0 };
                (abi::BOOL, abi::Payload { boolean }, value.clone())
            }
            Value::Int(int) => (abi::INT, abi::Payload { int: *int }, value.clone()),
            Value::Long(long) => (abi::LONG, abi::Payload { long: *long }, value.clone()),
            Value::Double(double) => (abi::DOUBLE, abi::Payload { double: *double }, value.clone()),
            Value::String(text) => {
                let (string, read) = self.text(text, node, u8::to_ascii_lowercase);
                (abi::STRING, abi::Payload { string }, Value::String(read))
            }
            Value::DateTime(date) => (
                abi::DATETIME,
                abi::Payload { datetime: self.date((*date).into(), node) },
                value.clone(),
            ),
            Value::Binary(bytes) => {
                let spoilt = self.slice(bytes.len(), node, u8::to_ascii_lowercase);
                let (ptr, len) = spoilt.unwrap_or((bytes.as_ptr(), bytes.len()));
                let read = if spoilt.is_some() { Vec::new() } else { bytes.clone() };
                (abi::BINARY, abi::Payload { binary: abi::Str { ptr, len } }, Value::Binary(read))
            }
            Value::Array(items) => {
                let ((ptr, len), read) = self.all(items, node, Self::make);
                (abi::ARRAY, abi::Payload { array: abi::Items { ptr, len } }, Value::Array(read))
            }
            Value::Struct(members) => {
                let ((ptr, len), read) = self.all(members, node, Self::member);
                (
                    abi::STRUCT,
                    abi::Payload { structure: abi::Members { ptr, len } },
                    Value::Struct(read),
                )
            }
        };
        (abi::Value { tag, reserved: u32::MAX, payload }, read)
    }

    /// The items of an array or the members of a struct: pointer and length are read before what
    /// they lead to.
    fn all<T, M: Copy, R>(
        &mut self,
        items: &'a [T],
        node: usize,
        make: fn(&mut Self, &'a T) -> (M, R),
    ) -> ((*const M, usize), Vec<R>) {
        if let Some(spoilt) = self.slice(items.len(), node, u8::to_ascii_lowercase) {
            return (spoilt, Vec::new());
        }
        let (made, read): (Vec<M>, Vec<R>) = items.iter().map(|item| make(self, item)).unzip();
        let made = self.arena.alloc_slice_copy(&made);
        ((made.as_ptr(), made.len()), read)
    }

    /// Mistakes in the name have capital letters, and the number of the value.
    fn member(&mut self, (name, value): &'a (String, Value)) -> (abi::Member, (String, Value)) {
        let (name, name_read) = self.text(name, self.node, u8::to_ascii_uppercase);
        let (value, read) = self.make(value);
        (abi::Member { name, value }, (name_read, read))
    }

    fn text(&mut self, text: &'a str, node: usize, letter: fn(&u8) -> u8) -> (abi::Str, String) {
        if let Some((ptr, len)) = self.slice(text.len(), node, letter) {
            return (abi::Str { ptr, len }, String::new());
        }
        if let Some(variant) = self.spoils(letter(&b'u'), node) {
            let endings: [&[u8]; 5] =
                [b"\xFF", b"\xC3", b"\xC0\x80", b"\xED\xA0\x80", b"\xF4\x90\x80\x80"];
            let bytes = [text.as_bytes(), endings[variant % 5]].concat();
            let bytes = self.arena.alloc_slice_copy(&bytes);
            self.defect.get_or_insert(Defect::Utf8);
            return (abi::Str { ptr: bytes.as_ptr(), len: bytes.len() }, String::new());
        }
        (abi::Str::new(text), text.to_owned())
    }

    /// A pointer and a length that are wrong, or strange and empty.
    fn slice<T>(
        &mut self,
        len: usize,
        node: usize,
        letter: fn(&u8) -> u8,
    ) -> Option<(*const T, usize)> {
        let nowhere = |address| ptr::without_provenance(address);
        if self.spoils(letter(&b'z'), node).is_some() {
            return Some((ptr::null(), 0));
        }
        if self.spoils(letter(&b'e'), node).is_some() {
            return Some((nowhere(align_of::<T>() + 1), 0));
        }
        let spoilt = if self.spoils(letter(&b'p'), node).is_some() {
            (ptr::null(), len.max(1))
        } else if let Some(variant) = self.spoils(letter(&b'h'), node) {
            (nowhere(align_of::<T>()), isize::MAX.unsigned_abs() / size_of::<T>() + 1 + variant)
        } else if align_of::<T>() > 1 && self.spoils(letter(&b'm'), node).is_some() {
            (nowhere(align_of::<T>() + 1), len.max(1))
        } else {
            return None;
        };
        self.defect.get_or_insert(Defect::Pointer);
        Some(spoilt)
    }

    fn date(&mut self, mut date: abi::DateTime, node: usize) -> abi::DateTime {
        let Some(variant) = self.spoils(b'd', node) else { return date };
        self.defect.get_or_insert(Defect::DateTime);
        match variant % 12 {
            0 => date.year = -1,
            1 => date.year = 10_000,
            2 => date.year = i32::MAX,
            3 => date.month = 0,
            4 => date.month = 13,
            5 => date.day = 0,
            6 => date.day = 32,
            7 => date.hour = 25,
            8 => date.minute = 60,
            9 => date.second = 61,
            10 => date.nanosecond = 1_000_000_000,
            _ => (date.has_offset, date.offset_minutes) = (1, [1_440, -1_440][variant / 12 % 2]),
        }
        date
    }

    fn spoils(&self, kind: u8, node: usize) -> Option<usize> {
        let mistake =
            self.mistakes.iter().find(|mistake| mistake.kind == kind && mistake.node == node)?;
        Some(mistake.variant)
    }
}
