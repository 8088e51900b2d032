impl Users {
    pub async fn rights(&self, names: Names) -> Rights {
        let __call = &Self::__redis_cached_call_rights_add_trait_impl(&names);
        if let ::core::option::Option::Some(__hit) = __call.at_hand() {
            return __hit;
        }
        return __call
            .run_behind(
                (self, names),
                |(__self, names)| Self::rights_uncached(__self, names),
                |(__self, names)| (::cache_runtime::__private::own(__self), names),
                |(__self, names)| async move {
                    Self::rights_uncached(&*__self, names).await
                },
            )
            .await;
    }
    #[allow(clippy::all, clippy::pedantic, clippy::nursery)]
    fn __redis_cached_call_rights_add_trait_impl(
        names: &Names,
    ) -> ::cache_runtime::__private::Call<Rights> {
        static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = {
            fn here() {}
            ::cache_runtime::__private::Site::new("rights", &here).ttl("300 s")
        };
        __REDIS_CACHED_SITE
            .of::<Rights>()
            .default_key(&[::core::any::type_name::<Self>()], &[names])
            .ttl(::core::time::Duration::from_secs(300u64))
            .refresh_ahead_xfetch()
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
        Self::__redis_cached_call_rights_add_trait_impl(&names).entry()
    }
}
