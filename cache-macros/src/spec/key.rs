//! What a key is made of. **Two calls with one answer have one key, and two types of a generic function have two.**

use proc_macro2::Span;
use quote::format_ident;
use syn::ext::IdentExt as _;
use syn::{ExprPath, GenericParam, Ident};

use crate::facts::generics::has_impl_trait;
use crate::options::template::{FieldPath, Piece, Template, fields};
use crate::spec::attributed::Attributed;
use crate::spec::entry::Entry;

/// What a key is made of.
pub(crate) enum Key {
    Default {
        types: Vec<KeyType>,
        parts: Vec<FieldPath>,
    },
    Template(Vec<Piece>),
    /// The key of another function's entry.
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
    pub(super) fn new(of: &Attributed<'_>, entry: &Entry<'_>) -> Self {
        match (of.options.key.value(), of.options.entry.value()) {
            (Some(template), _) => Self::Template(spelled(template, &of.selection.keyed)),
            (None, Some(function)) => Self::Shared {
                companion: companion(function),
                arguments: match of.options.key_args.is_given() {
                    true => of.selection.keyed.clone(),
                    false => arguments(of, entry),
                },
            },
            (None, None) => default(of, entry),
        }
    }

    /// The parameters and fields that the key is made of.
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

    /// Whether a template is made of what `self` says of itself: then it may not tell the types of a generic impl apart.
    pub(crate) fn is_template_of_self(&self) -> bool {
        matches!(self, Self::Template(pieces) if fields(pieces).any(|path| path.base == "self"))
    }
}

/// The template, with parameters as the function spells them.
fn spelled(template: &Template, paths: &[FieldPath]) -> Vec<Piece> {
    let mut paths = paths.iter().cloned();
    let pieces = template.pieces.iter().filter_map(|piece| match piece {
        Piece::Field(_) => paths.next().map(Piece::Field),
        Piece::Literal(plain) => Some(Piece::Literal(plain.clone())),
    });
    pieces.collect()
}

/// The path of a function's `_entry`.
fn companion(function: &ExprPath) -> ExprPath {
    let mut function = function.clone();
    if let Some(last) = function.path.segments.last_mut() {
        last.ident = format_ident!("{}_entry", last.ident.unraw(), span = last.ident.span());
    }
    function
}

/// What the other's `_entry` is called with: all that this one's takes, because what tells the cache is a parameter of
/// both.
fn arguments(of: &Attributed<'_>, entry: &Entry<'_>) -> Vec<FieldPath> {
    let this = entry.receiver.and(of.facts.this());
    let named = entry.params.iter().flat_map(|(whole, param)| {
        let names = std::iter::once(*whole).chain(&param.bound);
        names.filter(|name| of.entry_takes(name)).cloned()
    });
    this.into_iter().chain(named).map(FieldPath::from).collect()
}

fn default(of: &Attributed<'_>, entry: &Entry<'_>) -> Key {
    let mut types = Vec::new();
    let mut parts = Vec::new();
    if of.in_impl() {
        types.push(KeyType::Named(Ident::new("Self", Span::call_site())));
    }
    for param in &entry.generics.params {
        match param {
            GenericParam::Type(param) => types.push(KeyType::Named(param.ident.clone())),
            GenericParam::Const(param) => parts.push(FieldPath::from(param.ident.clone())),
            GenericParam::Lifetime(_) => {}
        }
    }
    for (whole, param) in &entry.params {
        if has_impl_trait(&param.ty) {
            let names = std::iter::once(*whole).chain(&param.bound);
            let keyed = names.filter(|name| of.selection.keys(name));
            types.extend(keyed.cloned().map(|name| KeyType::Of(name.into())));
        }
    }
    parts.extend(of.selection.keyed.iter().cloned());
    Key::Default { types, parts }
}
