//! The commands of this crate, but for the reads of values, which [`fetch`](super::fetch) has.
//!
//! The one rule: **a command goes to the connection of the present runtime, and has a deadline.** Here, or in the
//! script, stands whether it may be sent again, and whether the breaker has a say.

use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::Pipeline;

use super::{
    client::RedisStore,
    gate::Urgency,
    request::{Argument, Reply, Request, Script, unexpected},
    retry::Repeat,
};
use crate::{base::clock::milliseconds, error::Error};

impl RedisStore {
    /// SET with an expiry, whatever was there.
    pub(crate) async fn set(
        &self,
        key: &str,
        value: &[u8],
        expiry: Duration,
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut command = redis::cmd("SET");
        command
            .arg(key)
            .arg(value)
            .arg("PX")
            .arg(milliseconds(expiry));
        let request = Request::Command(&command);
        self.send(request, Repeat::Unsafe, urgency, deadline)
            .await
            .map(drop)
    }

    /// DEL of each key, one command a key, in this order, in one write.
    pub(crate) async fn delete(
        &self,
        keys: &[&str],
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut pipeline = Pipeline::with_capacity(keys.len());
        for key in keys {
            pipeline.cmd("DEL").arg(key);
        }
        self.send(Request::Deletes(&pipeline), Repeat::Safe, urgency, deadline)
            .await
            .map(drop)
    }

    /// PEXPIRE.
    pub(crate) async fn expire(
        &self,
        key: &str,
        expiry: Duration,
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut command = redis::cmd("PEXPIRE");
        command.arg(key).arg(milliseconds(expiry));
        let request = Request::Command(&command);
        self.send(request, Repeat::Safe, Urgency::Ordinary, deadline)
            .await
            .map(drop)
    }

    /// PTTL: `None` if there is no such key, or it never expires.
    pub(crate) async fn ttl(
        &self,
        key: &str,
        deadline: Instant,
    ) -> Result<Option<Duration>, Error> {
        let mut command = redis::cmd("PTTL");
        command.arg(key);
        let request = Request::Command(&command);
        match self
            .send(request, Repeat::Safe, Urgency::Ordinary, deadline)
            .await?
        {
            Reply::Int(left) => Ok(u64::try_from(left).ok().map(Duration::from_millis)),
            _ => Err(unexpected("PTTL")),
        }
    }

    /// PING.
    pub(crate) async fn ping(&self, deadline: Instant) -> Result<(), Error> {
        let command = redis::cmd("PING");
        let request = Request::Command(&command);
        self.send(request, Repeat::Safe, Urgency::Urgent, deadline)
            .await
            .map(drop)
    }

    /// SET of a nonce, if nothing stands under `set`, and GET of another key, in one write: the nonce if it was set, and the
    /// value.
    pub(crate) async fn set_and_get(
        &self,
        set: &str,
        expiry: Duration,
        get: &str,
        deadline: Instant,
    ) -> Result<(Option<Bytes>, Option<Bytes>), Error> {
        let request = Request::SetAndGet {
            set,
            expiry: milliseconds(expiry),
            get,
        };
        let bytes = |reply| match reply {
            Reply::Bytes(bytes) => Ok(Some(bytes)),
            Reply::Nil => Ok(None),
            _ => Err(unexpected("SET and GET")),
        };
        let replies = self
            .send(request, Repeat::Safe, Urgency::Ordinary, deadline)
            .await?;
        let Reply::List(replies) = replies else {
            return Err(unexpected("SET and GET"));
        };
        let mut replies = replies.into_iter().map(bytes);
        match (replies.next(), replies.next()) {
            (Some(nonce), Some(value)) => Ok((nonce?, value?)),
            _ => Err(unexpected("SET and GET")),
        }
    }

    /// Runs a script by its hash, or by its text where the server does not know it yet.
    pub(crate) async fn eval(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[Argument<'_>],
        deadline: Instant,
    ) -> Result<Reply, Error> {
        let request = Request::Script {
            script,
            keys,
            arguments,
        };
        self.send(request, script.repeat, script.urgency, deadline)
            .await
    }

    /// Sends one request on the present runtime's connection.
    async fn send(
        &self,
        request: Request<'_>,
        repeat: Repeat,
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<Reply, Error> {
        let link = self.link()?;
        link.send(request, repeat, urgency, deadline, Instant::now())
            .await
    }
}
