//! Lends owned values to a plugin as a tree of the ABI. Strings and bytes are borrowed; only the
//! nodes are made, in the call's arena. Most requests are decoded into such a tree and do not need
//! this.

use bumpalo::{AllocErr, Bump};
use hotcall_plugin::{Value, abi};

/// A tree that lives as long as both the arena and the values.
///
/// # Errors
/// There is no memory left.
pub(crate) fn lend<'a>(arena: &'a Bump, values: &'a [Value]) -> Result<&'a [abi::Value], AllocErr> {
    let lent = arena.try_alloc_slice_fill_copy(values.len(), abi::Value::NIL)?;
    for (place, value) in lent.iter_mut().zip(values) {
        put(arena, place, value)?;
    }
    Ok(lent)
}

/// As [`lend`], for one value.
///
/// # Errors
/// There is no memory left.
pub(crate) fn one<'a>(arena: &'a Bump, value: &'a Value) -> Result<abi::Value, AllocErr> {
    let mut lent = abi::Value::NIL;
    put(arena, &mut lent, value)?;
    Ok(lent)
}

/// Writes field by field: to copy a whole value right after its parts were written would wait for
/// each of them.
#[inline]
fn put<'a>(arena: &'a Bump, place: &mut abi::Value, value: &'a Value) -> Result<(), AllocErr> {
    let abi::Value { tag, payload, .. } = place;
    *tag = match value {
        Value::Nil => abi::NIL,
        Value::Bool(value) => {
            payload.boolean = u8::from(*value);
            abi::BOOL
        }
        Value::Int(value) => {
            payload.int = *value;
            abi::INT
        }
        Value::Long(value) => {
            payload.long = *value;
            abi::LONG
        }
        Value::Double(value) => {
            payload.double = *value;
            abi::DOUBLE
        }
        Value::String(value) => {
            payload.string = abi::Str::new(value);
            abi::STRING
        }
        Value::DateTime(value) => {
            payload.datetime = (*value).into();
            abi::DATETIME
        }
        Value::Binary(value) => {
            payload.binary = abi::Str { ptr: value.as_ptr(), len: value.len() };
            abi::BINARY
        }
        Value::Array(items) => {
            let items = lend(arena, items)?;
            payload.array = abi::Items { ptr: items.as_ptr(), len: items.len() };
            abi::ARRAY
        }
        Value::Struct(members) => {
            let members = lend_members(arena, members)?;
            payload.structure = abi::Members { ptr: members.as_ptr(), len: members.len() };
            abi::STRUCT
        }
    };
    Ok(())
}

fn lend_members<'a>(
    arena: &'a Bump,
    members: &'a [(String, Value)],
) -> Result<&'a [abi::Member], AllocErr> {
    let empty = abi::Member { name: abi::Str::EMPTY, value: abi::Value::NIL };
    let lent = arena.try_alloc_slice_fill_copy(members.len(), empty)?;
    for (place, (name, value)) in lent.iter_mut().zip(members) {
        place.name = abi::Str::new(name);
        put(arena, &mut place.value, value)?;
    }
    Ok(lent)
}
