//! Any struct, as it is.

use crate::arena::{Arena, Built};
use crate::fault::Fault;
use crate::from_value::{FromValue, Mismatch};
use crate::into_value::IntoValue;
use crate::tree::Tree;
use crate::types::Type;
use crate::value::Value;

/// A struct of whatever members, in their order. A struct whose members are known is better a type
/// of one's own with `#[derive(FromValue)]`.
///
/// # Examples
/// ```
/// use hotcall_plugin::{Members, Value};
///
/// /// The names of a struct's members.
/// #[hotcall_plugin::method]
/// fn names(any: Members) -> Vec<String> {
///     any.0.into_iter().map(|(name, _)| name).collect()
/// }
/// assert_eq!(names(Members(vec![("a".into(), Value::Nil)])), ["a"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members(pub Vec<(String, Value)>);

impl FromValue<'_> for Members {
    const TYPE: Type = Type::Struct;

    fn from_value(value: Tree<'_>) -> Result<Self, Mismatch> {
        match Value::from_value(value)? {
            Value::Struct(members) => Ok(Self(members)),
            _ => Err(Mismatch::new(Type::Struct.name(), &value.view()?)),
        }
    }
}

impl IntoValue for Members {
    const TYPE: Type = Type::Struct;

    fn into_value<'c>(self, arena: Arena<'c>) -> Result<Built<'c>, Fault> {
        Value::Struct(self.0).into_value(arena)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_comes_and_goes_as_it_is_and_nothing_else_is_one() {
        let members = Members(vec![("z".into(), Value::Int(1)), ("a".into(), Value::Nil)]);
        let value = Value::of(members.clone()).unwrap();
        assert_eq!(value, Value::Struct(members.0.clone()));
        assert_eq!(value.to::<Members>().unwrap(), members);
        assert!(Value::Int(1).to::<Members>().is_err());
    }
}
