//! The call of the function and of its `_entry`. **Both make it by one hidden function**, which borrows what the key is made
//! of.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote_spanned};
use syn::{Generics, Ident, Receiver, Type, WhereClause, parse_quote};

use super::policy::{policy, settings};
use super::site::site;
use super::tokens::{at_value, located, mixed, part, plain, scope};
use crate::attributes;
use crate::facts::generics::{names, turbofish};
use crate::facts::pattern::borrowing;
use crate::ident::same;
use crate::options::expression::uses;
use crate::options::template::FieldPath;
use crate::spec::{Names, Spec};

/// Input:  `name: &str, id: u64`, and `id` is the key
/// Output: `fn get_call(id: &u64) -> Call<User> { static SITE: … ; SITE.of::<User>().default_key(&[], &[id]).ttl(…) }`
pub(super) fn call_fn(spec: &Spec<'_>, names: &Names) -> TokenStream {
    let attrs = attributes::of_companions(&spec.item.attrs);
    let (root, name) = (&spec.root, &names.call);
    let receiver = receiver(spec).map(|receiver| lent(receiver).to_token_stream());
    let params = params(spec).map(|(name, ty)| match ty {
        Type::ImplTrait(unnamed) if unnamed.bounds.len() > 1 => mixed!(#name: &(#ty)),
        ty => mixed!(#name: &#ty),
    });
    let inputs = receiver.into_iter().chain(params);
    let (generics, single_use, _) = generics_of(spec);
    let where_clause = where_clause(spec);
    let value = &spec.shape.value;
    let returned = spec
        .shape
        .optional
        .then(|| mixed!(, ::core::option::Option<#value>));
    let site = site(spec);
    let policy = policy(spec, |path| borrowed(spec, path));
    let parts = taken_apart(spec, |name| in_key(spec, name), |whole| mixed!(#whole));
    mixed! {
        #(#attrs)*
        #[allow(clippy::all, clippy::pedantic, clippy::nursery)]
        #single_use
        fn #name #generics(#(#inputs),*) -> #root::__private::Call<#value #returned> #where_clause {
            #site
            #parts
            #policy
        }
    }
}

/// The generics of `_entry`, an attribute that allows them, and their bounds.
pub(super) fn generics_of<'a>(
    spec: &'a Spec<'_>,
) -> (
    Option<&'a Generics>,
    Option<TokenStream>,
    Option<&'a WhereClause>,
) {
    let generics = &spec.entry.generics;
    // The parameter with the second use of a lifetime may be skipped.
    let single_use = generics
        .lifetimes()
        .next()
        .map(|_| mixed!(#[allow(single_use_lifetimes)]));
    let named = (!generics.params.is_empty()).then_some(generics);
    (named, single_use, generics.where_clause.as_ref())
}

/// The bounds of `_entry`. Where the function's own types decide whether the value can be cached, the bound is said here, so
/// that what calls the hidden function is told of the whole bound at once, and not of its parts.
fn where_clause(spec: &Spec<'_>) -> Option<WhereClause> {
    let mut generics = spec.entry.generics.clone();
    let (value, root) = (&spec.shape.value, &spec.root);
    let mut types = spec.entry.generics.type_params();
    if types.any(|ty| names(value.to_token_stream(), &ty.ident)) {
        let bound = mixed!(#value: #root::Cacheable);
        generics
            .make_where_clause()
            .predicates
            .push(parse_quote!(#bound));
    }
    generics.where_clause
}

/// The call of the function or of its `_entry`, with their cache.
pub(super) fn call(spec: &Spec<'_>, names: &Names, at: Span) -> TokenStream {
    let (name, settings) = (located(&names.call, at), settings(spec));
    let scope = scope(spec, at);
    // A type that cannot be cached is reported at the return type.
    let types: Vec<_> = turbofish(&spec.entry.generics)
        .into_iter()
        .map(|name| located(name, name.span().located_at(at_value(spec))))
        .collect();
    let turbofish = (!types.is_empty()).then(|| quote_spanned!(at=> ::<#(#types),*>));
    let receiver = receiver(spec).map(|receiver| {
        let this = &receiver.self_token;
        match receiver.reference {
            Some(_) => mixed!(#this),
            None => mixed!(&#this),
        }
    });
    let params = params(spec).map(|(name, _)| mixed!(&#name));
    let arguments = receiver.into_iter().chain(params);
    let call = quote_spanned!(at=> #scope #name #turbofish(#(#arguments),*) #settings);
    match taken_apart(spec, |name| in_cache(spec, name), |whole| mixed!(&#whole)) {
        parts if parts.is_empty() => call,
        parts => quote_spanned!(at=> { #parts #call }),
    }
}

/// Binds the parts of parameters that are `wanted`. `lent` lends a whole parameter.
pub(super) fn taken_apart(
    spec: &Spec<'_>,
    wanted: impl Fn(&Ident) -> bool,
    lent: impl Fn(&Ident) -> TokenStream,
) -> TokenStream {
    let parts = spec.entry.taken_apart.iter().filter_map(|param| {
        let names: Vec<_> = param
            .names
            .iter()
            .filter(|name| wanted(name))
            .cloned()
            .collect();
        let (pattern, whole) = (borrowing(param.pattern, &names), lent(param.whole));
        (!names.is_empty()).then(|| mixed!(let #pattern = #whole;))
    });
    parts.collect()
}

fn in_cache(spec: &Spec<'_>, name: &Ident) -> bool {
    let cache = spec.options.cache.value();
    cache.is_some_and(|cache| uses(cache, name))
}

/// The receiver, if it is part of the key.
fn receiver<'a>(spec: &Spec<'a>) -> Option<&'a Receiver> {
    let receiver = spec.entry.receiver;
    receiver.filter(|_| in_key(spec, &Ident::new("self", Span::call_site())))
}

/// The parameters that are part of the key.
fn params<'a>(spec: &'a Spec<'_>) -> impl Iterator<Item = (&'a Ident, &'a Type)> {
    let params = spec.entry.params.iter();
    let params = params.map(|(name, param)| (*name, &param.ty));
    params.filter(|(name, _)| {
        let mut apart = spec.entry.taken_apart.iter();
        let mut parts = apart.find(|param| param.whole == *name).into_iter();
        in_key(spec, name) || parts.any(|param| param.names.iter().any(|name| in_key(spec, name)))
    })
}

fn in_key(spec: &Spec<'_>, name: &Ident) -> bool {
    spec.key.fields().any(|path| same(&path.base, name))
}

/// `&self` for `self`, and `self: &Arc<Self>` for `self: Arc<Self>`.
fn lent(receiver: &Receiver) -> Receiver {
    let mut lent = plain(receiver);
    if lent.reference.is_none() {
        let ty = &lent.ty;
        *lent.ty = parse_quote!(&#ty);
        lent.reference = lent.colon_token.is_none().then(|| (parse_quote!(&), None));
    }
    lent
}

/// Whether a name is bound out of a parameter, so that it is a reference already.
pub(super) fn is_bound(spec: &Spec<'_>, name: &Ident) -> bool {
    let mut apart = spec.entry.taken_apart.iter();
    apart.any(|param| param.names.iter().any(|bound| same(bound, name)))
}

/// A part of the key in the hidden function, where parameters are references.
fn borrowed(spec: &Spec<'_>, path: &FieldPath) -> TokenStream {
    let base = &path.base;
    // A `&self` counts as not lent: the key lends the reference that it is, as it does everywhere.
    let is_lent = match base == "self" {
        true => receiver(spec).is_some_and(|receiver| receiver.reference.is_none()),
        false => params(spec).any(|(name, _)| same(name, base)) || is_bound(spec, base),
    };
    match path.fields.is_empty() && is_lent {
        true => base.to_token_stream(),
        false => part(path),
    }
}
