//! The attribute `#[redis_cached]`.
use proc_macro::TokenStream;

/// Caches an async function in Redis.
#[proc_macro_attribute]
pub fn redis_cached(_attribute: TokenStream, item: TokenStream) -> TokenStream {
    item
}
