//! How large a result would be once copied.
//!
//! A tree may name the same memory again and again, or itself, so a small one can be endless when copied: its size
//! is counted before that.

use hotcall_plugin::tree::{Defect, ReadLimits, Tree, View};

/// What each value costs besides its text and bytes: the smallest that any value takes when encoded.
const VALUE_BYTES: usize = 8;

/// Why a result is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// Not a tree of the ABI, too deep, or too many values.
    Defect(Defect),
    /// Too many bytes.
    Bytes,
}

impl From<Defect> for Excess {
    fn from(defect: Defect) -> Self {
        Self::Defect(defect)
    }
}

/// Walks the whole tree.
///
/// # Errors
/// The first limit that it passes or defect that it has.
pub(super) fn check(tree: Tree<'_>, limits: ReadLimits, bytes_max: usize) -> Result<(), Excess> {
    Scale { limits, values: 0, bytes_left: bytes_max }.weigh(tree, 0)
}

struct Scale {
    limits: ReadLimits,
    values: usize,
    bytes_left: usize,
}

impl Scale {
    fn weigh(&mut self, tree: Tree<'_>, depth: usize) -> Result<(), Excess> {
        self.values += 1;
        if self.values > self.limits.values_max {
            return Err(Defect::Values(self.limits.values_max).into());
        }
        if depth > self.limits.depth_max {
            return Err(Defect::Depth(self.limits.depth_max).into());
        }
        self.take(VALUE_BYTES)?;
        match tree.view()? {
            View::String(text) => self.take(text.len()),
            View::Binary(bytes) => self.take(bytes.len()),
            View::Array(items) => items.iter().try_for_each(|item| self.weigh(item, depth + 1)),
            View::Struct(members) => members.iter().try_for_each(|member| {
                let (name, value) = member?;
                self.take(name.len())?;
                self.weigh(value, depth + 1)
            }),
            _ => Ok(()),
        }
    }

    fn take(&mut self, bytes: usize) -> Result<(), Excess> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(Excess::Bytes)?;
        Ok(())
    }
}
