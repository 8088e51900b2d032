//! redis-rs and serde_json by hand: GET, decode; on a miss compute, encode, SETEX.
//!
//! The connections are those of <https://docs.rs/redis/1.8.1/redis/#async>: one `MultiplexedConnection` that all
//! callers clone, or a `ConnectionManager`, which also reconnects. No stampede is held off, and no value is kept
//! from being stored after an invalidation; where Redis fails, the source is asked.
use redis::aio::{ConnectionLike, ConnectionManager, MultiplexedConnection};
use redis::{AsyncCommands, Client, RedisResult};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Contender;
use crate::values::{Price, User, price_from_source, user_from_source};

const TTL_SECONDS: u64 = 3600;

/// Cache-aside through a connection of either kind.
#[derive(Clone)]
pub(crate) struct ByHand<C> {
    connection: C,
    prefix: &'static str,
}

/// On one `MultiplexedConnection`.
pub(crate) async fn multiplexed(url: &str) -> RedisResult<ByHand<MultiplexedConnection>> {
    let connection = Client::open(url)?
        .get_multiplexed_async_connection()
        .await?;
    Ok(ByHand {
        connection,
        prefix: "hand",
    })
}

/// On a `ConnectionManager`.
pub(crate) async fn with_manager(url: &str) -> RedisResult<ByHand<ConnectionManager>> {
    let connection = Client::open(url)?.get_connection_manager().await?;
    Ok(ByHand {
        connection,
        prefix: "manager",
    })
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> ByHand<C> {
    async fn cached<V: Serialize + DeserializeOwned + Send + Sync>(
        &self,
        key: String,
        body: impl FnOnce() -> V + Send,
    ) -> RedisResult<V> {
        let mut connection = self.connection.clone();
        let stored: Option<Vec<u8>> = connection.get(&key).await?;
        if let Some(json) = stored {
            return Ok(serde_json::from_slice(&json).expect("JSON that was stored here"));
        }
        let value = body();
        let json = serde_json::to_vec(&value).expect("a record that JSON has");
        let () = connection.set_ex(&key, json, TTL_SECONDS).await?;
        Ok(value)
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Contender for ByHand<C> {
    async fn user(&self, id: u64) -> User {
        let key = format!("{}:user:{id}", self.prefix);
        let cached = self.cached(key, || user_from_source(id)).await;
        cached.unwrap_or_else(|_| user_from_source(id))
    }

    async fn price(&self, id: u64) -> Price {
        let key = format!("{}:price:{id}", self.prefix);
        let cached = self.cached(key, || price_from_source(id)).await;
        cached.unwrap_or_else(|_| price_from_source(id))
    }
}
