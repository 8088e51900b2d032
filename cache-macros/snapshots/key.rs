const KEY: () = {
    let __redis_cached_key = cache_runtime::__private::key(
        &["product:", ":", ""],
        &[&tenant, &self.ids.0],
    );
    __redis_cached_key
};
const KEY: () = {
    let __redis_cached_key = match (&(current()),) {
        (__redis_cached_value0,) => {
            cache_runtime::__private::key(
                &["", ":", ""],
                &[&__redis_cached_value0.id, &page],
            )
        }
    };
    __redis_cached_key
};
