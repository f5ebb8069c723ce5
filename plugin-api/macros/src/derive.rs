//! The derives: structs with named fields to and from XML-RPC structs.

use crate::names;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use std::collections::HashSet;
use syn::spanned::Spanned;
use syn::{
    Data, DeriveInput, Error, Fields, Generics, Lifetime, LitStr, Result, Type, parse_quote,
};

/// Writes `FromValue`.
pub(crate) fn from_value(input: TokenStream) -> Result<TokenStream> {
    let record = Record::read(syn::parse2(input)?)?;
    let value = Lifetime::new("'__value", Span::mixed_site());
    let mut generics = record.generics.clone();
    let lifetimes: Vec<_> = record.generics.lifetimes().map(|l| l.lifetime.clone()).collect();
    generics.params.insert(0, parse_quote!(#value));
    for parameter in record.generics.type_params() {
        let ident = &parameter.ident;
        generics
            .make_where_clause()
            .predicates
            .push(parse_quote!(#ident: ::hotcall_plugin::FromValue<#value>));
    }
    for lifetime in lifetimes {
        generics.make_where_clause().predicates.push(parse_quote!(#value: #lifetime));
    }
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let (_, type_generics, _) = record.generics.split_for_impl();
    let ident = &record.ident;

    let locals: Vec<_> = (0..record.fields.len()).map(local).collect();
    let fields: Vec<_> = record.fields.iter().map(|field| &field.ident).collect();
    let members: Vec<_> = record.fields.iter().map(|field| &field.member).collect();
    let types: Vec<_> = record.fields.iter().map(|field| &field.ty).collect();
    let read = record.fields.iter().map(|Field { ty, member, .. }| {
        let at = Span::mixed_site().located_at(ty.span());
        quote_spanned!(at=> ::hotcall_plugin::__private::member::<#ty>(#member, value)?)
    });
    Ok(quote_spanned! {Span::mixed_site()=>
        #[automatically_derived]
        impl #impl_generics ::hotcall_plugin::FromValue<#value> for #ident #type_generics
        #where_clause
        {
            const TYPE: ::hotcall_plugin::Type = ::hotcall_plugin::Type::Struct;

            fn from_value(
                value: ::hotcall_plugin::Tree<#value>,
            ) -> ::core::result::Result<Self, ::hotcall_plugin::Mismatch> {
                #(let mut #locals: ::core::option::Option<#types> = ::core::option::Option::None;)*
                for member in ::hotcall_plugin::__private::members(value)?.iter() {
                    let (name, value) = member?;
                    match name {
                        #(#members => #locals = ::core::option::Option::Some(#read),)*
                        _ => {}
                    }
                }
                ::core::result::Result::Ok(Self {
                    #(#fields: ::hotcall_plugin::__private::present(#members, #locals)?,)*
                })
            }
        }
    })
}

/// Writes `IntoValue`.
pub(crate) fn into_value(input: TokenStream) -> Result<TokenStream> {
    let record = Record::read(syn::parse2(input)?)?;
    let mut generics = record.generics.clone();
    for parameter in record.generics.type_params() {
        let ident = &parameter.ident;
        generics
            .make_where_clause()
            .predicates
            .push(parse_quote!(#ident: ::hotcall_plugin::IntoValue));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let ident = &record.ident;
    let members = record.fields.iter().map(|Field { ident, member, ty }| {
        let at = Span::mixed_site().located_at(ty.span());
        let value = quote_spanned! {at=>
            <#ty as ::hotcall_plugin::IntoValue>::into_value(self.#ident, arena)?
        };
        quote!((#member, #value))
    });
    let count = record.fields.len();
    Ok(quote_spanned! {Span::mixed_site()=>
        #[automatically_derived]
        impl #impl_generics ::hotcall_plugin::IntoValue for #ident #type_generics #where_clause {
            const TYPE: ::hotcall_plugin::Type = ::hotcall_plugin::Type::Struct;

            fn into_value<'__call>(
                self,
                arena: ::hotcall_plugin::Arena<'__call>,
            ) -> ::core::result::Result<::hotcall_plugin::Built<'__call>, ::hotcall_plugin::Fault> {
                let members: [(&'static str, ::hotcall_plugin::Built<'__call>); #count] =
                    [#(#members),*];
                arena.structure(
                    ::core::iter::IntoIterator::into_iter(members)
                        .map(|(name, value)| ::core::result::Result::Ok((name, value))),
                )
            }
        }
    })
}

/// A struct with named fields.
struct Record {
    ident: Ident,
    generics: Generics,
    fields: Vec<Field>,
}

struct Field {
    ident: Ident,
    ty: Type,
    /// The name of the member in XML-RPC.
    member: String,
}

impl Record {
    fn read(input: DeriveInput) -> Result<Self> {
        let fields = match input.data {
            Data::Struct(data) => data.fields,
            _ => return Err(Error::new_spanned(&input.ident, NOT_A_RECORD)),
        };
        let Fields::Named(named) = fields else {
            return Err(Error::new_spanned(&input.ident, NOT_A_RECORD));
        };
        let fields = named.named.into_iter().map(Field::read).collect::<Result<Vec<_>>>()?;
        let mut seen = HashSet::new();
        if let Some(twice) = fields.iter().find(|field| !seen.insert(field.member.as_str())) {
            let message = format!("another field is the member `{}` already", twice.member);
            return Err(Error::new_spanned(&twice.ident, message));
        }
        Ok(Self { ident: input.ident, generics: input.generics, fields })
    }
}

const NOT_A_RECORD: &str = "FromValue and IntoValue are derived for structs with named fields, \
    which are XML-RPC structs; implement them by hand for other types";

impl Field {
    fn read(field: syn::Field) -> Result<Self> {
        let ident = field.ident.ok_or_else(|| Error::new(Span::call_site(), NOT_A_RECORD))?;
        let mut member = names::plain(&ident);
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("hotcall"))
        {
            attribute.parse_nested_meta(|meta| {
                if !meta.path.is_ident("rename") {
                    return Err(meta.error("unknown option; the option is `rename = \"...\"`"));
                }
                member = meta.value()?.parse::<LitStr>()?.value();
                Ok(())
            })?;
        }
        Ok(Self { ident, ty: field.ty, member })
    }
}

fn local(index: usize) -> Ident {
    Ident::new(&format!("f{index}"), Span::mixed_site())
}
