//! The steps "acquire" and "body", and what comes of them, by the one call that leads a flight.
//!
//! The one rule: **nothing is stored, and nobody who came while the body ran is answered, without
//! the proof that nothing was invalidated since the body began.**

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Call,
    background::{Behind, Work},
    boxed, draw,
    read::Found,
    renew::renewing,
    timed, wait,
    within::within,
};
use crate::{
    answer::Answer,
    cache::Inner,
    flight::{Joined, Lead},
    share::ErrorShare,
    store::{Store, fetched::Fetched, memory::MemoryStore, redis::RedisStore},
    token::{self, Acquired, Keys, Token, Wish},
};

/// The right to store what a body is going to return.
pub(super) enum Right {
    /// The flight itself, for as long as it is in the map of flights.
    InProcess(Arc<MemoryStore>),
    Token(Granted),
}

/// A right to store that Redis granted.
#[derive(Clone)]
pub(crate) struct Granted {
    pub(crate) redis: Arc<RedisStore>,
    pub(crate) keys: Keys,
    pub(crate) token: Token,
}

/// What came of asking for it.
pub(super) enum Acquisition<R> {
    /// Somebody stored a value meanwhile.
    Found(Found<R>),
    Granted(Right),
    /// Another process computes the value, and lets its lock go after this long unless it renews it.
    Locked {
        redis: Arc<RedisStore>,
        keys: Keys,
        holder: Bytes,
        left: Duration,
    },
    /// The body runs, and nothing is stored.
    Refused,
}

impl<R> Call<'_, R> {
    /// The steps "acquire", "body" and "store", for all who wait. `at_hand`: a stale value that serves
    /// where the body fails, or another process is at it.
    pub(super) async fn lead<A, E, F, H, B>(
        &mut self,
        mut lead: Lead<Answer>,
        errors: ErrorShare<E>,
        work: Work<A, H, B>,
        at_hand: Option<Found<R>>,
    ) -> Result<R, E>
    where
        H: FnOnce(A) -> F,
        F: Future<Output = Result<R, E>>,
        B: FnOnce(A, Behind<R>, ErrorShare<E>),
    {
        if lead.unanswered() {
            self.budget.end();
        }
        // No lock for a value that is not going to be stored, because other processes would wait for it in
        // vain; nor beside another lead, because this call has waited long enough.
        let together = self.rules.freshness().cluster && !self.is_too_large() && !lead.is_beside();
        let mut wish = together.then(Wish::new);
        let patience = Instant::now() + self.cache.cluster_wait;
        let mut attempt = 0;
        let right = loop {
            match boxed(|| self.acquire(&mut lead, wish.as_ref())).await {
                Acquisition::Found(found) => {
                    self.share_found(lead, &found.value);
                    return Ok(self.hit(found));
                }
                Acquisition::Granted(right) => break Some(right),
                Acquisition::Refused => break None,
                Acquisition::Locked {
                    redis,
                    keys,
                    holder,
                    left,
                } => {
                    if let Some(found) = at_hand {
                        // Those who wait have a value of their own, too, or lead on.
                        self.cache.background.leave(&self.key, left);
                        return Ok(self.stale(found));
                    }
                    let until = patience.min(Instant::now() + left);
                    let changed = redis.changed(&keys.lock, &holder, attempt, until);
                    wait::for_another(&mut lead, self.cache.run_wait, changed).await;
                    self.budget.refill();
                    attempt += 1;
                    // Long enough: computes beside the holder, and may store as well.
                    wish = wish
                        .filter(|_| Instant::now() < patience)
                        .map(Wish::after_waiting);
                }
            }
        };
        let (outcome, ttl) = self
            .complete(lead, right, errors, || boxed(|| work.here()))
            .await;
        self.answer_or(outcome, at_hand, ttl)
    }

    /// Takes the key over from whoever computes it: a flight of its own, and a token of its own.
    pub(super) async fn take_over(&mut self) -> (Lead<Answer>, Option<Right>) {
        self.outdated = true;
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
            Ok(token) => (lead, Some(Right::Token(Granted { redis, keys, token }))),
            Err(error) => {
                self.failed(&error);
                (lead, None)
            }
        }
    }

    /// The steps "body" and "store"; also for how long the value was stored.
    pub(super) async fn complete<E, F>(
        &mut self,
        mut lead: Lead<Answer>,
        right: Option<Right>,
        errors: ErrorShare<E>,
        body: impl FnOnce() -> F,
    ) -> (Result<R, E>, Option<Duration>)
    where
        F: Future<Output = Result<R, E>> + Unpin,
    {
        lead.body_begun();
        let start = self.cache.clock.now();
        let panicked = Panicked {
            cache: &self.cache,
            key: &self.key,
            matters: self.rules.freshness().needs_stamp(),
        };
        let granted = match &right {
            Some(Right::Token(granted)) => Some(granted),
            _ => None,
        };
        let body = timed(self.site.counters(), renewing(granted, body()));
        // Matched at once: a variable that may hold the error would be held across what follows.
        let value = match within(&lead, body).await {
            Ok(value) => {
                panicked.not();
                value
            }
            Err(error) => {
                panicked.not();
                self.rest();
                // Made only for those who wait: what an error says is nobody else's to keep.
                if lead.has_waiters() {
                    let answer = errors.keep(&error).map(Answer::Failed);
                    self.settle(lead, right, answer);
                } else {
                    self.end(lead, right);
                }
                return (Err(error), None);
            }
        };
        let took = self.cache.clock.now().saturating_duration_since(start);
        let lifetime = match self.rules.lifetime(&value, self.ttl, draw()) {
            Ok(lifetime) => lifetime,
            // What the value is worth is not known, so an older one stays.
            Err(error) => {
                self.failed(&error);
                self.site.warn_not_stored(&error);
                self.rest();
                let answer = self.answer(&value, None);
                self.settle(lead, right, answer);
                return (Ok(value), None);
            }
        };
        match right {
            Some(Right::InProcess(memory)) => {
                let ttl = self.store_in_process(lead, &memory, &value, lifetime, took);
                (Ok(value), ttl)
            }
            Some(Right::Token(granted)) => {
                let stored = boxed(|| self.store_in_redis(lead, granted, value, lifetime, took));
                let (value, ttl) = stored.await;
                (Ok(value), ttl)
            }
            None => {
                let answer = self.answer(&value, None);
                self.settle(lead, None, answer);
                (Ok(value), None)
            }
        }
    }

    /// The step "acquire". `wish`: to be the only one in all processes.
    pub(super) async fn acquire(
        &mut self,
        lead: &mut Lead<Answer>,
        wish: Option<&Wish>,
    ) -> Acquisition<R> {
        let redis = match self.cache.store.clone() {
            // Another flight may have ended between this call's look and its own flight.
            Store::Memory(memory) => {
                lead.acquire_sent();
                let before = self.seen.clone();
                return match self.read_memory(&memory) {
                    Some(found) if found.is_fresh() && self.seen != before => {
                        Acquisition::Found(found)
                    }
                    _ => Acquisition::Granted(Right::InProcess(memory)),
                };
            }
            Store::Redis(redis) => redis,
        };
        // What is found may be shared with callers who came after an invalidation failed.
        if self.budget.is_over() || !self.finish_invalidation().await {
            return Acquisition::Refused;
        }
        let keys = self.keys();
        // A second time if what was found is of no use.
        for _ in 0..2 {
            lead.acquire_sent();
            let Self { budget, seen, .. } = self;
            let seen = seen.bytes();
            match budget
                .spend(|deadline| token::acquire(&redis, &keys, wish, seen, deadline))
                .await
            {
                Ok(Acquired::Token(token)) => {
                    return Acquisition::Granted(Right::Token(Granted { redis, keys, token }));
                }
                Ok(Acquired::Locked { holder, left }) => {
                    return Acquisition::Locked {
                        redis,
                        keys,
                        holder,
                        left,
                    };
                }
                Ok(Acquired::Value(bytes)) => {
                    if let Some(found) = self.decode(&redis, Fetched::alone(bytes)).await
                        && found.is_fresh()
                    {
                        return Acquisition::Found(found);
                    }
                }
                Err(error) => {
                    self.failed(&error);
                    if let Some(took) = self.budget.too_short_after() {
                        self.site.warn_of_distance(took, self.budget.whole());
                    }
                    break;
                }
            }
        }
        Acquisition::Refused
    }

    pub(super) fn share_found(&self, lead: Lead<Answer>, value: &R) {
        if lead.has_waiters()
            && let Some(answer) = self.answer(value, None)
        {
            lead.finish(&answer);
        }
        // Dropping the lead makes the others look for themselves.
    }

    /// The key's body, or what it returned, is of no use: it is left alone for a while.
    pub(super) fn rest(&self) {
        if self.rules.freshness().needs_stamp() {
            self.cache.background.failed(&self.key);
        }
    }

    pub(super) fn recovered(&self) {
        if self.rules.freshness().needs_stamp() {
            self.cache.background.recovered(&self.key);
        }
    }
}

/// Lets a key rest whose body panics, when it is dropped.
struct Panicked<'a> {
    cache: &'a Inner,
    key: &'a Arc<str>,
    matters: bool,
}

impl Panicked<'_> {
    fn not(mut self) {
        self.matters = false;
    }
}

impl Drop for Panicked<'_> {
    fn drop(&mut self) {
        if self.matters && std::thread::panicking() {
            self.cache.background.failed(self.key);
        }
    }
}
