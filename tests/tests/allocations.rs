//! What a call allocates, and how large it is: a hit in the process's store allocates nothing but its value.
#![allow(missing_docs)]

use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use allocation_counter::measure;
use cache_runtime::{Cache, redis_cached, sites};
use cache_tests::{RedisServer, patient};
use serde::{Deserialize, Serialize};

/// What a user's record usually is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    roles: Vec<String>,
}

fn user(id: u64) -> User {
    User {
        id,
        name: "Ada".to_owned(),
        roles: vec!["admin".to_owned(), "editor".to_owned()],
    }
}

#[redis_cached(ttl = 300, skip(cache), cache = cache)]
async fn by_number(cache: &Cache, id: u64) -> User {
    user(id)
}

#[redis_cached(ttl = 300, skip(cache), cache = cache)]
async fn by_string(cache: &Cache, name: String) -> Result<User, String> {
    Ok(user(name.len() as u64))
}

#[redis_cached(ttl = 300, key = "user:{tenant}-{id}", skip(cache), cache = cache)]
async fn by_template(cache: &Cache, tenant: &str, id: u64) -> User {
    user(id + tenant.len() as u64)
}

#[redis_cached(ttl = 300, skip(cache), cache = cache)]
async fn generic<T: Serialize + Send + Sync>(cache: &Cache, id: T) -> User {
    let _ = id;
    user(1)
}

#[redis_cached(ttl = 300, none_ttl = 300, version = 2, skip(cache), cache = cache)]
async fn optional(cache: &Cache, id: u64) -> Result<Option<User>, String> {
    Ok((id > 0).then(|| user(id)))
}

#[redis_cached(
    ttl = 300,
    stale_while_revalidate = "1m",
    jitter = 0.1,
    refresh_ahead = "xfetch",
    skip(cache),
    cache = cache
)]
async fn kept_fresh(cache: &Cache, id: u64) -> User {
    user(id)
}

#[derive(Serialize)]
struct Users {
    tenant: &'static str,
    #[serde(skip)]
    cache: Cache,
}

impl Users {
    #[redis_cached(ttl = 300, cache = &self.cache)]
    async fn get(&self, id: u64) -> User {
        user(id)
    }
}

#[redis_cached(ttl = 300)]
async fn in_the_global_cache(id: u64) -> User {
    user(id)
}

/// The output of a future that has it at once.
fn at_once<F: Future>(future: F) -> F::Output {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for something"),
    }
}

/// How often a hit allocates beyond a clone of its value.
fn allocations<T: Clone, F: Future<Output = T>>(call: impl Fn() -> F) -> u64 {
    let value = at_once(call());
    // A thread's first key makes the memory that the next ones use.
    drop(at_once(call()));
    let of_clone = measure(|| drop(black_box(value.clone()))).count_total;
    let of_hit = measure(|| drop(black_box(at_once(call())))).count_total;
    of_hit - of_clone
}

fn in_process(prefix: &str) -> Cache {
    let builder = Cache::builder().in_memory().prefix(prefix);
    builder.build().expect("a cache")
}

fn hits(function: &str) -> u64 {
    let sites = sites();
    let site = sites.iter().find(|site| site.function == function);
    site.map_or(0, |site| site.stats.hits)
}

#[test]
fn a_hit_in_process_allocates_only_its_value() {
    for prefix in ["", "shop"] {
        let cache = &in_process(prefix);
        assert_eq!(allocations(|| by_number(cache, 7)), 0);
        assert_eq!(allocations(|| by_template(cache, "acme", 7)), 0);
        assert_eq!(allocations(|| generic(cache, 7_u16)), 0);
        assert_eq!(allocations(|| optional(cache, 7)), 0);
        assert_eq!(allocations(|| optional(cache, 0)), 0);
        assert_eq!(allocations(|| kept_fresh(cache, 7)), 0);
        let users = Users {
            tenant: "acme",
            cache: cache.clone(),
        };
        assert_eq!(allocations(|| users.get(7)), 0);
    }
    assert_eq!(hits("by_template"), 4, "all but the first of each cache");
}

#[test]
fn a_string_in_the_key_costs_only_the_callers_own() {
    let cache = &in_process("");
    let name = "Ada Lovelace".to_owned();
    assert_eq!(allocations(|| by_string(cache, name.clone())), 1);
}

#[test]
fn a_hit_in_the_global_cache_allocates_only_its_value() {
    cache_runtime::set_cache(in_process(""));
    assert_eq!(allocations(|| in_the_global_cache(7)), 0);
}

/// A call's own size stands in the future of everything that awaits it.
#[test]
fn a_call_is_small() {
    const OWN: usize = 350;
    let cache = &in_process("");
    let sizes = [
        size_of_val(&by_number(cache, 7)) - size_of::<(&Cache, u64)>(),
        size_of_val(&by_template(cache, "acme", 7)) - size_of::<(&Cache, &str, u64)>(),
        size_of_val(&optional(cache, 7)) - size_of::<(&Cache, u64)>(),
        size_of_val(&in_the_global_cache(7)) - size_of::<u64>(),
    ];
    assert!(sizes.iter().all(|size| *size <= OWN), "{sizes:?}");
}

#[test]
fn a_hit_in_redis_allocates_little() {
    /// By hand it is 7.
    const MOST: u64 = 9;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let server = runtime.block_on(RedisServer::start());
    let cache = &patient(&server.url());
    let call = || drop(black_box(runtime.block_on(by_number(cache, 7))));
    let counts = [(); 20].map(|()| measure(call).count_total);
    let of_clone = measure(|| drop(black_box(user(7)))).count_total;
    let least = counts.iter().min().expect("several") - of_clone;
    assert!(least <= MOST, "{least} beyond the value's own");
}
