//! The parameters of a call.
//!
//! Must not know how a type becomes a value: `hotcall_plugin` does that, as for plugins' results.

use crate::xmlrpc::{DateTime, Value};
use hotcall_plugin::{Bytes, Fault, IntoValue};

/// The parameters of one call.
///
/// | given | sent |
/// |---|---|
/// | `()` | no parameter |
/// | a tuple of 1 to 8, like `(2, "x")` | each of its items, of any type with [`IntoValue`] |
/// | `Vec<Value>`, `[Value; N]`, `&[Value]` | each of its items |
/// | a number, `bool`, text, [`Bytes`], [`DateTime`] or [`Value`] | itself, as the one parameter |
///
/// One array, map or struct is a tuple of one: `(vec![1, 2],)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not stand for a call's parameters",
    label = "neither parameters nor a single one",
    note = "parameters: a tuple of 1 to 8 items that become values, Vec<Value>, [Value; N], \
            &[Value], () for none, or
            one number, bool, text, Bytes, DateTime or Value; one array, map or struct is a tuple \
            of one, like (list,)"
)]
pub trait Params {
    /// The values to send, in order.
    ///
    /// # Errors
    /// As [`IntoValue::into_value`].
    fn into_params(self) -> Result<Vec<Value>, Fault>;
}

impl Params for () {
    fn into_params(self) -> Result<Vec<Value>, Fault> {
        Ok(Vec::new())
    }
}

impl Params for Vec<Value> {
    fn into_params(self) -> Result<Vec<Value>, Fault> {
        Ok(self)
    }
}

impl<const N: usize> Params for [Value; N] {
    fn into_params(self) -> Result<Vec<Value>, Fault> {
        Ok(self.into())
    }
}

impl Params for &[Value] {
    fn into_params(self) -> Result<Vec<Value>, Fault> {
        Ok(self.to_vec())
    }
}

impl Params for Value {
    fn into_params(self) -> Result<Vec<Value>, Fault> {
        Ok(vec![self])
    }
}

/// Implements [`Params`] for types of one value. A rule for all of them would take tuples in, which
/// are arrays there.
macro_rules! single {
    ($($one:ty),*) => {$(
        impl Params for $one {
            fn into_params(self) -> Result<Vec<Value>, Fault> {
                Ok(vec![Value::of(self)?])
            }
        }
    )*};
}
single!(bool, i8, i16, i32, u8, u16, u32, i64, f64, &str, String, Bytes, DateTime);

/// Implements [`Params`] for tuples.
macro_rules! tuple {
    ($($($item:ident $field:tt)+;)*) => {$(
        impl<$($item: IntoValue),+> Params for ($($item,)+) {
            fn into_params(self) -> Result<Vec<Value>, Fault> {
                Ok(vec![$(Value::of(self.$field)?),+])
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
