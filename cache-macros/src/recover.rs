//! The expansion after a mistake. **One mistake is one error**: beside the messages the user's item comes back unharmed, and
//! the companions as stubs, so that their callers compile.

use proc_macro2::TokenStream;
use quote::quote;

use crate::emit;
use crate::item::{Item, is_ours};
use crate::spec::Spec;

/// Output for an item that could be read.
pub(crate) fn recover(item: &Item, spec: Option<&Spec<'_>>, errors: &syn::Error) -> TokenStream {
    let messages = errors.to_compile_error();
    let Item {
        attrs,
        vis,
        defaultness,
        sig,
        body,
    } = item;
    // A second `#[redis_cached]` makes companions of its own.
    let stubs = spec
        .filter(|_| !attrs.iter().any(is_ours))
        .and_then(|spec| Some((spec, spec.names.as_ref()?)))
        .map(|(spec, names)| {
            let absent = quote!(::core::panic!("`#[redis_cached]` was refused"));
            let uncached = emit::uncached(spec, names, &quote!({ #absent }));
            let entry = names.entry.iter();
            let entry = entry.map(|name| emit::entry_fn(spec, name, &absent));
            quote!(#[allow(unused)] #uncached #(#[allow(unused)] #entry)*)
        });
    // A parameter that the body does not use may be meant for the attribute, which is not known before it is right.
    quote! {
        #messages
        #[allow(unused_variables)]
        #(#attrs)* #vis #defaultness #sig #body
        #stubs
    }
}

/// Output for an item that could not be read.
pub(crate) fn verbatim(item: &TokenStream, errors: &syn::Error) -> TokenStream {
    let messages = errors.to_compile_error();
    quote!(#messages #item)
}
