impl Users {
    pub async fn rights(&self, names: Names) -> Rights {
        let __redis_cached_call = Self::__redis_cached_rights_site()
            .of::<Rights>()
            .default_key(&[::core::any::type_name::<Self>()], &[&names])
            .ttl(::core::time::Duration::from_secs(300u64))
            .refresh_ahead_xfetch();
        __redis_cached_call
            .run_behind(
                (self, names),
                |(__redis_cached_self, names)| Self::rights_uncached(
                    __redis_cached_self,
                    names,
                ),
                |(__redis_cached_self, names)| {
                    let __redis_cached_self = ::cache_runtime::__private::own(
                        __redis_cached_self,
                    );
                    async move {
                        Self::rights_uncached(&*__redis_cached_self, names).await
                    }
                },
            )
            .await
    }
    ///The body of `rights`, without the cache.
    #[allow(dead_code, non_snake_case, clippy::unused_async, clippy::missing_errors_doc)]
    #[allow(clippy::missing_panics_doc, clippy::too_many_arguments)]
    pub async fn rights_uncached(&self, mut names: Names) -> Rights {
        names.sort();
        self.load(names).await
    }
    ///The cache entry of `rights` for these arguments.
    #[allow(dead_code, non_snake_case, clippy::all, clippy::pedantic, clippy::nursery)]
    pub fn rights_entry(names: Names) -> ::cache_runtime::Entry<Rights> {
        Self::__redis_cached_rights_site()
            .of::<Rights>()
            .default_key(&[::core::any::type_name::<Self>()], &[&names])
            .ttl(::core::time::Duration::from_secs(300u64))
            .refresh_ahead_xfetch()
            .entry()
    }
    #[doc(hidden)]
    fn __redis_cached_rights_site() -> &'static ::cache_runtime::__private::Site {
        fn __redis_cached_here() {}
        static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = ::cache_runtime::__private::Site::new(
                "rights",
                || ::core::any::type_name_of_val(&__redis_cached_here),
            )
            .ttl("300 s");
        &__REDIS_CACHED_SITE
    }
}
