const KEY: () = cache_runtime::__private::key(
    &["product:", ":", ""],
    &[&tenant, &self.ids.0],
);
const KEY: () = match (&current(),) {
    (__redis_cached_value0,) => {
        cache_runtime::__private::key(
            &["", ":", ""],
            &[&__redis_cached_value0.id, &page],
        )
    }
};
