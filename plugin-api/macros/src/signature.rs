//! Signatures as authors write them: `double(double, double)`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, LitStr, Result};

/// Reads one signature: the result's type and the parameters', each as a variant of `Type`.
pub(crate) fn parse(literal: &LitStr) -> Result<Vec<TokenStream>> {
    let text = literal.value();
    let form = || Error::new(literal.span(), "a signature looks like `int(int, string)`");
    let (result, parameters) =
        text.trim().strip_suffix(')').and_then(|t| t.split_once('(')).ok_or_else(form)?;
    let parameters = parameters.trim();
    let names = match parameters {
        "" => vec![result],
        _ => [result].into_iter().chain(parameters.split(',')).collect(),
    };
    names.into_iter().map(|name| one(name.trim(), literal)).collect()
}

/// The types by their names in signatures, with the variants of `Type`. Its own names are these.
const TYPES: [(&str, &str); 11] = [
    ("nil", "Nil"),
    ("boolean", "Bool"),
    ("int", "Int"),
    ("i8", "Long"),
    ("double", "Double"),
    ("string", "String"),
    ("dateTime.iso8601", "DateTime"),
    ("base64", "Binary"),
    ("array", "Array"),
    ("struct", "Struct"),
    ("any", "Any"),
];

fn one(name: &str, literal: &LitStr) -> Result<TokenStream> {
    let wanted = if name == "i4" { "int" } else { name };
    let Some((_, variant)) = TYPES.iter().find(|(known, _)| *known == wanted) else {
        let known = TYPES.map(|(known, _)| known).join(", ");
        let message = format!("`{name}` is no type; the types are {known}");
        return Err(Error::new(literal.span(), message));
    };
    let variant = format_ident!("{variant}");
    Ok(quote!(::hotcall_plugin::Type::#variant))
}
