//! The items beside the function. **Each begins with the function's name, or with the stem that `companions` says**; a
//! hidden one begins with `__redis_cached_`, and ends with what to type where the compiler cannot find it.

use proc_macro2::Span;
use quote::format_ident;
use syn::Ident;
use syn::ext::IdentExt as _;

use crate::options::value::Companions;
use crate::spec::attributed::Attributed;

/// The names of the items beside the function.
pub(crate) struct Names {
    /// The body.
    pub(crate) uncached: Ident,
    /// `None`: the user wants no companions, and `uncached` is hidden.
    pub(crate) entry: Option<Ident>,
    /// Makes the call, for the function and for `entry`.
    pub(crate) call: Ident,
}

impl Names {
    /// `None`: the body stands in the function itself.
    pub(super) fn new(of: &Attributed<'_>) -> Option<Self> {
        let name = &of.item.sig.ident;
        // The compiler prints the name of an item that cannot stand where it is, or is not found there.
        let mend = match of.in_impl() {
            true => "add_trait_impl",
            false => "add_in_impl_or_trait_impl",
        };
        let hidden = |what: &str| {
            format_ident!(
                "__redis_cached_{what}_{}_{mend}",
                name.unraw(),
                span = Span::mixed_site()
            )
        };
        let stem = match of.options.companions.value() {
            _ if of.in_trait() => return None,
            // A run in the background calls the body, so that it needs a function though nobody is to see one.
            Some(Companions::None) if of.background().is_some() => {
                return Some(Self {
                    uncached: hidden("body"),
                    entry: None,
                    call: hidden("call"),
                });
            }
            Some(Companions::None) => return None,
            Some(Companions::Named(stem)) => stem.value(),
            None => name.unraw().to_string(),
        };
        Some(Self {
            uncached: format_ident!("{stem}_uncached", span = name.span()),
            entry: Some(format_ident!("{stem}_entry", span = name.span())),
            call: hidden("call"),
        })
    }
}
