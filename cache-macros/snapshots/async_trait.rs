impl Repository for Users {
    fn get<'life0, 'async_trait>(
        &'life0 self,
        id: u64,
    ) -> ::core::pin::Pin<
        Box<
            dyn ::core::future::Future<
                Output = Result<User, Error>,
            > + Send + 'async_trait,
        >,
    >
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = {
                fn here() {}
                ::cache_runtime::__private::Site::new("get", &here).ttl("60 s")
            };
            let __call = &__REDIS_CACHED_SITE
                .of::<User>()
                .default_key(&[::core::any::type_name::<Self>()], &[&self, &id])
                .ttl(::core::time::Duration::from_secs(60u64));
            if let ::core::option::Option::Some(__hit) = __call.at_hand() {
                return ::core::result::Result::Ok(__hit);
            }
            return __call
                .run_result(
                    ::cache_runtime::__private::probe::<Result<User, Error>>()
                        .error_share(),
                    move || async move {
                        if let ::core::option::Option::Some(__redis_cached_type) = ::core::option::Option::None::<
                            Result<User, Error>,
                        > {
                            return __redis_cached_type;
                        }
                        let __self = self;
                        __self.load(id).await
                    },
                )
                .await;
        })
    }
}
