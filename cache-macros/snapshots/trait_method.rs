impl Repository for Users {
    #[allow(clippy::used_underscore_binding)]
    async fn get(&self, id: u64) -> Result<User, Error> {
        fn __redis_cached_here() {}
        static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = ::cache_runtime::__private::Site::new(
                "get",
                || ::core::any::type_name_of_val(&__redis_cached_here),
                ::core::file!(),
                ::core::line!(),
            )
            .ttl("60 s");
        #[allow(unused_imports)]
        use ::cache_runtime::__private::{
            self as __redis_cached, ByBytes as _, ByClone as _, ByJson as _,
            ErrorAlone as _,
        };
        let __redis_cached_site = &__REDIS_CACHED_SITE;
        let __redis_cached_key = __redis_cached_site
            .key(
                &[::core::any::type_name::<Self>()],
                &[__redis_cached::part(&self), __redis_cached::part(&id)],
            );
        __redis_cached::Call::new(
                __redis_cached_site,
                __redis_cached_key,
                __redis_cached::Probe::<User>::new().codec(),
                __redis_cached::Probe::<User>::new().value(),
            )
            .ttl(::core::time::Duration::from_secs(60u64))
            .run_result(
                __redis_cached::Probe::<Result<User, Error>>::new().error(),
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
