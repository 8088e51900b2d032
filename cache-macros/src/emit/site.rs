//! The static of a function. **It holds what is the same for each of its calls**, and none of the user's names stands in it.

use proc_macro2::TokenStream;
use syn::ext::IdentExt as _;

use super::tokens::mixed;
use crate::options::duration::Period;
use crate::options::value::Ttl;
use crate::spec::{Key, Spec};

/// Output: `static SITE: Site = Site::new("get", &here).ttl("300 s");`
pub(super) fn site(spec: &Spec<'_>) -> TokenStream {
    let (root, options) = (&spec.root, spec.options);
    let function = spec.item.sig.ident.unraw().to_string();
    let ttl = match options.ttl.value() {
        Some(Ttl::Fixed(Period::Known { text, .. })) => text.as_str(),
        Some(Ttl::Fixed(Period::Computed(_))) => "per call",
        // There is no expansion without a ttl: a rule refuses it.
        Some(Ttl::ByValue(_)) | None => "per value",
    };
    let namespace = options.namespace.value().into_iter();
    let version = options.version.value().into_iter();
    // The runtime compares it with what the owner of the entries says.
    let stores_none = matches!(spec.key, Key::Shared { .. }) && options.none_ttl.is_given();
    let stores_none = stores_none.then(|| mixed!(.stores_none()));
    let types_in_key = spec.key.is_template_of_self();
    let types_in_key = types_in_key.then(|| mixed!(.types_in_key()));
    mixed! {
        static __REDIS_CACHED_SITE: #root::__private::Site = {
            fn here() {}
            #root::__private::Site::new(#function, &here)
                .ttl(#ttl)
                #(.namespace(#namespace))*
                #(.version(#version))*
                #stores_none
                #types_in_key
        };
    }
}
