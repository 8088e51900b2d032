//! Calls a function so often, for `callgrind` to count what that takes.
//!
//! The one rule: **what is counted twice, with two numbers of calls, differs by the calls alone.**

use std::{env, error::Error, future::Future, hint::black_box};

use cache_runtime::{Cache, redis_cached, set_cache};
use redis::{AsyncCommands, Client, aio::MultiplexedConnection};
use serde::{Deserialize, Serialize};
use tokio::task::{JoinError, JoinSet};

/// About 330 bytes of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    email: String,
    city: String,
    bio: String,
    tags: Vec<String>,
    score: f64,
}

/// The source, which only the first call asks.
fn user(id: u64) -> User {
    User {
        id,
        name: "Zoë Example".to_owned(),
        email: "zoe@example.com".to_owned(),
        city: "Berlin".to_owned(),
        bio: "x".repeat(160),
        tags: vec!["admin".to_owned(), "staff".to_owned()],
        score: 0.5,
    }
}

#[redis_cached(ttl = 3600, key = "user:{id}")]
async fn cached(id: u64) -> User {
    user(id)
}

/// A function of its own, because how a call is compiled depends on how often a function is called.
#[redis_cached(ttl = 3600, key = "user:{id}")]
async fn missed(id: u64) -> User {
    user(id)
}

async fn by_hand(connection: &MultiplexedConnection, id: u64) -> redis::RedisResult<User> {
    let mut connection = connection.clone();
    let json: Vec<u8> = connection.get(format!("user:{id}")).await?;
    Ok(serde_json::from_slice(&json).expect("what the cache stored"))
}

/// A miss by hand: GET, and SETEX of what the source has.
async fn miss_by_hand(connection: &MultiplexedConnection, id: u64) -> redis::RedisResult<User> {
    let mut connection = connection.clone();
    let key = format!("user:{id}");
    let json: Option<Vec<u8>> = connection.get(&key).await?;
    assert!(json.is_none(), "nobody asked for it before");
    let user = user(id);
    let json = serde_json::to_vec(&user).expect("it has JSON");
    () = connection.set_ex(&key, json, 3600).await?;
    Ok(user)
}

/// `clone N`, `process N`, `redis URL N`, `by-hand URL N`, `miss URL N` or `miss-by-hand URL N`, with the number of calls;
/// `redis-callers URL CALLERS IDS N` or `by-hand-callers URL CALLERS IDS N`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let id = black_box(7);
    // Each is a future of its own, so that what one takes does not depend on the others.
    match arguments[..] {
        ["clone", calls] => {
            let value = user(id);
            for _ in 0..calls.parse()? {
                drop(black_box(value.clone()));
            }
        }
        ["process", calls] => {
            set_cache(Cache::builder().in_memory().build()?);
            Box::pin(call(calls.parse()?, id)).await;
        }
        ["redis", url, calls] => {
            set_cache(Cache::builder().url(url).prefix("").build()?);
            Box::pin(call(calls.parse()?, id)).await;
        }
        ["redis-callers", url, callers, ids, calls] => {
            set_cache(Cache::builder().url(url).prefix("").build()?);
            let (callers, ids) = (callers.parse()?, ids.parse()?);
            let each = calls.parse::<u64>()? / callers;
            beside_each_other(callers, ids, |id| call(each, id)).await?;
        }
        ["by-hand-callers", url, callers, ids, calls] => {
            let connection = connection(url).await?;
            let (callers, ids) = (callers.parse()?, ids.parse()?);
            let each = calls.parse::<u64>()? / callers;
            let calls = |id| call_by_hand(connection.clone(), each, id);
            beside_each_other(callers, ids, calls).await?;
        }
        ["by-hand", url, calls] => {
            let connection = connection(url).await?;
            Box::pin(call_by_hand(connection, calls.parse()?, id)).await;
        }
        ["miss", url, calls] => {
            set_cache(Cache::builder().url(url).prefix("").build()?);
            Box::pin(miss(calls.parse()?)).await;
        }
        ["miss-by-hand", url, calls] => Box::pin(misses_by_hand(url, calls.parse()?)).await?,
        _ => return Err("see the comment of `main`".into()),
    }
    Ok(())
}

/// Lets so many callers call beside each other, each for one of so many ids.
async fn beside_each_other<C>(
    callers: u64,
    ids: u64,
    calls: impl Fn(u64) -> C,
) -> Result<(), JoinError>
where
    C: Future<Output = ()> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        tasks.spawn(calls(caller % ids));
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}

async fn call_by_hand(connection: MultiplexedConnection, calls: u64, id: u64) {
    for _ in 0..calls {
        drop(black_box(by_hand(&connection, id).await.expect("a value")));
    }
}

async fn miss(calls: u64) {
    let first = new_ids();
    for id in first..first + calls {
        drop(black_box(missed(id).await));
    }
}

async fn misses_by_hand(url: &str, calls: u64) -> redis::RedisResult<()> {
    let connection = connection(url).await?;
    let first = new_ids();
    for id in first..first + calls {
        drop(black_box(miss_by_hand(&connection, id).await?));
    }
    Ok(())
}

async fn connection(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    Client::open(url)?.get_multiplexed_async_connection().await
}

/// The first of many ids that no other run of this program asks for.
fn new_ids() -> u64 {
    u64::from(std::process::id()) << 32
}

async fn call(calls: u64, id: u64) {
    for _ in 0..calls {
        drop(black_box(cached(id).await));
    }
}
