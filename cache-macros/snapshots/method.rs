impl Users {
    pub async fn rights(&self, user: &User) -> Vec<Right> {
        let __call = &Self::__redis_cached_call_rights_add_trait_impl(self, &user);
        if let ::core::option::Option::Some(__hit) = __call.at_hand() {
            return __hit;
        }
        return __call.run(move || Self::rights_uncached(self, user)).await;
    }
    #[allow(clippy::all, clippy::pedantic, clippy::nursery)]
    fn __redis_cached_call_rights_add_trait_impl(
        &self,
        user: &&User,
    ) -> ::cache_runtime::__private::Call<Vec<Right>> {
        static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = {
            fn here() {}
            ::cache_runtime::__private::Site::new("rights", &here).ttl("per call")
        };
        __REDIS_CACHED_SITE
            .of::<Vec<Right>>()
            .default_key(&[::core::any::type_name::<Self>()], &[&self.tenant, &user.id])
            .ttl(Self::TTL)
            .timeout(::core::time::Duration::from_millis(50u64))
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
        Self::__redis_cached_call_rights_add_trait_impl(self, &user).entry()
    }
}
