//! Which names the ABI allows, and the name under which a method's constant is found.

use proc_macro2::{Ident, Span};
use quote::format_ident;
use syn::{Error, Result};

/// Names that begin so are the host's own.
const RESERVED: [&str; 2] = ["system.", "hotcall."];

/// Checks the name that clients call.
pub(crate) fn check_method(name: &str, span: Span) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.:/".contains(c);
    if name.is_empty() || !name.chars().all(allowed) {
        let message =
            format!("a method's name is made of ASCII letters, digits and `_ . : /`, not `{name}`");
        return Err(Error::new(span, message));
    }
    match RESERVED.iter().find(|prefix| name.starts_with(*prefix)) {
        Some(prefix) => {
            Err(Error::new(span, format!("names that begin with `{prefix}` are the server's own")))
        }
        None => Ok(()),
    }
}

/// Checks the name of a plugin.
pub(crate) fn check_plugin(name: &str, span: Span) -> Result<()> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
        let message =
            format!("a plugin's name is made of ASCII letters, digits, `-` and `_`, not `{name}`");
        return Err(Error::new(span, message));
    }
    Ok(())
}

/// The constant that `#[method]` puts beside a function and `plugin!` looks for. When the attribute
/// is missing the compiler cannot find this name, so the name says what to do. It points at
/// `function` without counting as the author's own code.
pub(crate) fn method_constant(function: &Ident) -> Ident {
    let span = Span::mixed_site().located_at(function.span());
    format_ident!("__put_hotcall_plugin_method_above_fn_{}", plain(function), span = span)
}

/// The constant with the method's description.
pub(crate) fn spec_constant(function: &Ident) -> Ident {
    format_ident!(
        "__in_an_impl_a_method_takes_self_and_{}_does_not",
        plain(function),
        span = Span::mixed_site()
    )
}

/// The identifier without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map_or(text.clone(), str::to_owned)
}
