impl Users {
    pub async fn rights(&self, user: &User) -> Vec<Right> {
        let __redis_cached_call = Self::__redis_cached_rights_site()
            .of::<Vec<Right>>()
            .default_key(&[::core::any::type_name::<Self>()], &[&self.tenant, &user.id])
            .ttl(Self::TTL)
            .timeout(::core::time::Duration::from_millis(50u64));
        __redis_cached_call.run(move || Self::rights_uncached(self, user)).await
    }
    ///The body of `rights`, without the cache.
    #[allow(dead_code, non_snake_case, clippy::unused_async, clippy::missing_errors_doc)]
    #[allow(clippy::missing_panics_doc, clippy::too_many_arguments)]
    pub async fn rights_uncached(&self, user: &User) -> Vec<Right> {
        self.load(user).await
    }
    ///The cache entry of `rights` for these arguments.
    #[allow(dead_code, non_snake_case, clippy::all, clippy::pedantic, clippy::nursery)]
    pub fn rights_entry(&self, user: &User) -> ::cache_runtime::Entry<Vec<Right>> {
        Self::__redis_cached_rights_site()
            .of::<Vec<Right>>()
            .default_key(&[::core::any::type_name::<Self>()], &[&self.tenant, &user.id])
            .ttl(Self::TTL)
            .timeout(::core::time::Duration::from_millis(50u64))
            .entry()
    }
    #[doc(hidden)]
    fn __redis_cached_rights_site() -> &'static ::cache_runtime::__private::Site {
        fn __redis_cached_here() {}
        static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = ::cache_runtime::__private::Site::new(
                "rights",
                || ::core::any::type_name_of_val(&__redis_cached_here),
            )
            .ttl("per call");
        &__REDIS_CACHED_SITE
    }
}
