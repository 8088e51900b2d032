async fn sum(a: u64, __redis_cached_arg1: (u64, u64), __redis_cached_arg2: &str) -> u64 {
    let __call = &__redis_cached_call_sum_add_in_impl_or_trait_impl(
        &a,
        &__redis_cached_arg1,
    );
    if let ::core::option::Option::Some(__hit) = __call.at_hand() {
        return __hit;
    }
    return __call
        .run(move || sum_uncached(a, __redis_cached_arg1, __redis_cached_arg2))
        .await;
}
#[allow(clippy::all, clippy::pedantic, clippy::nursery)]
fn __redis_cached_call_sum_add_in_impl_or_trait_impl(
    a: &u64,
    __redis_cached_arg1: &(u64, u64),
) -> ::cache_runtime::__private::Call<u64> {
    static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = {
        fn here() {}
        ::cache_runtime::__private::Site::new("sum", &here).ttl("60 s").namespace("sums")
    };
    __REDIS_CACHED_SITE
        .of::<u64>()
        .default_key(&[], &[a, __redis_cached_arg1])
        .ttl(::core::time::Duration::from_secs(60u64))
}
///The body of `sum`, without the cache.
#[allow(dead_code, non_snake_case, clippy::unused_async, clippy::missing_errors_doc)]
#[allow(clippy::missing_panics_doc, clippy::too_many_arguments)]
async fn sum_uncached(mut a: u64, (b, c): (u64, u64), _: &str) -> u64 {
    a += b;
    a + c
}
///The cache entry of `sum` for these arguments.
#[allow(dead_code, non_snake_case, clippy::all, clippy::pedantic, clippy::nursery)]
fn sum_entry(a: u64, __redis_cached_arg1: (u64, u64)) -> ::cache_runtime::Entry<u64> {
    __redis_cached_call_sum_add_in_impl_or_trait_impl(&a, &__redis_cached_arg1).entry()
}
