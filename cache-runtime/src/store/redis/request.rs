//! What is sent to Redis in one go, and what comes back.
//!
//! The one rule: **a script is sent by its text on each connection until that has been answered once**: to find out that a
//! server does not know it takes a round trip, in which later commands would overtake it. What was sent may never have left,
//! because the client drops what its caller no longer waits for.

use std::sync::{
    LazyLock, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use redis::{Cmd, Pipeline, RedisError, Value, aio::ConnectionLike};

use super::{
    gate::Urgency,
    live::Live,
    retry::{FailureKind, Repeat},
};
use crate::error::{Error, ErrorKind};

/// A Lua script of this crate.
#[derive(Debug)]
pub(crate) struct Script {
    /// One bit, which no other script has.
    bit: u8,
    text: &'static str,
    /// What it does if it is executed twice.
    pub(super) repeat: Repeat,
    /// Whether the breaker has a say.
    pub(super) urgency: Urgency,
    /// The SHA-1 of the text, which `EVALSHA` wants.
    hash: OnceLock<String>,
}

impl Script {
    /// The script with this number, of at most eight.
    pub(crate) const fn new(
        number: u8,
        text: &'static str,
        repeat: Repeat,
        urgency: Urgency,
    ) -> Self {
        Self {
            bit: 1 << number,
            text,
            repeat,
            urgency,
            hash: OnceLock::new(),
        }
    }

    fn hash(&self) -> &str {
        self.hash
            .get_or_init(|| redis::Script::new(self.text).get_hash().to_owned())
    }
}

/// A reply, as far as the scripts of this crate use the protocol.
#[derive(Debug)]
pub(crate) enum Reply {
    Nil,
    Int(i64),
    Bytes(Bytes),
    List(Vec<Self>),
    /// A kind of reply that no command of this crate has.
    Other,
}

/// An argument of a script.
#[derive(Debug)]
pub(crate) enum Argument<'a> {
    Bytes(&'a [u8]),
    Int(u64),
    /// Made anew for each send: a copy that executes late must not bring back what was revoked.
    Nonce,
}

/// What is sent in one go.
pub(super) enum Request<'a> {
    Command(&'a Cmd),
    Deletes(&'a Pipeline),
    /// SET of a nonce with an expiry in milliseconds, if nothing stands there, and GET of another key. The reply has the
    /// nonce if it was set, and the value.
    SetAndGet {
        set: &'a str,
        expiry: u64,
        get: &'a str,
    },
    Script {
        script: &'a Script,
        keys: &'a [&'a str],
        arguments: &'a [Argument<'a>],
    },
}

impl Request<'_> {
    pub(super) async fn send_on(&self, live: &Live) -> Result<Reply, RedisError> {
        let connection = &mut live.connection.clone();
        match self {
            Self::Command(command) => Ok(reply(command.query_async::<Value>(connection).await?)),
            Self::Deletes(pipeline) => {
                for value in connection
                    .req_packed_commands(pipeline, 0, pipeline.len())
                    .await?
                {
                    value.extract_error()?;
                }
                Ok(Reply::Nil)
            }
            Self::SetAndGet { set, expiry, get } => {
                Box::pin(set_and_get(set, *expiry, get, live)).await
            }
            Self::Script {
                script,
                keys,
                arguments,
            } => {
                // Boxed, so that the future of a hit has no room for it.
                Box::pin(run(script, keys, arguments, live)).await
            }
        }
    }
}

/// As [`Request::SetAndGet`].
async fn set_and_get(set: &str, expiry: u64, get: &str, live: &Live) -> Result<Reply, RedisError> {
    let nonce = nonce();
    let mut commands = Pipeline::with_capacity(2);
    let size = set.len() + nonce.len() + LONGEST_INT + "SETNXPX".len();
    let mut command = Cmd::with_capacity(6, size);
    command.arg("SET").arg(set).arg(&nonce);
    command.arg("NX").arg("PX").arg(expiry);
    commands.add_command(command);
    let mut command = Cmd::with_capacity(2, "GET".len() + get.len());
    command.arg("GET").arg(get);
    commands.add_command(command);
    let mut connection = live.connection.clone();
    let replies = connection.req_packed_commands(&commands, 0, 2).await?;
    let Ok([was_set, value]) = <[Value; 2]>::try_from(replies) else {
        return Ok(Reply::Other);
    };
    let is_refused = |error: &RedisError| FailureKind::of(error) == FailureKind::Refused;
    let value = match value.extract_error() {
        Ok(value) => reply(value),
        // As in the script, what cannot be read is as good as nothing: it has another type, or the user lacks the right.
        Err(error) if is_refused(&error) => Reply::Nil,
        Err(error) => return Err(error),
    };
    let was_set = match was_set.extract_error() {
        Ok(Value::Okay) => Reply::Bytes(Bytes::from(nonce)),
        Ok(Value::Nil) => Reply::Nil,
        Ok(_) => Reply::Other,
        // A server that is full, or a user without that right, still gives what is stored.
        Err(error) if is_refused(&error) && matches!(value, Reply::Bytes(_)) => Reply::Nil,
        Err(error) => return Err(error),
    };
    Ok(Reply::List(vec![was_set, value]))
}

/// Runs a script by its hash where the connection's server has it, else by its text.
async fn run(
    script: &Script,
    keys: &[&str],
    arguments: &[Argument<'_>],
    live: &Live,
) -> Result<Reply, RedisError> {
    let connection = &mut live.connection.clone();
    // One nonce serves both sends, because a server that does not know the script has executed nothing.
    let wants_nonce = |argument: &Argument<'_>| matches!(argument, Argument::Nonce);
    let nonce = arguments.iter().any(wants_nonce).then(nonce);
    let nonce = nonce.as_deref().unwrap_or_default();
    let bytes = |argument: &Argument<'_>| match argument {
        Argument::Bytes(bytes) => bytes.len(),
        Argument::Int(_) => LONGEST_INT,
        Argument::Nonce => nonce.len(),
    };
    let of_keys: usize = keys.iter().map(|key| key.len()).sum();
    let of_arguments: usize = arguments.iter().map(bytes).sum();
    let invocation = |name: &str, script: &str| {
        // With the room for all of it, because a command that grows is copied again and again.
        let count = 3 + keys.len() + arguments.len();
        let size = name.len() + script.len() + LONGEST_INT + of_keys + of_arguments;
        let mut command = Cmd::with_capacity(count, size);
        command.arg(name).arg(script).arg(keys.len()).arg(keys);
        for argument in arguments {
            match argument {
                Argument::Bytes(bytes) => command.arg(*bytes),
                Argument::Int(number) => command.arg(*number),
                Argument::Nonce => command.arg(nonce),
            };
        }
        command
    };
    if live.scripts.load(Ordering::Relaxed) & script.bit != 0 {
        let by_hash = invocation("EVALSHA", script.hash());
        match by_hash.query_async::<Value>(connection).await {
            // The server's cache of scripts was emptied.
            Err(error) if error.code() == Some("NOSCRIPT") => {
                live.scripts.fetch_and(!script.bit, Ordering::Relaxed);
            }
            answer => return Ok(reply(answer?)),
        }
    }
    let by_text = invocation("EVAL", script.text);
    let answer = by_text.query_async::<Value>(connection).await?;
    live.scripts.fetch_or(script.bit, Ordering::Relaxed);
    Ok(reply(answer))
}

/// The length of the longest number.
const LONGEST_INT: usize = 20;

/// Text that no other call in any process has made: 96 random bits a process, and a count.
pub(crate) fn nonce() -> String {
    static PROCESS: LazyLock<String> = LazyLock::new(|| {
        let mut bytes = [0; 16];
        // Without the system's randomness the next best thing, seeded by std from the same source.
        if getrandom::fill(&mut bytes[..12]).is_err() {
            bytes[..12].copy_from_slice(&fastrand::u128(..).to_le_bytes()[..12]);
        }
        format!("{:x}-", u128::from_le_bytes(bytes))
    });
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    [&**PROCESS, itoa::Buffer::new().format(count)].concat()
}

fn reply(value: Value) -> Reply {
    match value {
        Value::Nil => Reply::Nil,
        Value::Int(number) => Reply::Int(number),
        Value::BulkString(bytes) => Reply::Bytes(Bytes::from(bytes)),
        Value::Array(values) => Reply::List(values.into_iter().map(reply).collect()),
        _ => Reply::Other,
    }
}

/// The error for a reply of a kind that `command` never has.
pub(super) fn unexpected(command: &str) -> Error {
    Error::new(
        ErrorKind::Server,
        format!("redis answered {command} with a reply of another kind"),
    )
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::{
        auth::Auth,
        store::redis::{
            connect::Connector,
            live::{Purpose, Session},
            test_server::{TestServer, endpoint},
        },
    };

    static ONE: Script = Script::new(0, "return 1", Repeat::Safe, Urgency::Ordinary);

    async fn run_one(live: &Live) -> i64 {
        match run(&ONE, &[], &[], live).await.unwrap() {
            Reply::Int(number) => number,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the server was ever asked for a script that it did not have, and whether for any script by its hash.
    async fn asked_by_hash(live: &Live) -> (bool, bool) {
        let mut info = redis::cmd("INFO");
        info.arg("everything");
        let connection = &mut live.connection.clone();
        let said: String = info.query_async(connection).await.unwrap();
        let has = |what: &str| said.contains(what);
        (has("errorstat_NOSCRIPT"), has("cmdstat_evalsha:"))
    }

    #[tokio::test]
    async fn a_script_that_never_left_is_not_known() {
        let server = TestServer::start(&[]);
        let connector = Connector::new(endpoint(server.port, Auth::None)).unwrap();
        let session = Session::new(&connector, Purpose::Commands).await.unwrap();
        let (live, driver) = Live::new(session, 1);
        tokio::spawn(driver);
        // Its caller is gone before this runtime's only thread has driven the connection.
        assert!(run(&ONE, &[], &[], &live).now_or_never().is_none());
        assert_eq!(run_one(&live).await, 1);
        assert_eq!(asked_by_hash(&live).await, (false, false), "by its text");
        assert_eq!(run_one(&live).await, 1);
        assert_eq!(asked_by_hash(&live).await, (false, true), "by its hash");
        let flush = redis::cmd("SCRIPT").arg("FLUSH").to_owned();
        let connection = &mut live.connection.clone();
        flush.query_async::<()>(connection).await.unwrap();
        assert_eq!(run_one(&live).await, 1);
        assert_eq!(asked_by_hash(&live).await, (true, true), "by both");
    }
}
