impl Users {
    pub async fn get_user(&self, pool: &Pool, id: u64) -> Result<Option<User>, DbError> {
        let __call = &Self::__redis_cached_call_get_user_add_trait_impl(&id)
            .cache(self.cache.clone());
        if let ::core::option::Option::Some(__hit) = __call.at_hand() {
            return ::core::result::Result::Ok(__hit);
        }
        return __call
            .run_result_behind(
                ::cache_runtime::__private::probe::<Result<Option<User>, DbError>>()
                    .errors_alone(),
                (self, pool, id),
                |(__self, pool, id)| Self::get_user_uncached(__self, pool, id),
                |(__self, pool, id)| (
                    ::cache_runtime::__private::own(__self),
                    ::cache_runtime::__private::own(pool),
                    id,
                ),
                |(__self, pool, id)| async move {
                    Self::get_user_uncached(&*__self, &*pool, id).await
                },
            )
            .await;
    }
    #[allow(clippy::all, clippy::pedantic, clippy::nursery)]
    fn __redis_cached_call_get_user_add_trait_impl(
        id: &u64,
    ) -> ::cache_runtime::__private::Call<User, ::core::option::Option<User>> {
        static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = {
            fn here() {}
            ::cache_runtime::__private::Site::new("get_user", &here)
                .ttl("per call")
                .namespace("users")
                .version(2u64)
        };
        __REDIS_CACHED_SITE
            .of::<User>()
            .default_key(&[::core::any::type_name::<Self>()], &[id])
            .optional()
            .ttl(Self::TTL)
            .cache_if(|user| user.active)
            .none_ttl(::core::time::Duration::from_secs(30u64))
            .timeout(::core::time::Duration::from_millis(50u64))
            .stale_while_revalidate(::core::time::Duration::from_secs(60u64))
            .stale_if_error(::core::time::Duration::from_secs(3600u64))
            .soft_timeout(::core::time::Duration::from_millis(100u64))
            .jitter(0.1f64)
            .refresh_ahead(0.8f64)
            .coalesce_cluster()
    }
    ///The body of `get_user`, without the cache.
    #[allow(dead_code, non_snake_case, clippy::unused_async, clippy::missing_errors_doc)]
    #[allow(clippy::missing_panics_doc, clippy::too_many_arguments)]
    pub async fn get_user_uncached(
        &self,
        pool: &Pool,
        id: u64,
    ) -> Result<Option<User>, DbError> {
        query(pool, id).await
    }
    ///The cache entry of `get_user` for these arguments.
    #[allow(dead_code, non_snake_case, clippy::all, clippy::pedantic, clippy::nursery)]
    pub fn get_user_entry(&self, id: u64) -> ::cache_runtime::Entry<Option<User>> {
        Self::__redis_cached_call_get_user_add_trait_impl(&id)
            .cache(self.cache.clone())
            .entry()
    }
}
