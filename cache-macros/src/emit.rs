//! Specification to tokens. The rule: it cannot fail, and it decides nothing.
//!
//! Locals have a mixed-site span, which parameters cannot shadow, and the prefix `__redis_cached_`, which no
//! `const` or unit struct of the user can have; only `self` behind its call is `__self`, as `#[async_trait]` has it.
//! Items have the prefix alone.

use proc_macro2::{Delimiter, Group, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Expr, ExprGroup, ExprParen, FnArg, Generics, Ident, Pat, Receiver, UnOp, WhereClause};

use crate::facts::generics::turbofish;
use crate::facts::param::{Param, Pattern};
use crate::item::Item;
use crate::options::duration::Lifetime;
use crate::options::fraction::RefreshAhead;
use crate::options::template::{FieldPath, literals_and_fields};
use crate::options::{Coalesce, Given, ShareErrors, Ttl};
use crate::spec::{Key, KeyType, Names, Spec};

/// `quote!` with a mixed-site span.
macro_rules! mixed {
    ($($tokens:tt)*) => { quote_spanned!(Span::mixed_site()=> $($tokens)*) };
}

mod background;
mod call;

/// The whole expansion.
pub(crate) fn emit(item: &Item, spec: &Spec) -> TokenStream {
    let Some(names) = &spec.companions else {
        return inline(item, spec);
    };
    let function = function(item, spec, names);
    let uncached = uncached(item, spec, names, &item.body.to_token_stream());
    let entry = names.entry.iter();
    let entry = entry.map(|name| entry_fn(item, spec, name, &entry_body(spec, names)));
    let call = call::call_fn(item, spec, names);
    // What the compiler says of the hidden one is read first, because its name is a mend.
    quote!(#function #call #uncached #(#entry)*)
}

/// Input:  `async fn get(id: u64) -> User { … }`
/// Output: `async fn get(id: u64) -> User { get_call(&id).run(move || get_uncached(id)).await }`
fn function(item: &Item, spec: &Spec, names: &Names) -> TokenStream {
    let receiver = item.sig.receiver().map(|receiver| &receiver.self_token);
    let arguments: Vec<_> = receiver
        .into_iter()
        .map(ToTokens::to_token_stream)
        .chain(
            spec.params
                .iter()
                .enumerate()
                .map(|(index, param)| argument(index, param).to_token_stream()),
        )
        .collect();
    let turbofish = match turbofish(&item.sig.generics).as_slice() {
        [] => None,
        generics => Some(mixed!(::<#(#generics),*>)),
    };
    let (scope, uncached) = (scope(spec), &names.uncached);
    let uncached = mixed!(#scope #uncached #turbofish);
    let bodies = match &spec.behind {
        Some(behind) => background::bodies(spec, behind, &uncached, &arguments),
        None => mixed!(move || #uncached(#(#arguments),*)),
    };
    let call = call::call(spec, names, at_run(spec));
    let statements = match spec.cache.is_some() || spec.ttl_of_self {
        // What the expression borrows ends before the call runs.
        true => held(spec, &call, &bodies),
        false => run(spec, &call, &bodies),
    };
    signed(item, spec, &statements)
}

/// Input:  `async fn get(&self, id: u64) -> User { … }`, in a trait impl
/// Output: `async fn get(&self, id: u64) -> User { static SITE: … ; let call = SITE.…; call.run(move || async move { … }).await }`
fn inline(item: &Item, spec: &Spec) -> TokenStream {
    let site = site(item, spec);
    let output = &spec.shape.output;
    let bindings = spec.params.iter().enumerate().map(|(index, param)| {
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
    let inner = match &spec.boxed {
        Some(boxed) => boxed.body.clone(),
        None => item.body.stream(),
    };
    // The first `return` tells the compiler what the block returns; without it `?` and coercions could not know.
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
    // The parts of the key end with the first statement, as they need not be `Sync` for the future to be `Send`.
    let run = held(spec, &call, &body);
    signed(item, spec, &mixed!(#site #run))
}

/// The function under its own name, with `statements` as its body.
fn signed(item: &Item, spec: &Spec, statements: &TokenStream) -> TokenStream {
    let attrs = &spec.function_attrs;
    let (vis, defaultness) = (&item.vis, &item.defaultness);
    let mut sig = item.sig.clone();
    let mut params = spec.params.iter().enumerate();
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
    // A key part or an argument is used, whatever its name says.
    let underscores = spec
        .params
        .iter()
        .filter_map(Param::name)
        .any(|name| name.to_string().starts_with('_'))
        .then(|| mixed!(#[allow(clippy::used_underscore_binding)]));
    let mut body = match &spec.boxed {
        Some(boxed) => {
            let pin = &boxed.pin;
            Group::new(Delimiter::Brace, mixed!(#pin(async move { #statements })))
        }
        None => Group::new(Delimiter::Brace, statements.clone()),
    };
    // An item that ends in a macro's brace is taken for the macro's, and nobody is told that it is never used.
    body.set_span(item.body.span());
    mixed! {
        #(#attrs)*
        #underscores
        #vis #defaultness #sig #body
    }
}

/// A receiver that only passes itself on.
fn plain(receiver: &Receiver) -> Receiver {
    let mut receiver = receiver.clone();
    receiver.attrs.clear();
    if receiver.reference.is_none() {
        receiver.mutability = None;
    }
    receiver
}

/// The name under which the function passes a parameter on.
fn argument(index: usize, param: &Param) -> Ident {
    match &param.pattern {
        Pattern::Named(name) | Pattern::Other(name) => name.clone(),
        Pattern::Wild => Ident::new(&format!("__redis_cached_arg{index}"), Span::mixed_site()),
    }
}

/// The function's body, under another name. The stub of a recovery has another body.
pub(crate) fn uncached(item: &Item, spec: &Spec, names: &Names, body: &TokenStream) -> TokenStream {
    let attrs = spec.companion_attrs.iter().chain(&spec.body_attrs);
    let is_hidden = names.entry.is_none();
    let vis = (!is_hidden).then_some(&item.vis);
    let hidden = is_hidden.then(|| mixed!(#[doc(hidden)]));
    let mut sig = item.sig.clone();
    sig.ident = names.uncached.clone();
    for input in &mut sig.inputs {
        // The cached function uses it, so it is not for this one to say that nobody does.
        if let FnArg::Typed(typed) = input
            && let Pat::Ident(pat) = &mut *typed.pat
            && spec.not_in_body.contains(&pat.ident)
        {
            let span = Span::mixed_site().located_at(pat.ident.span());
            pat.ident = format_ident!("_{}", pat.ident.unraw(), span = span);
        }
    }
    let doc = format!("The body of `{}`, without the cache.", item.sig.ident);
    mixed! {
        #(#attrs)*
        #[doc = #doc]
        #hidden
        #[allow(dead_code, non_snake_case, clippy::unused_async, clippy::missing_errors_doc)]
        #[allow(clippy::missing_panics_doc, clippy::too_many_arguments)]
        #vis #sig #body
    }
}

/// The function that speaks of an entry. The stub of a recovery has another body.
pub(crate) fn entry_fn(item: &Item, spec: &Spec, name: &Ident, body: &TokenStream) -> TokenStream {
    let attrs = &spec.companion_attrs;
    let (vis, root) = (&item.vis, &spec.root);
    let returned = &spec.shape.entry;
    let receiver = spec
        .entry
        .receiver
        .iter()
        .map(|receiver| plain(receiver).to_token_stream());
    let params = spec
        .entry
        .params
        .iter()
        .map(|(name, ty)| quote!(#name: #ty));
    let inputs = receiver.chain(params);
    let (generics, single_use, where_clause) = generics_of(spec);
    let doc = format!(
        "The cache entry of `{}` for these arguments.",
        item.sig.ident
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

/// The generics of `_entry`, an attribute that they need, and their bounds.
fn generics_of(spec: &Spec) -> (Option<&Generics>, Option<TokenStream>, Option<&WhereClause>) {
    let generics = &spec.entry.generics;
    // What used a lifetime for the second time may be skipped.
    let single_use = generics
        .lifetimes()
        .next()
        .map(|_| mixed!(#[allow(single_use_lifetimes)]));
    let named = (!generics.params.is_empty()).then_some(generics);
    (named, single_use, generics.where_clause.as_ref())
}

fn entry_body(spec: &Spec, names: &Names) -> TokenStream {
    let call = call::call(spec, names, Span::mixed_site());
    mixed!(#call.entry())
}

/// The facts of the function, which are the same for each of its calls.
fn site(item: &Item, spec: &Spec) -> TokenStream {
    let root = &spec.root;
    let function = item.sig.ident.unraw().to_string();
    let ttl = match &spec.ttl {
        Some(Ttl::Fixed(Lifetime::Known { text, .. })) => text.as_str(),
        Some(Ttl::Fixed(Lifetime::Computed(_))) => "per call",
        Some(Ttl::ByValue(_)) | None => "per value",
    };
    let namespace = spec.namespace.iter();
    let version = spec.version.iter();
    // Compared with what the owner of the entries says.
    let stores_none = matches!(spec.key, Key::Shared { .. }) && spec.none_ttl.is_some();
    let stores_none = stores_none.then(|| mixed!(.stores_none()));
    let types_in_key = spec.types_in_key().then(|| mixed!(.types_in_key()));
    // None of the user's names stands in the block.
    mixed! {
        static __REDIS_CACHED_SITE: #root::__private::Site = {
            fn here() {}
            #root::__private::Site::new(#function, &here)
                .ttl(#ttl)
                #(.namespace(#namespace))*
                #(.version(#version))*
                #stores_none
                #types_in_key
        };
    }
}

/// As [`run`], with a `call` that ends before the answer.
fn held(spec: &Spec, call: &TokenStream, bodies: &TokenStream) -> TokenStream {
    let run = run(spec, &mixed!(__redis_cached_call), bodies);
    mixed! {
        let __redis_cached_call = #call;
        #run
    }
}

/// The expression that answers `call` from the cache, or runs one of `bodies`.
fn run(spec: &Spec, call: &TokenStream, bodies: &TokenStream) -> TokenStream {
    let errors = spec.shape.fallible.then(|| {
        let (root, output) = (&spec.root, &spec.shape.output);
        let share = match &spec.share_errors {
            None => mixed!(error_share()),
            Some(Given { name, value }) => {
                // An error that cannot be shared like this is reported at the option.
                let at = Span::mixed_site().located_at(name.span());
                match value {
                    ShareErrors::None => quote_spanned!(at=> errors_alone()),
                    ShareErrors::By(copy) => quote_spanned!(at=> errors_by_hand(#copy)),
                }
            }
        };
        mixed!(#root::__private::probe::<#output>().#share,)
    });
    let at = at_run(spec);
    let run = match (&errors, &spec.behind) {
        (None, None) => "run",
        (None, Some(_)) => "run_behind",
        (Some(_), None) => "run_result",
        (Some(_), Some(_)) => "run_result_behind",
    };
    let run = Ident::new(run, at);
    // Said, because there are those who deny what is not.
    quote_spanned!(at=> return #call.#run(#errors #bodies).await;)
}

/// Where a call's own mistakes are reported: at the option that needs more of it, else at the attribute.
fn at_run(spec: &Spec) -> Span {
    let behind = spec.behind.as_ref();
    behind.map_or_else(Span::mixed_site, background::at_option)
}

/// The return type's place, with this macro's names.
fn at_value(spec: &Spec) -> Span {
    Span::mixed_site().located_at(spec.shape.value.span())
}

fn located(name: &Ident, span: Span) -> Ident {
    let mut name = name.clone();
    name.set_span(span);
    name
}

fn key(spec: &Spec, part: impl Fn(&FieldPath) -> TokenStream) -> TokenStream {
    let span = at_value(spec);
    match &spec.key {
        Key::Default { types, parts } => {
            let types = types.iter().map(|ty| match ty {
                KeyType::Named(name) => mixed!(::core::any::type_name::<#name>()),
                KeyType::Of(path) => {
                    let value = part(path);
                    mixed!(::core::any::type_name_of_val(#value))
                }
            });
            let parts = parts.iter().map(&part);
            quote_spanned!(span=> default_key(&[#(#types),*], &[#(#parts),*]))
        }
        Key::Template(pieces) => {
            let (literals, fields) = literals_and_fields(pieces);
            let parts = fields.into_iter().map(part);
            quote_spanned!(span=> template_key(&[#(#literals),*], &[#(#parts),*]))
        }
        Key::Shared {
            companion,
            arguments,
        } => {
            let arguments = arguments.iter().map(|argument| {
                let (lent, span) = (part(argument), argument.base.span());
                let span = Span::mixed_site().located_at(span);
                quote_spanned!(span=> ::core::clone::Clone::clone(#lent))
            });
            let entry = quote_spanned!(companion.span()=> #companion(#(#arguments),*));
            match spec.shape.optional {
                true => quote_spanned!(span=> shared_optional_key(|| #entry)),
                false => quote_spanned!(span=> shared_key(|| #entry)),
            }
        }
    }
}

/// Spanned at the parameter, where a type that is no key part is reported.
pub(crate) fn part(path: &FieldPath) -> TokenStream {
    let (base, fields) = (&path.base, &path.fields);
    quote_spanned!(base.span()=> &#base #(.#fields)*)
}

/// The call with all that the options say of it, but for the cache.
fn policy(spec: &Spec, part: impl Fn(&FieldPath) -> TokenStream) -> TokenStream {
    let (shape, key) = (&spec.shape, key(spec, part));
    let value = &shape.value;
    // What the value must be is asked here alone, at the return type.
    let cached = quote_spanned!(at_value(spec)=> __REDIS_CACHED_SITE.of::<#value>().#key);
    let optional = shape.optional.then(|| mixed!(.optional()));
    let ttl = match &spec.ttl {
        Some(Ttl::Fixed(lifetime)) if !spec.ttl_of_self => {
            let lifetime = duration(lifetime);
            Some(mixed!(.ttl(#lifetime)))
        }
        Some(Ttl::ByValue(closure)) => Some(mixed!(.ttl_by(#closure))),
        Some(Ttl::Fixed(_)) | None => None,
    };
    let cache_if = spec.cache_if.iter();
    let none_ttl = spec.none_ttl.iter().map(duration);
    let timeout = spec.timeout.iter().map(duration);
    let stale_while_revalidate = spec.stale_while_revalidate.iter().map(duration);
    let stale_if_error = spec.stale_if_error.iter().map(duration);
    let soft_timeout = spec.soft_timeout.iter().map(duration);
    let jitter = spec.jitter.iter();
    let refresh_ahead = spec.refresh_ahead.as_ref().map(|when| match when {
        RefreshAhead::Share(share) => mixed!(.refresh_ahead(#share)),
        RefreshAhead::XFetch => mixed!(.refresh_ahead_xfetch()),
    });
    let coalesce = spec.coalesce.as_ref().and_then(|who| match who {
        Coalesce::Process => None,
        Coalesce::Cluster => Some(mixed!(.coalesce_cluster())),
    });
    mixed! {
        #cached
        #optional
        #ttl
        #(.cache_if(#cache_if))*
        #(.none_ttl(#none_ttl))*
        #(.timeout(#timeout))*
        #(.stale_while_revalidate(#stale_while_revalidate))*
        #(.stale_if_error(#stale_if_error))*
        #(.soft_timeout(#soft_timeout))*
        #(.jitter(#jitter))*
        #refresh_ahead
        #coalesce
    }
}

/// Not among the rest of the policy, since they may name parameters that are not part of the key.
fn settings(spec: &Spec) -> TokenStream {
    let cache = spec.cache.as_ref().map(|cache| match is_place(cache) {
        // A place is not left empty: a `Cache` is a handle, and a reference to one is copied.
        true => mixed!(.cache(::core::clone::Clone::clone(&#cache))),
        false => mixed!(.cache(#cache)),
    });
    let ttl = match &spec.ttl {
        Some(Ttl::Fixed(lifetime)) if spec.ttl_of_self => {
            let lifetime = duration(lifetime);
            Some(mixed!(.ttl(#lifetime)))
        }
        _ => None,
    };
    mixed!(#cache #ttl)
}

/// Whether the value of an expression would be moved out of what it names.
fn is_place(expr: &Expr) -> bool {
    match expr {
        Expr::Path(_) | Expr::Field(_) | Expr::Index(_) => true,
        Expr::Unary(unary) => matches!(unary.op, UnOp::Deref(_)),
        Expr::Paren(ExprParen { expr, .. }) | Expr::Group(ExprGroup { expr, .. }) => is_place(expr),
        _ => false,
    }
}

fn duration(lifetime: &Lifetime) -> TokenStream {
    match lifetime {
        Lifetime::Known { duration, .. } if duration.subsec_nanos() == 0 => {
            let seconds = duration.as_secs();
            mixed!(::core::time::Duration::from_secs(#seconds))
        }
        Lifetime::Known { duration, .. } => {
            // No lifetime is longer than 64 bits of milliseconds: `Lifetime::parse` refuses it.
            let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            mixed!(::core::time::Duration::from_millis(#millis))
        }
        Lifetime::Computed(expr) => expr.to_token_stream(),
    }
}

/// Where the companions are.
fn scope(spec: &Spec) -> Option<TokenStream> {
    let span = at_value(spec);
    spec.in_impl.then(|| quote_spanned!(span=> Self::))
}
