//! The generics of `_entry`. **It drops a parameter that only skipped arguments use**, because the compiler could not
//! infer it, **and keeps every other one**, because the body may do another thing for another type.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{GenericParam, Generics, Ident, Type, TypeParamBound};

/// `generics` without the parameters that `dropped` names and `kept` does not, and without the bounds that
/// name those.
pub(crate) fn retain(generics: &Generics, kept: TokenStream, dropped: TokenStream) -> Generics {
    let (unknown, known): (Vec<_>, Vec<_>) = generics.params.iter().cloned().partition(|param| {
        let name = name(param);
        names(dropped.clone(), name) && !names(kept.clone(), name)
    });
    let names_unknown = |tokens: TokenStream| {
        unknown
            .iter()
            .any(|param| names(tokens.clone(), name(param)))
    };
    let mut generics = generics.clone();
    generics.params = known
        .into_iter()
        .map(|mut param| {
            match &mut param {
                GenericParam::Type(param) => param.bounds = without(&param.bounds, names_unknown),
                GenericParam::Lifetime(param) => {
                    param.bounds = without(&param.bounds, names_unknown)
                }
                GenericParam::Const(_) => {}
            }
            param
        })
        .collect();
    if let Some(clause) = &mut generics.where_clause {
        clause.predicates = clause
            .predicates
            .iter()
            .filter(|predicate| !names_unknown(predicate.to_token_stream()))
            .cloned()
            .collect();
    }
    generics
}

fn without<T: Clone + ToTokens, P: Clone + Default>(
    bounds: &Punctuated<T, P>,
    unwanted: impl Fn(TokenStream) -> bool,
) -> Punctuated<T, P> {
    let wanted = bounds
        .iter()
        .filter(|bound| !unwanted(bound.to_token_stream()));
    wanted.cloned().collect()
}

/// The name of a generic parameter; a lifetime's is without its quote.
fn name(param: &GenericParam) -> &Ident {
    match param {
        GenericParam::Type(param) => &param.ident,
        GenericParam::Const(param) => &param.ident,
        GenericParam::Lifetime(param) => &param.lifetime.ident,
    }
}

/// Whether `tokens` name `name`. A lifetime and a type of one name count as one, so that rather too much is kept.
pub(crate) fn names(tokens: TokenStream, name: &Ident) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == *name,
        TokenTree::Group(group) => names(group.stream(), name),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// Whether a parameter's type holds an `impl Trait`.
pub(crate) fn has_impl_trait(ty: &Type) -> bool {
    struct Impls(bool);
    impl<'ast> Visit<'ast> for Impls {
        fn visit_type_impl_trait(&mut self, ty: &'ast syn::TypeImplTrait) {
            self.0 |= ty
                .bounds
                .iter()
                .any(|bound| matches!(bound, TypeParamBound::Trait(_)));
            visit::visit_type_impl_trait(self, ty);
        }
    }
    let mut impls = Impls(false);
    impls.visit_type(ty);
    impls.0
}

/// The const and type parameters, in order: a turbofish names them.
pub(crate) fn turbofish(generics: &Generics) -> Vec<&Ident> {
    let names = generics.params.iter().filter_map(|param| match param {
        GenericParam::Type(param) => Some(&param.ident),
        GenericParam::Const(param) => Some(&param.ident),
        GenericParam::Lifetime(_) => None,
    });
    names.collect()
}
