//! An identity provider, a Redis that takes its tokens, and caches that know both.

use std::time::{Duration, SystemTime};

use cache_runtime::{Cache, CacheBuilder, Connection, StoreStats, TokenStats, redis_cached};
use cache_tests::proxy::{Answer, Login, Secret};
use cache_tests::{
    AzureRedis, Body, IdentityProvider, RedisServer, RedisVersion, body::Failed, eventually,
    wait::SOON,
};
use redis::RedisResult;

/// The life of a token that outlives its test.
pub(crate) const LONG: Duration = Duration::from_secs(240);

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
pub(crate) async fn user(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

pub(crate) struct Site {
    pub(crate) provider: IdentityProvider,
    pub(crate) azure: AzureRedis,
}

/// Runs a test on each version of the server, side by side.
pub(crate) async fn on_each(life: Duration, test: impl AsyncFn(Site)) {
    let [of_path, other] = RedisVersion::ALL;
    tokio::join!(
        async { Box::pin(test(Site::start(of_path, life).await)).await },
        async { Box::pin(test(Site::start(other, life).await)).await },
    );
}

impl Site {
    /// `life` is that of the first tokens.
    pub(crate) async fn start(version: RedisVersion, life: Duration) -> Self {
        let provider = IdentityProvider::builder().life(life).start();
        let azure = AzureRedis::start_with(RedisServer::builder().version(version)).await;
        let grants = azure.grants();
        provider.on_issue(move |issued| {
            let user = issued.oid.as_deref().unwrap_or("default");
            grants.grant(user, &issued.token, issued.expires)
        });
        Self { provider, azure }
    }

    /// Of the version in `PATH`.
    pub(crate) async fn of_path(life: Duration) -> Self {
        Self::start(RedisVersion::OfPath, life).await
    }

    pub(crate) fn cache(&self) -> Cache {
        self.builder("app").build().unwrap()
    }

    pub(crate) fn builder(&self, client_id: &str) -> CacheBuilder {
        Cache::builder()
            .host("127.0.0.1")
            .port(self.azure.port())
            .tls_ca_file(self.azure.ca_path())
            .credential(self.provider.credential(client_id))
            .timeout(Duration::from_secs(10))
    }

    /// What the n-th token looks like to the proxy.
    pub(crate) fn secret(&self, n: usize) -> Secret {
        Secret::of(&self.provider.issued()[n].token)
    }

    pub(crate) fn end_of(&self, n: usize) -> SystemTime {
        self.provider.issued()[n].expires
    }

    /// The connections that are logged in with the n-th token.
    pub(crate) fn connections_with(&self, n: usize) -> Vec<u64> {
        let Some(secret) = self.provider.issued().get(n).map(|i| Secret::of(&i.token)) else {
            return Vec::new();
        };
        let in_use = self.azure.proxy().in_use();
        let of = in_use.into_iter().filter(|(_, used)| *used == secret);
        of.map(|(connection, _)| connection).collect()
    }

    /// Waits until so many connections are logged in with the n-th token, and none with another.
    pub(crate) async fn moved(&self, connections: usize, n: usize) {
        let what = format!("{connections} connections with token {n}, and no other");
        eventually(&what, SOON, async || {
            self.connections_with(n).len() == connections
                && self.azure.proxy().in_use().len() == connections
        })
        .await;
    }

    /// How often the n-th token was offered.
    pub(crate) fn logins_with(&self, n: usize) -> usize {
        let secret = self.secret(n);
        let logins = self.azure.proxy().logins();
        logins.iter().filter(|login| login.secret == secret).count()
    }

    /// The logins with another token than the first.
    pub(crate) fn new_logins(&self) -> Vec<Login> {
        let first = self.secret(0);
        let mut logins = self.azure.proxy().logins();
        logins.retain(|login| login.secret != first);
        logins
    }

    pub(crate) async fn new_logins_are(&self, answer: Option<Answer>, count: usize) {
        let what = format!("{count} logins answered {answer:?}");
        eventually(&what, SOON, async || {
            let logins = self.new_logins();
            logins.iter().filter(|login| login.answer == answer).count() >= count
        })
        .await;
    }

    /// No command that reached the server failed there.
    pub(crate) fn no_failures(&self) {
        let failures = self.azure.proxy().failures();
        assert!(failures.is_empty(), "{failures:?}");
    }
}

pub(crate) fn token_stats(cache: &Cache) -> TokenStats {
    match cache.stats().store {
        StoreStats::Redis { token, .. } => token.expect("an Entra ID login"),
        other => panic!("not a cache in redis: {other:?}"),
    }
}

pub(crate) async fn until(time: SystemTime) {
    eventually("the time to come", 2 * SOON, async || {
        SystemTime::now() >= time
    })
    .await;
}

pub(crate) async fn hits_resume(cache: &Cache, body: &Body, id: u64) {
    eventually("a hit", SOON, async || {
        let before = body.runs();
        user(cache, body, id).await.unwrap();
        body.runs() == before
    })
    .await;
}

/// Sends one command through what `connection()` gave.
pub(crate) async fn send<T: redis::FromRedisValue>(
    connection: &Connection,
    words: &[&str],
) -> RedisResult<T> {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut connection.clone()).await
}
