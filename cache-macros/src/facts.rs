//! What is known of the function. **All that can be known without the options, and nothing that needs them.**

pub(crate) mod body;
pub(crate) mod generics;
pub(crate) mod owned;
pub(crate) mod param;
pub(crate) mod pattern;
pub(crate) mod shape;

use syn::spanned::Spanned as _;
use syn::{Attribute, FnArg, Ident, Receiver, ReturnType, Signature};

use self::body::Boxed;
use self::param::Param;
use self::shape::{Shape, boxed_output, ungroup};
use crate::diag::{Errors, nearest};
use crate::ident::same;
use crate::item::{Item, is_ours};

/// What is known of a function.
pub(crate) struct Facts {
    pub(crate) receiver: Option<Receiver>,
    pub(crate) params: Vec<Param>,
    /// `None` if the return type was refused.
    pub(crate) shape: Option<Shape>,
    /// The function is not `async`, and returns a boxed future.
    pub(crate) boxed: Option<Boxed>,
    /// The signature or the body says `self` or `Self`.
    pub(crate) says_self: bool,
}

impl Facts {
    pub(crate) fn of(item: &Item, errors: &mut Errors) -> Self {
        let sig = &item.sig;
        check_qualifiers(sig, errors);
        for attribute in item.attrs.iter().filter(|attribute| is_ours(attribute)) {
            errors.on(
                attribute,
                "`#[redis_cached]` stands here twice; remove this one",
            );
        }
        let future = match &sig.output {
            ReturnType::Type(_, ty) if sig.asyncness.is_none() => boxed_output(ty),
            _ => None,
        };
        let boxed = future.as_ref().and_then(|_| body::boxed(&item.body));
        match (&sig.asyncness, &future, &boxed) {
            (Some(_), _, _) | (None, Some(_), Some(_)) => {}
            (None, Some(_), None) => errors.at(
                sig.fn_token.span(),
                "a function that returns a boxed future must be `Box::pin(async move { … })` and nothing else; write so, or `async fn`",
            ),
            (None, None, _) => errors.at(
                sig.fn_token.span(),
                "`#[redis_cached]` needs an async function; write `async fn`",
            ),
        }
        let mut receiver = None;
        let mut params = Vec::new();
        for input in &sig.inputs {
            match input {
                FnArg::Receiver(found) => {
                    receiver = Some(found.clone());
                    check_attributes(&found.attrs, errors);
                }
                FnArg::Typed(typed) => {
                    params.push(Param::of(params.len(), typed));
                    check_attributes(&typed.attrs, errors);
                }
            }
        }
        let output = match (future, &sig.output) {
            (Some(output), _) => Some(output),
            (None, ReturnType::Type(_, ty)) => Some(ungroup(ty).clone()),
            (None, ReturnType::Default) => None,
        };
        let shape = match output {
            Some(output) => Shape::of(output, errors),
            None => {
                let message = format!(
                    "`{}` returns nothing that could be cached; return a value, or remove the attribute",
                    sig.ident
                );
                errors.on(&sig.ident, message);
                None
            }
        };
        Self {
            receiver,
            params,
            shape,
            boxed,
            says_self: body::says_self(item),
        }
    }

    /// `self`, where the function has it.
    pub(crate) fn this(&self) -> Option<Ident> {
        let receiver = self.receiver.as_ref();
        receiver.map(|receiver| Ident::new("self", receiver.self_token.span))
    }

    /// The names that an option can say.
    pub(crate) fn names(&self) -> Vec<Ident> {
        let named = self.params.iter().flat_map(Param::names).cloned();
        self.this().into_iter().chain(named).collect()
    }

    /// The parameter that `name` means, as the function spells it: the one of this name, else the one that is nearest.
    pub(crate) fn meant(&self, name: &Ident) -> Option<Ident> {
        let names = self.names();
        if let Some(found) = names.iter().find(|known| same(known, name)) {
            return Some(found.clone());
        }
        let words: Vec<_> = names.iter().map(ToString::to_string).collect();
        let meant = nearest(&name.to_string(), words.iter().map(String::as_str))?;
        names.into_iter().find(|known| known == meant)
    }
}

fn check_qualifiers(sig: &Signature, errors: &mut Errors) {
    if let Some(token) = &sig.constness {
        errors.on(token, "a cached function cannot be `const`; remove `const`");
    }
    if let Some(token) = &sig.unsafety {
        errors.on(
            token,
            "a cached function cannot be `unsafe`: a hit would not run what its caller vouched for; cache a safe function that it calls",
        );
    }
    if let Some(abi) = &sig.abi {
        errors.on(abi, "a cached function cannot be `extern`; remove the ABI");
    }
}

/// Refuses `#[cfg]` on a parameter: the expansion names each parameter in places where no `#[cfg]` can stand.
fn check_attributes(attrs: &[Attribute], errors: &mut Errors) {
    for attribute in attrs {
        if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
            errors.on(
                attribute,
                "a parameter of a cached function cannot have `#[cfg]`; put it on two functions instead",
            );
        }
    }
}
