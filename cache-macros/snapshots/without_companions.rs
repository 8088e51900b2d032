#[allow(clippy::used_underscore_binding)]
async fn answer() -> u64 {
    fn __redis_cached_here() {}
    static __REDIS_CACHED_SITE: crate::deps::cache_runtime::__private::Site = crate::deps::cache_runtime::__private::Site::new(
            "answer",
            || ::core::any::type_name_of_val(&__redis_cached_here),
            ::core::file!(),
            ::core::line!(),
        )
        .ttl("60 s");
    #[allow(unused_imports)]
    use crate::deps::cache_runtime::__private::{
        self as __redis_cached, ByBytes as _, ByClone as _, ByJson as _,
    };
    let __redis_cached_site = &__REDIS_CACHED_SITE;
    let __redis_cached_key = __redis_cached_site.key(&[], &[]);
    __redis_cached::Call::new(
            __redis_cached_site,
            __redis_cached_key,
            __redis_cached::Probe::<u64>::new().codec(),
            __redis_cached::Probe::<u64>::new().value(),
        )
        .ttl(::core::time::Duration::from_secs(60u64))
        .run(move || async move {
            if let ::core::option::Option::Some(__redis_cached_type) = ::core::option::Option::None::<
                u64,
            > {
                return __redis_cached_type;
            }
            42
        })
        .await
}
