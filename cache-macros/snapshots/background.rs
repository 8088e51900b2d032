pub async fn get_user(pool: &Pool, id: u64) -> Result<User, DbError> {
    let __call = &__redis_cached_call_get_user_add_in_impl_or_trait_impl(&id);
    if let ::core::option::Option::Some(__hit) = __call.at_hand() {
        return ::core::result::Result::Ok(__hit);
    }
    return __call
        .run_result_behind(
            ::cache_runtime::__private::probe::<Result<User, DbError>>().error_share(),
            (pool, id),
            |(pool, id)| get_user_uncached(pool, id),
            |(pool, id)| (::cache_runtime::__private::own(pool), id),
            |(pool, id)| async move { get_user_uncached(&*pool, id).await },
        )
        .await;
}
#[allow(clippy::all, clippy::pedantic, clippy::nursery)]
fn __redis_cached_call_get_user_add_in_impl_or_trait_impl(
    id: &u64,
) -> ::cache_runtime::__private::Call<User> {
    static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = {
        fn here() {}
        ::cache_runtime::__private::Site::new("get_user", &here).ttl("300 s")
    };
    __REDIS_CACHED_SITE
        .of::<User>()
        .default_key(&[], &[id])
        .ttl(::core::time::Duration::from_secs(300u64))
        .stale_while_revalidate(::core::time::Duration::from_secs(60u64))
}
///The body of `get_user`, without the cache.
#[allow(dead_code, non_snake_case, clippy::unused_async, clippy::missing_errors_doc)]
#[allow(clippy::missing_panics_doc, clippy::too_many_arguments)]
pub async fn get_user_uncached(pool: &Pool, id: u64) -> Result<User, DbError> {
    query(pool, id).await
}
///The cache entry of `get_user` for these arguments.
#[allow(dead_code, non_snake_case, clippy::all, clippy::pedantic, clippy::nursery)]
pub fn get_user_entry(id: u64) -> ::cache_runtime::Entry<User> {
    __redis_cached_call_get_user_add_in_impl_or_trait_impl(&id).entry()
}
