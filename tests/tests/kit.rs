//! Each fault of the kit really happens: an ordinary client of the `redis` crate sees it.

#[path = "kit/azure_redis.rs"]
mod azure_redis;
#[path = "kit/body.rs"]
mod body;
#[path = "kit/child.rs"]
mod child;
#[path = "kit/identity_provider.rs"]
mod identity_provider;
#[path = "kit/proxy.rs"]
mod proxy;
#[path = "kit/redis_server.rs"]
mod redis_server;
#[path = "kit/waits.rs"]
mod waits;

use std::time::Duration;

use redis::aio::MultiplexedConnection;

/// A client without time limits of its own.
async fn connect(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    connect_for(url, None).await
}

/// A client that gives up after a time.
async fn connect_for(
    url: &str,
    limit: Option<Duration>,
) -> redis::RedisResult<MultiplexedConnection> {
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(limit)
        .set_response_timeout(limit);
    redis::Client::open(url)?
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

async fn set(connection: &MultiplexedConnection, key: &str, value: &str) -> redis::RedisResult<()> {
    redis::cmd("SET")
        .arg(key)
        .arg(value)
        .query_async(&mut connection.clone())
        .await
}

async fn get(connection: &MultiplexedConnection, key: &str) -> redis::RedisResult<Option<String>> {
    redis::cmd("GET")
        .arg(key)
        .query_async(&mut connection.clone())
        .await
}
