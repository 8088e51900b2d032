async fn answer() -> u64 {
    static __REDIS_CACHED_SITE: crate::deps::cache_runtime::__private::Site = {
        fn here() {}
        crate::deps::cache_runtime::__private::Site::new("answer", &here).ttl("60 s")
    };
    let __call = &__REDIS_CACHED_SITE
        .of::<u64>()
        .default_key(&[], &[])
        .ttl(::core::time::Duration::from_secs(60u64));
    if let ::core::option::Option::Some(__hit) = __call.at_hand() {
        return __hit;
    }
    return __call
        .run(move || async move {
            if let ::core::option::Option::Some(__redis_cached_type) = ::core::option::Option::None::<
                u64,
            > {
                return __redis_cached_type;
            }
            42
        })
        .await;
}
