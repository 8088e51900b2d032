//! Calls a function so often, for `callgrind` to count what that takes.
//!
//! The one rule: **what is counted twice, with two numbers of calls, differs by the calls alone.**

use std::{env, error::Error, hint::black_box};

use cache_runtime::{Cache, redis_cached, set_cache};
use redis::{AsyncCommands, Client, aio::MultiplexedConnection};
use serde::{Deserialize, Serialize};

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

/// `clone N`, `process N`, `redis URL N`, `by-hand URL N`, `miss URL N` or `miss-by-hand URL N`, with the number of calls.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let id = black_box(7);
    match arguments[..] {
        ["clone", calls] => {
            let value = user(id);
            for _ in 0..calls.parse()? {
                drop(black_box(value.clone()));
            }
        }
        ["process", calls] => {
            set_cache(Cache::builder().in_memory().build()?);
            call(calls.parse()?, id).await;
        }
        ["redis", url, calls] => {
            set_cache(Cache::builder().url(url).prefix("").build()?);
            call(calls.parse()?, id).await;
        }
        ["by-hand", url, calls] => {
            let client = Client::open(url)?;
            let connection = client.get_multiplexed_async_connection().await?;
            for _ in 0..calls.parse()? {
                drop(black_box(by_hand(&connection, id).await?));
            }
        }
        ["miss", url, calls] => {
            set_cache(Cache::builder().url(url).prefix("").build()?);
            let first = new_ids();
            for id in first..first + calls.parse::<u64>()? {
                drop(black_box(cached(id).await));
            }
        }
        ["miss-by-hand", url, calls] => {
            let client = Client::open(url)?;
            let connection = client.get_multiplexed_async_connection().await?;
            let first = new_ids();
            for id in first..first + calls.parse::<u64>()? {
                drop(black_box(miss_by_hand(&connection, id).await?));
            }
        }
        _ => return Err("see the comment of `main`".into()),
    }
    Ok(())
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
