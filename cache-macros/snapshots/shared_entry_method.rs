impl Users {
    async fn user_at(self: Arc<Self>, at: &Place) -> User {
        let __call = &Self::__redis_cached_call_user_at_add_trait_impl(&self, &at);
        if let ::core::option::Option::Some(__hit) = __call.at_hand() {
            return __hit;
        }
        return __call.run(move || Self::user_at_uncached(self, at)).await;
    }
    #[allow(clippy::all, clippy::pedantic, clippy::nursery)]
    fn __redis_cached_call_user_at_add_trait_impl(
        self: &Arc<Self>,
        at: &&Place,
    ) -> ::cache_runtime::__private::Call<User> {
        static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = {
            fn here() {}
            ::cache_runtime::__private::Site::new("user_at", &here).ttl("300 s")
        };
        __REDIS_CACHED_SITE
            .of::<User>()
            .shared_key(|| Self::user_entry(
                ::core::clone::Clone::clone(self),
                ::core::clone::Clone::clone(&at.id),
            ))
            .ttl(::core::time::Duration::from_secs(300u64))
    }
    ///The body of `user_at`, without the cache.
    #[allow(dead_code, non_snake_case, clippy::unused_async, clippy::missing_errors_doc)]
    #[allow(clippy::missing_panics_doc, clippy::too_many_arguments)]
    async fn user_at_uncached(self: Arc<Self>, at: &Place) -> User {
        self.load(at).await
    }
    ///The cache entry of `user_at` for these arguments.
    #[allow(dead_code, non_snake_case, clippy::all, clippy::pedantic, clippy::nursery)]
    fn user_at_entry(self: Arc<Self>, at: &Place) -> ::cache_runtime::Entry<User> {
        Self::__redis_cached_call_user_at_add_trait_impl(&self, &at).entry()
    }
}
