//! A body that may run in the background. **Its arguments are copied when it does, and not before.**

use proc_macro2::TokenStream;
use quote::quote_spanned;

use super::tokens::{at, located};
use crate::facts::owned::Passing;
use crate::spec::{Argument, Background, Spec};

/// The arguments, and three closures: one makes the body's future of them, for a run inside the call; one makes them
/// outlive the call; one makes the future of those, for a run in the background.
///
/// Input:  `pool: &Pool, id: u64`
/// Output: `(pool, id), |(pool, id)| get_uncached(pool, id), |(pool, id)| (own(pool), id), |(pool, id)| async move { get_uncached(&*pool, id).await }`
pub(super) fn bodies(
    spec: &Spec<'_>,
    background: &Background,
    uncached: &TokenStream,
    arguments: &[TokenStream],
) -> TokenStream {
    // A body that cannot run in the background is reported at the option.
    let at = at(background.at);
    let names: Vec<_> = background.arguments.iter().map(|own| &own.name).collect();
    let inline = quote_spanned!(at=> |(#(#names,)*)| #uncached(#(#names),*));
    let owned = if background.arguments.iter().any(is_copied) {
        let owned = background
            .arguments
            .iter()
            .map(|argument| own(spec, argument));
        let lent = background.arguments.iter().map(|argument| {
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
        quote_spanned!(at=> ::core::convert::identity, #inline)
    };
    quote_spanned!(at=> (#(#arguments,)*), #inline, #owned)
}

fn is_copied(argument: &Argument) -> bool {
    argument.passing == Passing::Copied
}

/// An argument that outlives the call. A type that cannot be copied is reported where it stands.
fn own(spec: &Spec<'_>, argument: &Argument) -> TokenStream {
    let root = &spec.root;
    let at = at(argument.at);
    let place = located(&argument.name, at);
    match argument.passing {
        Passing::Moved => quote_spanned!(at=> #place),
        Passing::Copied => quote_spanned!(at=> #root::__private::own(#place)),
    }
}
