//! `plugin!`: the exported table and the ELF note.

use crate::names;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use std::collections::HashSet;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprPath, LitBool, LitStr, Path, Result, Token, Type, bracketed};

/// Writes the plugin's table.
pub(crate) fn expand(input: TokenStream) -> Result<TokenStream> {
    syn::parse2::<Input>(input).map(|input| input.write())
}

struct Input {
    name: LitStr,
    version: Option<Expr>,
    description: Option<Expr>,
    state: Option<Type>,
    handover: bool,
    is_exclusive: bool,
    methods: Vec<ExprPath>,
}

impl Parse for Input {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (mut name, mut version, mut description) = (None, None, None);
        let (mut state, mut handover, mut reload, mut methods) = (None, None, None, None);
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            input.parse::<Token![:]>()?;
            match key.to_string().as_str() {
                "name" => once(&key, &mut name, input.parse::<LitStr>()?)?,
                "version" => once(&key, &mut version, input.parse()?)?,
                "description" => once(&key, &mut description, input.parse()?)?,
                "state" => once(&key, &mut state, input.parse()?)?,
                "handover" => once(&key, &mut handover, input.parse::<LitBool>()?)?,
                "reload" => once(&key, &mut reload, is_exclusive(input)?)?,
                "methods" => once(&key, &mut methods, paths(&key, input)?)?,
                other => {
                    let known = "name, version, description, state, handover, reload, methods";
                    return Err(Error::new(
                        key.span(),
                        format!("unknown key `{other}`; the keys are {known}"),
                    ));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        let name = name.ok_or_else(|| missing("name: \"...\""))?;
        names::check_plugin(&name.value(), name.span())?;
        let handover = match handover {
            Some(LitBool { value: true, span }) if state.is_none() => {
                return Err(Error::new(
                    span,
                    "`handover` needs a `state: Type` that implements `Handover`",
                ));
            }
            given => given.is_some_and(|literal| literal.value),
        };
        let methods = methods.ok_or_else(|| missing("methods: [...]"))?;
        let is_exclusive = reload.unwrap_or(false);
        Ok(Self { name, version, description, state, handover, is_exclusive, methods })
    }
}

impl Input {
    fn write(&self) -> TokenStream {
        let name = &self.name;
        let version = self
            .version
            .as_ref()
            .map_or_else(|| manifest("CARGO_PKG_VERSION"), Expr::to_token_stream);
        let description = self
            .description
            .as_ref()
            .map_or_else(|| manifest("CARGO_PKG_DESCRIPTION"), Expr::to_token_stream);
        let state = self.state.as_ref().map_or_else(|| quote!(()), Type::to_token_stream);
        let table = match (&self.state, self.handover) {
            (None, _) => quote!(stateless),
            (Some(_), false) => quote!(stateful::<State>),
            (Some(_), true) => quote!(stateful_with_handover::<State>),
        };
        let is_exclusive = self.is_exclusive;
        let constants: Vec<_> = self.methods.iter().map(constant).collect();
        let here = |constant: &ExprPath| Span::mixed_site().located_at(constant.span());
        let listed = constants.iter().map(|constant| {
            let list = quote_spanned!(here(constant)=> list::<State, _>(&#constant));
            quote!(::hotcall_plugin::__private::#list)
        });
        let names = constants.iter().map(|constant| quote!(#constant.name()));
        let checks = constants.iter().enumerate().map(|(index, constant)| {
            quote_spanned! {here(constant)=>
                const _: () = ::hotcall_plugin::__private::first_of_its_name(NAMES, #index);
            }
        });
        quote! {
            const _: () = {
                #[cfg(panic = "abort")]
                ::core::compile_error!(
                    "a plugin is built with panic = \"unwind\": with \"abort\" a panic in a method \
                     ends the server"
                );

                type State = #state;
                const METHODS: &[::hotcall_plugin::__private::Listed<State>] = &[#(#listed),*];
                const NAMES: &[&str] = &[#(#names),*];
                #(#checks)*

                #[unsafe(no_mangle)]
                pub static hotcall_plugin_v1: ::hotcall_plugin::__private::Plugin =
                    ::hotcall_plugin::__private::#table(
                        ::hotcall_plugin::__private::About {
                            name: #name,
                            version: #version,
                            description: #description,
                            is_exclusive: #is_exclusive,
                        },
                        METHODS,
                    );

                #[used]
                #[unsafe(link_section = ".note.hotcall")]
                static NOTE: ::hotcall_plugin::__private::Note =
                    ::hotcall_plugin::__private::Note::THIS;
            };
        }
    }
}

/// Reads the word after `reload:`.
fn is_exclusive(input: ParseStream<'_>) -> Result<bool> {
    let mode: Ident = input.parse()?;
    match mode.to_string().as_str() {
        "overlap" => Ok(false),
        "exclusive" => Ok(true),
        other => {
            let why = format!("unknown reload mode `{other}`; the modes are overlap, exclusive");
            Err(Error::new(mode.span(), why))
        }
    }
}

fn paths(key: &Ident, input: ParseStream<'_>) -> Result<Vec<ExprPath>> {
    let list;
    bracketed!(list in input);
    let paths: Vec<_> =
        Punctuated::<ExprPath, Token![,]>::parse_terminated(&list)?.into_iter().collect();
    if paths.is_empty() {
        return Err(Error::new(key.span(), "a plugin has at least one method"));
    }
    let mut seen = HashSet::new();
    match paths.iter().find(|path| !seen.insert(path.to_token_stream().to_string())) {
        Some(twice) => Err(Error::new_spanned(twice, "this method is listed twice")),
        None => Ok(paths),
    }
}

/// The path of the constant that belongs to the function of that path.
fn constant(function: &ExprPath) -> ExprPath {
    let mut path: Path = function.path.clone();
    if let Some(last) = path.segments.last_mut() {
        last.ident = names::method_constant(&last.ident);
    }
    ExprPath { path, ..function.clone() }
}

fn manifest(variable: &str) -> TokenStream {
    quote!(::core::env!(#variable))
}

fn once<T>(key: &Ident, slot: &mut Option<T>, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::new(key.span(), format!("`{key}` is given twice"))),
    }
}

fn missing(what: &str) -> Error {
    Error::new(Span::call_site(), format!("plugin! needs `{what}`"))
}
