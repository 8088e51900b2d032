//! Specification to tokens. **It cannot fail, and it decides nothing.**

mod background;
mod call;
mod key;
mod policy;
mod run;
mod site;
mod tokens;

use proc_macro2::{Delimiter, Group, Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt as _;
use syn::{FnArg, Ident, Pat};

use self::call::generics_of;
use self::policy::{policy, settings};
use self::run::{at_run, run};
use self::site::site;
pub(crate) use self::tokens::part;
use self::tokens::{at, at_value, mixed, plain, scope};
use crate::attributes;
use crate::facts::generics::turbofish;
use crate::facts::param::{Param, Pattern};
use crate::options::template::FieldPath;
use crate::spec::{Names, Spec};

/// The whole expansion.
pub(crate) fn emit(spec: &Spec<'_>) -> TokenStream {
    let Some(names) = &spec.names else {
        return with_body(spec);
    };
    let function = function(spec, names);
    let uncached = uncached(spec, names, &spec.item.body.to_token_stream());
    let entry = names.entry.iter();
    let entry = entry.map(|name| entry_fn(spec, name, &entry_body(spec, names)));
    let call = call::call_fn(spec, names);
    // The compiler reports items in their order, and a user should read first what it says of the hidden one, because the
    // name of that is the mend.
    quote!(#function #call #uncached #(#entry)*)
}

/// Input:  `async fn get(id: u64) -> User { … }`
/// Output: `async fn get(id: u64) -> User { let call = get_call(&id); if let Some(hit) = call.at_hand() { return hit; } call.run(move || get_uncached(id)).await }`
fn function(spec: &Spec<'_>, names: &Names) -> TokenStream {
    let receiver = spec.item.sig.receiver();
    let this = receiver.map(|receiver| receiver.self_token.to_token_stream());
    let params = spec.params().iter().enumerate();
    let params = params.map(|(index, param)| argument(index, param).to_token_stream());
    let arguments: Vec<_> = this.into_iter().chain(params).collect();
    let turbofish = match turbofish(&spec.item.sig.generics).as_slice() {
        [] => None,
        generics => Some(mixed!(::<#(#generics),*>)),
    };
    let (scope, uncached) = (scope(spec, at_value(spec)), &names.uncached);
    let uncached = mixed!(#scope #uncached #turbofish);
    let bodies = match &spec.background {
        Some(background) => background::bodies(spec, background, &uncached, &arguments),
        None => mixed!(move || #uncached(#(#arguments),*)),
    };
    let call = call::call(spec, names, at_run(spec));
    signed(spec, &run(spec, &call, &bodies))
}

/// Input:  `async fn get(&self, id: u64) -> User { … }`, in a trait impl
/// Output: `async fn get(&self, id: u64) -> User { static SITE: … ; let call = SITE.…; call.run(move || async move { … }).await }`
fn with_body(spec: &Spec<'_>) -> TokenStream {
    let site = site(spec);
    let output = &spec.shape.output;
    let bindings = spec.params().iter().enumerate().map(|(index, param)| {
        let (pattern, argument) = (&param.written.pat, argument(index, param));
        match &**pattern {
            Pat::Ident(plain)
                if plain.mutability.is_none()
                    && plain.by_ref.is_none()
                    && plain.subpat.is_none() =>
            {
                None
            }
            Pat::Wild(_) => None,
            _ => Some(mixed!(let #pattern = #argument;)),
        }
    });
    let inner = match &spec.facts.boxed {
        Some(boxed) => boxed.body.clone(),
        None => spec.item.body.stream(),
    };
    // The first `return` is never reached. It tells the compiler what the block returns, which `?` and coercions need.
    let body = mixed! {
        move || async move {
            if let ::core::option::Option::Some(__redis_cached_type) = ::core::option::Option::None::<#output> {
                return __redis_cached_type;
            }
            #(#bindings)*
            #inner
        }
    };
    let part = |path: &FieldPath| match path.fields.is_empty() && call::is_bound(spec, &path.base) {
        true => path.base.to_token_stream(),
        false => part(path),
    };
    let (policy, settings) = (policy(spec, part), settings(spec));
    let call = match call::taken_apart(spec, |_| true, |whole| mixed!(&#whole)) {
        parts if parts.is_empty() => mixed!(#policy #settings),
        parts => mixed!({ #parts #policy #settings }),
    };
    let run = run(spec, &call, &body);
    signed(spec, &mixed!(#site #run))
}

/// The function under its own name, with `statements` as its body.
fn signed(spec: &Spec<'_>, statements: &TokenStream) -> TokenStream {
    let attrs = match spec.names {
        Some(_) => attributes::of_function(&spec.item.attrs),
        None => spec.item.attrs.clone(),
    };
    let (vis, defaultness) = (&spec.item.vis, &spec.item.defaultness);
    let mut sig = spec.item.sig.clone();
    let mut params = spec.params().iter().enumerate();
    for input in &mut sig.inputs {
        match input {
            FnArg::Receiver(receiver) => *receiver = plain(receiver),
            FnArg::Typed(typed) => {
                typed.attrs.clear();
                if let Some((index, param)) = params.next() {
                    let argument = argument(index, param);
                    *typed.pat = Pat::Verbatim(argument.to_token_stream());
                }
            }
        }
    }
    // A parameter is used, as an argument or a part of the key, also where its name begins with `_`.
    let underscores = spec
        .params()
        .iter()
        .filter_map(Param::name)
        .any(|name| name.to_string().starts_with('_'))
        .then(|| mixed!(#[allow(clippy::used_underscore_binding)]));
    let mut body = match &spec.facts.boxed {
        Some(boxed) => {
            let pin = &boxed.pin;
            Group::new(Delimiter::Brace, mixed!(#pin(async move { #statements })))
        }
        None => Group::new(Delimiter::Brace, statements.clone()),
    };
    // The compiler takes an item that ends in a macro's brace for the macro's, and would not say that it is never used.
    body.set_span(spec.item.body.span());
    mixed! {
        #(#attrs)*
        #underscores
        #vis #defaultness #sig #body
    }
}

/// The name by which the function passes a parameter on.
fn argument(index: usize, param: &Param) -> Ident {
    match &param.pattern {
        Pattern::Named(name) | Pattern::Other(name) => name.clone(),
        Pattern::Wild => Ident::new(&format!("__redis_cached_arg{index}"), Span::mixed_site()),
    }
}

/// The function that has the body. A stub, after a mistake, has another body.
pub(crate) fn uncached(spec: &Spec<'_>, names: &Names, body: &TokenStream) -> TokenStream {
    let attrs = attributes::of_companions(&spec.item.attrs);
    let of_body = attributes::of_body(&spec.item.attrs);
    let is_hidden = names.entry.is_none();
    let vis = (!is_hidden).then_some(&spec.item.vis);
    let hidden = is_hidden.then(|| mixed!(#[doc(hidden)]));
    let mut sig = spec.item.sig.clone();
    sig.ident = names.uncached.clone();
    for input in &mut sig.inputs {
        // The cached function uses the parameter, so that there must be no warning about the body, which does not.
        if let FnArg::Typed(typed) = input
            && let Pat::Ident(pat) = &mut *typed.pat
            && spec.not_in_body.contains(&&pat.ident)
        {
            let span = at(pat.ident.span());
            pat.ident = format_ident!("_{}", pat.ident.unraw(), span = span);
        }
    }
    let doc = format!("The body of `{}`, without the cache.", spec.item.sig.ident);
    mixed! {
        #(#attrs)*
        #(#of_body)*
        #[doc = #doc]
        #hidden
        #[allow(dead_code, non_snake_case, clippy::unused_async, clippy::missing_errors_doc)]
        #[allow(clippy::missing_panics_doc, clippy::too_many_arguments)]
        #vis #sig #body
    }
}

/// The function that makes an entry. A stub, after a mistake, has another body.
pub(crate) fn entry_fn(spec: &Spec<'_>, name: &Ident, body: &TokenStream) -> TokenStream {
    let attrs = attributes::of_companions(&spec.item.attrs);
    let (vis, root) = (&spec.item.vis, &spec.root);
    let returned = &spec.shape.entry;
    let receiver = spec.entry.receiver.into_iter();
    let receiver = receiver.map(|receiver| plain(receiver).to_token_stream());
    let params = spec.entry.params.iter().map(|(name, param)| {
        let ty = &param.ty;
        quote!(#name: #ty)
    });
    let inputs = receiver.chain(params);
    let (generics, single_use, where_clause) = generics_of(spec);
    let doc = format!(
        "The cache entry of `{}` for these arguments.",
        spec.item.sig.ident
    );
    mixed! {
        #(#attrs)*
        #[doc = #doc]
        #[allow(dead_code, non_snake_case, clippy::all, clippy::pedantic, clippy::nursery)]
        #single_use
        #vis fn #name #generics(#(#inputs),*) -> #root::Entry<#returned> #where_clause {
            #body
        }
    }
}

fn entry_body(spec: &Spec<'_>, names: &Names) -> TokenStream {
    let call = call::call(spec, names, Span::mixed_site());
    mixed!(#call.entry())
}
