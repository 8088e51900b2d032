impl Users {
    pub(crate) async fn name(&self, id: u64) -> io::Result<Option<String>> {
        let __call = &Self::__redis_cached_call_name_add_trait_impl(self, &id);
        if let ::core::option::Option::Some(__hit) = __call.at_hand() {
            return ::core::result::Result::Ok(__hit);
        }
        return __call
            .run_result(
                ::cache_runtime::__private::probe::<io::Result<Option<String>>>()
                    .error_share(),
                move || Self::name_uncached(self, id),
            )
            .await;
    }
    #[allow(clippy::all, clippy::pedantic, clippy::nursery)]
    fn __redis_cached_call_name_add_trait_impl(
        &self,
        id: &u64,
    ) -> ::cache_runtime::__private::Call<String, ::core::option::Option<String>> {
        static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = {
            fn here() {}
            ::cache_runtime::__private::Site::new("name", &here)
                .ttl("1h 30m")
                .types_in_key()
        };
        __REDIS_CACHED_SITE
            .of::<String>()
            .template_key(&["{user:", "}:", ""], &[id, &self.tenant])
            .optional()
            .ttl(::core::time::Duration::from_secs(5400u64))
    }
    ///The body of `name`, without the cache.
    #[allow(dead_code, non_snake_case, clippy::unused_async, clippy::missing_errors_doc)]
    #[allow(clippy::missing_panics_doc, clippy::too_many_arguments)]
    pub(crate) async fn name_uncached(&self, id: u64) -> io::Result<Option<String>> {
        self.load(id).await
    }
    ///The cache entry of `name` for these arguments.
    #[allow(dead_code, non_snake_case, clippy::all, clippy::pedantic, clippy::nursery)]
    pub(crate) fn name_entry(&self, id: u64) -> ::cache_runtime::Entry<Option<String>> {
        Self::__redis_cached_call_name_add_trait_impl(self, &id).entry()
    }
}
