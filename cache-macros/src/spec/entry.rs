//! What `_entry` takes. **It takes the parameters by which the key, the cache and the ttl are told, and no others.**

use proc_macro2::{Span, TokenStream};
use quote::ToTokens as _;
use syn::{Generics, Ident, Pat, Receiver};

use crate::facts::generics;
use crate::facts::param::Param;
use crate::facts::shape::Shape;
use crate::spec::attributed::Attributed;

/// What `_entry` takes.
pub(crate) struct Entry<'a> {
    pub(crate) receiver: Option<&'a Receiver>,
    /// Each with its name in `_entry`.
    pub(crate) params: Vec<(&'a Ident, &'a Param)>,
    /// Those of `params` of which the options name a part.
    pub(crate) taken_apart: Vec<TakenApart<'a>>,
    pub(crate) generics: Generics,
}

/// A parameter that is a pattern.
pub(crate) struct TakenApart<'a> {
    pub(crate) whole: &'a Ident,
    pub(crate) pattern: &'a Pat,
    /// The names that the pattern binds and the options say.
    pub(crate) names: Vec<Ident>,
}

impl<'a> Entry<'a> {
    pub(super) fn new(of: &Attributed<'a>, shape: &Shape) -> Self {
        let facts = of.facts;
        let this = Ident::new("self", Span::call_site());
        let is_taken = |param: &Param| {
            let mut names = param.key_name().into_iter().chain(&param.bound);
            names.any(|name| of.entry_takes(name))
        };
        let receiver = facts.receiver.as_ref();
        let receiver = receiver.filter(|_| of.entry_takes(&this));
        let (taken, skipped): (Vec<_>, Vec<_>) =
            facts.params.iter().partition(|param| is_taken(param));

        let (mut kept, mut dropped) = (shape.entry.to_token_stream(), TokenStream::new());
        taken.iter().for_each(|param| param.ty.to_tokens(&mut kept));
        skipped
            .iter()
            .for_each(|param| param.ty.to_tokens(&mut dropped));
        match receiver {
            Some(receiver) => receiver.to_tokens(&mut kept),
            None => facts.receiver.to_tokens(&mut dropped),
        }

        let named = taken
            .iter()
            .filter_map(|param| Some((param.key_name()?, *param)));
        let params: Vec<_> = named.collect();
        let taken_apart = params.iter().filter_map(|(whole, param)| {
            let names = param.bound.iter().filter(|name| of.entry_takes(name));
            let names: Vec<_> = names.cloned().collect();
            (!names.is_empty()).then_some(TakenApart {
                whole,
                pattern: &param.written.pat,
                names,
            })
        });
        Self {
            receiver,
            taken_apart: taken_apart.collect(),
            params,
            generics: generics::retain(&of.item.sig.generics, kept, dropped),
        }
    }
}
