//! Lending owned values to a plugin as a tree of the ABI. Strings and bytes are borrowed, not copied; only the
//! nodes are made, in the call's arena.

use bumpalo::{AllocErr, Bump};
use hotcall_plugin::{Value, abi};

/// A tree that lives as long as both the arena and the values.
///
/// # Errors
/// There is no memory left.
pub(super) fn lend<'a>(arena: &'a Bump, values: &'a [Value]) -> Result<&'a [abi::Value], AllocErr> {
    let lent = arena.try_alloc_slice_fill_copy(values.len(), abi::Value::NIL)?;
    for (place, value) in lent.iter_mut().zip(values) {
        *place = one(arena, value)?;
    }
    Ok(lent)
}

/// As [`lend`], for one value.
///
/// # Errors
/// There is no memory left.
pub(super) fn one<'a>(arena: &'a Bump, value: &'a Value) -> Result<abi::Value, AllocErr> {
    let (tag, payload) = match value {
        Value::Nil => return Ok(abi::Value::NIL),
        Value::Bool(value) => (abi::BOOL, abi::Payload { boolean: u8::from(*value) }),
        Value::Int(value) => (abi::INT, abi::Payload { int: *value }),
        Value::Long(value) => (abi::LONG, abi::Payload { long: *value }),
        Value::Double(value) => (abi::DOUBLE, abi::Payload { double: *value }),
        Value::String(value) => (abi::STRING, abi::Payload { string: abi::Str::new(value) }),
        Value::DateTime(value) => (abi::DATETIME, abi::Payload { datetime: (*value).into() }),
        Value::Binary(value) => {
            (abi::BINARY, abi::Payload { binary: abi::Str { ptr: value.as_ptr(), len: value.len() } })
        }
        Value::Array(items) => {
            let items = lend(arena, items)?;
            (abi::ARRAY, abi::Payload { array: abi::Items { ptr: items.as_ptr(), len: items.len() } })
        }
        Value::Struct(members) => {
            let members = lend_members(arena, members)?;
            (
                abi::STRUCT,
                abi::Payload { structure: abi::Members { ptr: members.as_ptr(), len: members.len() } },
            )
        }
    };
    Ok(abi::Value { tag, reserved: 0, payload })
}

fn lend_members<'a>(arena: &'a Bump, members: &'a [(String, Value)]) -> Result<&'a [abi::Member], AllocErr> {
    let empty = abi::Member { name: abi::Str::EMPTY, value: abi::Value::NIL };
    let lent = arena.try_alloc_slice_fill_copy(members.len(), empty)?;
    for (place, (name, value)) in lent.iter_mut().zip(members) {
        *place = abi::Member { name: abi::Str::new(name), value: one(arena, value)? };
    }
    Ok(lent)
}
