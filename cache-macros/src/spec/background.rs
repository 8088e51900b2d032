//! A run in the background. **Its arguments outlive the call**, each in the way that its type allows.

use proc_macro2::Span;
use quote::format_ident;
use syn::spanned::Spanned as _;
use syn::{Ident, Type};

use crate::facts::owned::{Passing, passing};
use crate::spec::attributed::Attributed;

/// A run in the background.
pub(crate) struct Background {
    /// The place of the option that lets it happen.
    pub(crate) at: Span,
    /// `self` too.
    pub(crate) arguments: Vec<Argument>,
}

/// An argument of a run in the background.
pub(crate) struct Argument {
    /// Its name in the run.
    pub(crate) name: Ident,
    pub(crate) passing: Passing,
    /// The place of the type that is moved or copied.
    pub(crate) at: Span,
}

impl Background {
    pub(super) fn new(of: &Attributed<'_>) -> Option<Self> {
        let at = of.background()?.span();
        let arguments = arguments(of);
        Some(Self { at, arguments })
    }
}

fn arguments(of: &Attributed<'_>) -> Vec<Argument> {
    let mut arguments: Vec<Argument> = Vec::new();
    if let Some(receiver) = &of.facts.receiver {
        arguments.push(Argument {
            name: Ident::new("__self", Span::mixed_site()),
            passing: passing(&receiver.ty).unwrap_or(Passing::Moved),
            at: match receiver.colon_token {
                Some(_) => target(&receiver.ty),
                None => receiver.self_token.span(),
            },
        });
    }
    for (index, param) in of.facts.params.iter().enumerate() {
        // A local of this macro's own, so that nobody is told that it shadows the parameter. Two parameters can have one
        // spelling, by a user's macro; as locals of one macro they would be one.
        let mut name = match param.key_name() {
            Some(name) if arguments.iter().all(|earlier| earlier.name != *name) => name.clone(),
            _ => format_ident!("__redis_cached_arg{index}"),
        };
        let span = Span::mixed_site().located_at(name.span());
        match name == "gen" {
            // `gen` is a keyword in this macro's edition, and may be none in the user's.
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

/// The place of the type that a reference points to.
fn target(ty: &Type) -> Span {
    match ty {
        Type::Reference(reference) => reference.elem.span(),
        ty => ty.span(),
    }
}
