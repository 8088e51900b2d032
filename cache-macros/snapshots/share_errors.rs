pub async fn page(name: &str) -> io::Result<String> {
    let __call = &__redis_cached_call_page_add_in_impl_or_trait_impl(&name);
    if let ::core::option::Option::Some(__hit) = __call.at_hand() {
        return ::core::result::Result::Ok(__hit);
    }
    return __call
        .run_result(
            ::cache_runtime::__private::probe::<io::Result<String>>()
                .errors_by_hand(|error| io::Error::new(error.kind(), error.to_string())),
            move || page_uncached(name),
        )
        .await;
}
#[allow(clippy::all, clippy::pedantic, clippy::nursery)]
fn __redis_cached_call_page_add_in_impl_or_trait_impl(
    name: &&str,
) -> ::cache_runtime::__private::Call<String> {
    static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = {
        fn here() {}
        ::cache_runtime::__private::Site::new("page", &here).ttl("300 s")
    };
    __REDIS_CACHED_SITE
        .of::<String>()
        .default_key(&[], &[name])
        .ttl(::core::time::Duration::from_secs(300u64))
}
///The body of `page`, without the cache.
#[allow(dead_code, non_snake_case, clippy::unused_async, clippy::missing_errors_doc)]
#[allow(clippy::missing_panics_doc, clippy::too_many_arguments)]
pub async fn page_uncached(name: &str) -> io::Result<String> {
    read(name).await
}
///The cache entry of `page` for these arguments.
#[allow(dead_code, non_snake_case, clippy::all, clippy::pedantic, clippy::nursery)]
pub fn page_entry(name: &str) -> ::cache_runtime::Entry<String> {
    __redis_cached_call_page_add_in_impl_or_trait_impl(&name).entry()
}
