//! The user's own commands, on a connection of their own, so that a command which blocks, or selects another
//! database, does nothing to cached functions.
//!
//! The one rule: **each command goes to the connection that stands when it is sent**, so a
//! [`Connection`] that is kept for days outlives every reconnect.

use std::sync::Arc;

use redis::{
    Arg, Cmd, ErrorKind as RedisErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value,
    aio::ConnectionLike,
};

use crate::{
    error::Error,
    store::redis::{client::RedisStore, link::Link, live::Live},
};

/// A connection for commands of redis-rs; [`Cache::connection`](crate::Cache::connection) gives it.
///
/// With Entra ID login the connection under it is replaced before its token expires. A command that
/// still waits for its answer when the token expires is cut, for example `BLPOP` without a timeout. A connection
/// for which the server keeps something (after `SUBSCRIBE`, `CLIENT TRACKING`, `SELECT`, `WATCH`, …) is
/// not replaced, but logged in again in place. Send a transaction as one pipeline. Pushes of the server
/// (messages, invalidations) are not handed out.
///
/// Where no connection can be made, the attempts of the whole cache come after pauses of 50 ms to 2 s, however many
/// commands are sent. A command waits for the next attempt if that comes within the cache's timeout; if not, it fails
/// at once with the reason why the latest one failed.
///
/// ```no_run
/// use cache_runtime::{get_cache, redis::AsyncCommands};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut connection = get_cache().await?.connection()?;
/// let queue: usize = connection.llen("jobs").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Connection {
    redis: Arc<RedisStore>,
}

impl Connection {
    pub(crate) fn new(redis: Arc<RedisStore>) -> Self {
        Self { redis }
    }

    /// The connection to send on, pinned if `keeps_state`.
    async fn live(&self, keeps_state: bool) -> Result<(Arc<Link>, Arc<Live>), RedisError> {
        let mut pinned = None;
        loop {
            let (link, live) = self.redis.own_live(None).await.map_err(no_connection)?;
            // Looked up again after it was pinned, because another one may have taken its place before.
            if !keeps_state || pinned == Some(live.number) {
                return Ok((link, live));
            }
            live.pin();
            pinned = Some(live.number);
        }
    }

    /// The connection that takes the place of one which is not logged in any more; `None` if the command that was refused
    /// for that must not be sent there.
    async fn next_to(&self, live: Arc<Live>) -> Option<(Arc<Link>, Arc<Live>)> {
        let next = self.redis.own_live(Some(live.number)).await.ok()?;
        // The user hears of it first where the server kept something for the old connection, because that is gone.
        (!live.is_pinned()).then_some(next)
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let (_link, live) = self.live(keeps_state(command)).await?;
            let answer = execute(&live, command).await;
            if !answer.as_ref().is_ok_and(lacks_login) {
                return answer;
            }
            match self.next_to(live).await {
                Some((_link, next)) => execute(&next, command).await,
                None => answer,
            }
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let (_link, live) = self.live(pipeline.cmd_iter().any(keeps_state)).await?;
            let answers = execute_all(&live, pipeline, offset, count).await;
            // None was executed if the first was not.
            if !(answers.as_ref()).is_ok_and(|answers| answers.first().is_some_and(lacks_login)) {
                return answers;
            }
            match self.next_to(live).await {
                Some((_link, next)) => execute_all(&next, pipeline, offset, count).await,
                None => answers,
            }
        })
    }

    fn get_db(&self) -> i64 {
        self.redis.connector().endpoint().db
    }
}

async fn execute(live: &Live, command: &Cmd) -> RedisResult<Value> {
    let mut connection = live.connection.clone();
    live.reply(connection.req_packed_command(command)).await
}

async fn execute_all(
    live: &Live,
    pipeline: &Pipeline,
    offset: usize,
    count: usize,
) -> RedisResult<Vec<Value>> {
    let mut connection = live.connection.clone();
    let sent = connection.req_packed_commands(pipeline, offset, count);
    live.reply(sent).await
}

/// Whether a command was not executed because its connection is not logged in.
fn lacks_login(answer: &Value) -> bool {
    // The answer is no `Err` here, because redis-rs makes one of it later.
    matches!(answer, Value::ServerError(error) if error.code() == "NOAUTH")
}

/// Whether the server keeps what this command asks for with the connection that it came on.
fn keeps_state(command: &Cmd) -> bool {
    let word = |index| {
        command
            .args_iter()
            .nth(index)
            .and_then(|argument| match argument {
                Arg::Simple(word) => Some(word),
                _ => None,
            })
    };
    let is = |index, names: &[&str]| {
        word(index).is_some_and(|word| {
            names
                .iter()
                .any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
        })
    };
    is(0, &["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR"])
        || is(0, &["SELECT", "WATCH", "MULTI"])
        || is(0, &["CLIENT"]) && is(1, &["TRACKING"])
}

fn no_connection(error: Error) -> RedisError {
    let cause = error
        .cause()
        .map_or_else(String::new, |cause| format!(": {cause}"));
    RedisError::from((
        RedisErrorKind::Io,
        "no connection to redis",
        format!("{error}{cause}"),
    ))
}
