//! The step "read": the value under the key.
//!
//! The one rule: **a key whose invalidation Redis has not confirmed is deleted before it is read.**

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use super::Call;
use crate::{
    error::{Error, ErrorKind},
    shared_read::{Arrival, Turn},
    store::{
        Store,
        link::Reads,
        memory::MemoryStore,
        redis::{RedisStore, Urgency},
    },
};

impl<R> Call<'_, R> {
    /// The step "read".
    pub(super) async fn read(&mut self) -> Option<R> {
        match self.cache.store.clone() {
            Store::Memory(memory) => self.read_memory(&memory),
            Store::Redis(redis) => {
                let bytes = self.read_redis(&redis).await?;
                self.decode(bytes)
            }
        }
    }

    pub(super) fn read_memory(&self, memory: &MemoryStore) -> Option<R> {
        let stored = memory.get(&self.key)?;
        let value = self.rules.take(stored.as_ref());
        if value.is_none() {
            self.site.counters().error(ErrorKind::Decode);
        }
        value
    }

    async fn read_redis(&mut self, redis: &Arc<RedisStore>) -> Option<Bytes> {
        let reads = match redis.reads() {
            Ok(reads) => reads,
            Err(error) => {
                self.failed(&error);
                self.budget.end();
                return None;
            }
        };
        if !self.finish_invalidation(redis).await {
            return None;
        }
        let Self { budget, key, .. } = self;
        match budget
            .spend(|deadline| shared_read(&reads, redis, key, deadline))
            .await
        {
            Ok(bytes) => bytes,
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    /// Deletes what an earlier invalidation could not, before this process reads it again.
    pub(super) async fn finish_invalidation(&mut self, redis: &Arc<RedisStore>) -> bool {
        if !self.cache.unfinished.holds(&self.cache, &self.key) {
            return true;
        }
        let keys = self.keys();
        let Self { budget, cache, .. } = self;
        match budget
            .spend(|deadline| cache.delete(redis, &keys, Urgency::Ordinary, deadline))
            .await
        {
            Ok(()) => true,
            Err(error) => {
                self.failed(&error);
                self.budget.end();
                false
            }
        }
    }

    pub(super) fn decode(&mut self, bytes: Bytes) -> Option<R> {
        match self.rules.decode(&bytes) {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed(&error);
                self.unreadable = Some(bytes);
                None
            }
        }
    }
}

/// GET, one for all callers of a key who came before it was sent.
async fn shared_read(
    reads: &Arc<Reads>,
    redis: &Arc<RedisStore>,
    key: &Arc<str>,
    deadline: Instant,
) -> Result<Option<Bytes>, Error> {
    let runner = match reads.arrive(key) {
        Arrival::Run(runner) => runner,
        Arrival::Wait(turn) => match tokio::time::timeout_at(deadline.into(), turn).await {
            Ok(Ok(Turn::Reply(reply))) => return reply,
            Ok(Ok(Turn::Run(runner))) => runner,
            Ok(Err(_)) => {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "a shared read was given up",
                ));
            }
            Err(_) => {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    "redis did not answer within the timeout",
                ));
            }
        },
    };
    let read = redis.get(key, deadline).await;
    match &read {
        // The others have deadlines of their own: one of them reads next.
        Err(error) if error.is_timeout() => drop(runner),
        _ => runner.reply(&read),
    }
    read
}
