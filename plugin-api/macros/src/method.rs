//! `#[method]`: keeps the function and puts beside it a constant that describes and calls it.

use crate::{names, signature};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, GenericParam, ItemFn, Lifetime, Lit, LitStr, Meta, Pat,
    Receiver, Result, ReturnType, Signature, Token, Type, TypeImplTrait,
};

/// Writes the item, and then the constant or what is wrong.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let made = build(options, item.clone()).unwrap_or_else(Error::into_compile_error);
    quote!(#item #made)
}

fn build(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let not_a_function =
        "#[method] goes on a function: a free one, or one that takes `&self` of the plugin's state";
    let function: ItemFn = syn::parse2(item.clone())
        .map_err(|_| Error::new_spanned(first_token(&item), not_a_function))?;
    let options = Options::read(options)?;
    let method = Method::read(&function, options)?;
    Ok(method.write(&function))
}

/// What stands in the attribute's parentheses.
#[derive(Default)]
struct Options {
    name: Option<LitStr>,
    idempotent: bool,
    quick: bool,
    signatures: Option<Vec<(LitStr, Vec<TokenStream>)>>,
}

impl Options {
    fn read(tokens: TokenStream) -> Result<Self> {
        let mut options = Self::default();
        for meta in Punctuated::<Meta, Token![,]>::parse_terminated.parse2(tokens)? {
            match &meta {
                Meta::NameValue(pair) if pair.path.is_ident("name") => {
                    let name = string(&pair.value)?;
                    names::check_method(&name.value(), name.span())?;
                    options.name = Some(name);
                }
                Meta::Path(path) if path.is_ident("idempotent") => options.idempotent = true,
                Meta::Path(path) if path.is_ident("quick") => options.quick = true,
                Meta::List(list) if list.path.is_ident("signatures") => {
                    let literals =
                        list.parse_args_with(Punctuated::<LitStr, Token![,]>::parse_terminated)?;
                    let read = |literal: LitStr| Ok((literal.clone(), signature::parse(&literal)?));
                    options.signatures =
                        Some(literals.into_iter().map(read).collect::<Result<_>>()?);
                }
                other => {
                    let known = "unknown option; the options are `name = \"...\"`, `idempotent`, \
                                 `quick` and `signatures(\"int(int)\", ...)`";
                    return Err(Error::new_spanned(other, known));
                }
            }
        }
        Ok(options)
    }
}

/// A function that can be a method.
struct Method {
    name: String,
    help: String,
    options: Options,
    takes_self: bool,
    takes_call: bool,
    parameters: Vec<Parameter>,
}

struct Parameter {
    name: String,
    ty: Type,
}

impl Method {
    fn read(function: &ItemFn, options: Options) -> Result<Self> {
        let signature = &function.sig;
        check_kind(signature)?;
        let name = match &options.name {
            Some(name) => name.value(),
            None => names::plain(&signature.ident),
        };
        names::check_method(
            &name,
            options.name.as_ref().map_or(signature.ident.span(), LitStr::span),
        )?;

        let mut inputs = signature.inputs.iter().peekable();
        let takes_self = match inputs.peek() {
            Some(FnArg::Receiver(receiver)) => check_receiver(receiver)?,
            _ => false,
        };
        if takes_self {
            inputs.next();
        }
        let takes_call = inputs
            .next_if(|input| matches!(input, FnArg::Typed(typed) if is_call(&typed.ty)))
            .is_some();
        let parameters = inputs.map(Parameter::read).collect::<Result<Vec<_>>>()?;

        for (literal, types) in options.signatures.iter().flatten() {
            if types.len() > parameters.len() + 1 {
                let message = format!(
                    "the function has {} parameters, this signature more",
                    parameters.len()
                );
                return Err(Error::new(literal.span(), message));
            }
        }
        Ok(Self { name, help: help(&function.attrs), options, takes_self, takes_call, parameters })
    }

    fn write(&self, function: &ItemFn) -> TokenStream {
        // The names of locals below must not meet the author's: a method may be called `call` or
        // `state`.
        let own = Span::mixed_site();
        let ident = &function.sig.ident;
        let (constant, spec) = (names::method_constant(ident), names::spec_constant(ident));
        let conditions: Vec<_> =
            function.attrs.iter().filter(|a| a.path().is_ident("cfg")).collect();
        let visibility = respanned(function.vis.to_token_stream());
        let spec_value = self.spec(function);

        let locals: Vec<_> =
            (0..self.parameters.len()).map(|i| Ident::new(&format!("p{i}"), own)).collect();
        let types: Vec<_> = self.parameters.iter().map(|parameter| &parameter.ty).collect();
        let call = self.takes_call.then(|| quote_spanned!(own=> call,));
        let (kind, make, state, path) = if self.takes_self {
            (
                quote_spanned!(own=> MethodOf<Self>),
                quote_spanned!(own=> of_state),
                quote_spanned!(own=> state: &Self,),
                quote_spanned!(own=> Self::#ident),
            )
        } else {
            (
                quote_spanned!(own=> AnyPlugin),
                quote_spanned!(own=> free),
                quote_spanned!(own=> ),
                quote_spanned!(own=> #ident),
            )
        };
        let state_argument = self.takes_self.then(|| quote_spanned!(own=> state,));
        let spec_path = if self.takes_self {
            quote_spanned!(own=> Self::#spec)
        } else {
            quote_spanned!(own=> #spec)
        };
        let mutable = (!self.parameters.is_empty()).then(|| quote_spanned!(own=> mut));
        let takes = locals.iter().zip(&types).map(|(local, ty)| {
            let read = quote_spanned!(own.located_at(ty.span())=> arguments.take::<#ty>());
            quote_spanned!(own=> let #local = #read?;)
        });
        let outcome = quote_spanned! {own.located_at(function.sig.output.span())=>
            arguments.finish(outcome)
        };
        quote_spanned! {own=>
            #(#conditions)*
            #[doc(hidden)]
            #visibility const #spec: &'static ::hotcall_plugin::__private::Spec = #spec_value;

            #(#conditions)*
            #[doc(hidden)]
            #visibility const #constant:
                ::hotcall_plugin::__private::Method<::hotcall_plugin::__private::#kind> =
                ::hotcall_plugin::__private::Method::#make(#spec_path, |#state call, items| {
                    let #mutable arguments =
                        ::hotcall_plugin::__private::Arguments::open(#spec_path, call, items)?;
                    #(#takes)*
                    let outcome = #path(#state_argument #call #(#locals),*);
                    #outcome
                });
        }
    }

    fn spec(&self, function: &ItemFn) -> TokenStream {
        let (name, help) = (&self.name, &self.help);
        let idempotent = self
            .options
            .idempotent
            .then(|| quote!(| ::hotcall_plugin::__private::METHOD_IDEMPOTENT));
        let quick = self.options.quick.then(|| quote!(| ::hotcall_plugin::__private::METHOD_QUICK));
        let parameters = self.parameters.iter().map(|Parameter { name, ty }| {
            let of = quote_spanned!(Span::mixed_site().located_at(ty.span())=> of::<#ty>);
            quote!(::hotcall_plugin::__private::Parameter::#of(#name))
        });
        let signatures = match &self.options.signatures {
            Some(written) => {
                let lists = written.iter().map(|(_, types)| quote!(&[#(#types),*]));
                quote!(const { &[#(::hotcall_plugin::__private::signature(#lists)),*] })
            }
            None => self.derived_signatures(&function.sig.output),
        };
        quote! {
            const {
                let parameters: &'static [::hotcall_plugin::__private::Parameter] =
                    const { &[#(#parameters),*] };
                &::hotcall_plugin::__private::Spec {
                    name: #name,
                    help: #help,
                    flags: 0 #idempotent #quick,
                    parameters,
                    signatures: #signatures,
                }
            }
        }
    }

    fn derived_signatures(&self, output: &ReturnType) -> TokenStream {
        let result = match output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, ty) => {
                let mut ty = ty.clone();
                EraseLifetimes.visit_type_mut(&mut ty);
                ty.into_token_stream()
            }
        };
        let at = Span::mixed_site().located_at(output.span());
        let result = quote_spanned!(at=> <#result as ::hotcall_plugin::__private::Outcome>::TYPE);
        let types = self.parameters.iter().map(|Parameter { ty, .. }| {
            let at = Span::mixed_site().located_at(ty.span());
            quote_spanned!(at=> <#ty as ::hotcall_plugin::FromValue<'_>>::TYPE)
        });
        quote! {
            ::hotcall_plugin::__private::callable(
                const {
                    &::hotcall_plugin::__private::signatures(const { &[#result, #(#types),*] })
                },
                parameters,
            )
        }
    }
}

impl Parameter {
    fn read(input: &FnArg) -> Result<Self> {
        let FnArg::Typed(typed) = input else {
            return Err(Error::new_spanned(input, "`self` comes first"));
        };
        if is_call(&typed.ty) {
            return Err(Error::new_spanned(
                &typed.ty,
                "`&Call` comes before every other parameter",
            ));
        }
        let name = match &*typed.pat {
            Pat::Ident(pattern) => names::plain(&pattern.ident),
            _ => "unnamed".to_owned(),
        };
        let mut ty = (*typed.ty).clone();
        EraseLifetimes.visit_type_mut(&mut ty);
        Ok(Self { name, ty })
    }
}

/// Whether a function of this kind can be called with values from a client.
fn check_kind(signature: &Signature) -> Result<()> {
    if let Some(token) = &signature.asyncness {
        let message = "a method is not async: it runs on a thread of its own, so block in it or \
                       use a channel";
        return Err(Error::new_spanned(token, message));
    }
    if let Some(token) = &signature.unsafety {
        return Err(Error::new_spanned(
            token,
            "a method is a safe function: any client can call it",
        ));
    }
    for parameter in &signature.generics.params {
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            let message = "a method is not generic: clients know nothing of Rust's types. Write \
                           one for each type";
            return Err(Error::new_spanned(parameter, message));
        }
    }
    let mut finder = FindImpl(None);
    finder.visit_signature(signature);
    match finder.0 {
        Some(span) => Err(Error::new(span, "a method's types are written out, not `impl Trait`")),
        None => Ok(()),
    }
}

fn check_receiver(receiver: &Receiver) -> Result<bool> {
    if receiver.reference.is_some()
        && receiver.mutability.is_none()
        && receiver.colon_token.is_none()
    {
        return Ok(true);
    }
    let message = "a method takes `&self`: many calls share the state at once. What changes goes \
                   into a Mutex or an atomic";
    Err(Error::new_spanned(receiver, message))
}

/// Whether the type is `&Call`, under whatever path.
fn is_call(ty: &Type) -> bool {
    let Type::Reference(reference) = ty else { return false };
    let Type::Path(path) = &*reference.elem else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == "Call")
}

/// The doc comment as text.
fn help(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => string(&pair.value).ok(),
        _ => None,
    };
    let lines: Vec<_> = attributes.iter().filter_map(line).map(|literal| literal.value()).collect();
    let lines: Vec<_> =
        lines.iter().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    lines.join("\n").trim().to_owned()
}

fn string(value: &Expr) -> Result<LitStr> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => Ok(literal.clone()),
        other => Err(Error::new_spanned(other, "a string literal belongs here")),
    }
}

fn first_token(item: &TokenStream) -> TokenStream {
    // Doc comments and other attributes are not what the author got wrong.
    let mut tokens = item.clone().into_iter().peekable();
    while tokens.next_if(|token| token.to_string() == "#").is_some() {
        tokens.next();
    }
    tokens.next().map_or_else(TokenStream::new, ToTokens::into_token_stream)
}

/// The same tokens as the macro's own, so that lints do not take them for the author's.
fn respanned(tokens: TokenStream) -> TokenStream {
    let own = |mut token: proc_macro2::TokenTree| {
        if let proc_macro2::TokenTree::Group(group) = &token {
            token = proc_macro2::Group::new(group.delimiter(), respanned(group.stream())).into();
        }
        token.set_span(Span::mixed_site().located_at(token.span()));
        token
    };
    tokens.into_iter().map(own).collect()
}

/// The lifetimes that a function declares do not exist in its constant: there the compiler finds
/// its own.
struct EraseLifetimes;

impl VisitMut for EraseLifetimes {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident != "static" {
            *lifetime = Lifetime::new("'_", lifetime.span());
        }
        visit_mut::visit_lifetime_mut(self, lifetime);
    }
}

struct FindImpl(Option<Span>);

impl<'a> Visit<'a> for FindImpl {
    fn visit_type_impl_trait(&mut self, found: &'a TypeImplTrait) {
        self.0.get_or_insert(found.span());
        visit::visit_type_impl_trait(self, found);
    }
}
