//! Between Rust types and owned values, by the same traits as a method's parameters and results: for clients, and for
//! tests.
//!
//! Must not know how any one type is mapped.

use crate::Value;
use crate::arena::{Arena, OwnMemory};
use crate::fault::Fault;
use crate::from_value::{FromValue, Mismatch, TREE_LIMITS};
use crate::into_value::IntoValue;
use crate::tree::Tree;

impl Value {
    /// The value that a Rust value becomes when it is sent.
    ///
    /// # Errors
    /// As [`IntoValue::into_value`]; the types of this crate fail only when memory ends.
    ///
    /// # Examples
    /// ```
    /// use hotcall_plugin::{IntoValue, Value};
    ///
    /// #[derive(IntoValue)]
    /// struct Point {
    ///     x: i32,
    ///     y: f64,
    /// }
    /// let members = vec![("x".into(), Value::Int(1)), ("y".into(), Value::Double(0.5))];
    /// assert_eq!(Value::of(Point { x: 1, y: 0.5 }), Ok(Value::Struct(members)));
    /// ```
    pub fn of(value: impl IntoValue) -> Result<Self, Fault> {
        let memory = OwnMemory::default();
        let built = value.into_value(Arena::of(&memory))?;
        built.tree().to_value(TREE_LIMITS).map_err(|defect| Fault::error(defect.to_string()))
    }

    /// The value as a Rust type.
    ///
    /// # Errors
    /// What was wanted and what is there.
    ///
    /// # Examples
    /// ```
    /// use hotcall_plugin::Value;
    /// let value = Value::Array(vec!["a".into(), Value::Int(1)]);
    /// assert_eq!(value.to::<(String, i64)>(), Ok(("a".to_owned(), 1)));
    /// let mismatch = value.to::<Vec<String>>().unwrap_err();
    /// assert_eq!(mismatch.to_string(), "the value, item 2: wants string, got int");
    /// ```
    pub fn to<'a, T: FromValue<'a>>(&'a self) -> Result<T, Mismatch> {
        T::from_value(Tree::from(self))
    }
}
