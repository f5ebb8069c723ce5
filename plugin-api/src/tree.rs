//! Reads a value tree: one that came across the ABI, or an owned [`Value`], seen in the same way.
//!
//! The host reads results with it and the SDK reads parameters. It is the one place of null,
//! length, UTF-8 and range guards. Must not know of methods or calls.
#![allow(unsafe_code, reason = "pointers of the other side of the ABI become references here")]

use crate::abi;
use crate::types::Type;
use crate::value::{DateTime, Value};
use std::iter::Map;
use std::{fmt, slice};

/// What is wrong with a value tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// A tag that the ABI does not define.
    Tag(u32),
    /// A NULL pointer with a length, or a length that no memory has.
    Pointer,
    /// Text that is not UTF-8.
    Utf8,
    /// A date-time out of range.
    DateTime,
    /// Nested deeper than the limit.
    Depth(usize),
    /// More values than the limit.
    Values(usize),
    /// More bytes than the limit.
    Bytes(usize),
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "unknown value tag {tag}"),
            Self::Pointer => f.write_str("a pointer or length that cannot be"),
            Self::Utf8 => f.write_str("text that is not UTF-8"),
            Self::DateTime => f.write_str("a date-time out of range"),
            Self::Depth(max) => write!(f, "values nested deeper than {max}"),
            Self::Values(max) => write!(f, "more than {max} values"),
            Self::Bytes(max) => write!(f, "more than {max} bytes"),
        }
    }
}

impl std::error::Error for Defect {}

/// How much of a tree [`Tree::walk`] and [`Tree::to_value`] read before they refuse. A tree may
/// name the same memory again and again, or itself, so a small one can be endless.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Arrays and structs within each other.
    pub depth_max: usize,
    /// Values of all kinds together.
    pub values_max: usize,
    /// Texts, bytes and names of members together, and 8 bytes for each value.
    pub bytes_max: usize,
}

impl ReadLimits {
    /// For a tree that was checked before, such as an owned [`Value`].
    pub const NONE: Self = {
        let max = usize::MAX;
        Self { depth_max: max, values_max: max, bytes_max: max }
    };
}

/// A borrowed value tree: of the other side, or a [`Value`] of this one.
#[derive(Clone, Copy)]
pub struct Tree<'a>(Node<'a>);

#[derive(Clone, Copy)]
enum Node<'a> {
    Raw(&'a abi::Value),
    Owned(&'a Value),
}

/// One level of a [`Tree`].
#[derive(Clone, Copy)]
pub enum View<'a> {
    /// No value.
    Nil,
    /// A boolean.
    Bool(bool),
    /// 32 bits.
    Int(i32),
    /// 64 bits.
    Long(i64),
    /// A double.
    Double(f64),
    /// Text.
    String(&'a str),
    /// A date and time.
    DateTime(DateTime),
    /// Bytes.
    Binary(&'a [u8]),
    /// Items in order.
    Array(Items<'a>),
    /// Members in order.
    Struct(Members<'a>),
}

/// The items of an array.
#[derive(Clone, Copy)]
pub struct Items<'a>(Slice<'a, abi::Value, Value>);

/// The members of a struct.
#[derive(Clone, Copy)]
pub struct Members<'a>(Slice<'a, abi::Member, (String, Value)>);

enum Slice<'a, R, O> {
    Raw(&'a [R]),
    Owned(&'a [O]),
}

impl<'a> Tree<'a> {
    /// Trusts `raw` to be a tree of the ABI.
    ///
    /// # Safety
    /// Every pointer in the tree that is not NULL must be valid for reads of its length for all of
    /// `'a`, hold initialised memory that nobody writes, and be aligned for what it points to.
    #[inline]
    pub const unsafe fn new(raw: &'a abi::Value) -> Self {
        Self(Node::Raw(raw))
    }

    /// Looks at the top of the tree.
    ///
    /// # Errors
    /// The [`Defect`] of this level. Deeper levels are checked when they are viewed.
    #[inline(always)]
    pub fn view(self) -> Result<View<'a>, Defect> {
        match self.0 {
            // SAFETY: `Tree::new` was promised that the tree is one of the ABI, valid for 'a.
            Node::Raw(raw) => unsafe { view_raw(raw) },
            Node::Owned(value) => Ok(View::from(value)),
        }
    }
}

impl Type {
    /// The type of a value at hand.
    pub const fn of(view: &View<'_>) -> Self {
        match view {
            View::Nil => Self::Nil,
            View::Bool(_) => Self::Bool,
            View::Int(_) => Self::Int,
            View::Long(_) => Self::Long,
            View::Double(_) => Self::Double,
            View::String(_) => Self::String,
            View::DateTime(_) => Self::DateTime,
            View::Binary(_) => Self::Binary,
            View::Array(_) => Self::Array,
            View::Struct(_) => Self::Struct,
        }
    }
}

/// So that an owned value is read as one of the ABI is.
impl<'a> From<&'a Value> for Tree<'a> {
    fn from(value: &'a Value) -> Self {
        Self(Node::Owned(value))
    }
}

impl<'a> From<&'a Value> for View<'a> {
    #[inline]
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Nil => Self::Nil,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Long(value) => Self::Long(*value),
            Value::Double(value) => Self::Double(*value),
            Value::String(value) => Self::String(value),
            Value::DateTime(value) => Self::DateTime(*value),
            Value::Binary(value) => Self::Binary(value),
            Value::Array(items) => Self::Array(Items(Slice::Owned(items))),
            Value::Struct(members) => Self::Struct(Members(Slice::Owned(members))),
        }
    }
}

impl<'a> From<&'a [Value]> for Items<'a> {
    fn from(values: &'a [Value]) -> Self {
        Self(Slice::Owned(values))
    }
}

impl<'a, const N: usize> From<&'a [Value; N]> for Items<'a> {
    fn from(values: &'a [Value; N]) -> Self {
        values.as_slice().into()
    }
}

impl<'a> From<&'a Vec<Value>> for Items<'a> {
    fn from(values: &'a Vec<Value>) -> Self {
        values.as_slice().into()
    }
}

impl<'a> View<'a> {
    /// As [`Value::type_name`] has it.
    pub const fn type_name(&self) -> &'static str {
        Type::of(self).name()
    }
}

impl<'a> Items<'a> {
    /// No items.
    pub const NONE: Self = Self(Slice::Owned(&[]));

    /// Trusts `raw` to be trees of the ABI.
    ///
    /// # Safety
    /// As [`Tree::new`] for each of them.
    #[inline]
    pub const unsafe fn new(raw: &'a [abi::Value]) -> Self {
        Self(Slice::Raw(raw))
    }

    /// The items in the ABI's form.
    ///
    /// # Errors
    /// They have another: these are they.
    #[inline]
    pub const fn as_abi(self) -> Result<&'a [abi::Value], &'a [Value]> {
        match self.0 {
            Slice::Raw(raw) => Ok(raw),
            Slice::Owned(values) => Err(values),
        }
    }

    /// Number of items.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at that index, counted from 0.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Tree<'a>> {
        match self.0 {
            Slice::Raw(raw) => raw.get(index).map(|raw| Tree(Node::Raw(raw))),
            Slice::Owned(values) => values.get(index).map(Tree::from),
        }
    }

    /// The items in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Tree<'a>> + Clone + use<'a> {
        self.0.iter(|raw| Tree(Node::Raw(raw)), Tree::from)
    }
}

impl<'a> Members<'a> {
    /// The first member of that name.
    ///
    /// # Errors
    /// A name before it is not UTF-8.
    pub fn get(&self, name: &str) -> Result<Option<Tree<'a>>, Defect> {
        for member in self.iter() {
            let (other, value) = member?;
            if other == name {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Number of members.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The members in order; a name that is not UTF-8 is a [`Defect`].
    #[inline]
    pub fn iter(
        &self,
    ) -> impl ExactSizeIterator<Item = Result<(&'a str, Tree<'a>), Defect>> + use<'a> {
        self.0.iter(Self::raw, Self::owned)
    }

    /// The member at that index, counted from 0.
    #[inline]
    pub(crate) fn at(&self, index: usize) -> Option<Result<(&'a str, Tree<'a>), Defect>> {
        match self.0 {
            Slice::Raw(raw) => raw.get(index).map(Self::raw),
            Slice::Owned(owned) => owned.get(index).map(Self::owned),
        }
    }

    #[inline]
    fn raw(member: &'a abi::Member) -> Result<(&'a str, Tree<'a>), Defect> {
        // SAFETY: `Tree::new` was promised that the tree's pointers are valid for 'a.
        let name = unsafe { str_of(member.name) }?;
        Ok((name, Tree(Node::Raw(&member.value))))
    }

    #[inline]
    fn owned((name, value): &'a (String, Value)) -> Result<(&'a str, Tree<'a>), Defect> {
        Ok((name, Tree::from(value)))
    }
}

// Not derived, because a derive would want the items to be `Copy` too.
impl<R, O> Copy for Slice<'_, R, O> {}

impl<R, O> Clone for Slice<'_, R, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<'a, R, O> Slice<'a, R, O> {
    const fn len(&self) -> usize {
        match self {
            Self::Raw(slice) => slice.len(),
            Self::Owned(slice) => slice.len(),
        }
    }

    fn iter<T, RawFn: Fn(&'a R) -> T, OwnedFn: Fn(&'a O) -> T>(
        self,
        raw: RawFn,
        owned: OwnedFn,
    ) -> Each<Map<slice::Iter<'a, R>, RawFn>, Map<slice::Iter<'a, O>, OwnedFn>> {
        match self {
            Self::Raw(slice) => Each::Raw(slice.iter().map(raw)),
            Self::Owned(slice) => Each::Owned(slice.iter().map(owned)),
        }
    }
}

/// An iterator over a slice of either kind.
#[derive(Clone)]
enum Each<R, O> {
    Raw(R),
    Owned(O),
}

impl<R: ExactSizeIterator, O: ExactSizeIterator<Item = R::Item>> Iterator for Each<R, O> {
    type Item = R::Item;

    fn next(&mut self) -> Option<R::Item> {
        match self {
            Self::Raw(iter) => iter.next(),
            Self::Owned(iter) => iter.next(),
        }
    }

    fn nth(&mut self, n: usize) -> Option<R::Item> {
        match self {
            Self::Raw(iter) => iter.nth(n),
            Self::Owned(iter) => iter.nth(n),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Raw(iter) => iter.size_hint(),
            Self::Owned(iter) => iter.size_hint(),
        }
    }
}

impl<R: ExactSizeIterator, O: ExactSizeIterator<Item = R::Item>> ExactSizeIterator for Each<R, O> {}

/// Looks at the top of a tree of the ABI.
///
/// # Safety
/// As [`Tree::new`].
// If the view is in memory, each read from it waits until all of it has been written there.
#[inline(always)]
unsafe fn view_raw(value: &abi::Value) -> Result<View<'_>, Defect> {
    let payload = &value.payload;
    Ok(match value.tag {
        abi::NIL => View::Nil,
        // SAFETY: the tag says that `boolean` was written; a u8 has no invalid bits.
        abi::BOOL => View::Bool(unsafe { payload.boolean } != 0),
        // SAFETY: the tag says that `int` was written.
        abi::INT => View::Int(unsafe { payload.int }),
        // SAFETY: the tag says that `long` was written.
        abi::LONG => View::Long(unsafe { payload.long }),
        // SAFETY: the tag says that `double` was written.
        abi::DOUBLE => View::Double(unsafe { payload.double }),
        abi::STRING => {
            // SAFETY: the tag says that `string` was written.
            let string = unsafe { payload.string };
            // SAFETY: passed on from this function's own contract.
            View::String(unsafe { str_of(string) }?)
        }
        // SAFETY: the tag says that `datetime` was written; its fields are integers.
        abi::DATETIME => View::DateTime(DateTime::try_from(unsafe { payload.datetime })?),
        abi::BINARY => {
            // SAFETY: the tag says that `binary` was written.
            let binary = unsafe { payload.binary };
            // SAFETY: passed on from this function's own contract.
            View::Binary(unsafe { slice_of(binary.ptr, binary.len) }?)
        }
        abi::ARRAY => {
            // SAFETY: the tag says that `array` was written.
            let array = unsafe { payload.array };
            // SAFETY: passed on from this function's own contract.
            View::Array(Items(Slice::Raw(unsafe { slice_of(array.ptr, array.len) }?)))
        }
        abi::STRUCT => {
            // SAFETY: the tag says that `structure` was written.
            let structure = unsafe { payload.structure };
            // SAFETY: passed on from this function's own contract.
            View::Struct(Members(Slice::Raw(unsafe { slice_of(structure.ptr, structure.len) }?)))
        }
        tag => return Err(Defect::Tag(tag)),
    })
}

/// Reads text that the other side gave.
///
/// # Errors
/// [`Defect::Pointer`] or [`Defect::Utf8`].
///
/// # Safety
/// If not NULL, the pointer must be valid for reads of its length for all of `'a`, and nobody may
/// write there.
#[inline]
pub unsafe fn str_of<'a>(raw: abi::Str) -> Result<&'a str, Defect> {
    // SAFETY: passed on from this function's own contract.
    let bytes = unsafe { slice_of(raw.ptr, raw.len) }?;
    std::str::from_utf8(bytes).map_err(|_| Defect::Utf8)
}

/// Makes a slice of a pointer and a length of the other side.
///
/// # Errors
/// [`Defect::Pointer`] when the pointer is NULL or misaligned with a length, or the length
/// overflows.
///
/// # Safety
/// If not NULL, the pointer must be valid for reads of `len` initialised items for all of `'a`, and
/// nobody may write there.
#[inline]
pub unsafe fn slice_of<'a, T>(ptr: *const T, len: usize) -> Result<&'a [T], Defect> {
    if len == 0 {
        return Ok(&[]);
    }
    let fits = len.checked_mul(size_of::<T>()).is_some_and(|bytes| isize::try_from(bytes).is_ok());
    if ptr.is_null() || !ptr.is_aligned() || !fits {
        return Err(Defect::Pointer);
    }
    // SAFETY: not null, aligned, and of a possible length by the checks above; valid by the
    // caller's promise.
    Ok(unsafe { slice::from_raw_parts(ptr, len) })
}

impl TryFrom<abi::DateTime> for DateTime {
    type Error = Defect;

    fn try_from(raw: abi::DateTime) -> Result<Self, Defect> {
        let abi::DateTime { year, month, day, hour, minute, second, .. } = raw;
        let year = u16::try_from(year).map_err(|_| Defect::DateTime)?;
        DateTime::new(year, month, day, hour, minute, second)
            .and_then(|plain| plain.with_nanosecond(raw.nanosecond))
            .and_then(|plain| match raw.has_offset {
                0 => Some(plain),
                _ => plain.with_offset_minutes(raw.offset_minutes),
            })
            .ok_or(Defect::DateTime)
    }
}

impl From<DateTime> for abi::DateTime {
    fn from(value: DateTime) -> Self {
        Self {
            year: i32::from(value.year()),
            nanosecond: value.nanosecond(),
            offset_minutes: value.offset_minutes().unwrap_or(0),
            has_offset: u8::from(value.offset_minutes().is_some()),
            month: value.month(),
            day: value.day(),
            hour: value.hour(),
            minute: value.minute(),
            second: value.second(),
        }
    }
}
