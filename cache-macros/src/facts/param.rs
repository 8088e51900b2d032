//! One parameter. **The names that it has for the user and for the expansion are told apart here.**

use proc_macro2::Span;
use syn::visit::{self, Visit};
use syn::{Ident, Pat, PatType, Type};

use crate::facts::pattern::bound;
use crate::ident::same;

/// A parameter other than `self`.
pub(crate) struct Param {
    pub(crate) pattern: Pattern,
    /// The names that a pattern binds; the name of a plain parameter is not among them.
    pub(crate) bound: Vec<Ident>,
    pub(crate) ty: Type,
    /// The whole parameter, as it is written.
    pub(crate) written: PatType,
}

/// What stands before a parameter's colon.
pub(crate) enum Pattern {
    /// `id` or `mut id`.
    Named(Ident),
    /// `_`.
    Wild,
    /// `(a, b)`, or any other pattern; with the name that the expansion gives the whole of it.
    Other(Ident),
}

impl Param {
    pub(super) fn of(index: usize, typed: &PatType) -> Self {
        let pattern = match &*typed.pat {
            Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {
                Pattern::Named(pat.ident.clone())
            }
            Pat::Wild(_) => Pattern::Wild,
            _ => Pattern::Other(Ident::new(
                &format!("__redis_cached_arg{index}"),
                Span::mixed_site(),
            )),
        };
        let bound = match &pattern {
            Pattern::Other(_) => bound(&typed.pat),
            Pattern::Named(_) | Pattern::Wild => Vec::new(),
        };
        Self {
            pattern,
            bound,
            ty: (*typed.ty).clone(),
            written: typed.clone(),
        }
    }

    /// The name that the user wrote.
    pub(crate) fn name(&self) -> Option<&Ident> {
        match &self.pattern {
            Pattern::Named(name) => Some(name),
            Pattern::Wild | Pattern::Other(_) => None,
        }
    }

    /// The names that an option can say: its own, or those that its pattern binds.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Ident> {
        self.name().into_iter().chain(&self.bound)
    }

    /// Whether `name` is the parameter, or a part of it that its pattern binds.
    pub(crate) fn holds(&self, name: &Ident) -> bool {
        let whole = self.key_name().into_iter();
        whole.chain(&self.bound).any(|own| same(own, name))
    }

    /// The name of the whole in a key; `_` has none, because it is no part of a key.
    pub(crate) fn key_name(&self) -> Option<&Ident> {
        match &self.pattern {
            Pattern::Named(name) | Pattern::Other(name) => Some(name),
            Pattern::Wild => None,
        }
    }
}

/// Whether a type holds a `&mut`.
pub(crate) fn has_mut(ty: &Type) -> bool {
    struct Muts(bool);
    impl<'ast> Visit<'ast> for Muts {
        fn visit_type_reference(&mut self, reference: &'ast syn::TypeReference) {
            self.0 |= reference.mutability.is_some();
            visit::visit_type_reference(self, reference);
        }
    }
    let mut muts = Muts(false);
    muts.visit_type(ty);
    muts.0
}
