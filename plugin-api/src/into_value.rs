//! From Rust to XML-RPC values, built in the call's memory: [`IntoValue`], and the possible
//! results of a method.
//!
//! Must not know of methods, nor where the memory comes from.

use crate::arena::{Arena, Built};
use crate::bytes::Bytes;
use crate::fault::Fault;
use crate::types::Type;
use crate::value::{DateTime, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// A type that a method can answer with; see the crate's table of types.
///
/// Derive it for a struct with named fields. By hand, choose another type to become and pass the
/// work on.
///
/// # Examples
/// ```
/// use hotcall_plugin::{Arena, Built, Fault, IntoValue, Type};
///
/// /// A temperature, sent as a double.
/// struct Celsius(f64);
///
/// impl IntoValue for Celsius {
///     const TYPE: Type = Type::Double;
///
///     fn into_value<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault> {
///         self.0.into_value(arena)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot become an XML-RPC value",
    label = "not a result's type",
    note = "results: bool, i8 to i64, u8 to u32, f64, String, &str, Bytes, &[u8], DateTime, \
            Value, Vec<T>, Option<T>,
            (), maps by String, tuples, and structs with #[derive(hotcall_plugin::IntoValue)]; or \
            a Result of these"
)]
pub trait IntoValue: Sized {
    /// What signatures call it.
    const TYPE: Type;

    /// Builds the value in the call's memory.
    ///
    /// # Errors
    /// When the call's memory limit is reached, or the value has no form in XML-RPC.
    fn into_value<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault>;
}

/// What a method may return: a value, or a `Result` of a value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a method's result",
    label = "neither a value nor a `Result` of a value and what becomes a `Fault`",
    note = "results: bool, i8 to i64, u8 to u32, f64, String, &str, Bytes, &[u8], DateTime, \
            Value, Vec<T>, Option<T>,
            (), maps by String, tuples, and structs with #[derive(hotcall_plugin::IntoValue)]; or \
            a Result of these"
)]
pub trait Outcome {
    /// The type of the value.
    const TYPE: Type;

    /// Builds the value, or passes the fault on.
    ///
    /// # Errors
    /// The method's own, or that of [`IntoValue::into_value`].
    fn finish<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault>;
}

impl<T: IntoValue> Outcome for T {
    const TYPE: Type = T::TYPE;

    fn finish<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault> {
        self.into_value(arena)
    }
}

impl<T: IntoValue, E: Into<Fault>> Outcome for Result<T, E> {
    const TYPE: Type = T::TYPE;

    fn finish<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault> {
        self.map_err(Into::into)?.into_value(arena)
    }
}

/// Implements [`IntoValue`] for types that need no memory.
macro_rules! scalar {
    ($($from:ty, $ty:ident, $make:ident;)*) => {$(
        impl IntoValue for $from {
            const TYPE: Type = Type::$ty;

            fn into_value<'c>(self, _: Arena<'c>) -> Result<Built<'c>, Fault> {
                Ok(Built::$make(self.into()))
            }
        }
    )*};
}
scalar! {
    bool, Bool, boolean;
    i8, Int, int;
    i16, Int, int;
    i32, Int, int;
    u8, Int, int;
    u16, Int, int;
    u32, Long, long;
    i64, Long, long;
    f64, Double, double;
    DateTime, DateTime, datetime;
}

/// Implements [`IntoValue`] for text and bytes, which are copied.
macro_rules! copied {
    ($($from:ty, $ty:ident, $make:ident;)*) => {$(
        impl IntoValue for $from {
            const TYPE: Type = Type::$ty;

            fn into_value<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault> {
                arena.$make(&self)
            }
        }
    )*};
}
copied! {
    &str, String, string;
    String, String, string;
    Cow<'_, str>, String, string;
    &[u8], Binary, binary;
    Bytes, Binary, binary;
}

/// Nil.
impl IntoValue for () {
    const TYPE: Type = Type::Nil;

    fn into_value<'c>(self, _: Arena<'c>) -> Result<Built<'c>, Fault> {
        Ok(Built::NIL)
    }
}

/// `None` is nil.
impl<T: IntoValue> IntoValue for Option<T> {
    const TYPE: Type = T::TYPE;

    fn into_value<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault> {
        self.map_or(Ok(Built::NIL), |value| value.into_value(arena))
    }
}

impl<T: IntoValue> IntoValue for Vec<T> {
    const TYPE: Type = Type::Array;

    fn into_value<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault> {
        arena.array(self.into_iter().map(|item| item.into_value(arena)))
    }
}

impl<T: IntoValue, const N: usize> IntoValue for [T; N] {
    const TYPE: Type = Type::Array;

    fn into_value<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault> {
        arena.array(self.into_iter().map(|item| item.into_value(arena)))
    }
}

/// The members come in no particular order; a `BTreeMap` sends them sorted.
impl<K: AsRef<str>, T: IntoValue, S> IntoValue for HashMap<K, T, S> {
    const TYPE: Type = Type::Struct;

    fn into_value<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault> {
        arena.structure(self.into_iter().map(|(name, value)| entry(name, value, arena)))
    }
}

impl<K: AsRef<str>, T: IntoValue> IntoValue for BTreeMap<K, T> {
    const TYPE: Type = Type::Struct;

    fn into_value<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault> {
        arena.structure(self.into_iter().map(|(name, value)| entry(name, value, arena)))
    }
}

impl IntoValue for Value {
    const TYPE: Type = Type::Any;

    fn into_value<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault> {
        match self {
            Self::Nil => Ok(Built::NIL),
            Self::Bool(value) => value.into_value(arena),
            Self::Int(value) => value.into_value(arena),
            Self::Long(value) => value.into_value(arena),
            Self::Double(value) => value.into_value(arena),
            Self::String(value) => value.into_value(arena),
            Self::DateTime(value) => value.into_value(arena),
            Self::Binary(value) => Bytes(value).into_value(arena),
            Self::Array(items) => items.into_value(arena),
            Self::Struct(members) => {
                arena.structure(members.into_iter().map(|(name, value)| entry(name, value, arena)))
            }
        }
    }
}

/// Implements [`IntoValue`] for tuples, which become arrays: how a method gives several results.
macro_rules! tuple {
    ($($($item:ident $field:tt)+;)*) => {$(
        impl<$($item: IntoValue),+> IntoValue for ($($item,)+) {
            const TYPE: Type = Type::Array;

            fn into_value<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault> {
                arena.array([$(self.$field.into_value(arena)),+].into_iter())
            }
        }
    )*};
}
tuple! {
    A 0;
    A 0 B 1;
    A 0 B 1 C 2;
    A 0 B 1 C 2 D 3;
    A 0 B 1 C 2 D 3 E 4;
    A 0 B 1 C 2 D 3 E 4 F 5;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7;
}

fn entry<'c>(
    name: impl AsRef<str>,
    value: impl IntoValue,
    arena: Arena<'c>,
) -> Result<(&'c str, Built<'c>), Fault> {
    Ok((arena.text(name.as_ref())?, value.into_value(arena)?))
}
