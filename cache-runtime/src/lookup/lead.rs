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

use super::{
    Call,
    behind::{Behind, Work},
    boxed, draw,
    read::Found,
    report, timed,
};
use crate::{
    answer::Answer,
    budget::is_out_of_reach,
    cache::Inner,
    codec::{Stamp, payload_of},
    error::{Error, ErrorKind},
    flight::{Joined, Lead},
    policy::{Lifetime, Rules},
    probe::ErrorShare,
    site::Site,
    store::{
        Store,
        memory::{MemoryStore, dropping_values_later},
        redis::RedisStore,
    },
    token::{self, Acquired, Content, Keys, Stored, Token, Wish},
};

/// How often a body that runs for long renews its right to store.
const RENEWAL: Duration = Duration::from_secs(10);

/// How often it renews its lock.
const LOCK_RENEWAL: Duration = Duration::from_millis(600);

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
        let mut wish = self.rules.freshness().cluster.then(Wish::new);
        let patience = Instant::now() + self.cache.cluster_wait;
        let mut attempt = 0;
        let right = loop {
            match self.acquire(&mut lead, wish.as_ref()).await {
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
                    redis.changed(&keys.lock, &holder, attempt, until).await;
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
        let body = renewing(granted, body());
        // Matched at once: a variable that may hold the error would be held across what follows.
        let value = match timed(self.site.counters(), body).await {
            Ok(value) => {
                panicked.not();
                value
            }
            Err(error) => {
                panicked.not();
                self.rest();
                let answer = errors.keep(&error).map(Answer::Failed);
                self.settle(lead, right, answer);
                return (Err(error), None);
            }
        };
        let took = self.cache.clock.now().saturating_duration_since(start);
        let lifetime = match self.rules.lifetime(&value, self.ttl, draw()) {
            Ok(lifetime) => lifetime,
            // What the value is worth is not known, so an older one stays.
            Err(error) => {
                self.failed(&error);
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
                let (value, ttl) = self
                    .store_in_redis(lead, granted, value, lifetime, took)
                    .await;
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
        if self.budget.is_over() || !self.finish_invalidation(&redis).await {
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
                    if let Some(found) = self.decode(&redis, bytes).await
                        && found.is_fresh()
                    {
                        return Acquisition::Found(found);
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

    pub(super) fn share_found(&self, lead: Lead<Answer>, value: &R) {
        if lead.has_waiters()
            && let Some(answer) = self.answer(value, None)
        {
            lead.found(&answer);
        }
        // Dropping the lead makes the others look for themselves.
    }

    fn store_in_process(
        &self,
        mut lead: Lead<Answer>,
        memory: &MemoryStore,
        value: &R,
        lifetime: Option<Lifetime>,
        took: Duration,
    ) -> Option<Duration> {
        let Some(answer) = self.answer(value, None) else {
            self.rest();
            lead.everybody_alone();
            return None;
        };
        lead.answer_early(&answer);
        let kept = lifetime.and_then(|lifetime| {
            let kept = kept_in_process(self.site, self.rules, value, &answer)?;
            Some((kept, lifetime))
        });
        let stood = dropping_values_later(|| {
            lead.close_with(|| match &kept {
                Some((kept, lifetime)) => memory.insert(&self.key, kept, *lifetime, took),
                None if self.outdated && lifetime.is_none() => memory.remove(&self.key),
                None => {}
            })
        });
        // Else the flight was detached: dropping the lead makes those who came later start over.
        stood?;
        if kept.is_none() && lifetime.is_some() {
            self.rest();
        } else {
            self.recovered();
        }
        lead.answer_all(&answer);
        kept.map(|(_, lifetime)| lifetime.fresh_for)
    }

    async fn store_in_redis(
        &mut self,
        mut lead: Lead<Answer>,
        granted: Granted,
        value: R,
        lifetime: Option<Lifetime>,
        took: Duration,
    ) -> (R, Option<Duration>) {
        let clock = &self.cache.clock;
        let encoded =
            match lifetime.map(|lifetime| written(self.rules, &value, lifetime, took, clock)) {
                Some(Ok(encoded)) => Some(encoded),
                Some(Err(error)) => {
                    self.failed(&error);
                    self.rest();
                    let answer = self.answer(&value, None);
                    self.settle(lead, Some(Right::Token(granted)), answer);
                    return (value, None);
                }
                None if self.outdated => None,
                None => {
                    let answer = self.answer(&value, None);
                    self.settle(lead, Some(Right::Token(granted)), answer);
                    return (value, None);
                }
            };
        let json = encoded.as_ref().map(|encoded| payload_of(&encoded.bytes));
        if lead.has_waiters()
            && let Some(answer) = self.answer(&value, json.as_ref())
        {
            lead.answer_early(&answer);
        }
        lead.close();
        let content = encoded.as_ref().map(Written::content);
        let Granted { redis, keys, token } = &granted;
        let stored = self
            .budget
            .spend(|deadline| token::store(redis, keys, token, content, deadline))
            .await;
        let ttl = match stored {
            Ok(Stored::Refused) => {
                lead.start_over(false);
                None
            }
            Ok(stored) => {
                if stored == Stored::NoRoom {
                    self.failed(&Error::new(
                        ErrorKind::Server,
                        "redis did not take the value",
                    ));
                    self.rest();
                } else {
                    self.recovered();
                }
                if lead.has_waiters()
                    && let Some(answer) = self.answer(&value, json.as_ref())
                {
                    lead.answer_all(&answer);
                }
                lifetime.filter(|_| stored == Stored::Yes)
            }
            Err(error) => {
                self.failed(&error);
                lead.start_over(is_out_of_reach(&error));
                None
            }
        };
        (value, ttl.map(|lifetime| lifetime.fresh_for))
    }

    /// What others can have of `value`; `None` if that takes JSON, and it has none.
    fn answer(&self, value: &R, json: Option<&Bytes>) -> Option<Answer> {
        match self.rules.share(value, json) {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    /// The key's body, or what it returned, is of no use: it is left alone for a while.
    fn rest(&self) {
        if self.rules.freshness().needs_stamp() {
            self.cache.background.failed(&self.key);
        }
    }

    fn recovered(&self) {
        if self.rules.freshness().needs_stamp() {
            self.cache.background.recovered(&self.key);
        }
    }

    /// Ends a flight whose outcome is not stored. The caller does not wait for the proof that those
    /// who came later need.
    fn settle(&self, mut lead: Lead<Answer>, right: Option<Right>, answer: Option<Answer>) {
        let Some(answer) = answer else {
            lead.everybody_alone();
            if let Some(Right::Token(granted)) = right {
                let deadline = Instant::now() + self.cache.timeout;
                // Only tidies up: a token that stays behind expires by itself.
                in_background(async move { drop(granted.release(deadline).await) });
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
            Some(Right::Token(granted)) => {
                lead.close();
                let deadline = Instant::now() + self.cache.timeout;
                let counters = self.site.counters();
                in_background(async move {
                    match granted.release(deadline).await {
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

impl Granted {
    async fn release(&self, deadline: Instant) -> Result<bool, Error> {
        token::release(&self.redis, &self.keys, &self.token, deadline).await
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

/// A value as Redis is going to have it.
pub(crate) struct Written {
    pub(crate) bytes: Bytes,
    pub(crate) lifetime: Lifetime,
    /// There is a stamp, and the server fills in its time.
    stamped: bool,
}

impl Written {
    pub(crate) fn content(&self) -> Content<'_> {
        Content {
            bytes: &self.bytes,
            kept_for: self.lifetime.kept_for,
            stamped: self.stamped,
        }
    }
}

/// Writes `value`, with a stamp if its readers need one.
pub(crate) fn written<R>(
    rules: &(dyn Rules<R> + Send + Sync),
    value: &R,
    lifetime: Lifetime,
    took: Duration,
    clock: &crate::clock::Clock,
) -> Result<Written, Error> {
    let stamp = rules.freshness().needs_stamp().then(|| Stamp {
        stored_at: clock.servers().unwrap_or_default(),
        fresh_for: lifetime.fresh_for,
        took,
    });
    Ok(Written {
        bytes: rules.encode(value, stamp.as_ref())?,
        lifetime,
        stamped: stamp.is_some() && clock.servers().is_none(),
    })
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

/// Lets the lock go when it is dropped, for a body that was given up or panicked: those who wait would
/// wait for it in vain until it expires.
struct Held<'a>(Option<&'a Granted>);

impl Held<'_> {
    /// The body is done, and what stores or releases takes care of the lock.
    fn until_stored(mut self) {
        self.0 = None;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Some(granted) = self.0.filter(|granted| granted.token.has_lock()) else {
            return;
        };
        // Else it expires by itself. Not begun here: the runtime may be ending, or the thread unwinding.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let Granted { redis, keys, token } = granted.clone();
            let deadline = Instant::now() + LOCK_RENEWAL;
            drop(runtime.spawn(async move {
                drop(token::unlock(&redis, &keys, &token, deadline).await);
            }));
        }
    }
}

/// Renews the right to store, and the lock, while the body runs.
pub(crate) async fn renewing<F: Future + Unpin>(
    granted: Option<&Granted>,
    mut body: F,
) -> F::Output {
    let Some(granted) = granted else {
        return body.await;
    };
    let pause = if granted.token.has_lock() {
        LOCK_RENEWAL
    } else {
        RENEWAL
    };
    let mut renewed = Instant::now();
    let held = Held(Some(granted));
    loop {
        tokio::select! {
            biased;
            outcome = &mut body => {
                held.until_stored();
                return outcome;
            }
            () = tokio::time::sleep(pause) => {
                let Granted { redis, keys, token } = granted.clone();
                let deadline = Instant::now() + pause;
                let token_too = renewed.elapsed() + pause > RENEWAL;
                if token_too {
                    renewed = Instant::now();
                }
                // A failure shows when the value is stored: the token has expired then.
                drop(tokio::spawn(async move {
                    drop(token::renew_lock(&redis, &keys, &token, deadline).await);
                    if token_too {
                        drop(token::renew(&redis, &keys, deadline).await);
                    }
                }));
            }
        }
    }
}
