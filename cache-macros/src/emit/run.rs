//! How a call runs. **It is answered from the cache, or it runs the body**; the user's function does nothing else.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::Ident;

use super::tokens::{at, mixed};
use crate::options::Given;
use crate::options::value::ShareErrors;
use crate::spec::Spec;

/// Answers `call` from the cache, or runs one of `bodies`.
///
/// A value that is at hand is the answer before a future is made. The future borrows the call, so that the call stands in one
/// place and is never moved. What `call` borrows ends with its statement, so that it need not be `Sync` for the function's future to
/// be `Send`. The local is a reference, because a method of a trait of the user's that takes any type by value would be found
/// before one of a call that only borrows it.
pub(super) fn run(spec: &Spec<'_>, call: &TokenStream, bodies: &TokenStream) -> TokenStream {
    let errors = spec.shape.fallible.then(|| {
        let (root, output) = (&spec.root, &spec.shape.output);
        let share = match spec.options.share_errors.given() {
            None => mixed!(error_share()),
            Some(Given { name, value }) => {
                // An error that cannot be shared like this is reported at the option.
                let place = at(name.span());
                match value {
                    ShareErrors::None => quote_spanned!(place=> errors_alone()),
                    ShareErrors::By(copy) => quote_spanned!(place=> errors_by_hand(#copy)),
                }
            }
        };
        mixed!(#root::__private::probe::<#output>().#share,)
    });
    let at = at_run(spec);
    let run = match (&errors, &spec.background) {
        (None, None) => "run",
        (None, Some(_)) => "run_behind",
        (Some(_), None) => "run_result",
        (Some(_), Some(_)) => "run_result_behind",
    };
    let run = Ident::new(run, at);
    let hit = match spec.shape.fallible {
        true => mixed!(::core::result::Result::Ok(__hit)),
        false => mixed!(__hit),
    };
    let at_hand = mixed! {
        let __call = &#call;
        if let ::core::option::Option::Some(__hit) = __call.at_hand() {
            return #hit;
        }
    };
    // The `return` is written out for users who deny `clippy::implicit_return`.
    let run = quote_spanned!(at=> return __call.#run(#errors #bodies).await;);
    mixed!(#at_hand #run)
}

/// The place where a call's own mistakes are reported: the option that asks more of it, else the attribute.
pub(super) fn at_run(spec: &Spec<'_>) -> Span {
    let background = spec.background.as_ref();
    background.map_or_else(Span::mixed_site, |background| at(background.at))
}
