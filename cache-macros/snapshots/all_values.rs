async fn find(cache: &Cache, name: &str) -> Option<User> {
    let __call = &__redis_cached_call_find_add_in_impl_or_trait_impl(&name)
        .cache(::core::clone::Clone::clone(&cache));
    if let ::core::option::Option::Some(__hit) = __call.at_hand() {
        return __hit;
    }
    return __call.run(move || find_uncached(cache, name)).await;
}
#[allow(clippy::all, clippy::pedantic, clippy::nursery)]
fn __redis_cached_call_find_add_in_impl_or_trait_impl(
    name: &&str,
) -> ::cache_runtime::__private::Call<User, ::core::option::Option<User>> {
    static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = {
        fn here() {}
        ::cache_runtime::__private::Site::new("find", &here).ttl("per value")
    };
    __REDIS_CACHED_SITE
        .of::<User>()
        .default_key(&[], &[name])
        .optional()
        .ttl_by(|user| user.lifetime)
        .cache_if(|user| user.active)
        .none_ttl(::core::time::Duration::from_secs(30u64))
}
///The body of `find`, without the cache.
#[allow(dead_code, non_snake_case, clippy::unused_async, clippy::missing_errors_doc)]
#[allow(clippy::missing_panics_doc, clippy::too_many_arguments)]
async fn find_uncached(_cache: &Cache, name: &str) -> Option<User> {
    lookup(name).await
}
///The cache entry of `find` for these arguments.
#[allow(dead_code, non_snake_case, clippy::all, clippy::pedantic, clippy::nursery)]
fn find_entry(cache: &Cache, name: &str) -> ::cache_runtime::Entry<Option<User>> {
    __redis_cached_call_find_add_in_impl_or_trait_impl(&name)
        .cache(::core::clone::Clone::clone(&cache))
        .entry()
}
