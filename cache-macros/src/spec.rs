//! Options and facts together. The rule: after it nothing can fail, so every rule that spans both is here.

use proc_macro2::Span;
use quote::{ToTokens as _, format_ident};
use syn::ext::IdentExt as _;
use syn::{
    Attribute, Expr, GenericParam, Generics, Ident, LitStr, Path, Receiver, Type, parse_quote,
};

use crate::attributes;
use crate::diag::{Errors, list, nearest, text};
use crate::duration::Lifetime;
use crate::expression::{check_flow, params_in};
use crate::generics;
use crate::options::{Companions, Given, Options, Ttl};
use crate::signature::{Boxed, Facts, Item, Param, Pattern, Shape, has_mut, same};
use crate::template::{FieldPath, Piece};

/// All that the expansion is made of.
pub(crate) struct Spec {
    /// Where `cache_runtime` is.
    pub(crate) root: Path,
    pub(crate) function_attrs: Vec<Attribute>,
    pub(crate) companion_attrs: Vec<Attribute>,
    /// `None`: the body stands in the function itself.
    pub(crate) companions: Option<Names>,
    /// The function stands in an impl.
    pub(crate) in_impl: bool,
    pub(crate) params: Vec<Param>,
    pub(crate) shape: Shape,
    pub(crate) boxed: Option<Boxed>,
    pub(crate) entry: Entry,
    pub(crate) key: Key,
    /// `None` only beside an error.
    pub(crate) ttl: Option<Ttl>,
    pub(crate) namespace: Option<LitStr>,
    pub(crate) version: Option<u64>,
    pub(crate) cache_if: Option<Expr>,
    pub(crate) none_ttl: Option<Lifetime>,
    pub(crate) timeout: Option<Lifetime>,
    pub(crate) cache: Option<Expr>,
}

/// The names of the items beside the function.
pub(crate) struct Names {
    pub(crate) uncached: Ident,
    pub(crate) entry: Ident,
    pub(crate) site: Ident,
}

/// What `_entry` takes.
pub(crate) struct Entry {
    pub(crate) receiver: Option<Receiver>,
    pub(crate) params: Vec<(Ident, Type)>,
    pub(crate) generics: Generics,
}

/// What a key is made of.
pub(crate) enum Key {
    Default {
        types: Vec<KeyType>,
        parts: Vec<FieldPath>,
    },
    Template(Vec<Piece>),
}

/// A type that is part of the key.
pub(crate) enum KeyType {
    /// `Self`, or a generic parameter.
    Named(Ident),
    /// The type of a parameter that is an `impl Trait`.
    Of(Ident),
}

impl Spec {
    /// `None` if the return type is not known; then an error says so.
    pub(crate) fn new(
        item: &Item,
        facts: Facts,
        mut options: Options,
        errors: &mut Errors,
    ) -> Option<Self> {
        check_conflicts(&options, errors);
        let call = Call {
            function: item.sig.ident.to_string(),
            receiver: facts.receiver.as_ref(),
            params: &facts.params,
        };
        check_expressions(&call, &options, errors);
        let skipped = skipped(&call, &options, errors);
        let selected = selected(&call, &options, &skipped, errors);
        check_mutable(&call, &options, &selected, errors);
        let in_cache = options
            .cache
            .as_ref()
            .map_or_else(Vec::new, |cache| params_in(&cache.value, &call.names()));
        let entry_takes = |name: &Ident| {
            selected.iter().any(|path| same(&path.base, name))
                || in_cache.iter().any(|used| same(used, name))
        };

        let shape = facts.shape?;
        if let Some(none_ttl) = options.none_ttl.as_ref().filter(|_| !shape.optional) {
            let message = format!(
                "`none_ttl` needs an `Option`, but `{}` returns `{}`; remove it",
                call.function,
                text(&shape.output)
            );
            errors.on(&none_ttl.name, message);
        }

        let receiver = facts
            .receiver
            .clone()
            .filter(|_| entry_takes(&Ident::new("self", Span::call_site())));
        let (kept, dropped): (Vec<_>, Vec<_>) = facts
            .params
            .iter()
            .partition(|param| param.key_name().is_some_and(&entry_takes));
        let mut kept_tokens = shape.entry.to_token_stream();
        let mut dropped_tokens = proc_macro2::TokenStream::new();
        kept.iter()
            .for_each(|param| param.ty.to_tokens(&mut kept_tokens));
        dropped
            .iter()
            .for_each(|param| param.ty.to_tokens(&mut dropped_tokens));
        match (&facts.receiver, &receiver) {
            (Some(receiver), Some(_)) => receiver.to_tokens(&mut kept_tokens),
            (Some(receiver), None) => receiver.to_tokens(&mut dropped_tokens),
            (None, _) => {}
        }
        let generics = generics::retain(&item.sig.generics, kept_tokens, dropped_tokens);

        let in_impl = options.in_impl.is_some() || options.trait_impl.is_some() || facts.says_self;
        let key = match options.key {
            Some(key) => {
                check_generic_template(&key, &generics, &shape, &kept, errors);
                let mut paths = selected.into_iter();
                let pieces = key
                    .value
                    .pieces
                    .into_iter()
                    .filter_map(|piece| match piece {
                        Piece::Field(_) => paths.next().map(Piece::Field),
                        plain @ Piece::Literal(_) => Some(plain),
                    });
                Key::Template(pieces.collect())
            }
            None => default_key(in_impl, &generics, &kept, selected),
        };

        let name = &item.sig.ident;
        let companions = match options.companions.take().map(|companions| companions.value) {
            _ if options.trait_impl.is_some() => None,
            Some(Companions::None) => None,
            Some(Companions::Named(stem)) => Some(stem.value()),
            None => Some(name.unraw().to_string()),
        };
        let companions = companions.map(|stem| Names {
            uncached: format_ident!("{stem}_uncached", span = name.span()),
            entry: format_ident!("{stem}_entry", span = name.span()),
            site: format_ident!(
                "__redis_cached_{}_site",
                name.unraw(),
                span = Span::mixed_site()
            ),
        });
        let (function_attrs, companion_attrs) = match &companions {
            Some(_) => attributes::split(&item.attrs),
            None => (item.attrs.clone(), Vec::new()),
        };
        let entry = Entry {
            receiver,
            params: kept
                .iter()
                .filter_map(|param| Some((param.key_name()?.clone(), param.ty.clone())))
                .collect(),
            generics,
        };
        Some(Self {
            root: options
                .krate
                .map_or_else(|| parse_quote!(::cache_runtime), |krate| krate.value),
            function_attrs,
            companion_attrs,
            companions,
            in_impl,
            shape,
            boxed: facts.boxed,
            entry,
            key,
            ttl: options.ttl.map(|ttl| ttl.value),
            namespace: options.namespace.map(|namespace| namespace.value),
            version: options.version.map(|version| version.value),
            cache_if: options.cache_if.map(|cache_if| cache_if.value),
            none_ttl: options.none_ttl.map(|none_ttl| none_ttl.value),
            timeout: options.timeout.map(|timeout| timeout.value),
            cache: options.cache.map(|cache| cache.value),
            params: facts.params,
        })
    }
}

impl Param {
    /// What the key calls it; `_` is no part of a key.
    fn key_name(&self) -> Option<&Ident> {
        match &self.pattern {
            Pattern::Named(name) | Pattern::Other(name) => Some(name),
            Pattern::Wild => None,
        }
    }
}

/// The function as its caller sees it.
struct Call<'a> {
    function: String,
    receiver: Option<&'a Receiver>,
    params: &'a [Param],
}

impl Call<'_> {
    /// The names that an option can say.
    fn names(&self) -> Vec<Ident> {
        let receiver = self
            .receiver
            .map(|receiver| Ident::new("self", receiver.self_token.span));
        let named = self.params.iter().filter_map(|param| param.name().cloned());
        receiver.into_iter().chain(named).collect()
    }

    /// The parameter `name`, as the function spells it. A near miss is told, and taken as what was meant.
    fn resolve(
        &self,
        name: &Ident,
        at: &dyn quote::ToTokens,
        errors: &mut Errors,
    ) -> Option<Ident> {
        let names = self.names();
        if let Some(found) = names.iter().find(|known| same(known, name)) {
            return Some(found.clone());
        }
        let known = match names.as_slice() {
            [] => format!("`{}` has none that could be named", self.function),
            [one] => format!("the only one is `{one}`"),
            names => format!("parameters are {}", list(names)),
        };
        errors.on(at, format!("no parameter named `{name}`; {known}"));
        let words: Vec<_> = names.iter().map(ToString::to_string).collect();
        let meant = nearest(&name.to_string(), words.iter().map(String::as_str))?;
        names.iter().find(|known| *known == meant).cloned()
    }
}

/// Options that exclude each other, and options that must be there.
fn check_conflicts(options: &Options, errors: &mut Errors) {
    if options.ttl.is_none() && !options.failed("ttl") {
        errors.at(
            Span::call_site(),
            "`ttl` is missing; write how long a value is fresh, such as `ttl = 300`",
        );
    }
    if options.key.is_some() {
        let others = [
            options.namespace.as_ref().map(|given| &given.name),
            options.version.as_ref().map(|given| &given.name),
            options.key_args.as_ref().map(|given| &given.name),
        ];
        for other in others.into_iter().flatten() {
            errors.on(other, format!("`key` is the whole key; remove `{other}`"));
        }
    } else if let (Some(_), Some(skip)) = (&options.key_args, &options.skip) {
        errors.on(
            &skip.name,
            "`key_args` names all that the key is made of; remove `skip`",
        );
    }
    if let (Some(_), Some(companions)) = (&options.trait_impl, &options.companions)
        && matches!(companions.value, Companions::Named(_))
    {
        errors.on(
            &companions.name,
            "a trait impl has no place for companions; remove `companions`",
        );
    }
}

fn check_expressions(call: &Call<'_>, options: &Options, errors: &mut Errors) {
    fn lifetime(given: &Option<Given<Lifetime>>) -> Option<&Expr> {
        match given.as_ref().map(|given| &given.value) {
            Some(Lifetime::Computed(expr)) => Some(expr),
            _ => None,
        }
    }
    let closure;
    let ttl = match options.ttl.as_ref().map(|ttl| &ttl.value) {
        Some(Ttl::Fixed(Lifetime::Computed(expr))) => Some(expr),
        Some(Ttl::ByValue(by_value)) => {
            closure = Expr::Closure(by_value.clone());
            Some(&closure)
        }
        _ => None,
    };
    let cache_if = options.cache_if.as_ref().map(|given| &given.value);
    let names = call.names();
    for (option, expr, mend) in [
        (
            "ttl",
            ttl,
            "use the value, as in `ttl = |value| …`, or a constant",
        ),
        (
            "cache_if",
            cache_if,
            "use the value, as in `cache_if = |value| …`",
        ),
        (
            "none_ttl",
            lifetime(&options.none_ttl),
            "use a constant, or a function",
        ),
        (
            "timeout",
            lifetime(&options.timeout),
            "use a constant, or a function",
        ),
    ] {
        let Some(expr) = expr else { continue };
        check_flow(option, expr, errors);
        for name in params_in(expr, &names) {
            let what = if name == "self" { "" } else { "the parameter " };
            errors.on(
                &name,
                format!("`{option}` cannot use {what}`{name}`; {mend}"),
            );
        }
    }
    if let Some(cache) = &options.cache {
        check_flow("cache", &cache.value, errors);
    }
}

/// The parameters that `skip` names.
fn skipped(call: &Call<'_>, options: &Options, errors: &mut Errors) -> Vec<Ident> {
    let mut skipped: Vec<Ident> = Vec::new();
    for name in options.skip.iter().flat_map(|skip| &skip.value) {
        if skipped.iter().any(|earlier| same(earlier, name)) {
            errors.on(name, format!("`{name}` is skipped twice; remove this one"));
        } else if let Some(found) = call.resolve(name, name, errors) {
            skipped.push(found);
        }
    }
    skipped
}

/// What the key is made of, each with the name that the function gives it.
fn selected(
    call: &Call<'_>,
    options: &Options,
    skipped: &[Ident],
    errors: &mut Errors,
) -> Vec<FieldPath> {
    let mut selected = Vec::new();
    if let Some(key) = &options.key {
        let template = &key.value;
        for path in template.fields() {
            if let Some(base) = call.resolve(&path.base, &template.literal, errors) {
                if skipped.iter().any(|skipped| same(skipped, &base)) {
                    let message = format!(
                        "`key` names `{base}`, which is skipped; remove it from `skip`, or from `key`"
                    );
                    errors.on(&template.literal, message);
                }
                let fields = path.fields.clone();
                selected.push(FieldPath { base, fields });
            }
        }
        if !options.failed("skip") && !options.failed("key") {
            check_covered(call, skipped, &selected, errors);
        }
    } else if let Some(key_args) = &options.key_args {
        let mut seen: Vec<&FieldPath> = Vec::new();
        for path in &key_args.value {
            if seen.contains(&path) {
                errors.on(
                    &path.base,
                    format!("`{path}` is named twice; remove this one"),
                );
            }
            seen.push(path);
            if let Some(base) = call.resolve(&path.base, &path.base, errors) {
                let fields = path.fields.clone();
                selected.push(FieldPath { base, fields });
            }
        }
    } else {
        let receiver = call
            .receiver
            .map(|receiver| Ident::new("self", receiver.self_token.span));
        let names = call
            .params
            .iter()
            .filter_map(|param| param.key_name().cloned());
        let names = receiver.into_iter().chain(names);
        selected.extend(
            names
                .filter(|name| !skipped.iter().any(|skipped| same(skipped, name)))
                .map(|base| FieldPath {
                    base,
                    fields: Vec::new(),
                }),
        );
    }
    selected
}

/// Beside a template every parameter is accounted for: one that was forgotten would mix up entries.
fn check_covered(call: &Call<'_>, skipped: &[Ident], selected: &[FieldPath], errors: &mut Errors) {
    for name in call.names() {
        let covered = skipped.iter().any(|skipped| same(skipped, &name))
            || selected.iter().any(|path| same(&path.base, &name));
        if !covered {
            let message = format!(
                "`{name}` is neither in `key` nor skipped; write `{{{name}}}` in `key`, or `skip({name})`"
            );
            errors.on(&name, message);
        }
    }
    for param in call.params {
        if let Pattern::Other(_) = param.pattern {
            let pattern = &param.span.pat;
            let message = format!(
                "`{}` has no name for `key`; write `name: {}`, and take it apart in the body",
                text(pattern),
                text(&param.ty)
            );
            errors.on(pattern, message);
        }
    }
}

/// A hit would skip what the body does to a `&mut`, so it cannot be part of a call's identity.
fn check_mutable(call: &Call<'_>, options: &Options, selected: &[FieldPath], errors: &mut Errors) {
    if options.failed("skip") || options.failed("key_args") || options.failed("key") {
        return;
    }
    let in_key = |name: &Ident| selected.iter().any(|path| same(&path.base, name));
    if let Some(receiver) = call.receiver
        && receiver.reference.is_some()
        && receiver.mutability.is_some()
        && in_key(&Ident::new("self", Span::call_site()))
    {
        errors.on(
            receiver,
            "a cached function cannot take `&mut self`: a hit would skip the change; take `&self`, or add `skip(self)` if it is only scratch space",
        );
    }
    for param in call.params {
        if has_mut(&param.ty) && param.key_name().is_some_and(in_key) {
            let name = param
                .name()
                .map_or_else(|| "…".to_owned(), ToString::to_string);
            let message = format!(
                "a cached function cannot take `&mut`: a hit would skip the change; take a value, or add `skip({name})` if it is only scratch space"
            );
            errors.on(&param.ty, message);
        }
    }
}

/// A template spells values and not types: two types of a generic function would share an entry.
fn check_generic_template(
    key: &Given<crate::template::Template>,
    generics: &Generics,
    shape: &Shape,
    kept: &[&Param],
    errors: &mut Errors,
) {
    for param in &generics.params {
        let name = match param {
            GenericParam::Type(param) => &param.ident,
            GenericParam::Const(param) => &param.ident,
            GenericParam::Lifetime(_) => continue,
        };
        let by_value = kept
            .iter()
            .any(|param| generics::names(param.ty.to_token_stream(), name));
        if !by_value || generics::names(shape.entry.to_token_stream(), name) {
            let message = format!(
                "`key` cannot tell one `{name}` from another; use `key_args(…)`, which adds the types"
            );
            errors.on(&key.value.literal, message);
        }
    }
}

fn default_key(
    in_impl: bool,
    generics: &Generics,
    kept: &[&Param],
    selected: Vec<FieldPath>,
) -> Key {
    let mut types = Vec::new();
    let mut parts = Vec::new();
    if in_impl {
        types.push(KeyType::Named(Ident::new("Self", Span::call_site())));
    }
    for param in &generics.params {
        match param {
            GenericParam::Type(param) => types.push(KeyType::Named(param.ident.clone())),
            GenericParam::Const(param) => parts.push(FieldPath {
                base: param.ident.clone(),
                fields: Vec::new(),
            }),
            GenericParam::Lifetime(_) => {}
        }
    }
    for param in kept {
        if let Some(name) = param.key_name()
            && generics::has_impl_trait(&param.ty)
            && selected.iter().any(|path| same(&path.base, name))
        {
            types.push(KeyType::Of(name.clone()));
        }
    }
    parts.extend(selected);
    Key::Default { types, parts }
}
