//! The steps "acquire", "body" and "store", by the one call that leads a flight.
//!
//! The one rule: **nothing is stored, and nobody who came while the body ran is answered, without
//! the proof that nothing was invalidated since the body began.**

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt as _;

use super::{Call, report, timed};
use crate::{
    answer::Answer,
    budget::is_out_of_reach,
    error::{Error, ErrorKind},
    flight::{Joined, Lead},
    policy::Rules,
    probe::ErrorShare,
    site::Site,
    store::{
        Store,
        memory::{MemoryStore, dropping_values_later},
        redis::RedisStore,
    },
    token::{self, Acquired, Keys, Stored, Token},
};

/// How often a body that runs for long renews its right to store.
const RENEWAL: Duration = Duration::from_secs(10);

/// The right to store what a body is going to return.
pub(super) enum Right {
    /// The flight itself, for as long as it is in the map of flights.
    InProcess(Arc<MemoryStore>),
    Token {
        redis: Arc<RedisStore>,
        keys: Keys,
        token: Token,
    },
}

/// What came of asking for it.
enum Acquisition<R> {
    /// Somebody stored a value meanwhile.
    Found(R),
    Granted(Right),
    /// The body runs, and nothing is stored.
    Refused,
}

impl<R> Call<'_, R> {
    /// The steps "acquire", "body" and "store", for all who wait.
    pub(super) async fn lead<E, F>(
        &mut self,
        mut lead: Lead<Answer>,
        errors: ErrorShare<E>,
        body: impl FnOnce() -> F,
    ) -> Result<R, E>
    where
        F: Future<Output = Result<R, E>>,
    {
        if lead.unanswered() {
            self.budget.end();
        }
        let right = match self.acquire(&mut lead).await {
            Acquisition::Found(value) => {
                self.site.counters().hit();
                self.share_found(lead, &value);
                return Ok(value);
            }
            Acquisition::Granted(right) => Some(right),
            Acquisition::Refused => None,
        };
        self.complete(lead, right, errors, body).await
    }

    /// Takes the key over from whoever computes it: a flight of its own, and a token of its own.
    pub(super) async fn take_over(&mut self) -> (Lead<Answer>, Option<Right>) {
        let mut lead = loop {
            self.cache.flights.detach(&self.key, || ());
            if let Joined::Lead(lead) = self.cache.flights.join(&self.key) {
                break lead;
            }
        };
        let redis = match self.cache.store.clone() {
            Store::Memory(memory) => return (lead, Some(Right::InProcess(memory))),
            Store::Redis(redis) => redis,
        };
        let keys = self.keys();
        lead.acquire_sent();
        match self
            .budget
            .spend(|deadline| token::seize(&redis, &keys, deadline))
            .await
        {
            Ok(token) => (lead, Some(Right::Token { redis, keys, token })),
            Err(error) => {
                self.failed(&error);
                (lead, None)
            }
        }
    }

    /// The steps "body" and "store".
    pub(super) async fn complete<E, F>(
        &mut self,
        mut lead: Lead<Answer>,
        right: Option<Right>,
        errors: ErrorShare<E>,
        body: impl FnOnce() -> F,
    ) -> Result<R, E>
    where
        F: Future<Output = Result<R, E>>,
    {
        self.site.counters().miss();
        lead.body_begun();
        let value = match timed(
            self.site.counters(),
            renewing(right.as_ref(), Box::pin(body())),
        )
        .await
        {
            Ok(value) => value,
            Err(error) => {
                let answer = errors.keep(&error).map(Answer::Failed);
                self.settle(lead, right, answer);
                return Err(error);
            }
        };
        Ok(match right {
            Some(Right::InProcess(memory)) => {
                self.store_in_process(lead, &memory, &value);
                value
            }
            Some(Right::Token { redis, keys, token }) => {
                self.store_in_redis(lead, redis, keys, token, value).await
            }
            None => {
                let answer = self.answer(&value, None);
                self.settle(lead, None, answer);
                value
            }
        })
    }

    /// The step "acquire".
    async fn acquire(&mut self, lead: &mut Lead<Answer>) -> Acquisition<R> {
        let redis = match self.cache.store.clone() {
            // Another flight may have ended between this call's look and its own flight.
            Store::Memory(memory) => {
                lead.acquire_sent();
                return match self.read_memory(&memory) {
                    Some(value) => Acquisition::Found(value),
                    None => Acquisition::Granted(Right::InProcess(memory)),
                };
            }
            Store::Redis(redis) => redis,
        };
        // What is found may be shared with callers who came after an invalidation failed.
        if self.budget.is_over() || !self.finish_invalidation(&redis).await {
            return Acquisition::Refused;
        }
        let keys = self.keys();
        // A second time if what was found is no value of this function's.
        for _ in 0..2 {
            lead.acquire_sent();
            let Self {
                budget, unreadable, ..
            } = self;
            let seen = unreadable.as_deref();
            match budget
                .spend(|deadline| token::acquire(&redis, &keys, seen, deadline))
                .await
            {
                Ok(Acquired::Token(token)) => {
                    return Acquisition::Granted(Right::Token { redis, keys, token });
                }
                Ok(Acquired::Value(bytes)) => {
                    if let Some(value) = self.decode(bytes) {
                        return Acquisition::Found(value);
                    }
                }
                Err(error) => {
                    self.failed(&error);
                    break;
                }
            }
        }
        Acquisition::Refused
    }

    fn share_found(&self, lead: Lead<Answer>, value: &R) {
        if lead.has_waiters()
            && let Some(answer) = self.answer(value, None)
        {
            lead.found(&answer);
        }
        // Dropping the lead makes the others look for themselves.
    }

    fn store_in_process(&self, mut lead: Lead<Answer>, memory: &MemoryStore, value: &R) {
        let Some(answer) = self.answer(value, None) else {
            return lead.everybody_alone();
        };
        lead.answer_early(&answer);
        let ttl = self.lifetime(value);
        let kept = ttl
            .and_then(|ttl| Some((kept_in_process(self.site, self.rules, value, &answer)?, ttl)));
        let stood = dropping_values_later(|| {
            lead.close_with(|| {
                if let Some((kept, ttl)) = &kept {
                    memory.insert(&self.key, kept, *ttl);
                }
            })
        });
        if stood.is_some() {
            lead.answer_all(&answer);
        }
        // Else the flight was detached: dropping the lead makes those who came later start over.
    }

    async fn store_in_redis(
        &mut self,
        mut lead: Lead<Answer>,
        redis: Arc<RedisStore>,
        keys: Keys,
        token: Token,
        value: R,
    ) -> R {
        let encoded = self
            .lifetime(&value)
            .and_then(|ttl| match self.rules.encode(&value) {
                Ok(bytes) => Some((bytes, ttl)),
                Err(error) => {
                    self.failed(&error);
                    None
                }
            });
        let Some((bytes, ttl)) = encoded else {
            let answer = self.answer(&value, None);
            self.settle(lead, Some(Right::Token { redis, keys, token }), answer);
            return value;
        };
        if lead.has_waiters()
            && let Some(answer) = self.answer(&value, Some(&bytes))
        {
            lead.answer_early(&answer);
        }
        lead.close();
        let stored = self
            .budget
            .spend(|deadline| token::store(&redis, &keys, &token, &bytes, ttl, deadline))
            .await;
        match stored {
            Ok(Stored::Refused) => lead.start_over(false),
            Ok(stored) => {
                if stored == Stored::NoRoom {
                    self.failed(&Error::new(
                        ErrorKind::Server,
                        "redis did not take the value",
                    ));
                }
                if lead.has_waiters()
                    && let Some(answer) = self.answer(&value, Some(&bytes))
                {
                    lead.answer_all(&answer);
                }
            }
            Err(error) => {
                self.failed(&error);
                lead.start_over(is_out_of_reach(&error));
            }
        }
        value
    }

    /// How long to store `value`; `None`: not at all.
    fn lifetime(&self, value: &R) -> Option<Duration> {
        match self.rules.lifetime(value, self.ttl) {
            Ok(ttl) => ttl,
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    /// What others can have of `value`; `None` if that takes JSON, and it has none.
    fn answer(&self, value: &R, encoded: Option<&Bytes>) -> Option<Answer> {
        match self.rules.share(value, encoded) {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    /// Ends a flight whose outcome is not stored. The caller does not wait for the proof that those
    /// who came later need.
    fn settle(&self, mut lead: Lead<Answer>, right: Option<Right>, answer: Option<Answer>) {
        let Some(answer) = answer else {
            lead.everybody_alone();
            if let Some(Right::Token { redis, keys, token }) = right {
                let deadline = Instant::now() + self.cache.timeout;
                // Only tidies up: a token that stays behind expires by itself.
                in_background(async move {
                    drop(token::release(&redis, &keys, &token, deadline).await);
                });
            }
            return;
        };
        lead.answer_early(&answer);
        match right {
            // Every other attempt asks: one that goes without spares those who wait a second timeout,
            // but callers that follow each other for ever would never have anything stored.
            None => {
                let asked = !lead.unanswered();
                lead.start_over(asked);
            }
            Some(Right::InProcess(_)) => {
                if lead.close_with(|| ()).is_some() {
                    lead.answer_all(&answer);
                }
            }
            Some(Right::Token { redis, keys, token }) => {
                lead.close();
                let deadline = Instant::now() + self.cache.timeout;
                let counters = self.site.counters();
                in_background(async move {
                    match token::release(&redis, &keys, &token, deadline).await {
                        Ok(true) => lead.answer_all(&answer),
                        Ok(false) => lead.start_over(false),
                        Err(error) => {
                            report(counters, &error);
                            lead.start_over(is_out_of_reach(&error));
                        }
                    }
                });
            }
        }
    }
}

/// What the in-process store keeps of `value`; `None`: nothing.
///
/// A debug build keeps what its JSON becomes, so that a first run without Redis hides nothing that
/// Redis would show: skipped fields, a lossy `Serialize`, JSON that cannot be read back.
pub(crate) fn kept_in_process<R>(
    site: &Site,
    rules: &(dyn Rules<R> + Send + Sync),
    value: &R,
    answer: &Answer,
) -> Option<Answer> {
    if !cfg!(debug_assertions) {
        return Some(answer.clone());
    }
    match rules.through_json(value) {
        Ok((kept, faithful)) => {
            if !faithful {
                site.warn_of_loss(None);
            }
            Some(kept)
        }
        Err(error) => {
            report(site.counters(), &error);
            site.warn_of_loss(Some(&error));
            None
        }
    }
}

/// Begins `task`, so that what it sends first goes before what the caller sends next, and spawns the
/// rest; a future that has left its runtime since it asked for the token drops it, which
/// answers nobody but makes those who wait start over.
fn in_background(task: impl Future<Output = ()> + Send + 'static) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let mut task = Box::pin(task);
    if (&mut task).now_or_never().is_none() {
        drop(runtime.spawn(task));
    }
}

/// Renews the right to store while the body runs.
async fn renewing<F: Future + Unpin>(right: Option<&Right>, mut body: F) -> F::Output {
    let Some(Right::Token { redis, keys, .. }) = right else {
        return body.await;
    };
    loop {
        tokio::select! {
            biased;
            outcome = &mut body => return outcome,
            () = tokio::time::sleep(RENEWAL) => {
                let (redis, keys) = (Arc::clone(redis), keys.clone());
                let deadline = Instant::now() + RENEWAL;
                // Its failure shows when the value is stored: the token has expired then.
                drop(tokio::spawn(async move { token::renew(&redis, &keys, deadline).await }));
            }
        }
    }
}
