//! What the function and its `_entry` say of a call. The rule: both say it by one hidden function, which borrows
//! what the key is made of.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote_spanned};
use syn::{Ident, Receiver, Type, WhereClause, parse_quote};

use super::{at_value, generics_of, located, part, plain, policy, settings, site};
use crate::facts::generics::{names, turbofish};
use crate::facts::pattern::borrowing;
use crate::ident::same;
use crate::item::Item;
use crate::options::expression::params_in;
use crate::options::template::FieldPath;
use crate::spec::{Names, Spec};

/// Input:  `name: &str, id: u64`, and `id` is the key
/// Output: `fn get_call(id: &u64) -> Call<User> { static SITE: … ; SITE.of::<User>().default_key(&[], &[id]).ttl(…) }`
pub(super) fn call_fn(item: &Item, spec: &Spec, names: &Names) -> TokenStream {
    let (attrs, root, name) = (&spec.companion_attrs, &spec.root, &names.call);
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
    let site = site(item, spec);
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

/// The bounds of `_entry`. Where the function's own types decide whether the value can be cached, that is asked here: so
/// the callers know of it, and do not ask for a part of it again.
fn where_clause(spec: &Spec) -> Option<WhereClause> {
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
pub(super) fn call(spec: &Spec, names: &Names, at: Span) -> TokenStream {
    let (name, settings) = (located(&names.call, at), settings(spec));
    let scope = spec.in_impl.then(|| quote_spanned!(at=> Self::));
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

/// Binds those parts of parameters that are `wanted`, out of what `lent` says of a whole one.
pub(super) fn taken_apart(
    spec: &Spec,
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
        let (pattern, whole) = (borrowing(&param.pattern, &names), lent(&param.whole));
        (!names.is_empty()).then(|| mixed!(let #pattern = #whole;))
    });
    parts.collect()
}

fn in_cache(spec: &Spec, name: &Ident) -> bool {
    let cache = spec.cache.as_ref();
    cache.is_some_and(|cache| !params_in(cache, std::slice::from_ref(name)).is_empty())
}

/// The receiver, if it is part of the key.
fn receiver(spec: &Spec) -> Option<&Receiver> {
    let receiver = spec.entry.receiver.as_ref();
    receiver.filter(|_| in_key(spec, &Ident::new("self", Span::call_site())))
}

/// The parameters that are part of the key.
fn params(spec: &Spec) -> impl Iterator<Item = &(Ident, Type)> {
    let params = spec.entry.params.iter();
    params.filter(|(name, _)| {
        let mut apart = spec.entry.taken_apart.iter();
        let mut parts = apart.find(|param| param.whole == *name).into_iter();
        in_key(spec, name) || parts.any(|param| param.names.iter().any(|name| in_key(spec, name)))
    })
}

fn in_key(spec: &Spec, name: &Ident) -> bool {
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

/// Whether a name is bound by the pattern of a parameter, and so is a reference already.
pub(super) fn is_bound(spec: &Spec, name: &Ident) -> bool {
    let mut apart = spec.entry.taken_apart.iter();
    apart.any(|param| param.names.iter().any(|bound| same(bound, name)))
}

/// A part of the key where parameters are borrowed already.
fn borrowed(spec: &Spec, path: &FieldPath) -> TokenStream {
    let base = &path.base;
    // A `&self` is not lent once more.
    let is_lent = match base == "self" {
        true => receiver(spec).is_some_and(|receiver| receiver.reference.is_none()),
        false => params(spec).any(|(name, _)| same(name, base)) || is_bound(spec, base),
    };
    match path.fields.is_empty() && is_lent {
        true => base.to_token_stream(),
        false => part(path),
    }
}
