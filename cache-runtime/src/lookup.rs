//! The read path, from a call to its answer.
//!
//! The one rule: **the cache may save a call its body, and can do nothing else to it**: whatever
//! fails here, the body runs, and what it returned is returned.
//!
//! | step | what happens |
//! |---|---|
//! | bypass | no cache, or no key: the body |
//! | read | the store has a value that can be read: the answer |
//! | join | somebody computes this key: wait for that; nobody does: lead |
//! | acquire | the right to store; or a value that was stored meanwhile |
//! | body | once, whoever waits |
//! | store | under the right to store; its answer says who else may have the outcome |
//!
//! An `Err` is never held across an await, so a future stays `Send` where its error is not. A body
//! is boxed before it runs: each function around it would multiply its size otherwise, and cached
//! functions call each other.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt as _;

use crate::{
    answer::Answer,
    budget::{Budget, is_out_of_reach},
    cache::{Cache, Inner},
    error::{Error, ErrorKind},
    flight::{Joined, Lead, Turn},
    global,
    policy::Rules,
    probe::ErrorShare,
    shared_read::{Arrival, Turn as ReadTurn},
    site::{Key, Site},
    stats::Counters,
    store::{
        Store,
        link::Reads,
        memory::{MemoryStore, dropping_values_later},
        redis::{RedisStore, Urgency},
    },
    token::{self, Acquired, Keys, Stored, Token},
};

/// How often a body that runs for long renews its right to store.
const RENEWAL: Duration = Duration::from_secs(10);

/// One call of an annotated function, and what its attribute says.
pub(crate) struct Lookup<'a, R> {
    pub(crate) site: &'static Site,
    pub(crate) key: &'a Key,
    pub(crate) rules: &'a (dyn Rules<R> + Send + Sync),
    /// Default: the global cache.
    pub(crate) cache: Option<Cache>,
    /// Default: the cache's.
    pub(crate) timeout: Option<Duration>,
    /// Default: the attribute's.
    pub(crate) ttl: Option<Duration>,
}

impl<R> Lookup<'_, R> {
    /// Answers from the cache, else from `body`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future hands the work to a call that waits for it, which runs its own body.
    pub(crate) async fn run<E, F>(
        self,
        errors: ErrorShare<E>,
        body: impl FnOnce() -> F,
    ) -> Result<R, E>
    where
        F: Future<Output = Result<R, E>>,
    {
        let counters = self.site.counters();
        let Some(mut call) = self.begin() else {
            counters.bypassed();
            return timed(counters, Box::pin(body())).await;
        };
        let outcome = call.run(errors, body).await;
        counters.in_store(call.budget.spent());
        outcome
    }

    /// Runs `body` and stores its outcome, whatever is stored or computed now.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stores nothing; a call that waits for it runs its own body.
    pub(crate) async fn refresh<E, F>(
        self,
        errors: ErrorShare<E>,
        body: impl FnOnce() -> F,
    ) -> Result<R, E>
    where
        F: Future<Output = Result<R, E>>,
    {
        let counters = self.site.counters();
        let Some(mut call) = self.begin() else {
            counters.bypassed();
            return timed(counters, Box::pin(body())).await;
        };
        let (lead, right) = call.take_over().await;
        let outcome = call.complete(lead, right, errors, body).await;
        counters.in_store(call.budget.spent());
        outcome
    }
}

impl<'a, R> Lookup<'a, R> {
    /// `None`: there is no cache, or the call has no key in it.
    fn begin(self) -> Option<Call<'a, R>> {
        let cache = self
            .cache
            .or_else(global::installed)
            .filter(|cache| !cache.is_shut_down())?;
        let cache = Arc::clone(cache.inner());
        Some(Call {
            site: self.site,
            counters: self.site.counters(),
            budget: Budget::new(self.timeout.unwrap_or(cache.timeout)),
            key: self.key.in_cache(&cache.prefix).ok()?,
            rules: self.rules,
            ttl: self.ttl,
            unreadable: None,
            cache,
        })
    }
}

/// The state of one call on its way.
struct Call<'a, R> {
    site: &'static Site,
    counters: &'static Counters,
    cache: Arc<Inner>,
    budget: Budget,
    key: Arc<str>,
    rules: &'a (dyn Rules<R> + Send + Sync),
    ttl: Option<Duration>,
    /// What stands under the key, and is no value of this function's.
    unreadable: Option<Bytes>,
}

/// The right to store what a body is going to return.
enum Right {
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
    async fn run<E, F>(&mut self, errors: ErrorShare<E>, body: impl FnOnce() -> F) -> Result<R, E>
    where
        F: Future<Output = Result<R, E>>,
    {
        if let Some(value) = self.read().await {
            self.counters.hit();
            return Ok(value);
        }
        let turn = match self.cache.flights.join(&self.key) {
            Joined::Lead(lead) => Turn::Lead(lead),
            Joined::Wait(turn) => turn.await.unwrap_or(Turn::Alone),
        };
        match turn {
            Turn::Lead(lead) => return self.lead(lead, errors, body).await,
            Turn::Answer(answer) => {
                if let Some(outcome) = self.take(&answer, &errors) {
                    self.counters.miss();
                    self.counters.coalesced();
                    return outcome;
                }
                // The leader is another function, with the same key and other types.
            }
            Turn::Alone => {}
        }
        self.counters.miss();
        timed(self.counters, Box::pin(body())).await
    }

    /// The step "read".
    async fn read(&mut self) -> Option<R> {
        match self.cache.store.clone() {
            Store::Memory(memory) => self.read_memory(&memory),
            Store::Redis(redis) => {
                let bytes = self.read_redis(&redis).await?;
                self.decode(bytes)
            }
        }
    }

    fn read_memory(&self, memory: &MemoryStore) -> Option<R> {
        let stored = memory.get(&self.key)?;
        let value = self.rules.take(stored.as_ref());
        if value.is_none() {
            self.counters.error(ErrorKind::Decode);
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
    async fn finish_invalidation(&mut self, redis: &Arc<RedisStore>) -> bool {
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

    fn decode(&mut self, bytes: Bytes) -> Option<R> {
        match self.rules.decode(&bytes) {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed(&error);
                self.unreadable = Some(bytes);
                None
            }
        }
    }

    fn take<E>(&self, answer: &Answer, errors: &ErrorShare<E>) -> Option<Result<R, E>> {
        match answer {
            Answer::Value(value) => self.rules.take(Some(value)).map(Ok),
            Answer::Nothing => self.rules.take(None).map(Ok),
            Answer::Failed(error) => errors.take(&**error).map(Err),
        }
    }

    /// The steps "acquire", "body" and "store", for all who wait.
    async fn lead<E, F>(
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
                self.counters.hit();
                self.share_found(lead, &value);
                return Ok(value);
            }
            Acquisition::Granted(right) => Some(right),
            Acquisition::Refused => None,
        };
        self.complete(lead, right, errors, body).await
    }

    /// Takes the key over from whoever computes it: a flight of its own, and a token of its own.
    async fn take_over(&mut self) -> (Lead<Answer>, Option<Right>) {
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
    async fn complete<E, F>(
        &mut self,
        mut lead: Lead<Answer>,
        right: Option<Right>,
        errors: ErrorShare<E>,
        body: impl FnOnce() -> F,
    ) -> Result<R, E>
    where
        F: Future<Output = Result<R, E>>,
    {
        self.counters.miss();
        lead.body_begun();
        let value = match timed(self.counters, renewing(right.as_ref(), Box::pin(body()))).await {
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
                let counters = self.counters;
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

    fn keys(&self) -> Keys {
        Keys::new(&self.cache.prefix, &self.key)
    }

    fn failed(&self, error: &Error) {
        report(self.counters, error);
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

/// Counts an error that no caller gets to see.
pub(crate) fn report(counters: &Counters, error: &Error) {
    counters.error(error.kind());
    if error.kind() == ErrorKind::NoRuntime {
        static WARNED: AtomicBool = AtomicBool::new(false);
        if !WARNED.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "calls run without the cache");
        }
    }
    tracing::debug!(%error, "the cache failed, the call goes on");
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
            Ok(Ok(ReadTurn::Reply(reply))) => return reply,
            Ok(Ok(ReadTurn::Run(runner))) => runner,
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

/// Runs a body and counts its time, be it dropped or panicking.
async fn timed<F: Future>(counters: &'static Counters, body: F) -> F::Output {
    struct Run {
        counters: &'static Counters,
        start: Instant,
    }
    impl Drop for Run {
        fn drop(&mut self) {
            self.counters.in_body(self.start.elapsed());
        }
    }
    counters.body_run();
    let _run = Run {
        counters,
        start: Instant::now(),
    };
    body.await
}
