//! Every kind of parameter outlives its call.

#![deny(warnings)]

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cache_runtime::{Cacheable, redis_cached};
use serde::Serialize;

#[derive(Clone)]
struct Pool;

/// Cannot be copied.
struct Shared;

const MINUTE: Duration = Duration::from_secs(60);

#[redis_cached(ttl = 60, stale_while_revalidate = 60, skip(pool, shared))]
async fn references(
    pool: &Pool,
    shared: &Arc<Shared>,
    name: &str,
    list: &[u64],
    numbers: &[u64; 2],
    words: &Vec<String>,
    lang: &'static str,
    langs: Option<&'static str>,
    text: Cow<'static, str>,
) -> Result<String, Box<dyn Error>> {
    let _ = (pool, shared, list, numbers, words);
    Ok(format!("{name}{lang}{langs:?}{text}"))
}

#[redis_cached(ttl = 60, refresh_ahead = 0.8)]
async fn patterns(mut a: u64, (b, c): (u64, u64), _: &Pool, [d, ..]: &[u64; 3]) -> u64 {
    a += b + c + d;
    a
}

#[redis_cached(ttl = 60, refresh_ahead = "xfetch")]
async fn raw(r#type: &str, r#match: u64) -> String {
    format!("{}{}", r#type, r#match)
}

#[redis_cached(ttl = 60, stale_if_error = MINUTE, soft_timeout = Duration::from_millis(50), skip(what))]
async fn impl_trait(
    id: impl Into<u64> + Serialize + Send + 'static,
    what: &(impl Display + ?Sized + ToOwned<Owned: Send> + Sync + 'static),
) -> Result<String, Box<dyn Error>> {
    let id = id.into();
    Ok(format!("{what}{id}"))
}

#[redis_cached(ttl = 60, stale_while_revalidate = 60)]
async fn generic<'a, T, K: ?Sized, const N: usize>(key: &'a K, more: &'a [T]) -> Vec<T>
where
    T: Cacheable + Clone + Sync,
    K: Serialize + ToOwned<Owned: Send> + Sync + 'static,
{
    let _ = key;
    more.to_vec()
}

#[redis_cached(ttl = 60, stale_while_revalidate = 60)]
async fn nothing() -> u64 {
    5
}

#[redis_cached(ttl = 60, stale_while_revalidate = 60)]
fn boxed(n: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move { if n < 2 { n } else { boxed(n - 1).await + boxed(n - 2).await } })
}

#[redis_cached(ttl = 60, stale_while_revalidate = 60, skip(pool))]
fn boxed_and_borrowed<'a>(pool: &'a Pool, n: u64) -> Pin<Box<dyn Future<Output = u64> + Send + 'a>> {
    Box::pin(async move { if n < 2 { n } else { boxed_and_borrowed(pool, n - 1).await } })
}

#[redis_cached(ttl = 60, soft_timeout = 1, stale_if_error = 60, companions = none, skip(pool))]
async fn alone(pool: &Pool, id: u64) -> Result<u64, std::num::ParseIntError> {
    let _ = pool;
    id.to_string().parse()
}

macro_rules! same_name {
    ($arg:ident) => {
        #[redis_cached(ttl = 60, refresh_ahead = 0.5)]
        async fn hygiene($arg: &str, id: &str) -> String {
            format!("{}{id}", $arg)
        }
    };
}
same_name!(id);

#[derive(Clone, Serialize)]
struct Repo<T>(T);

impl<T: Serialize + Clone + Display + Send + Sync + 'static> Repo<T> {
    #[redis_cached(ttl = 60, stale_while_revalidate = 60)]
    async fn borrowed(&self, id: u64) -> String {
        format!("{}{id}", self.0)
    }

    #[redis_cached(ttl = 60, stale_while_revalidate = 60)]
    async fn moved(mut self, id: &u64) -> Result<String, Box<dyn Error>> {
        self.0 = self.0.clone();
        Ok(format!("{}{id}", self.0))
    }

    #[redis_cached(ttl = 60, refresh_ahead = 0.1, skip(self))]
    async fn shared(self: Arc<Self>, id: u64) -> String {
        format!("{}{id}", self.0)
    }

    #[redis_cached(ttl = 60, refresh_ahead = 0.1, skip(self))]
    async fn lent(self: &Arc<Self>, id: u64) -> String {
        format!("{}{id}", self.0)
    }

    #[redis_cached(ttl = 60, refresh_ahead = 0.1, skip(self))]
    async fn patterns(&self, id: u64, (a, b): (u64, u64), _: &Pool, _: &Arc<Shared>) -> u64 {
        id + a + b
    }

    #[redis_cached(ttl = 60, refresh_ahead = 0.1, in_impl)]
    async fn associated(id: u64) -> u64 {
        id
    }

    #[redis_cached(ttl = 60, refresh_ahead = 0.1, companions = none)]
    async fn alone(&self, id: u64) -> String {
        format!("{}{id}", self.0)
    }
}

trait Reports {
    async fn report(&self, list: &[&str], name: Option<&str>) -> Result<u64, String>;
}

impl Reports for Pool {
    // What keeps no body behind the call is for every function.
    #[redis_cached(
        ttl = 60,
        stale_if_error = 60,
        jitter = 0.1,
        coalesce = "cluster",
        trait_impl,
        skip(self)
    )]
    async fn report(&self, list: &[&str], name: Option<&str>) -> Result<u64, String> {
        let _ = name;
        Ok(list.len() as u64)
    }
}

fn is_send<T: Send>(_: T) {}

fn main() {
    let (pool, repo) = (Pool, Repo("a"));
    is_send(references(&pool, &Arc::new(Shared), "", &[], &[1, 2], &vec![], "", None, "".into()));
    is_send(patterns(1, (1, 1), &pool, &[1, 2, 3]));
    is_send(raw("", 1));
    is_send(impl_trait(1_u8, ""));
    is_send(generic::<_, _, 1>("", &[1_u8]));
    is_send(nothing());
    is_send(boxed(1));
    is_send(boxed_and_borrowed(&pool, 1));
    is_send(alone(&pool, 1));
    is_send(hygiene("", ""));
    is_send(repo.borrowed(1));
    is_send(repo.clone().moved(&1));
    is_send(Arc::new(repo.clone()).shared(1));
    is_send(Arc::new(repo.clone()).lent(1));
    is_send(Repo::<u8>::associated(1));
    is_send(repo.patterns(1, (2, 3), &pool, &Arc::new(Shared)));
    is_send(repo.alone(1));
    is_send(pool.report(&[], None));
}
