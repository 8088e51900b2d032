pub async fn load<D: Db, T: Id, const N: usize>(db: &D, id: T) -> Result<[T; N], Error> {
    let __call = &__redis_cached_call_load_add_in_impl_or_trait_impl::<T, N>(&id);
    if let ::core::option::Option::Some(__hit) = __call.at_hand() {
        return ::core::result::Result::Ok(__hit);
    }
    return __call
        .run_result(
            ::cache_runtime::__private::probe::<Result<[T; N], Error>>().error_share(),
            move || load_uncached::<D, T, N>(db, id),
        )
        .await;
}
#[allow(clippy::all, clippy::pedantic, clippy::nursery)]
fn __redis_cached_call_load_add_in_impl_or_trait_impl<T: Id, const N: usize>(
    id: &T,
) -> ::cache_runtime::__private::Call<[T; N]>
where
    [T; N]: ::cache_runtime::Cacheable,
{
    static __REDIS_CACHED_SITE: ::cache_runtime::__private::Site = {
        fn here() {}
        ::cache_runtime::__private::Site::new("load", &here).ttl("60 s")
    };
    __REDIS_CACHED_SITE
        .of::<[T; N]>()
        .default_key(&[::core::any::type_name::<T>()], &[&N, id])
        .ttl(::core::time::Duration::from_secs(60u64))
}
///The body of `load`, without the cache.
#[allow(dead_code, non_snake_case, clippy::unused_async, clippy::missing_errors_doc)]
#[allow(clippy::missing_panics_doc, clippy::too_many_arguments)]
pub async fn load_uncached<D: Db, T: Id, const N: usize>(
    db: &D,
    id: T,
) -> Result<[T; N], Error> {
    db.load(id).await
}
///The cache entry of `load` for these arguments.
#[allow(dead_code, non_snake_case, clippy::all, clippy::pedantic, clippy::nursery)]
pub fn load_entry<T: Id, const N: usize>(id: T) -> ::cache_runtime::Entry<[T; N]> {
    __redis_cached_call_load_add_in_impl_or_trait_impl::<T, N>(&id).entry()
}
