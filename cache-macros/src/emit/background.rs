//! A body that may run behind its call. The rule: what it is called with is moved or copied only when it does.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use super::located;
use crate::facts::owned::Passing;
use crate::spec::{Argument, Behind, Spec};

/// The arguments, what makes the body's future of them, what makes them outlive the call, and what makes the future of
/// those.
///
/// Input:  `pool: &Pool, id: u64`
/// Output: `(pool, id), |(pool, id)| get_uncached(pool, id), |(pool, id)| (own(pool), id), |(pool, id)| async move { get_uncached(&*pool, id).await }`
pub(super) fn bodies(
    spec: &Spec,
    behind: &Behind,
    uncached: &TokenStream,
    arguments: &[TokenStream],
) -> TokenStream {
    // A body that cannot run there is reported at the option.
    let at = at_option(behind);
    let names: Vec<_> = behind.arguments.iter().map(|own| &own.name).collect();
    let here = quote_spanned!(at=> |(#(#names,)*)| #uncached(#(#names),*));
    let owned = if behind.arguments.iter().any(is_copied) {
        let owned = behind.arguments.iter().map(|argument| own(spec, argument));
        let lent = behind.arguments.iter().map(|argument| {
            let name = &argument.name;
            match argument.passing {
                Passing::Moved => quote_spanned!(at=> #name),
                Passing::Copied => quote_spanned!(at=> &*#name),
            }
        });
        quote_spanned! {at=>
            |(#(#names,)*)| (#(#owned,)*),
            |(#(#names,)*)| async move { #uncached(#(#lent),*).await }
        }
    } else {
        quote_spanned!(at=> ::core::convert::identity, #here)
    };
    quote_spanned!(at=> (#(#arguments,)*), #here, #owned)
}

fn is_copied(argument: &Argument) -> bool {
    argument.passing == Passing::Copied
}

/// Spanned at the type, where one that cannot be copied is reported.
fn own(spec: &Spec, argument: &Argument) -> TokenStream {
    let root = &spec.root;
    let at = Span::mixed_site().located_at(argument.at);
    let place = located(&argument.name, at);
    match argument.passing {
        Passing::Moved => quote_spanned!(at=> #place),
        Passing::Copied => quote_spanned!(at=> #root::__private::own(#place)),
    }
}

/// Where the option stands that lets a body run behind its call.
pub(super) fn at_option(behind: &Behind) -> Span {
    Span::mixed_site().located_at(behind.at)
}
