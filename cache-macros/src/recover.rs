//! What is left when something was wrong. The rule: one mistake is one error, so the user's item comes back
//! unharmed, and the companions as stubs, beside the messages.

use proc_macro2::TokenStream;
use quote::quote;

use crate::emit;
use crate::item::{Item, is_ours};
use crate::spec::Spec;

/// An item that was read.
pub(crate) fn recover(item: &Item, spec: Option<&Spec>, errors: &syn::Error) -> TokenStream {
    let messages = errors.to_compile_error();
    let Item {
        attrs,
        vis,
        defaultness,
        sig,
        body,
    } = item;
    // A second attribute makes the companions itself.
    let stubs = spec
        .filter(|_| !attrs.iter().any(is_ours))
        .and_then(|spec| Some((spec, spec.companions.as_ref()?)))
        .map(|(spec, names)| {
            let absent = quote!(::core::panic!("`#[redis_cached]` was refused"));
            let uncached = emit::uncached(item, spec, names, &quote!({ #absent }));
            let entry = names.entry.iter();
            let entry = entry.map(|name| emit::entry_fn(item, spec, name, &absent));
            quote!(#[allow(unused)] #uncached #(#[allow(unused)] #entry)*)
        });
    // Whether the attribute uses a parameter that the body does not is not known before it is right.
    quote! {
        #messages
        #[allow(unused_variables)]
        #(#attrs)* #vis #defaultness #sig #body
        #stubs
    }
}

/// An item that could not be read.
pub(crate) fn verbatim(item: &TokenStream, errors: &syn::Error) -> TokenStream {
    let messages = errors.to_compile_error();
    quote!(#messages #item)
}
