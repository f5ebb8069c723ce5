//! Walking through a tree, within limits and without recursion: the one place where a whole tree is
//! checked. Must not know what a tree is made of, or what becomes of it.

use crate::tree::{Defect, Items, Members, ReadLimits, Tree, View};

/// What a value counts for besides its text and bytes: the least that any takes when encoded.
const VALUE_BYTES: usize = 8;

/// One step of a [`Walk`].
#[derive(Clone, Copy)]
pub enum Step<'a> {
    /// A value. What is in an array or a struct follows, and then its end.
    Value(View<'a>),
    /// The name of a member, whose value follows.
    Name(&'a str),
    /// The end of the innermost array.
    EndArray,
    /// The end of the innermost struct.
    EndStruct,
}

/// Gives the values of a tree and the names of its members, in order. Its last item is the first
/// [`Defect`] found, or the limit that the tree passes.
pub struct Walk<'a> {
    limits: ReadLimits,
    values: usize,
    bytes_left: usize,
    /// The whole tree, or the value of the member whose name was given.
    next: Option<Tree<'a>>,
    open: Vec<Open<'a>>,
}

/// An array or a struct, and how many of its items or members were given.
enum Open<'a> {
    Array(Items<'a>, usize),
    Struct(Members<'a>, usize),
}

impl<'a> Tree<'a> {
    /// Walks through the whole tree.
    #[inline]
    pub const fn walk(self, limits: ReadLimits) -> Walk<'a> {
        let bytes_left = limits.bytes_max;
        Walk { limits, values: 0, bytes_left, next: Some(self), open: Vec::new() }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Step<'a>, Defect>;

    // So that a step is taken apart where it is used, and not written to memory first: that doubles
    // the time of small values.
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let tree = match (self.next.take(), self.open.last_mut()) {
            (Some(tree), _) => tree,
            (None, Some(Open::Array(items, given))) => match items.get(*given) {
                Some(item) => {
                    *given += 1;
                    item
                }
                None => {
                    self.open.pop();
                    return Some(Ok(Step::EndArray));
                }
            },
            (None, Some(Open::Struct(members, given))) => match members.at(*given) {
                Some(member) => {
                    *given += 1;
                    return Some(self.name(member));
                }
                None => {
                    self.open.pop();
                    return Some(Ok(Step::EndStruct));
                }
            },
            (None, None) => return None,
        };
        match self.value(tree) {
            Ok(view) => Some(Ok(Step::Value(view))),
            Err(defect) => Some(Err(self.end(defect))),
        }
    }
}

impl<'a> Walk<'a> {
    #[inline(always)]
    fn name(&mut self, member: Result<(&'a str, Tree<'a>), Defect>) -> Result<Step<'a>, Defect> {
        let (name, value) = member.map_err(|defect| self.end(defect))?;
        self.take(name.len()).map_err(|defect| self.end(defect))?;
        self.next = Some(value);
        Ok(Step::Name(name))
    }

    /// How much of the tree was given, in parts of [`WHOLE`](Self::WHOLE), if all items of each
    /// array and struct have one size.
    #[cold]
    pub fn given(&self) -> usize {
        self.open.iter().rev().fold(0, |inside, open| {
            let (given, len) = match open {
                Open::Array(items, given) => (*given, items.len()),
                Open::Struct(members, given) => (*given, members.len()),
            };
            // The last one that was given is the one that `inside` is about.
            let before = given.saturating_sub(1).saturating_mul(Self::WHOLE);
            before.saturating_add(inside) / len.max(1)
        })
    }

    /// A whole tree in [`given`](Self::given).
    pub const WHOLE: usize = 1 << 16;

    /// Walks on to the end. The first defect, if there is one.
    #[cold]
    #[inline(never)]
    pub fn defect(&mut self) -> Option<Defect> {
        self.find_map(Result::err)
    }

    /// No step follows a defect.
    #[cold]
    fn end(&mut self, defect: Defect) -> Defect {
        self.open.clear();
        defect
    }

    #[inline(always)]
    fn value(&mut self, tree: Tree<'a>) -> Result<View<'a>, Defect> {
        let ReadLimits { depth_max, values_max, .. } = self.limits;
        self.values += 1;
        if self.values > values_max {
            return Err(Defect::Values(values_max));
        }
        if self.open.len() > depth_max {
            return Err(Defect::Depth(depth_max));
        }
        self.take(VALUE_BYTES)?;
        let view = tree.view()?;
        match view {
            View::String(text) => self.take(text.len())?,
            View::Binary(bytes) => self.take(bytes.len())?,
            View::Array(items) => self.open.push(Open::Array(items, 0)),
            View::Struct(members) => self.open.push(Open::Struct(members, 0)),
            _ => {}
        }
        Ok(view)
    }

    #[inline]
    fn take(&mut self, bytes: usize) -> Result<(), Defect> {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.ok_or(Defect::Bytes(self.limits.bytes_max))?;
        Ok(())
    }
}
