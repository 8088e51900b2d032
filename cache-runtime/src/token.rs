//! The right to store: why a value computed before an invalidation is never stored after it.
//!
//! The one rule: **whoever computes a value takes a token first, and stores only while that token is
//! still in Redis; an invalidation deletes the token before the value.**
//!
//! The token is shared by all who compute the same key at once, lies in the value's own cluster slot
//! ([`token_key`]), and expires by itself after [`LIFE`]; a longer body renews
//! it. A token that a copy of a lost command brings back late is harmless: only an answered token is
//! used, only by bodies that begin after the answer, and each copy carries its own nonce.
//!
//! | operation | effect | answer |
//! |---|---|---|
//! | [`acquire`] | looks at the value again, else shares or sets the token | the value, or the token |
//! | [`store`] | if the token stands: stores, and deletes the token | whether it stood |
//! | [`release`] | the same proof without a store | whether it stood |
//! | [`put`] | sets a token of its own, then stores if that still stands, else deletes the value | |
//! | [`invalidate`] | deletes the token, then the value | |

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    error::{Error, ErrorKind},
    key::token_key,
    store::{
        redis::{RedisStore, Repeat, Urgency, milliseconds},
        request::{Argument, Reply, Script, nonce},
    },
};

/// How long a token lives without being renewed.
pub(crate) const LIFE: Duration = Duration::from_secs(30);

/// A value's key, and the key of the token that guards it.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) value: Arc<str>,
    pub(crate) token: Arc<str>,
}

impl Keys {
    pub(crate) fn new(prefix: &str, value: &Arc<str>) -> Self {
        Self {
            value: Arc::clone(value),
            token: token_key(prefix, value).into(),
        }
    }
}

/// The right to store, as Redis granted it.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    content: Bytes,
    /// Nobody else had the token when it was asked for, so it goes with its holder.
    own: bool,
}

/// What came of asking for the right to store.
#[derive(Debug)]
pub(crate) enum Acquired {
    /// Somebody stored a value meanwhile.
    Value(Bytes),
    Token(Token),
}

// KEYS: value, token. ARGV: nonce, milliseconds, and the value that the caller saw and cannot read.
static ACQUIRE: Script = Script::new(
    0,
    "local value = redis.pcall('GET', KEYS[1])
     if type(value) == 'string' and value ~= ARGV[3] then return {1, value} end
     local token = redis.call('GET', KEYS[2])
     if token then redis.call('PEXPIRE', KEYS[2], ARGV[2]) return {0, token, 0} end
     redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
     return {0, ARGV[1], 1}",
);

// KEYS: value, token. ARGV: token, value, milliseconds. A SET that is refused (out of memory) still
// proves that the token stood, and still ends it.
static STORE: Script = Script::new(
    1,
    "if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
     local stored = redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
     redis.call('DEL', KEYS[2])
     if stored.err then return 2 end
     return 1",
);

// KEYS: token. ARGV: token, and whether to delete it.
static RELEASE: Script = Script::new(
    2,
    "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
     if ARGV[2] == '1' then redis.call('DEL', KEYS[1]) end
     return 1",
);

// KEYS: value, token. ARGV: token, value, milliseconds. Whoever invalidated or put meanwhile knows
// better, so then neither value stays.
static PUT: Script = Script::new(
    3,
    "local stored
     if redis.call('GET', KEYS[2]) == ARGV[1] then
       stored = redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
     end
     if not stored or stored.err then redis.call('DEL', KEYS[1]) end
     redis.call('DEL', KEYS[2])
     return stored or 0",
);

/// Asks for the right to store, unless a value is there that differs from `unreadable`.
///
/// # Errors
///
/// There is no right to store then.
pub(crate) async fn acquire(
    redis: &Arc<RedisStore>,
    keys: &Keys,
    unreadable: Option<&[u8]>,
    deadline: Instant,
) -> Result<Acquired, Error> {
    let life = Argument::Int(milliseconds(LIFE));
    let arguments: &[_] = match unreadable {
        None => &[Argument::Nonce, life],
        Some(bytes) => &[Argument::Nonce, life, Argument::Bytes(bytes)],
    };
    let reply = redis
        .eval(
            &ACQUIRE,
            &[&keys.value, &keys.token],
            arguments,
            Repeat::Safe,
            Urgency::Ordinary,
            deadline,
        )
        .await?;
    let Reply::List(fields) = reply else {
        return Err(unexpected());
    };
    let mut fields = fields.into_iter();
    match (fields.next(), fields.next(), fields.next()) {
        (Some(Reply::Int(1)), Some(Reply::Bytes(value)), None) => Ok(Acquired::Value(value)),
        (Some(Reply::Int(0)), Some(Reply::Bytes(content)), Some(Reply::Int(own))) => {
            Ok(Acquired::Token(Token {
                content,
                own: own == 1,
            }))
        }
        _ => Err(unexpected()),
    }
}

/// Stores under `token`. `Ok(true)` if the token stood, even where the value was too much for Redis.
pub(crate) async fn store(
    redis: &Arc<RedisStore>,
    keys: &Keys,
    token: &Token,
    value: &[u8],
    ttl: Duration,
    deadline: Instant,
) -> Result<Stored, Error> {
    let arguments = [
        Argument::Bytes(&token.content),
        Argument::Bytes(value),
        Argument::Int(milliseconds(ttl)),
    ];
    let reply = redis
        .eval(
            &STORE,
            &[&keys.value, &keys.token],
            &arguments,
            Repeat::Safe,
            Urgency::Ordinary,
            deadline,
        )
        .await?;
    match reply {
        Reply::Int(0) => Ok(Stored::Refused),
        Reply::Int(1) => Ok(Stored::Yes),
        Reply::Int(2) => Ok(Stored::NoRoom),
        _ => Err(unexpected()),
    }
}

/// What came of storing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// The token did not stand: the value is from before an invalidation.
    Refused,
    Yes,
    /// The token stood, but Redis did not take the value.
    NoRoom,
}

/// Gives the token back. `Ok(true)` if it stood.
pub(crate) async fn release(
    redis: &Arc<RedisStore>,
    keys: &Keys,
    token: &Token,
    deadline: Instant,
) -> Result<bool, Error> {
    let arguments = [
        Argument::Bytes(&token.content),
        Argument::Int(u64::from(token.own)),
    ];
    let reply = redis
        .eval(
            &RELEASE,
            &[&keys.token],
            &arguments,
            Repeat::Safe,
            Urgency::Ordinary,
            deadline,
        )
        .await?;
    match reply {
        Reply::Int(stood) => Ok(stood == 1),
        _ => Err(unexpected()),
    }
}

/// Makes the token live on while a body runs.
///
/// PEXPIRE and never SET: a token that was revoked stays revoked.
pub(crate) async fn renew(
    redis: &Arc<RedisStore>,
    keys: &Keys,
    deadline: Instant,
) -> Result<(), Error> {
    redis.expire(&keys.token, LIFE, deadline).await
}

/// Takes the right to store for its holder alone, and revokes everybody else's.
pub(crate) async fn seize(
    redis: &Arc<RedisStore>,
    keys: &Keys,
    deadline: Instant,
) -> Result<Token, Error> {
    let content = Bytes::from(nonce());
    redis
        .set(&keys.token, &content, LIFE, Urgency::Urgent, deadline)
        .await?;
    Ok(Token { content, own: true })
}

/// Stores a value that the caller brings, and revokes the right of all who compute it now.
///
/// Two steps, so that a first one that comes late can do no more than revoke: a put that was given
/// up must not land after a later invalidation.
pub(crate) async fn put(
    redis: &Arc<RedisStore>,
    keys: &Keys,
    value: &[u8],
    ttl: Duration,
    deadline: Instant,
) -> Result<(), Error> {
    let token = seize(redis, keys, deadline).await?;
    let arguments = [
        Argument::Bytes(&token.content),
        Argument::Bytes(value),
        Argument::Int(milliseconds(ttl)),
    ];
    let value_and_token = [&*keys.value, &*keys.token];
    redis
        .eval(
            &PUT,
            &value_and_token,
            &arguments,
            Repeat::Safe,
            Urgency::Urgent,
            deadline,
        )
        .await
        .map(drop)
}

/// Deletes the token, then the value. The other order would let a body store between the two.
pub(crate) async fn invalidate(
    redis: &Arc<RedisStore>,
    keys: &Keys,
    urgency: Urgency,
    deadline: Instant,
) -> Result<(), Error> {
    redis
        .delete(&[&keys.token, &keys.value], urgency, deadline)
        .await
}

fn unexpected() -> Error {
    Error::new(
        ErrorKind::Server,
        "redis answered a script with a reply of another kind",
    )
}
