//! redis-rs and serde_json by hand, as in [`crate::contenders::multiplexed`]; an error of Redis is the caller's.

use redis::aio::ConnectionLike;
use redis::{AsyncCommands, Client, RedisResult};

use super::{Function, TTL, source};
use crate::values::User;

/// On one `MultiplexedConnection`.
pub(super) async fn multiplexed(url: &str) -> Function {
    let client = Client::open(url).expect("a URL");
    let connection = client.get_multiplexed_async_connection().await;
    function("by hand", connection.expect("a server that runs"))
}

/// On a `ConnectionManager`, which reconnects.
pub(super) async fn with_manager(url: &str) -> Function {
    let client = Client::open(url).expect("a URL");
    let connection = client.get_connection_manager().await;
    function("by hand, manager", connection.expect("a server that runs"))
}

fn function<C>(name: &'static str, connection: C) -> Function
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
{
    Function::new(name, move |id| {
        let user = user(connection.clone(), name, id);
        async move { user.await.map_err(|error| error.to_string()) }
    })
}

async fn user<C>(mut connection: C, prefix: &'static str, id: u64) -> RedisResult<User>
where
    C: ConnectionLike + Send + Sync,
{
    let key = format!("{prefix}:{id}");
    let stored: Option<Vec<u8>> = connection.get(&key).await?;
    if let Some(json) = stored {
        return Ok(serde_json::from_slice(&json).expect("JSON that was stored here"));
    }
    let user = source(id).await;
    let json = serde_json::to_vec(&user).expect("a record that JSON has");
    let () = connection.set_ex(&key, json, TTL.as_secs()).await?;
    Ok(user)
}
