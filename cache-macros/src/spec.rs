//! Options and facts together. The rule: after it nothing can fail, so every rule that spans both is here.

use proc_macro2::Span;
use quote::{ToTokens as _, format_ident};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{
    Attribute, Expr, ExprPath, GenericParam, Generics, Ident, LitStr, Pat, Path, Receiver, Type,
    parse_quote,
};

use crate::attributes;
use crate::diag::{Errors, text};
use crate::facts::Facts;
use crate::facts::body::Boxed;
use crate::facts::body::may_use;
use crate::facts::generics;
use crate::facts::owned::{Passing, passing};
use crate::facts::param::Param;
use crate::facts::shape::Shape;
use crate::ident::same;
use crate::item::Item;
use crate::options::duration::Lifetime;
use crate::options::expression::params_in;
use crate::options::fraction::RefreshAhead;
use crate::options::template::{FieldPath, Piece, fields};
use crate::options::{Coalesce, Companions, Given, Options, ShareErrors, Ttl};
use crate::rules::freshness::{behind, check_behind, check_shape, check_windows, in_trait};
use crate::rules::{
    Call, check_conflicts, check_entry, check_expressions, check_generic_template, check_mutable,
    selected, skipped,
};

/// All that the expansion is made of.
pub(crate) struct Spec {
    /// Where `cache_runtime` is.
    pub(crate) root: Path,
    pub(crate) function_attrs: Vec<Attribute>,
    pub(crate) companion_attrs: Vec<Attribute>,
    /// Those that the function with the body has besides.
    pub(crate) body_attrs: Vec<Attribute>,
    /// `None`: the body stands in the function itself.
    pub(crate) companions: Option<Names>,
    /// The function stands in an impl.
    pub(crate) in_impl: bool,
    pub(crate) params: Vec<Param>,
    /// Parameters that only the attribute uses.
    pub(crate) not_in_body: Vec<Ident>,
    pub(crate) shape: Shape,
    pub(crate) boxed: Option<Boxed>,
    pub(crate) entry: Entry,
    pub(crate) key: Key,
    /// `None` only beside an error.
    pub(crate) ttl: Option<Ttl>,
    /// The `ttl` is an expression that asks `self`.
    pub(crate) ttl_of_self: bool,
    pub(crate) namespace: Option<LitStr>,
    pub(crate) version: Option<u64>,
    pub(crate) cache_if: Option<Expr>,
    pub(crate) none_ttl: Option<Lifetime>,
    pub(crate) timeout: Option<Lifetime>,
    pub(crate) jitter: Option<f64>,
    pub(crate) stale_while_revalidate: Option<Lifetime>,
    pub(crate) stale_if_error: Option<Lifetime>,
    pub(crate) soft_timeout: Option<Lifetime>,
    pub(crate) refresh_ahead: Option<RefreshAhead>,
    pub(crate) coalesce: Option<Coalesce>,
    pub(crate) share_errors: Option<Given<ShareErrors>>,
    /// `None`: the body never runs behind the call.
    pub(crate) behind: Option<Behind>,
    pub(crate) cache: Option<Expr>,
}

/// The names of the items beside the function.
pub(crate) struct Names {
    pub(crate) uncached: Ident,
    /// `None`: the user wants no companions, and `uncached` is hidden.
    pub(crate) entry: Option<Ident>,
    /// Makes the call, for the function and for `entry`.
    pub(crate) call: Ident,
}

/// A run behind the call.
pub(crate) struct Behind {
    /// The place of the option that lets it happen.
    pub(crate) at: Span,
    /// `self` too.
    pub(crate) arguments: Vec<Argument>,
}

/// An argument, as a run behind the call gets it.
pub(crate) struct Argument {
    /// What the run calls it.
    pub(crate) name: Ident,
    pub(crate) passing: Passing,
    /// The place of the type that is moved or copied.
    pub(crate) at: Span,
}

/// What `_entry` takes.
pub(crate) struct Entry {
    pub(crate) receiver: Option<Receiver>,
    pub(crate) params: Vec<(Ident, Type)>,
    /// Those of `params` of which the options name a part.
    pub(crate) taken_apart: Vec<TakenApart>,
    pub(crate) generics: Generics,
}

/// A parameter that is a pattern, and the names that it binds and the options say.
pub(crate) struct TakenApart {
    pub(crate) whole: Ident,
    pub(crate) pattern: Pat,
    pub(crate) names: Vec<Ident>,
}

/// What a key is made of.
pub(crate) enum Key {
    Default {
        types: Vec<KeyType>,
        parts: Vec<FieldPath>,
    },
    Template(Vec<Piece>),
    /// That of another function's entry.
    Shared {
        /// What makes the entry.
        companion: ExprPath,
        arguments: Vec<FieldPath>,
    },
}

/// A type that is part of the key.
pub(crate) enum KeyType {
    /// `Self`, or a generic parameter.
    Named(Ident),
    /// The type of a parameter that is an `impl Trait`.
    Of(FieldPath),
}

impl Key {
    /// What it is made of.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &FieldPath> {
        let (parts, pieces) = match self {
            Self::Default { parts, .. }
            | Self::Shared {
                arguments: parts, ..
            } => (parts.as_slice(), [].as_slice()),
            Self::Template(pieces) => ([].as_slice(), pieces.as_slice()),
        };
        parts.iter().chain(fields(pieces))
    }
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
        check_windows(&options, errors);
        let call = Call {
            function: item.sig.ident.to_string(),
            receiver: facts.receiver.as_ref(),
            params: &facts.params,
        };
        let in_impl = options.in_impl.is_some() || options.trait_impl.is_some() || facts.says_self;
        check_entry(&call, &options, in_impl, errors);
        check_expressions(&call, &options, errors);
        let skipped = skipped(&call, &options, errors);
        let selected = selected(&call, &options, &skipped, errors);
        match behind(&options) {
            // A stricter rule than that for a `&mut` in the key.
            Some(option) => check_behind(option, &call, &item.sig.generics, &options, errors),
            None => check_mutable(&call, &options, &selected, errors),
        }
        let behind = behind(&options).map(Ident::span);
        // Known of `#[async_trait]` too, where it matters.
        let in_trait = options.trait_impl.is_some()
            || behind.is_some() && in_trait(&options, &item.sig.generics);
        let in_cache = options
            .cache
            .as_ref()
            .map_or_else(Vec::new, |cache| params_in(&cache.value, &call.names()));
        let ttl_of_self = matches!(
            options.ttl.as_ref().map(|ttl| &ttl.value),
            Some(Ttl::Fixed(Lifetime::Computed(expr))) if !params_in(expr, &call.names()).is_empty()
        );
        let entry_takes = |name: &Ident| {
            selected.iter().any(|path| same(&path.base, name))
                || in_cache.iter().any(|used| same(used, name))
                || ttl_of_self && name == "self"
        };

        let shape = facts.shape?;
        check_shape(&call.function, &options, &shape, errors);
        if let Some(none_ttl) = options.none_ttl.as_ref().filter(|_| !shape.optional) {
            let message = format!(
                "`none_ttl` needs an `Option`, but `{}` returns `{}`; remove it",
                call.function,
                text(&shape.output)
            );
            errors.on(&none_ttl.name, message);
        }

        if let Some(share_errors) = options.share_errors.as_ref().filter(|_| !shape.fallible) {
            let message = format!(
                "`share_errors` needs a `Result`, but `{}` returns `{}`; remove it",
                call.function,
                text(&shape.output)
            );
            errors.on(&share_errors.name, message);
        }

        let receiver = facts
            .receiver
            .clone()
            .filter(|_| entry_takes(&Ident::new("self", Span::call_site())));
        let (kept, dropped): (Vec<_>, Vec<_>) = facts.params.iter().partition(|param| {
            param
                .key_name()
                .into_iter()
                .chain(&param.bound)
                .any(&entry_takes)
        });
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

        let taken_apart = kept
            .iter()
            .filter_map(|param| {
                let used = |name: &&Ident| entry_takes(name);
                let names: Vec<_> = param.bound.iter().filter(used).cloned().collect();
                (!names.is_empty()).then_some(())?;
                Some(TakenApart {
                    whole: param.key_name()?.clone(),
                    pattern: (*param.written.pat).clone(),
                    names,
                })
            })
            .collect();
        let says_self = |entry: &ExprPath| {
            let first = entry.path.segments.first();
            first.is_some_and(|first| first.ident == "Self")
        };
        let in_impl = in_impl
            || options
                .entry
                .as_ref()
                .is_some_and(|entry| says_self(&entry.value));
        let key = match (options.key, options.entry) {
            (Some(key), _) => {
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
            (None, Some(entry)) => Key::Shared {
                companion: companion(entry.value),
                // What the cache is told by is a parameter of the other's `_entry` too.
                arguments: match options.key_args {
                    Some(_) => selected,
                    None => {
                        let this = receiver.as_ref().map(|receiver| receiver.self_token);
                        let this = this.map(|this| Ident::new("self", this.span));
                        let named = kept.iter().flat_map(|param| {
                            let whole = param.key_name().filter(|name| entry_takes(name));
                            let bound = param.bound.iter().filter(|name| entry_takes(name));
                            whole.into_iter().chain(bound).cloned()
                        });
                        this.into_iter().chain(named).map(FieldPath::from).collect()
                    }
                },
            },
            (None, None) => default_key(in_impl, &generics, &kept, selected),
        };

        let name = &item.sig.ident;
        let stem = match options.companions.take().map(|companions| companions.value) {
            _ if in_trait => None,
            Some(Companions::None) => None,
            Some(Companions::Named(stem)) => Some(stem.value()),
            None => Some(name.unraw().to_string()),
        };
        // The compiler prints the name where the item cannot stand or be found, so it says what to type there.
        let mend = match in_impl {
            true => "add_trait_impl",
            false => "add_in_impl_or_trait_impl",
        };
        let hidden = |what: &str| {
            format_ident!(
                "__redis_cached_{what}_{}_{mend}",
                name.unraw(),
                span = Span::mixed_site()
            )
        };
        let companions = match stem {
            Some(stem) => Some(Names {
                uncached: format_ident!("{stem}_uncached", span = name.span()),
                entry: Some(format_ident!("{stem}_entry", span = name.span())),
                call: hidden("call"),
            }),
            // Nobody is to see it, but a run behind the call needs a function.
            None if behind.is_some() && !in_trait => Some(Names {
                uncached: hidden("body"),
                entry: None,
                call: hidden("call"),
            }),
            None => None,
        };
        let (function_attrs, companion_attrs) = match &companions {
            Some(_) => attributes::split(&item.attrs),
            None => (item.attrs.clone(), Vec::new()),
        };
        if let Some(names) = &companions
            && !in_impl
            && let Some(param) = call.names().iter().find(|param| **param == names.uncached)
        {
            let message = format!(
                "`{param}` is what the function's body is called; name the parameter otherwise, or the companions: `companions = \"{}_cached\"`",
                name.unraw()
            );
            errors.on(param, message);
        }
        let entry = Entry {
            taken_apart,
            receiver,
            params: kept
                .iter()
                .filter_map(|param| Some((param.key_name()?.clone(), param.ty.clone())))
                .collect(),
            generics,
        };
        let not_in_body = kept
            .iter()
            .filter_map(|param| param.name())
            .filter(|name| !may_use(item.body.stream(), name))
            .cloned()
            .collect();
        Some(Self {
            root: options
                .krate
                .map_or_else(|| parse_quote!(::cache_runtime), |krate| krate.value),
            function_attrs,
            companion_attrs,
            body_attrs: attributes::of_body(&item.attrs),
            companions,
            in_impl,
            not_in_body,
            shape,
            boxed: facts.boxed,
            entry,
            key,
            ttl: options.ttl.map(|ttl| ttl.value),
            ttl_of_self,
            namespace: options.namespace.map(|namespace| namespace.value),
            version: options.version.map(|version| version.value),
            cache_if: options.cache_if.map(|cache_if| cache_if.value),
            none_ttl: options.none_ttl.map(|none_ttl| none_ttl.value),
            timeout: options.timeout.map(|timeout| timeout.value),
            jitter: options.jitter.map(|jitter| jitter.value),
            stale_while_revalidate: options.stale_while_revalidate.map(|window| window.value),
            stale_if_error: options.stale_if_error.map(|window| window.value),
            soft_timeout: options.soft_timeout.map(|timeout| timeout.value),
            refresh_ahead: options.refresh_ahead.map(|when| when.value),
            coalesce: options.coalesce.map(|who| who.value),
            share_errors: options.share_errors,
            behind: behind.map(|at| Behind {
                at,
                arguments: arguments_behind(facts.receiver.as_ref(), &facts.params),
            }),
            cache: options.cache.map(|cache| cache.value),
            params: facts.params,
        })
    }
}

impl Spec {
    /// Whether the `key` of a method is made of what its `self` says of itself.
    pub(crate) fn types_in_key(&self) -> bool {
        matches!(&self.key, Key::Template(pieces) if fields(pieces).any(|path| path.base == "self"))
    }
}

fn arguments_behind(receiver: Option<&Receiver>, params: &[Param]) -> Vec<Argument> {
    let mut arguments: Vec<Argument> = Vec::new();
    if let Some(receiver) = receiver {
        arguments.push(Argument {
            name: Ident::new("__self", Span::mixed_site()),
            passing: passing(&receiver.ty).unwrap_or(Passing::Moved),
            at: match receiver.colon_token {
                Some(_) => target(&receiver.ty),
                None => receiver.self_token.span(),
            },
        });
    }
    for (index, param) in params.iter().enumerate() {
        // A local of this macro's own, so that nobody is told that it shadows the parameter. There two names
        // of one spelling could not be told apart.
        let mut name = match param.key_name() {
            Some(name) if arguments.iter().all(|earlier| earlier.name != *name) => name.clone(),
            _ => format_ident!("__redis_cached_arg{index}"),
        };
        let span = Span::mixed_site().located_at(name.span());
        match name == "gen" {
            // A keyword in this macro's edition, though it may be none in the user's.
            true => name = Ident::new_raw("gen", span),
            false => name.set_span(span),
        }
        arguments.push(Argument {
            name,
            passing: passing(&param.ty).unwrap_or(Passing::Moved),
            at: target(&param.ty),
        });
    }
    arguments
}

/// Where the type stands that a reference points to.
fn target(ty: &Type) -> Span {
    match ty {
        Type::Reference(reference) => reference.elem.span(),
        ty => ty.span(),
    }
}

/// The path of a function's `_entry`.
fn companion(mut function: ExprPath) -> ExprPath {
    if let Some(last) = function.path.segments.last_mut() {
        last.ident = format_ident!("{}_entry", last.ident.unraw(), span = last.ident.span());
    }
    function
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
        if !generics::has_impl_trait(&param.ty) {
            continue;
        }
        let names = param.key_name().into_iter().chain(&param.bound);
        let keyed = names.filter(|name| selected.iter().any(|path| same(&path.base, name)));
        types.extend(keyed.cloned().map(|name| KeyType::Of(name.into())));
    }
    parts.extend(selected);
    Key::Default { types, parts }
}
