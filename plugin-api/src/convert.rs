//! Between Rust types and owned values, for clients and for tests.
//!
//! The traits are those of a method's parameters and results. Both ends of the wire therefore
//! agree by construction, and a struct with `#[derive(FromValue)]` is a parameter here and a
//! result there.
//!
//! A Rust type becomes a value of the ABI first, which is copied into a [`Value`]. A direct way
//! would save that copy, but would have to be kept the same by hand. Must not know how any one
//! type is mapped.

use crate::arena::{Arena, OwnMemory};
use crate::fault::Fault;
use crate::from_value::{FromValue, Mismatch, TREE_LIMITS};
use crate::into_value::IntoValue;
use crate::tree::Tree;
use crate::value::Value;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes;
    use crate::value::DateTime;
    use std::collections::BTreeMap;

    fn every_type() -> Value {
        let date =
            DateTime::new(2026, 1, 31, 12, 0, 0).and_then(|date| date.with_offset_minutes(-90));
        let scalars = vec![
            Value::Nil,
            Value::Bool(true),
            Value::Int(i32::MIN),
            Value::Long(i64::MAX),
            Value::Double(-0.5),
            Value::from("\u{0}\u{1F600}"),
            Value::from(""),
            Value::DateTime(date.unwrap()),
            Value::Binary(vec![0, 255]),
            Value::Binary(vec![]),
            Value::Array(vec![]),
            Value::Struct(vec![]),
        ];
        let members = scalars
            .iter()
            .cloned()
            .enumerate()
            .map(|(at, value)| (at.to_string(), value))
            .collect();
        Value::Array(vec![Value::Array(scalars), Value::Struct(members)])
    }

    /// One way goes through the ABI's form of a value, the other does not.
    #[test]
    fn values_stay_what_they_are_both_ways() {
        let value = every_type();
        assert_eq!(Value::of(value.clone()).unwrap(), value);
        assert_eq!(value.to::<Value>().unwrap(), value);
    }

    #[test]
    fn what_a_type_becomes_is_read_back() {
        let map = BTreeMap::from([
            ("a".to_owned(), (1_i8, Some("x".to_owned()))),
            ("b".to_owned(), (2, None)),
        ]);
        assert_eq!(Value::of(map.clone()).unwrap().to(), Ok(map));
        let bytes = vec![Bytes(vec![1, 2, 3]); 2];
        assert_eq!(Value::of(bytes.clone()).unwrap().to(), Ok(bytes));
        let many: Vec<_> = (0..10_000).map(|number| number.to_string()).collect();
        assert_eq!(Value::of(many.clone()).unwrap().to(), Ok(many));
    }

    #[test]
    fn text_is_borrowed_from_the_value() {
        let value = Value::Array(vec!["long lived".into()]);
        let texts: Vec<&str> = value.to().unwrap();
        assert_eq!(texts, ["long lived"]);
        assert_eq!(
            value.to::<Vec<i32>>().unwrap_err().about("it"),
            "it, item 1: wants int, got string"
        );
    }
}
