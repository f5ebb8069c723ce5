//! From XML-RPC values to Rust: [`FromValue`] and what it says when a value does not fit.
//!
//! Must not know of methods or calls: a path within one value is all that a [`Mismatch`] tells.

use crate::bytes::Bytes;
use crate::tree::{Defect, Members, ReadLimits, Tree, View};
use crate::types::Type;
use crate::value::{DateTime, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, Hash};

/// A [`Value`] is copied out of a tree whose size the host has limited already; these only stop a
/// host gone wrong.
pub(crate) const TREE_LIMITS: ReadLimits =
    ReadLimits { depth_max: 1_024, values_max: 100_000_000, bytes_max: usize::MAX };

/// A member's name in a message: the client chose it, so its length is limited.
const NAME_CHARS_MAX: usize = 64;

/// A type that a method can take as a parameter; see the crate's table of types.
///
/// Derive it for a struct with named fields. By hand, match on the view of the value.
///
/// # Examples
/// ```
/// use hotcall_plugin::{FromValue, Mismatch, Tree, Type, View};
///
/// /// A colour by its name or its number.
/// enum Colour<'a> {
///     Name(&'a str),
///     Number(i32),
/// }
///
/// impl<'a> FromValue<'a> for Colour<'a> {
///     const TYPE: Type = Type::Any;
///
///     fn from_value(value: Tree<'a>) -> Result<Self, Mismatch> {
///         match value.view()? {
///             View::String(name) => Ok(Self::Name(name)),
///             View::Int(number) => Ok(Self::Number(number)),
///             other => Err(Mismatch::new("string or int", &other)),
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from an XML-RPC value",
    label = "not a parameter's type",
    note = "parameters: bool, i8 to i64, u8 to u32, f64, String, &str, Bytes, &[u8], DateTime, \
            Value, Vec<T>, Option<T>,
            maps by String, tuples, and structs with #[derive(hotcall_plugin::FromValue)]"
)]
pub trait FromValue<'a>: Sized {
    /// What signatures and messages call it.
    const TYPE: Type;

    /// Whether a trailing parameter or a member of this type may be left out. If so,
    /// [`FromValue::absent`] answers.
    const OPTIONAL: bool = false;

    /// Reads a value. What it borrows lives until the method returns.
    ///
    /// # Errors
    /// What was wanted and what came.
    fn from_value(value: Tree<'a>) -> Result<Self, Mismatch>;

    /// What stands for a value that was left out; `None` when it must not be.
    fn absent() -> Option<Self> {
        None
    }
}

/// Why a value is not what was wanted, and where within the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    path: String,
    problem: String,
}

impl Mismatch {
    /// `wants {wanted}, got {the type of got}`.
    pub fn new(wanted: impl fmt::Display, got: &View<'_>) -> Self {
        Self::because(format!("wants {wanted}, got {}", got.type_name()))
    }

    /// A reason in other words, to follow the name of the parameter: `must not be empty`.
    pub fn because(problem: impl Into<String>) -> Self {
        Self { path: String::new(), problem: problem.into() }
    }

    /// The same, within the item of that index of an array. Messages count from 1.
    #[must_use]
    pub fn in_item(self, index: usize) -> Self {
        Self { path: format!(", item {}{}", index.saturating_add(1), self.path), ..self }
    }

    /// The same, within the member of that name of a struct.
    #[must_use]
    pub fn in_member(self, name: &str) -> Self {
        let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
        let more = if shown.len() < name.len() { "..." } else { "" };
        Self { path: format!(", member {shown}{more}{}", self.path), ..self }
    }

    /// The whole sentence about `subject`: `the result, member x: wants int, got string`.
    pub fn about(&self, subject: impl fmt::Display) -> String {
        let colon = if self.path.is_empty() { "" } else { ":" };
        format!("{subject}{}{colon} {}", self.path, self.problem)
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.about("the value"))
    }
}

impl std::error::Error for Mismatch {}

impl From<Defect> for Mismatch {
    fn from(defect: Defect) -> Self {
        Self::because(format!("is malformed: {defect}"))
    }
}

/// The members of a struct, for derived code.
///
/// # Errors
/// When it is not a struct.
pub fn members(value: Tree<'_>) -> Result<Members<'_>, Mismatch> {
    match value.view()? {
        View::Struct(members) => Ok(members),
        other => Err(Mismatch::new(Type::Struct.name(), &other)),
    }
}

/// Reads one member, for derived code.
///
/// # Errors
/// As its type, with the member's name.
pub fn member<'a, T: FromValue<'a>>(name: &str, value: Tree<'a>) -> Result<T, Mismatch> {
    T::from_value(value).map_err(|mismatch| mismatch.in_member(name))
}

/// The member that was read, or what stands for one that is absent, for derived code.
///
/// # Errors
/// When it must not be absent.
pub fn present<'a, T: FromValue<'a>>(name: &str, member: Option<T>) -> Result<T, Mismatch> {
    let missing =
        || Mismatch::because(format!("wants {}, got nothing", T::TYPE.name())).in_member(name);
    member.or_else(T::absent).ok_or_else(missing)
}

/// Implements [`FromValue`] for a type that is one case of a view.
macro_rules! scalar {
    ($($into:ty, $ty:ident, $view:ident $(, $convert:expr)?;)*) => {$(
        impl<'a> FromValue<'a> for $into {
            const TYPE: Type = Type::$ty;

            fn from_value(value: Tree<'a>) -> Result<Self, Mismatch> {
                match value.view()? {
                    View::$view(inner) => Ok($($convert)?(inner)),
                    other => Err(Mismatch::new(Self::TYPE.name(), &other)),
                }
            }
        }
    )*};
}
scalar! {
    bool, Bool, Bool;
    &'a str, String, String;
    String, String, String, str::to_owned;
    Cow<'a, str>, String, String, Cow::Borrowed;
    &'a [u8], Binary, Binary;
    Bytes, Binary, Binary, |bytes: &[u8]| Bytes(bytes.to_vec());
    DateTime, DateTime, DateTime;
}

/// Implements [`FromValue`] for integers that `i64` holds: either width is taken when the number
/// fits.
macro_rules! integer {
    ($($int:ident $ty:ident),*) => {$(
        impl FromValue<'_> for $int {
            const TYPE: Type = Type::$ty;

            fn from_value(value: Tree<'_>) -> Result<Self, Mismatch> {
                let wide = i64::from_value(value).map_err(|_| wrong(Self::TYPE.name(), value))?;
                Self::try_from(wide).map_err(|_| {
                    let (ty, min, max) = (Self::TYPE.name(), Self::MIN, Self::MAX);
                    Mismatch::because(format!("wants {ty} from {min} to {max}, got {wide}"))
                })
            }
        }
    )*};
}
integer!(i8 Int, i16 Int, i32 Int, u8 Int, u16 Int, u32 Long);

impl FromValue<'_> for i64 {
    const TYPE: Type = Type::Long;

    fn from_value(value: Tree<'_>) -> Result<Self, Mismatch> {
        match value.view()? {
            View::Int(int) => Ok(Self::from(int)),
            View::Long(long) => Ok(long),
            other => Err(Mismatch::new(Self::TYPE.name(), &other)),
        }
    }
}

/// Takes a double, and an int: many clients write 2.0 as the int 2.
impl FromValue<'_> for f64 {
    const TYPE: Type = Type::Double;

    fn from_value(value: Tree<'_>) -> Result<Self, Mismatch> {
        match value.view()? {
            View::Double(double) => Ok(double),
            View::Int(int) => Ok(Self::from(int)),
            other => Err(Mismatch::new(Self::TYPE.name(), &other)),
        }
    }
}

impl FromValue<'_> for () {
    const TYPE: Type = Type::Nil;

    fn from_value(value: Tree<'_>) -> Result<Self, Mismatch> {
        match value.view()? {
            View::Nil => Ok(()),
            other => Err(Mismatch::new(Self::TYPE.name(), &other)),
        }
    }
}

impl FromValue<'_> for Value {
    const TYPE: Type = Type::Any;

    fn from_value(value: Tree<'_>) -> Result<Self, Mismatch> {
        Ok(value.to_value(TREE_LIMITS)?)
    }
}

/// Nil is `None`.
impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    const TYPE: Type = T::TYPE;
    const OPTIONAL: bool = true;

    fn from_value(value: Tree<'a>) -> Result<Self, Mismatch> {
        match value.view()? {
            View::Nil => Ok(None),
            _ => T::from_value(value).map(Some),
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Vec<T> {
    const TYPE: Type = Type::Array;

    fn from_value(value: Tree<'a>) -> Result<Self, Mismatch> {
        match value.view()? {
            View::Array(items) => {
                items.iter().enumerate().map(|(index, tree)| item(index, tree)).collect()
            }
            other => Err(Mismatch::new(Self::TYPE.name(), &other)),
        }
    }
}

impl<'a, K, T, S> FromValue<'a> for HashMap<K, T, S>
where
    K: From<&'a str> + Eq + Hash,
    T: FromValue<'a>,
    S: BuildHasher + Default,
{
    const TYPE: Type = Type::Struct;

    fn from_value(value: Tree<'a>) -> Result<Self, Mismatch> {
        members(value)?.iter().map(entry).collect()
    }
}

impl<'a, K: From<&'a str> + Ord, T: FromValue<'a>> FromValue<'a> for BTreeMap<K, T> {
    const TYPE: Type = Type::Struct;

    fn from_value(value: Tree<'a>) -> Result<Self, Mismatch> {
        members(value)?.iter().map(entry).collect()
    }
}

/// Implements [`FromValue`] for tuples: an array of exactly so many items.
macro_rules! tuple {
    ($($count:literal: $($item:ident $index:literal)+;)*) => {$(
        impl<'a, $($item: FromValue<'a>),+> FromValue<'a> for ($($item,)+) {
            const TYPE: Type = Type::Array;

            fn from_value(value: Tree<'a>) -> Result<Self, Mismatch> {
                let items = match value.view()? {
                    View::Array(items) => items,
                    other => return Err(Mismatch::new(Self::TYPE.name(), &other)),
                };
                let short = || {
                    Mismatch::because(format!(
                        "wants array of {} items, got {} items",
                        $count,
                        items.len()
                    ))
                };
                if items.len() != $count {
                    return Err(short());
                }
                let mut items = items.iter();
                Ok(($(item::<$item>($index, items.next().ok_or_else(short)?)?,)+))
            }
        }
    )*};
}
tuple! {
    1: A 0;
    2: A 0 B 1;
    3: A 0 B 1 C 2;
    4: A 0 B 1 C 2 D 3;
    5: A 0 B 1 C 2 D 3 E 4;
    6: A 0 B 1 C 2 D 3 E 4 F 5;
    7: A 0 B 1 C 2 D 3 E 4 F 5 G 6;
    8: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7;
}

fn item<'a, T: FromValue<'a>>(index: usize, value: Tree<'a>) -> Result<T, Mismatch> {
    T::from_value(value).map_err(|mismatch| mismatch.in_item(index))
}

fn entry<'a, K: From<&'a str>, T: FromValue<'a>>(
    entry: Result<(&'a str, Tree<'a>), Defect>,
) -> Result<(K, T), Mismatch> {
    let (name, value) = entry?;
    Ok((K::from(name), member(name, value)?))
}

fn wrong(wanted: &str, value: Tree<'_>) -> Mismatch {
    match value.view() {
        Ok(view) => Mismatch::new(wanted, &view),
        Err(defect) => defect.into(),
    }
}
