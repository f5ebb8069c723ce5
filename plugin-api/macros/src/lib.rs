//! The macros of `hotcall-plugin`. Depend on that crate, not on this one: the code made here names
//! it.
//!
//! Each module reads one macro's input into a type, or reports errors at the author's own tokens,
//! and writes the code. Generated code is safe except for the attributes of two statics. It
//! carries the macro's span, so that an author's lints, `forbid(unsafe_code)` among them, do not
//! look into it.

use proc_macro::TokenStream;

mod derive;
mod method;
mod names;
mod plugin;
mod signature;

/// Makes a function a method that clients can call.
///
/// It goes on a free function, or on a function of an `impl` block that takes `&self` of the
/// plugin's state. The function itself stays as it is. Its doc comment becomes the method's help,
/// its types the signature. A first parameter `&Call` (after `&self`) is the call's context and is
/// not seen by clients.
///
/// Options:
/// - `name = "other.name"`: the name that clients call, instead of the function's own.
/// - `idempotent`: calling it twice does no more than calling it once.
/// - `quick`: it never blocks and returns within microseconds.
/// - `signatures("int(int, int)", "double(double, double)")`: what introspection shows, for types
///   that are only known when the method runs.
#[proc_macro_attribute]
pub fn method(options: TokenStream, item: TokenStream) -> TokenStream {
    method::expand(options.into(), item.into()).into()
}

/// Exports the plugin: once in a crate, beside its methods.
///
/// Keys:
/// - `name: "arithmetic"`: ASCII letters, digits, `-` and `_`. Names its configuration and its data
///   directory.
/// - `methods: [add, math::mean, Counter::increment]`: paths of functions with
///   `#[hotcall_plugin::method]`.
/// - `state: Counter` (optional): the type that methods take as `&self`; it implements `State`.
/// - `handover: true` (optional): the state implements `Handover` and survives a reload.
/// - `reload: exclusive` (optional): no two versions of the plugin may live at the same time,
///   because it holds a port, a lock file or a device, or its own copy of SQLite, LMDB or the like.
///   Calls wait while one replaces the other. By default, `reload: overlap`, the new version is
///   created beside the old one.
/// - `version: "1.0.0"` and `description: "..."` (optional): by default those of the crate's
///   manifest.
#[proc_macro]
pub fn plugin(input: TokenStream) -> TokenStream {
    plugin::expand(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Reads a struct with named fields from an XML-RPC struct.
///
/// Each field is the member of its name; `#[hotcall(rename = "...")]` on the field gives another. A
/// field of type `Option` may be absent or nil. Members that are no fields are ignored.
#[proc_macro_derive(FromValue, attributes(hotcall))]
pub fn from_value(input: TokenStream) -> TokenStream {
    derive::from_value(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes an XML-RPC struct of a struct with named fields, in their order.
///
/// `#[hotcall(rename = "...")]` on a field gives the member another name. `None` becomes a nil
/// member.
#[proc_macro_derive(IntoValue, attributes(hotcall))]
pub fn into_value(input: TokenStream) -> TokenStream {
    derive::into_value(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
