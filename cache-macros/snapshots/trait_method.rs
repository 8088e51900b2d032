impl Repository for Users {
    async fn get(&self, id: u64) -> Result<User, Error> {
        fn __redis_cached_here() {}
        static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = ::cache_runtime::__private::Site::new(
                "get",
                || ::core::any::type_name_of_val(&__redis_cached_here),
            )
            .ttl("60 s");
        let __redis_cached_call = __REDIS_CACHED_SITE
            .of::<User>()
            .default_key(&[::core::any::type_name::<Self>()], &[&self, &id])
            .ttl(::core::time::Duration::from_secs(60u64));
        __redis_cached_call
            .run_result(
                ::cache_runtime::__private::Probe::<Result<User, Error>>::new()
                    .error_share(),
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
            .await
    }
}
