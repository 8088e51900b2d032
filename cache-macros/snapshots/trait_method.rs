impl Repository for Users {
    async fn get(&self, id: u64) -> Result<User, Error> {
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
                ::cache_runtime::__private::probe::<Result<User, Error>>().error_share(),
                move || async move {
                    if let ::core::option::Option::Some(__redis_cached_type) = ::core::option::Option::None::<
                        Result<User, Error>,
                    > {
                        return __redis_cached_type;
                    }
                    let mut id = id;
                    id += 1;
                    self.load(id).await
                },
            )
            .await;
    }
}
