//! Every kind of cached function in a crate that denies all warnings: the expansion adds none.

#![deny(
    warnings,
    missing_docs,
    unused,
    unreachable_pub,
    missing_debug_implementations
)]
#![deny(
    unused_qualifications,
    let_underscore_drop,
    single_use_lifetimes,
    unused_lifetimes
)]
#![deny(
    rust_2018_idioms,
    rust_2024_compatibility,
    future_incompatible,
    nonstandard_style
)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery, clippy::cargo)]
#![allow(clippy::multiple_crate_versions, clippy::cargo_common_metadata)]
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::time::Duration;

use renamed::{redis_cached, Cache};
use serde::{Deserialize, Serialize};

pub mod freshness;
pub mod returns;

/// Where the crate is.
pub mod deps {
    pub use renamed as cache_runtime;
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its number.
    pub id: u64,
    /// What it is called.
    pub name: String,
}

/// Connections.
#[derive(Debug)]
pub struct Pool;

/// Loads a user.
///
/// # Errors
///
/// If there is none.
///
/// # Panics
///
/// If its number is 13.
#[redis_cached(ttl = 300, skip(_pool), crate = ::renamed)]
pub async fn get_user(_pool: &Pool, id: u64) -> Result<User, std::io::Error> {
    assert_ne!(id, 13);
    let name = async { id.to_string() }.await;
    if id > 100 {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    Ok(User { id, name })
}

/// Finds a name.
#[redis_cached(
    ttl = |name| Duration::from_secs(name.len() as u64),
    none_ttl = "5s",
    cache_if = |name| !name.is_empty(),
    timeout = "20ms",
    cache = cache,
    skip(cache),
    namespace = "names",
    version = 2,
    crate = deps::cache_runtime
)]
#[must_use]
#[tracing::instrument(skip(cache))]
pub async fn find(
    cache: &Cache,
    (first, last): (&str, &str),
    _: u8,
    mut more: Vec<String>,
) -> Option<String> {
    let _ = cache;
    more.push(first.to_owned());
    async {}.await;
    Some(more.concat() + last)
}

/// Echoes.
#[redis_cached(ttl = 60, crate = crate::deps::cache_runtime)]
#[allow(non_snake_case)]
#[expect(clippy::unused_async)]
pub(crate) async fn Echo<'a, T>(value: T, list: &'a [&'a str]) -> T
where
    T: Serialize + serde::de::DeserializeOwned + Send + Display + Clone + 'static,
{
    let _ = list;
    value
}

/// The body uses none of its parameters.
#[redis_cached(ttl = 60, cache = cache, skip(cache), crate = renamed)]
pub async fn only_in_the_attribute(cache: &Cache, id: u64, name: &str) -> u64 {
    struct Row {
        id: u64,
    }
    let row = async { Row { id: 7 } }.await;
    row.id
}

/// A field by its own name.
#[redis_cached(ttl = 60, key = "field:{id}:{called}", crate = renamed)]
pub async fn field_of_a_pattern(User { id, name: called }: User) -> u64 {
    async { id + called.len() as u64 }.await
}

/// A lifetime that the entry has once.
#[redis_cached(ttl = 60, skip(pool), crate = renamed)]
pub async fn one_lifetime<'a>(pool: &'a Pool, name: &'a str) -> u64 {
    let named = async { (pool, name) }.await;
    named.1.len() as u64
}

#[redis_cached(ttl = 60, crate = renamed)]
#[allow(dead_code)]
async fn unused_by_anyone(name: String) -> u64 {
    async { name.len() as u64 }.await
}

/// Methods.
#[derive(Debug, Clone, Serialize)]
pub struct Service<T> {
    tenant: T,
}

impl<T: Display + Serialize + Sync + Send> Service<T> {
    /// Of a tenant.
    pub const fn new(tenant: T) -> Self {
        Self { tenant }
    }

    /// Rights.
    #[redis_cached(ttl = "1h 30m", key_args(self.tenant, user.id), crate = renamed)]
    pub async fn rights(&self, user: &User) -> Vec<String> {
        async { vec![self.tenant.to_string(), user.name.clone()] }.await
    }

    /// A template.
    ///
    /// # Errors
    ///
    /// Never.
    #[redis_cached(ttl = 60, key = "{{service:{self.tenant}}}:{id}", crate = renamed)]
    pub async fn template(&self, id: u64) -> Result<Option<u64>, String> {
        async { Ok(Some(id)) }.await
    }

    #[redis_cached(ttl = 60, in_impl, companions = none, crate = renamed)]
    #[allow(dead_code)]
    async fn alone(id: u64) -> u64 {
        async { id }.await
    }
}

/// In a trait.
#[async_trait::async_trait]
pub trait Repository {
    /// Gets.
    async fn get(&self, id: u64) -> Result<u64, Box<dyn std::error::Error + Send + Sync>>;
}

#[async_trait::async_trait]
impl Repository for Service<u64> {
    #[redis_cached(ttl = 60, trait_impl, crate = renamed)]
    async fn get(&self, id: u64) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
        let id: u64 = id.to_string().parse()?;
        Ok(id + self.tenant)
    }
}

/// In a trait of the language.
pub trait Native {
    /// Gets.
    fn get(&self, id: u64) -> impl std::future::Future<Output = Option<u64>> + Send;
}

impl Native for Service<u64> {
    #[redis_cached(ttl = 60, trait_impl, crate = renamed)]
    async fn get(&self, mut id: u64) -> Option<u64> {
        id += self.tenant;
        async { Some(id) }.await
    }
}

/// Reaches an entry by its key, with this crate's name for the macro's.
pub fn reached<T: Serialize>(cache: &Cache, service: &Service<T>, id: u64) -> renamed::Entry<u64> {
    cache.entry(renamed::key!(
        "service:{service.tenant}:{id}:{page}",
        page = id / 10
    ))
}

/// Uses what is not public.
pub async fn echo() -> u64 {
    Echo(5, &["a"]).await
}
