//! A function and its attribute. **Each question that spans both is answered here once**, for what is decided and for the
//! rules.

use syn::Ident;

use crate::facts::Facts;
use crate::item::Item;
use crate::options::Options;
use crate::options::expression::{params_in, uses};
use crate::options::value::Ttl;
use crate::spec::selection::Selection;

/// A function and its attribute: all that is known when the return type may have been refused.
pub(crate) struct Attributed<'a> {
    pub(crate) item: &'a Item,
    pub(crate) options: &'a Options,
    pub(crate) facts: &'a Facts,
    pub(crate) selection: Selection,
}

impl<'a> Attributed<'a> {
    pub(crate) fn new(item: &'a Item, options: &'a Options, facts: &'a Facts) -> Self {
        Self {
            item,
            options,
            facts,
            selection: Selection::of(options, facts),
        }
    }

    /// Whether the function stands in an impl: an option or the function says so.
    pub(crate) fn in_impl(&self) -> bool {
        let Options {
            in_impl,
            trait_impl,
            entry,
            ..
        } = self.options;
        let first = entry.value().and_then(|entry| entry.path.segments.first());
        in_impl.is_given()
            || trait_impl.is_given()
            || self.facts.says_self
            || first.is_some_and(|first| first.ident == "Self")
    }

    /// Whether the function stands in a trait's impl, where no other function can stand beside it.
    pub(crate) fn in_trait(&self) -> bool {
        // `#[async_trait]` is for traits alone. Without a run in the background, the function that it leaves can be cached
        // as any other is.
        let mut lifetimes = self.item.sig.generics.lifetimes();
        self.options.trait_impl.is_given()
            || self.background().is_some()
                && lifetimes.any(|param| param.lifetime.ident == "async_trait")
    }

    /// The option that lets a body run in the background, where it stands.
    pub(crate) fn background(&self) -> Option<&'a Ident> {
        let options = self.options;
        let revalidates = options.stale_while_revalidate.name();
        let refreshes = options.refresh_ahead.name();
        revalidates
            .or(refreshes)
            .or_else(|| options.soft_timeout.name())
    }

    /// Whether the `ttl` is an expression that asks `self`.
    pub(crate) fn ttl_of_self(&self) -> bool {
        match self.options.ttl.value() {
            Some(Ttl::Fixed(period)) => period
                .computed()
                .is_some_and(|expr| !params_in(expr, &self.facts.names()).is_empty()),
            Some(Ttl::ByValue(_)) | None => false,
        }
    }

    /// Whether `_entry` takes a parameter, or a part of one: the key holds it, or the cache or the ttl is told by it.
    pub(super) fn entry_takes(&self, name: &Ident) -> bool {
        let cache = self.options.cache.value();
        self.selection.keys(name)
            || cache.is_some_and(|cache| uses(cache, name))
            || name == "self" && self.ttl_of_self()
    }
}
