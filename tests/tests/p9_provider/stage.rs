//! A server that takes the provider's tokens, clients with an identity each, and callers who never stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use cache_runtime::{Cache, StoreStats, TokenStats, redis_cached};
use cache_tests::identity_provider::{Builder, Identities};
use cache_tests::proxy::{Answer, Secret};
use cache_tests::{
    AzureRedis, Body, IdentityProvider, RedisServer, RedisVersion, Watched, body::Failed,
    eventually, timed,
};
use tokio::task::JoinHandle;

pub(crate) const TIMEOUT: Duration = Duration::from_millis(1500);
pub(crate) const LESS_THAN_TWO_TIMEOUTS: Duration = Duration::from_millis(2900);
/// How soon the provider's return is noticed.
pub(crate) const RECOVERY: Duration = Duration::from_secs(2);

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
pub(crate) async fn user(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

pub(crate) struct Stage {
    pub(crate) provider: IdentityProvider,
    pub(crate) azure: AzureRedis,
}

impl Stage {
    pub(crate) async fn start(provider: Builder) -> Self {
        Self::on(RedisVersion::OfPath, provider).await
    }

    pub(crate) async fn on(version: RedisVersion, provider: Builder) -> Self {
        let stage = Self {
            provider: provider.start(),
            azure: AzureRedis::start_with(RedisServer::builder().version(version)).await,
        };
        let grants = stage.azure.grants();
        stage.provider.on_issue(move |issued| {
            let user = issued.oid.as_deref().unwrap_or("default");
            grants.grant(user, &issued.token, issued.expires)
        });
        stage
    }

    /// A cache of its own, with a credential of its own.
    pub(crate) fn client(&self, id: &str) -> Client {
        let asked = Watched::new(self.provider.credential(id));
        let cache = Cache::builder()
            .url(self.azure.url())
            .tls_ca_pem(self.azure.ca_pem())
            .credential(asked.clone())
            .prefix(id)
            .timeout(TIMEOUT)
            .build()
            .unwrap();
        Client {
            cache,
            asked,
            identity: self.provider.identity(Some(id)),
            body: Body::new(),
        }
    }

    /// When the token ends that the server accepted last.
    pub(crate) fn end_of_token_in_use(&self) -> SystemTime {
        let logins = self.azure.proxy().logins();
        let accepted = |answer| answer == Some(Answer::Accepted);
        let last = logins.iter().rfind(|login| accepted(login.answer));
        let last = last.expect("a login").secret;
        let issued = self.provider.issued();
        let token = issued
            .iter()
            .find(|issued| Secret::of(&issued.token) == last);
        token.expect("the provider's token").expires
    }
}

pub(crate) struct Client {
    pub(crate) cache: Cache,
    pub(crate) asked: Arc<Watched>,
    pub(crate) identity: Identities,
    body: Body,
}

impl Client {
    pub(crate) fn token(&self) -> TokenStats {
        match self.cache.stats().store {
            StoreStats::Redis { token, .. } => token.expect("a login by token"),
            other => panic!("not a cache in redis: {other:?}"),
        }
    }

    /// One call; whether the cache answered it.
    pub(crate) async fn is_hit(&self) -> bool {
        let before = self.body.runs();
        user(&self.cache, &self.body, 1_000_000).await.unwrap();
        self.body.runs() == before
    }

    pub(crate) async fn hits_within(&self, limit: Duration) -> Duration {
        let hit = eventually("a hit", limit, async || Box::pin(self.is_hit()).await);
        timed(Box::pin(hit)).await.1
    }

    /// That nobody ever asked for a token while somebody else did, nor twice within a second.
    #[track_caller]
    pub(crate) fn was_gentle(&self) {
        assert!(self.identity.concurrent_max() <= 1, "two requests at once");
        let pauses = self.asked.pauses();
        let least = Duration::from_secs(1);
        assert!(pauses.iter().all(|pause| *pause >= least), "{pauses:?}");
    }
}

/// One call of [`user`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) began: SystemTime,
    pub(crate) ended: SystemTime,
    pub(crate) was_hit: bool,
}

/// Several callers of one cache, each with an entry of its own that was stored before.
pub(crate) struct Traffic {
    ends: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Vec<Call>>>,
}

impl Traffic {
    pub(crate) async fn start(client: &Client) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let mut callers = Vec::new();
        for id in 0..4 {
            let (cache, body) = (client.cache.clone(), Body::new());
            eventually("the first hit", cache_tests::wait::SOON, async || {
                let before = body.runs();
                user(&cache, &body, id).await.unwrap();
                body.runs() == before
            })
            .await;
            callers.push(tokio::spawn(call_over_and_over(
                cache,
                body,
                id,
                ends.clone(),
            )));
        }
        Self { ends, callers }
    }

    /// Ends it, and gives all calls.
    pub(crate) async fn end(self) -> Vec<Call> {
        self.ends.store(true, Ordering::Relaxed);
        let mut calls = Vec::new();
        for caller in self.callers {
            calls.extend(caller.await.unwrap());
        }
        calls
    }

    /// Ends it; every call was a hit.
    pub(crate) async fn were_hits(self) {
        let calls = self.end().await;
        let misses: Vec<_> = calls.iter().filter(|call| !call.was_hit).collect();
        assert!(misses.is_empty(), "of {} calls: {misses:?}", calls.len());
    }
}

/// Each call has a value, and soon, whatever happens.
async fn call_over_and_over(cache: Cache, body: Body, id: u64, ends: Arc<AtomicBool>) -> Vec<Call> {
    let mut calls = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        let (before, began) = (body.runs(), SystemTime::now());
        let (returned, took) = timed(user(&cache, &body, id)).await;
        returned.unwrap();
        assert!(took < LESS_THAN_TWO_TIMEOUTS, "a call took {took:?}");
        calls.push(Call {
            began,
            ended: SystemTime::now(),
            was_hit: body.runs() == before,
        });
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    calls
}
