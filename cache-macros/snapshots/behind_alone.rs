async fn answer(id: u64, lang: &'static str) -> u64 {
    let __redis_cached_call = __redis_cached_answer_site()
        .of::<u64>()
        .default_key(&[], &[&id, &lang])
        .ttl(::core::time::Duration::from_secs(300u64))
        .stale_while_revalidate(Duration::ZERO);
    __redis_cached_call
        .run_behind(
            (id, lang),
            |(id, lang)| __redis_cached_answer_uncached(id, lang),
            |(id, lang)| __redis_cached_answer_uncached(id, lang),
        )
        .await
}
///The body of `answer`, without the cache.
#[doc(hidden)]
#[allow(dead_code, non_snake_case, clippy::unused_async, clippy::missing_errors_doc)]
#[allow(clippy::missing_panics_doc, clippy::too_many_arguments)]
async fn __redis_cached_answer_uncached(id: u64, _lang: &'static str) -> u64 {
    id
}
#[doc(hidden)]
fn __redis_cached_answer_site() -> &'static ::cache_runtime::__private::Site {
    fn __redis_cached_here() {}
    static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = ::cache_runtime::__private::Site::new(
            "answer",
            || ::core::any::type_name_of_val(&__redis_cached_here),
        )
        .ttl("300 s");
    &__REDIS_CACHED_SITE
}
