//! A body that may run behind its call. The rule: what it is called with is moved or copied only when it does.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use super::located;
use crate::owned::Passing;
use crate::spec::{Argument, Behind, Spec};

/// The arguments, what makes the body's future of them, and what does so when it outlives the call.
///
/// Input:  `pool: &Pool, id: u64`
/// Output: `(pool, id), |(pool, id)| get_uncached(pool, id), |(pool, id)| { let pool = own(pool); async move { get_uncached(&*pool, id).await } }`
pub(super) fn bodies(
    spec: &Spec,
    behind: &Behind,
    uncached: &TokenStream,
    arguments: &[TokenStream],
) -> TokenStream {
    // A body that cannot run there is reported at the option.
    let at = at_option(behind);
    let names: Vec<_> = behind.arguments.iter().map(|own| &own.name).collect();
    let lent = behind
        .arguments
        .iter()
        .map(|Argument { name, passing, .. }| match passing {
            Passing::Moved => quote_spanned!(at=> #name),
            Passing::Copied => quote_spanned!(at=> &*#name),
        });
    let copies = behind
        .arguments
        .iter()
        .filter_map(|argument| copy(spec, argument));
    let copies: Vec<_> = copies.collect();
    let owned = if copies.is_empty() {
        quote_spanned!(at=> #uncached(#(#names),*))
    } else {
        quote_spanned!(at=> {
            #(#copies)*
            async move { #uncached(#(#lent),*).await }
        })
    };
    quote_spanned! {at=>
        (#(#arguments,)*),
        |(#(#names,)*)| #uncached(#(#names),*),
        |(#(#names,)*)| #owned
    }
}

/// Spanned at the type, where one that cannot be copied is reported.
fn copy(spec: &Spec, argument: &Argument) -> Option<TokenStream> {
    let root = &spec.root;
    let at = Span::mixed_site().located_at(argument.at);
    let (name, place) = (&argument.name, located(&argument.name, at));
    (argument.passing == Passing::Copied)
        .then(|| quote_spanned!(at=> let #name = #root::__private::own(#place);))
}

/// Where the option stands that lets a body run behind its call.
pub(super) fn at_option(behind: &Behind) -> Span {
    Span::mixed_site().located_at(behind.at)
}
