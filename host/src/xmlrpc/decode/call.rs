//! The result of decoding a request document. Must not know how it is read.

use hotcall_plugin::Value;
use hotcall_plugin::tree::{Items, ReadLimits, Tree, View};
use hotcall_plugin::walk::Step;
use std::borrow::Cow;

/// One method call, as a client sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The method's name, without surrounding white space; never empty.
    pub method: String,
    /// The parameters in order.
    pub params: Vec<Value>,
}

/// The same, of whose values most stay in the document that was read.
pub struct BorrowedCall<'a> {
    /// The method's name, without surrounding white space; never empty.
    pub method: Cow<'a, str>,
    /// The parameters in order.
    pub params: Params<'a>,
}

/// Parameters, borrowed or owned.
pub struct Params<'a>(Held<'a>);

enum Held<'a> {
    Borrowed(Items<'a>),
    Owned(Vec<Value>),
}

impl BorrowedCall<'_> {
    /// The memory that [`BorrowedCall::into_owned`] takes, at most.
    pub(crate) fn owned_bytes(&self) -> usize {
        let steps = self.params.items().iter().flat_map(|item| item.walk(ReadLimits::NONE));
        let bytes = |step| match step {
            Ok(Step::Value(View::String(text))) => size_of::<Value>() + text.len(),
            Ok(Step::Value(View::Binary(bytes))) => size_of::<Value>() + bytes.len(),
            Ok(Step::Value(_)) => size_of::<Value>(),
            Ok(Step::Name(name)) => size_of::<String>() + name.len(),
            Ok(Step::EndArray | Step::EndStruct) | Err(_) => 0,
        };
        self.method.len() + steps.map(bytes).sum::<usize>()
    }

    /// The call, by itself.
    pub fn into_owned(self) -> Call {
        Call { method: self.method.into_owned(), params: self.params.into_values() }
    }
}

impl From<Call> for BorrowedCall<'_> {
    fn from(Call { method, params }: Call) -> Self {
        Self { method: Cow::Owned(method), params: Params(Held::Owned(params)) }
    }
}

impl Params<'_> {
    /// The parameters, to be read.
    pub fn items(&self) -> Items<'_> {
        match &self.0 {
            Held::Borrowed(items) => *items,
            Held::Owned(values) => values.into(),
        }
    }

    /// The parameters, by themselves.
    pub fn into_values(self) -> Vec<Value> {
        match self.0 {
            // What was decoded has none of the defects that a plugin's values may have.
            Held::Borrowed(items) => {
                items.iter().map(|item| owned(item).unwrap_or_default()).collect()
            }
            Held::Owned(values) => values,
        }
    }
}

/// A copy of a value that was decoded, and so was within the limits of its document.
pub(super) fn owned(tree: Tree<'_>) -> Option<Value> {
    tree.to_value(ReadLimits::NONE).ok()
}

impl<'a> From<Items<'a>> for Params<'a> {
    fn from(items: Items<'a>) -> Self {
        Self(Held::Borrowed(items))
    }
}
