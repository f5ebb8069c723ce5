//! The server's description of itself, from its `system.` methods.

use super::error::Error;
use super::handle::Client;
use crate::xmlrpc::Value;
use std::fmt;

/// One way to call a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The type of the result, as the server names it.
    pub result: String,
    /// The types of the parameters, in order.
    pub params: Vec<String>,
}

/// Something that a server can do, by the specification that says what that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its name.
    pub name: String,
    /// Where its specification stands.
    pub spec_url: String,
    /// The specification's version, as the server writes it; empty when it says none.
    pub spec_version: String,
}

impl Client {
    /// The names of all methods, in the server's order.
    ///
    /// # Errors
    /// As [`call`](Self::call): a server without introspection answers with a fault.
    pub fn list_methods(&self) -> Result<Vec<String>, Error> {
        self.call("system.listMethods", ())
    }

    /// What a method's author says of it; empty when that is nothing.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn method_help(&self, method: &str) -> Result<String, Error> {
        self.call("system.methodHelp", method)
    }

    /// The ways to call a method. There is none when the server does not know, which it says by
    /// anything but an array.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn method_signatures(&self, method: &str) -> Result<Vec<Signature>, Error> {
        self.call::<Value>("system.methodSignature", method).map(|answer| Signature::all(&answer))
    }

    /// What the server can do (`system.getCapabilities`).
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn capabilities(&self) -> Result<Vec<Capability>, Error> {
        let Value::Struct(members) = self.call("system.getCapabilities", ())? else {
            let message = "system.getCapabilities did not answer with a struct";
            return Err(Error::Protocol(message.to_owned()));
        };
        let capability = |(name, about): (String, Value)| {
            let text = |member| about.get(member).map_or_else(String::new, text);
            Capability { name, spec_url: text("specUrl"), spec_version: text("specVersion") }
        };
        Ok(members.into_iter().map(capability).collect())
    }
}

impl Signature {
    /// Those in an answer of `system.methodSignature`.
    pub(crate) fn all(answer: &Value) -> Vec<Self> {
        let signatures: Vec<Vec<String>> = answer.to().unwrap_or_default();
        let signature = |mut types: Vec<String>| {
            let params = types.split_off(types.len().min(1));
            types.pop().map(|result| Self { result, params })
        };
        signatures.into_iter().filter_map(signature).collect()
    }
}

/// Writes `(int, int) -> int`, to follow the method's name.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}) -> {}", self.params.join(", "), self.result)
    }
}

/// Versions are numbers on one server and texts on another.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Long(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        _ => String::new(),
    }
}
