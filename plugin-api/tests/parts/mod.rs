//! What the layout test is made of: its tables' rows, C compilers, and readers of the two sources.

pub(crate) mod compiler;
mod recorded;
pub(crate) mod source;

/// A struct on both sides, with Rust's layout.
pub(crate) struct Type {
    pub(crate) c: &'static str,
    pub(crate) rust: &'static str,
    pub(crate) size: usize,
    pub(crate) align: usize,
    pub(crate) fields: Vec<Field>,
}

/// A field of a struct: its name in C, and Rust's layout.
pub(crate) struct Field {
    pub(crate) c: &'static str,
    pub(crate) offset: usize,
    pub(crate) size: usize,
}

/// A constant of the header, and the constant of `abi` that mirrors it.
pub(crate) struct Constant {
    pub(crate) c: &'static str,
    pub(crate) rust: Option<&'static str>,
    pub(crate) value: i64,
}

/// Makes a field whose size is that of what `_get` borrows.
pub(crate) fn field<T, F>(c: &'static str, offset: usize, _get: fn(&T) -> &F) -> Field {
    Field { c, offset, size: size_of::<F>() }
}
