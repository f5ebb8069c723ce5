//! What must hold for any value that crosses the ABI. Must not know of the fuzzer.
#![allow(unsafe_code, reason = "trees are made as a plugin would make them, from raw parts")]

use super::lend;
use arbitrary::{Result, Unstructured};
use bumpalo::Bump;
use hotcall_plugin::tree::{Defect, ReadLimits};
use hotcall_plugin::{Tree, abi};
use std::ptr;

const LIMITS: ReadLimits = ReadLimits { depth_max: 16, values_max: 1_000 };

/// A value that is lent to a plugin comes back the same; a tree of whatever tags and lengths is read or refused.
pub(crate) fn abi(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let arena = Bump::new();
    if input.arbitrary() == Ok(true) {
        let Ok(value) = crate::xmlrpc::fuzz::value(&mut input, 0) else { return };
        let Ok(lent) = lend::one(&arena, &value) else { return };
        // SAFETY: the tree points into `arena` and `value`, which outlive it and nobody writes to.
        let tree = unsafe { Tree::new(&lent) };
        match tree.to_value(LIMITS) {
            Ok(back) => assert_eq!(format!("{back:?}"), format!("{value:?}")),
            Err(defect) => assert!(matches!(defect, Defect::Depth(_) | Defect::Values(_)), "{defect}"),
        }
        return;
    }
    let Ok(raw) = raw_value(&mut input, &arena, 0) else { return };
    // SAFETY: every pointer of `raw_value` that is not NULL is of memory of `arena` of its length, aligned but where
    // the reader checks that it is.
    let tree = unsafe { Tree::new(&raw) };
    if let Ok(value) = tree.to_value(LIMITS) {
        let lent = lend::one(&arena, &value).map(|lent| {
            // SAFETY: the tree points into `arena` and `value`, which outlive it and nobody writes to.
            let tree = unsafe { Tree::new(&lent) };
            format!("{:?}", tree.to_value(LIMITS))
        });
        assert_eq!(lent, Ok(format!("{:?}", Ok::<_, Defect>(&value))));
    }
}

/// One node as a careless plugin might leave it, with its children.
fn raw_value(input: &mut Unstructured<'_>, arena: &Bump, depth: usize) -> Result<abi::Value> {
    const DEPTH_MAX: usize = 24;
    const ITEMS_MAX: usize = 20;
    let tag = match input.int_in_range(0..=11u32)? {
        abi::ARRAY | abi::STRUCT if depth == DEPTH_MAX => abi::NIL,
        11 => input.arbitrary()?,
        tag => tag,
    };
    let payload = match tag {
        abi::BOOL => abi::Payload { boolean: input.arbitrary()? },
        abi::INT => abi::Payload { int: input.arbitrary()? },
        abi::DOUBLE => abi::Payload { double: input.arbitrary()? },
        abi::STRING => abi::Payload { string: raw_text(input, arena)? },
        abi::DATETIME => abi::Payload { datetime: raw_date(input)? },
        abi::BINARY => abi::Payload { binary: raw_text(input, arena)? },
        abi::ARRAY => {
            let len = input.int_in_range(0..=ITEMS_MAX)?;
            let items = (0..len).map(|_| raw_value(input, arena, depth + 1)).collect::<Result<Vec<_>>>()?;
            let items = arena.alloc_slice_copy(&items);
            let (ptr, len) = careless(input, items.as_ptr(), items.len())?;
            abi::Payload { array: abi::Items { ptr, len } }
        }
        abi::STRUCT => {
            let len = input.int_in_range(0..=ITEMS_MAX)?;
            let member = |_| {
                let name = raw_text(input, arena)?;
                Ok(abi::Member { name, value: raw_value(input, arena, depth + 1)? })
            };
            let members = arena.alloc_slice_copy(&(0..len).map(member).collect::<Result<Vec<_>>>()?);
            let (ptr, len) = careless(input, members.as_ptr(), members.len())?;
            abi::Payload { structure: abi::Members { ptr, len } }
        }
        _ => abi::Payload { long: input.arbitrary()? },
    };
    Ok(abi::Value { tag, reserved: input.arbitrary()?, payload })
}

fn raw_text(input: &mut Unstructured<'_>, arena: &Bump) -> Result<abi::Str> {
    let bytes = arena.alloc_slice_copy(input.arbitrary::<&[u8]>()?);
    let (ptr, len) = careless(input, bytes.as_ptr(), bytes.len())?;
    Ok(abi::Str { ptr, len })
}

/// A pointer and length, now and then wrong in a way that a reader can see: NULL, or longer than memory is.
fn careless<T>(input: &mut Unstructured<'_>, ptr: *const T, len: usize) -> Result<(*const T, usize)> {
    Ok(match input.int_in_range(0..=15u8)? {
        0 => (ptr::null(), len),
        1 => (ptr, usize::MAX - usize::from(input.arbitrary::<u8>()?)),
        2 => (ptr, 0),
        _ => (ptr, len),
    })
}

fn raw_date(input: &mut Unstructured<'_>) -> Result<abi::DateTime> {
    Ok(abi::DateTime {
        year: input.int_in_range(-1..=10_000)?,
        nanosecond: input.int_in_range(0..=1_000_000_000)?,
        offset_minutes: input.int_in_range(-1_440..=1_440)?,
        has_offset: input.arbitrary()?,
        month: input.int_in_range(0..=13)?,
        day: input.int_in_range(0..=32)?,
        hour: input.int_in_range(0..=25)?,
        minute: input.int_in_range(0..=60)?,
        second: input.int_in_range(0..=61)?,
    })
}
