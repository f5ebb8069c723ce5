//! Copies a tree into an owned [`Value`], within limits and without recursion. Must not know what
//! a tree is made of.

use crate::tree::{Defect, Items, Members, ReadLimits, Tree, View};
use crate::value::Value;
use std::mem;

/// What a value counts for besides its text and bytes: the least that any takes when encoded.
const VALUE_BYTES: usize = 8;

/// Memory for no more items is taken at once before they are read: a tree may name the same long array again and again.
const RESERVED_MAX: usize = 1 << 10;

impl Tree<'_> {
    /// Copies the whole tree.
    ///
    /// # Errors
    /// The first [`Defect`] found, or the limit that the tree passes.
    #[inline]
    pub fn to_value(self, limits: ReadLimits) -> Result<Value, Defect> {
        let mut reader = Reader { limits, values: 0, bytes_left: limits.bytes_max };
        match reader.start(self, 0)? {
            Started::Whole(value) => Ok(value),
            Started::Container(container) => reader.finish(container),
        }
    }
}

struct Reader {
    limits: ReadLimits,
    values: usize,
    bytes_left: usize,
}

/// An array or struct whose items are being read.
enum Container<'a> {
    Array {
        items: Items<'a>,
        values: Vec<Value>,
    },
    Struct {
        members: Members<'a>,
        whole: Vec<(String, Value)>,
        /// Of the member whose value is being read.
        name: String,
    },
}

enum Started<'a> {
    Whole(Value),
    Container(Container<'a>),
}

impl Reader {
    /// Reads what is in the outermost array or struct, without recursion: those round the one that is read stand in a list.
    fn finish<'a>(&mut self, mut container: Container<'a>) -> Result<Value, Defect> {
        let mut outer: Vec<Container<'a>> = Vec::new();
        loop {
            match container.next(self)? {
                Some(item) => match self.start(item, outer.len() + 1)? {
                    Started::Whole(value) => container.put(value),
                    Started::Container(inner) => outer.push(mem::replace(&mut container, inner)),
                },
                None => match outer.pop() {
                    Some(next) => container.put_into(next),
                    None => return Ok(container.whole()),
                },
            }
        }
    }

    #[inline]
    fn start<'a>(&mut self, tree: Tree<'a>, depth: usize) -> Result<Started<'a>, Defect> {
        self.values += 1;
        if self.values > self.limits.values_max {
            return Err(Defect::Values(self.limits.values_max));
        }
        if depth > self.limits.depth_max {
            return Err(Defect::Depth(self.limits.depth_max));
        }
        self.take(VALUE_BYTES)?;
        Ok(Started::Whole(match tree.view()? {
            View::Nil => Value::Nil,
            View::Bool(value) => Value::Bool(value),
            View::Int(value) => Value::Int(value),
            View::Long(value) => Value::Long(value),
            View::Double(value) => Value::Double(value),
            View::String(value) => Value::String(self.text(value)?),
            View::DateTime(value) => Value::DateTime(value),
            View::Binary(value) => {
                self.take(value.len())?;
                Value::Binary(value.to_vec())
            }
            View::Array(items) => {
                let values = Vec::with_capacity(items.len().min(RESERVED_MAX));
                return Ok(Started::Container(Container::Array { items, values }));
            }
            View::Struct(members) => {
                let whole = Vec::with_capacity(members.len().min(RESERVED_MAX));
                return Ok(Started::Container(Container::Struct { members, whole, name: String::new() }));
            }
        }))
    }

    fn text(&mut self, text: &str) -> Result<String, Defect> {
        self.take(text.len())?;
        Ok(text.to_owned())
    }

    /// Before they are copied.
    fn take(&mut self, bytes: usize) -> Result<(), Defect> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(Defect::Bytes(self.limits.bytes_max))?;
        Ok(())
    }
}

impl<'a> Container<'a> {
    /// The item after those that were put here.
    fn next(&mut self, reader: &mut Reader) -> Result<Option<Tree<'a>>, Defect> {
        match self {
            Self::Array { items, values } => Ok(items.get(values.len())),
            Self::Struct { members, whole, name } => {
                let Some(member) = members.at(whole.len()) else { return Ok(None) };
                let (given, value) = member?;
                *name = reader.text(given)?;
                Ok(Some(value))
            }
        }
    }

    fn put(&mut self, value: Value) {
        match self {
            Self::Array { values, .. } => values.push(value),
            Self::Struct { whole, name, .. } => whole.push((mem::take(name), value)),
        }
    }

    /// Ends this one and goes on with the one round it.
    fn put_into(&mut self, outer: Self) {
        let whole = mem::replace(self, outer).whole();
        self.put(whole);
    }

    fn whole(self) -> Value {
        match self {
            Self::Array { values, .. } => Value::Array(values),
            Self::Struct { whole, .. } => Value::Struct(whole),
        }
    }
}
