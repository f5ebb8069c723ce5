//! Copies a tree into an owned [`Value`], within limits and without recursion. Must not know what
//! a tree is made of.

use crate::tree::{Defect, ReadLimits, Tree, View};
use crate::value::Value;
use crate::walk::Step;
use std::mem;

/// Memory for no more items is taken at once before they are read: a tree may name the same long
/// array again and again.
const RESERVED_MAX: usize = 1 << 10;

/// An array or struct whose items are being copied.
enum Container {
    Array(Vec<Value>),
    /// With the name of the member whose value comes next.
    Struct(Vec<(String, Value)>, String),
}

enum Started {
    Whole(Value),
    Container(Container),
}

impl Tree<'_> {
    /// Copies the whole tree.
    ///
    /// # Errors
    /// The first [`Defect`] found, or the limit that the tree passes.
    #[inline]
    pub fn to_value(self, limits: ReadLimits) -> Result<Value, Defect> {
        let mut open: Vec<Container> = Vec::new();
        for step in self.walk(limits) {
            let whole = match step? {
                Step::Name(name) => {
                    if let Some(Container::Struct(_, next)) = open.last_mut() {
                        *next = name.to_owned();
                    }
                    continue;
                }
                Step::Value(view) => match start(view) {
                    Started::Whole(value) => value,
                    Started::Container(container) => {
                        open.push(container);
                        continue;
                    }
                },
                Step::EndArray | Step::EndStruct => match open.pop() {
                    Some(container) => container.whole(),
                    None => Value::Nil,
                },
            };
            match open.last_mut() {
                Some(container) => container.put(whole),
                None => return Ok(whole),
            }
        }
        // A walk has a value, or a defect.
        Ok(Value::Nil)
    }
}

#[inline]
fn start(view: View<'_>) -> Started {
    Started::Whole(match view {
        View::Nil => Value::Nil,
        View::Bool(value) => Value::Bool(value),
        View::Int(value) => Value::Int(value),
        View::Long(value) => Value::Long(value),
        View::Double(value) => Value::Double(value),
        View::String(value) => Value::String(value.to_owned()),
        View::DateTime(value) => Value::DateTime(value),
        View::Binary(value) => Value::Binary(value.to_vec()),
        View::Array(items) => {
            let values = Vec::with_capacity(items.len().min(RESERVED_MAX));
            return Started::Container(Container::Array(values));
        }
        View::Struct(members) => {
            let values = Vec::with_capacity(members.len().min(RESERVED_MAX));
            return Started::Container(Container::Struct(values, String::new()));
        }
    })
}

impl Container {
    fn put(&mut self, value: Value) {
        match self {
            Self::Array(values) => values.push(value),
            Self::Struct(members, name) => members.push((mem::take(name), value)),
        }
    }

    fn whole(self) -> Value {
        match self {
            Self::Array(values) => Value::Array(values),
            Self::Struct(members, _) => Value::Struct(members),
        }
    }
}
