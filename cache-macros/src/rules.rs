//! The rules that span options and facts. The rule of the rules: each tells the user the text to type, and none
//! speaks of an option that could not be read.

pub(crate) mod freshness;

use proc_macro2::Span;
use quote::ToTokens as _;
use syn::{Expr, GenericParam, Generics, Ident, Receiver};

use crate::diag::{Errors, list, nearest, text};
use crate::facts::generics;
use crate::facts::param::{Param, Pattern, has_mut};
use crate::facts::shape::Shape;
use crate::ident::same;
use crate::options::duration::Lifetime;
use crate::options::expression::{check_flow, params_in};
use crate::options::template::{FieldPath, Template};
use crate::options::{Companions, Given, Options, ShareErrors, Ttl};

/// The function as its caller sees it.
pub(crate) struct Call<'a> {
    pub(crate) function: String,
    pub(crate) receiver: Option<&'a Receiver>,
    pub(crate) params: &'a [Param],
}

impl Call<'_> {
    /// The names that an option can say.
    pub(crate) fn names(&self) -> Vec<Ident> {
        let receiver = self
            .receiver
            .map(|receiver| Ident::new("self", receiver.self_token.span));
        let named = self.params.iter().flat_map(Param::names).cloned();
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
pub(crate) fn check_conflicts(options: &Options, errors: &mut Errors) {
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
    }
    if options.entry.is_some() {
        let others = match &options.key {
            Some(key) => [Some(&key.name), None],
            None => [
                options.namespace.as_ref().map(|given| &given.name),
                options.version.as_ref().map(|given| &given.name),
            ],
        };
        for other in others.into_iter().flatten() {
            errors.on(
                other,
                format!("`entry` means the keys of another function; remove `{other}`"),
            );
        }
    }
    if let (None, Some(_), Some(skip)) = (&options.key, &options.key_args, &options.skip) {
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

/// A function whose entries are its own. A name alone is never a method, and a trait impl has no companions, so there
/// `Self::name` is an inherent function.
pub(crate) fn check_entry(call: &Call<'_>, options: &Options, in_impl: bool, errors: &mut Errors) {
    let Some(entry) = &options.entry else { return };
    let path = &entry.value.path;
    let is_here = match path.segments.len() {
        1 => !in_impl,
        2 => path.segments[0].ident == "Self" && options.trait_impl.is_none(),
        _ => false,
    };
    if is_here
        && entry.value.qself.is_none()
        && path
            .segments
            .last()
            .is_some_and(|last| last.ident == call.function)
    {
        let message = format!(
            "`{}` has its own entries; name another function, or remove `entry`",
            call.function
        );
        errors.on(&entry.value, message);
    }
}

pub(crate) fn check_expressions(call: &Call<'_>, options: &Options, errors: &mut Errors) {
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
    let share_errors = match options.share_errors.as_ref().map(|given| &given.value) {
        Some(ShareErrors::By(expr)) => Some(expr),
        Some(ShareErrors::None) | None => None,
    };
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
            "share_errors",
            share_errors,
            "use the error, as in `share_errors = |error| …`",
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
        (
            "stale_while_revalidate",
            lifetime(&options.stale_while_revalidate),
            "use a constant, or a function",
        ),
        (
            "stale_if_error",
            lifetime(&options.stale_if_error),
            "use a constant, or a function",
        ),
        (
            "soft_timeout",
            lifetime(&options.soft_timeout),
            "use a constant, or a function",
        ),
    ] {
        let Some(expr) = expr else { continue };
        check_flow(option, expr, errors);
        let is_fixed_ttl = option == "ttl" && !matches!(expr, Expr::Closure(_));
        for name in params_in(expr, &names) {
            // Settings live in `self`.
            if is_fixed_ttl && name == "self" {
                continue;
            }
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
pub(crate) fn skipped(call: &Call<'_>, options: &Options, errors: &mut Errors) -> Vec<Ident> {
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
pub(crate) fn selected(
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
        let is_skipped = |name: &Ident| skipped.iter().any(|skipped| same(skipped, name));
        let receiver = call
            .receiver
            .map(|receiver| Ident::new("self", receiver.self_token.span));
        selected.extend(
            receiver
                .filter(|name| !is_skipped(name))
                .map(FieldPath::from),
        );
        for param in call.params {
            // A pattern of which nothing is skipped is keyed whole.
            let is_whole = !param.bound.iter().any(is_skipped);
            let whole = param.key_name().filter(|_| is_whole).into_iter();
            let bound = param.bound.iter().filter(|_| !is_whole);
            let names = whole.chain(bound).filter(|name| !is_skipped(name)).cloned();
            selected.extend(names.map(FieldPath::from));
        }
    }
    selected
}

/// Beside a template every parameter is accounted for: one that was forgotten would mix up entries.
pub(crate) fn check_covered(
    call: &Call<'_>,
    skipped: &[Ident],
    selected: &[FieldPath],
    errors: &mut Errors,
) {
    for name in call.names() {
        let covered = skipped.iter().any(|skipped| same(skipped, &name))
            || selected.iter().any(|path| same(&path.base, &name));
        if !covered {
            let message = format!(
                "`{name}` is neither in `key` nor skipped; write `{{{name}}}`, or the field of it that counts, in `key`; or `skip({name})`, if no answer depends on it"
            );
            errors.on(&name, message);
        }
    }
    for param in call.params {
        if let Pattern::Other(_) = param.pattern
            && param.bound.is_empty()
        {
            let pattern = &param.written.pat;
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
pub(crate) fn check_mutable(
    call: &Call<'_>,
    options: &Options,
    selected: &[FieldPath],
    errors: &mut Errors,
) {
    if options.failed("skip") || options.failed("key_args") || options.failed("key") {
        return;
    }
    let in_key = |name: &Ident| selected.iter().any(|path| same(&path.base, name));
    let is_keyed = |param: &Param| selected.iter().any(|path| param.holds(&path.base));
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
        if has_mut(&param.ty) && is_keyed(param) {
            let names: Vec<_> = param.names().map(ToString::to_string).collect();
            let name = match names.as_slice() {
                [] => "…".to_owned(),
                names => names.join(", "),
            };
            let message = format!(
                "a cached function cannot take `&mut`: a hit would skip the change; take a value, or add `skip({name})` if it is only scratch space"
            );
            errors.on(&param.ty, message);
        }
    }
}

/// A template spells values and not types: two types of a generic function would share an entry.
pub(crate) fn check_generic_template(
    key: &Given<Template>,
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
