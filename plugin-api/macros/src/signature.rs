//! Signatures as authors write them: `double(double, double)`.

use proc_macro2::TokenStream;
use quote::quote;
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

fn one(name: &str, literal: &LitStr) -> Result<TokenStream> {
    let variant = match name {
        "nil" => quote!(Nil),
        "boolean" => quote!(Bool),
        "int" | "i4" => quote!(Int),
        "i8" => quote!(Long),
        "double" => quote!(Double),
        "string" => quote!(String),
        "dateTime.iso8601" => quote!(DateTime),
        "base64" => quote!(Binary),
        "array" => quote!(Array),
        "struct" => quote!(Struct),
        "any" => quote!(Any),
        _ => {
            let known = "nil, boolean, int, i8, double, string, dateTime.iso8601, base64, array, struct, any";
            return Err(Error::new(literal.span(), format!("`{name}` is no type; the types are {known}")));
        }
    };
    Ok(quote!(::hotcall_plugin::Type::#variant))
}
