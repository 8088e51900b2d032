impl Users {
    pub(crate) async fn name(&self, id: u64) -> io::Result<Option<String>> {
        let __redis_cached_call = Self::__redis_cached_name_site()
            .of::<String>()
            .template_key(&["{user:", "}:", ""], &[&id, &self.tenant])
            .optional()
            .ttl(::core::time::Duration::from_secs(5400u64));
        __redis_cached_call
            .run_result(
                ::cache_runtime::__private::Probe::<io::Result<Option<String>>>::new()
                    .error_share(),
                move || Self::name_uncached(self, id),
            )
            .await
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
        Self::__redis_cached_name_site()
            .of::<String>()
            .template_key(&["{user:", "}:", ""], &[&id, &self.tenant])
            .optional()
            .ttl(::core::time::Duration::from_secs(5400u64))
            .entry()
    }
    #[doc(hidden)]
    fn __redis_cached_name_site() -> &'static ::cache_runtime::__private::Site {
        fn __redis_cached_here() {}
        static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = ::cache_runtime::__private::Site::new(
                "name",
                || ::core::any::type_name_of_val(&__redis_cached_here),
            )
            .ttl("1h 30m");
        &__REDIS_CACHED_SITE
    }
}
