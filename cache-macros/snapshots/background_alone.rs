async fn answer(id: u64, lang: &'static str) -> u64 {
    let __call = &__redis_cached_call_answer_add_in_impl_or_trait_impl(&id, &lang);
    if let ::core::option::Option::Some(__hit) = __call.at_hand() {
        return __hit;
    }
    return __call
        .run_behind(
            (id, lang),
            |(id, lang)| __redis_cached_body_answer_add_in_impl_or_trait_impl(id, lang),
            ::core::convert::identity,
            |(id, lang)| __redis_cached_body_answer_add_in_impl_or_trait_impl(id, lang),
        )
        .await;
}
#[allow(clippy::all, clippy::pedantic, clippy::nursery)]
fn __redis_cached_call_answer_add_in_impl_or_trait_impl(
    id: &u64,
    lang: &&'static str,
) -> ::cache_runtime::__private::Call<u64> {
    static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = {
        fn here() {}
        ::cache_runtime::__private::Site::new("answer", &here).ttl("300 s")
    };
    __REDIS_CACHED_SITE
        .of::<u64>()
        .default_key(&[], &[id, lang])
        .ttl(::core::time::Duration::from_secs(300u64))
        .stale_while_revalidate(Duration::ZERO)
}
///The body of `answer`, without the cache.
#[doc(hidden)]
#[allow(dead_code, non_snake_case, clippy::unused_async, clippy::missing_errors_doc)]
#[allow(clippy::missing_panics_doc, clippy::too_many_arguments)]
async fn __redis_cached_body_answer_add_in_impl_or_trait_impl(
    id: u64,
    _lang: &'static str,
) -> u64 {
    id
}
