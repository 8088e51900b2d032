//! The key of a call. **What cannot be part of a key is reported where the user wrote it.**

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::spanned::Spanned as _;

use super::tokens::{at, at_value, mixed};
use crate::options::template::{FieldPath, literals_and_fields};
use crate::spec::{Key, KeyType, Spec};

/// The method that makes the key; `part` says how a part is lent.
pub(super) fn key(spec: &Spec<'_>, part: impl Fn(&FieldPath) -> TokenStream) -> TokenStream {
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
                let (lent, span) = (part(argument), at(argument.base.span()));
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
