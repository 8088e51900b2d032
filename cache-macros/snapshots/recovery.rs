::core::compile_error! {
    "unknown option `tll`; did you mean `ttl`?"
}
::core::compile_error! {
    "`timeout = 0` would give up every operation; use `\"1ms\"` or more"
}
::core::compile_error! {
    "no parameter named `dbb`; parameters are `db`, `id`"
}
#[allow(unused_variables)]
pub async fn get_user(db: &Db, id: u64) -> Result<User, DbError> {
    query(db, id).await
}
#[allow(unused)]
///The body of `get_user`, without the cache.
#[allow(dead_code, non_snake_case, clippy::unused_async, clippy::missing_errors_doc)]
#[allow(clippy::missing_panics_doc, clippy::too_many_arguments)]
pub async fn get_user_uncached(db: &Db, id: u64) -> Result<User, DbError> {
    ::core::panic!("`#[redis_cached]` was refused")
}
#[allow(unused)]
///The cache entry of `get_user` for these arguments.
#[allow(dead_code, non_snake_case, clippy::all, clippy::pedantic, clippy::nursery)]
pub fn get_user_entry(id: u64) -> ::cache_runtime::Entry<User> {
    ::core::panic!("`#[redis_cached]` was refused")
}
