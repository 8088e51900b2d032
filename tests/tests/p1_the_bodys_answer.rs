//! P1: a call returns what its body returned for an equal key.
#![allow(missing_docs)]
use cache_runtime::{Cache, redis_cached};
use cache_tests::{Body, RedisServer};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
async fn get_user(cache: &Cache, body: &Body, id: u64) -> Result<User, String> {
    let n = body.run().await.map_err(|e| e.to_string())?;
    Ok(User {
        id,
        name: format!("n{n}"),
    })
}

#[tokio::test]
async fn smoke() {
    let server = RedisServer::start().await;
    for cache in [
        Cache::builder().in_memory().build().unwrap(),
        Cache::builder().url(server.url()).build().unwrap(),
    ] {
        let body = Body::new();
        let a = get_user(&cache, &body, 42).await.unwrap();
        let b = get_user(&cache, &body, 42).await.unwrap();
        assert_eq!(a, b);
        assert_eq!(body.runs(), 1);
        let entry = get_user_entry(&cache, 42);
        assert_eq!(entry.get().await.unwrap(), Some(a.clone()));
        entry.invalidate().await.unwrap();
        assert_eq!(entry.get().await.unwrap(), None);
        assert_ne!(get_user(&cache, &body, 42).await.unwrap(), a);
        println!("{:#?}", cache.stats());
    }
    assert_eq!(
        server.cli(&["GET", "user:42"]).trim(),
        r#"{"id":42,"name":"n2"}"#
    );
}
