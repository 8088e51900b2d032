//! Names and places in the expansion. **A local has a mixed-site span, and a name that begins with `__`.**
//!
//! No parameter of the user's can shadow such a local. A constant or a static of the user's would be meant by it where it stands as a
//! pattern; nobody is likely to call one `__hit`. Only the `self` of a run in the background has the name that `#[async_trait]` gives
//! it. Items, and locals that take an argument's place, begin with `__redis_cached_`.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::spanned::Spanned as _;
use syn::{Ident, Receiver};

use crate::options::template::FieldPath;
use crate::spec::Spec;

/// `quote!` with a mixed-site span.
macro_rules! mixed {
    ($($tokens:tt)*) => {
        ::quote::quote_spanned!(::proc_macro2::Span::mixed_site()=> $($tokens)*)
    };
}
pub(super) use mixed;

/// `place`, with this macro's names.
pub(super) fn at(place: Span) -> Span {
    Span::mixed_site().located_at(place)
}

/// The place of the return type, with this macro's names.
pub(super) fn at_value(spec: &Spec<'_>) -> Span {
    at(spec.shape.value.span())
}

/// `name` at the place and with the hygiene of `span`.
pub(super) fn located(name: &Ident, span: Span) -> Ident {
    let mut name = name.clone();
    name.set_span(span);
    name
}

/// `Self::`, where the companions are found by it.
pub(super) fn scope(spec: &Spec<'_>, at: Span) -> Option<TokenStream> {
    spec.in_impl.then(|| quote_spanned!(at=> Self::))
}

/// A receiver that is only passed on.
pub(super) fn plain(receiver: &Receiver) -> Receiver {
    let mut receiver = receiver.clone();
    receiver.attrs.clear();
    if receiver.reference.is_none() {
        receiver.mutability = None;
    }
    receiver
}

/// A part of the key. A type that is no key part is reported at the parameter.
pub(crate) fn part(path: &FieldPath) -> TokenStream {
    let (base, fields) = (&path.base, &path.fields);
    quote_spanned!(base.span()=> &#base #(.#fields)*)
}
