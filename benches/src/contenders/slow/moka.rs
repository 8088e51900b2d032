//! moka's `get_with`, by which callers of one key wait for one body run:
//! <https://docs.rs/moka/0.12/moka/future/struct.Cache.html#method.get_with>.

use moka::future::Cache;

use super::{Function, ROOM, TTL, source};
use crate::values::User;

/// In memory.
pub(super) fn in_memory() -> Function {
    let cache: Cache<u64, User> = Cache::builder()
        .max_capacity(ROOM as u64)
        .time_to_live(TTL)
        .build();
    Function::new("moka", move |id| {
        let cache = cache.clone();
        async move { Ok(cache.get_with(id, source(id)).await) }
    })
}
