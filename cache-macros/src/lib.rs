//! The attribute `#[redis_cached]`; it is used through the crate `cache-runtime`, which re-exports it.

mod attributes;
mod diag;
mod duration;
mod emit;
mod expand;
mod expression;
mod generics;
mod options;
mod recover;
mod signature;
#[cfg(test)]
mod snapshots;
mod spec;
mod template;

use proc_macro::TokenStream;

/// Caches an async function in Redis.
#[proc_macro_attribute]
pub fn redis_cached(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::redis_cached(attribute.into(), item.into()).into()
}
