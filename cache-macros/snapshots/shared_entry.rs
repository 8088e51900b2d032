pub async fn require_user(pool: &Pool, id: &str) -> Result<User, NotFound> {
    let __call = &__redis_cached_call_require_user_add_in_impl_or_trait_impl(&id);
    if let ::core::option::Option::Some(__hit) = __call.at_hand() {
        return ::core::result::Result::Ok(__hit);
    }
    return __call
        .run_result(
            ::cache_runtime::__private::probe::<Result<User, NotFound>>().error_share(),
            move || require_user_uncached(pool, id),
        )
        .await;
}
#[allow(clippy::all, clippy::pedantic, clippy::nursery)]
fn __redis_cached_call_require_user_add_in_impl_or_trait_impl(
    id: &&str,
) -> ::cache_runtime::__private::Call<User> {
    static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = {
        fn here() {}
        ::cache_runtime::__private::Site::new("require_user", &here).ttl("300 s")
    };
    __REDIS_CACHED_SITE
        .of::<User>()
        .shared_key(|| users::get_user_entry(::core::clone::Clone::clone(id)))
        .ttl(::core::time::Duration::from_secs(300u64))
}
///The body of `require_user`, without the cache.
#[allow(dead_code, non_snake_case, clippy::unused_async, clippy::missing_errors_doc)]
#[allow(clippy::missing_panics_doc, clippy::too_many_arguments)]
pub async fn require_user_uncached(pool: &Pool, id: &str) -> Result<User, NotFound> {
    query(pool, id).await
}
///The cache entry of `require_user` for these arguments.
#[allow(dead_code, non_snake_case, clippy::all, clippy::pedantic, clippy::nursery)]
pub fn require_user_entry(id: &str) -> ::cache_runtime::Entry<User> {
    __redis_cached_call_require_user_add_in_impl_or_trait_impl(&id).entry()
}
