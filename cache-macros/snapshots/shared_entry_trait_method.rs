impl Repository for Users {
    async fn get(&self, id: u64) -> User {
        static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = {
            fn here() {}
            ::cache_runtime::__private::Site::new("get", &here).ttl("60 s")
        };
        let __call = &__REDIS_CACHED_SITE
            .of::<User>()
            .shared_key(|| Self::user_entry(
                ::core::clone::Clone::clone(&self),
                ::core::clone::Clone::clone(&id),
            ))
            .ttl(::core::time::Duration::from_secs(60u64))
            .cache(::core::clone::Clone::clone(&self.cache));
        if let ::core::option::Option::Some(__hit) = __call.at_hand() {
            return __hit;
        }
        return __call
            .run(move || async move {
                if let ::core::option::Option::Some(__redis_cached_type) = ::core::option::Option::None::<
                    User,
                > {
                    return __redis_cached_type;
                }
                self.load(id).await
            })
            .await;
    }
}
