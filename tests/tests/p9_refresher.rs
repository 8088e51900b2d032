//! P9 for the task that renews tokens: there is one for each cache, wherever the cache is used, and it
//! ends with the cache. And for credentials of the user's own, whatever they do.
#![allow(missing_docs)]

#[path = "p9_refresher/own.rs"]
mod own;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use cache_runtime::{Cache, ErrorKind, StoreStats, TokenStats, redis_cached};
use cache_tests::{
    AzureRedis, Body, IdentityProvider, RedisServer, Watched, body::Failed, eventually, wait::SOON,
};
use redis::AsyncCommands;
use tokio::runtime::{Builder, Runtime};

const TIMEOUT: Duration = Duration::from_millis(1500);
const TTL: Duration = Duration::from_secs(300);

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
async fn user(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

/// A server that takes the provider's tokens.
struct Stage {
    provider: IdentityProvider,
    azure: AzureRedis,
}

impl Stage {
    /// The tokens live for so many seconds, as clients see it.
    fn start(life: u64) -> Self {
        let life = Duration::from_millis(life * 1000 + 500);
        let provider = IdentityProvider::builder().life(life).start();
        let azure = AzureRedis::start_blocking(RedisServer::builder());
        let grants = azure.grants();
        provider.on_issue(move |issued| {
            grants.grant(
                issued.oid.as_deref().unwrap(),
                &issued.token,
                issued.expires,
            )
        });
        Self { provider, azure }
    }

    fn credential(&self) -> Arc<Watched> {
        Watched::new(self.provider.credential("app"))
    }

    fn cache(&self, credential: Arc<Watched>) -> Cache {
        Cache::builder()
            .url(self.azure.url())
            .tls_ca_pem(self.azure.ca_pem())
            .credential(credential)
            .timeout(TIMEOUT)
            .build()
            .unwrap()
    }

    /// Waits until nobody asks any more, and nobody is connected.
    async fn is_deserted(&self, credential: &std::sync::Weak<Watched>) {
        eventually("the credential to be dropped", SOON, async || {
            credential.strong_count() == 0
        })
        .await;
        eventually("the connections to be closed", SOON, async || {
            self.azure.proxy().open_connections() == 0
        })
        .await;
        eventually("the request to end", SOON, async || {
            self.provider.in_progress() == 0
        })
        .await;
    }
}

fn token(cache: &Cache) -> TokenStats {
    match cache.stats().store {
        StoreStats::Redis { token, .. } => token.expect("a login by token"),
        other => panic!("not a cache in redis: {other:?}"),
    }
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// It runs only while somebody is in `block_on`.
fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn use_once(cache: &Cache) {
    eventually("an answer", SOON, async || cache.ping().await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_the_task_ends_with_the_last_handle() {
    let stage = Stage::start(2);
    let credential = stage.credential();
    let cache = stage.cache(credential.clone());
    let watched = Arc::downgrade(&credential);
    drop(credential);
    let kept = cache.clone();
    use_once(&cache).await;
    let mut connection = cache.connection().unwrap();
    let () = connection.set("key", "value").await.unwrap();
    drop(cache);
    // One of two handles does not end it.
    let asked = stage.provider.requests();
    stage.provider.wait_for_requests(asked + 2).await;
    use_once(&kept).await;
    drop(kept);
    // What `connection()` gave is a handle, too: it stays good over further tokens.
    let asked = stage.provider.requests();
    stage.provider.wait_for_requests(asked + 2).await;
    let value: String = connection.get("key").await.unwrap();
    assert_eq!(value, "value");
    drop(connection);
    stage.is_deserted(&watched).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_the_task_ends_with_the_last_handle_also_while_it_asks() {
    let stage = Stage::start(3600);
    stage.provider.hang();
    let credential = stage.credential();
    let cache = stage.cache(credential.clone());
    let watched = Arc::downgrade(&credential);
    drop(credential);
    cache.ping().await.unwrap_err();
    assert_eq!(stage.provider.in_progress(), 1);
    let began = Instant::now();
    drop(cache);
    stage.is_deserted(&watched).await;
    // Long before the question would have been given up.
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// A runtime that nobody drives keeps what lives on it; the task of another one is none of that.
#[test]
fn p9_a_connection_on_a_runtime_that_nobody_drives_does_not_keep_the_task_alive() {
    let stage = Stage::start(2);
    let credential = stage.credential();
    let cache = stage.cache(credential.clone());
    let (driven, left) = (multi_thread(), current_thread());
    // The task is the driven runtime's, the left one has a connection.
    driven.block_on(use_once(&cache));
    left.block_on(use_once(&cache));
    drop(cache);
    driven.block_on(async {
        eventually("the question to end", SOON, async || {
            credential.in_progress() == 0
        })
        .await;
        let asked = credential.times();
        // Two tokens' lives.
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(credential.times(), asked, "nobody needs a token any more");
    });
    drop(left);
    let watched = Arc::downgrade(&credential);
    drop(credential);
    driven.block_on(stage.is_deserted(&watched));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_shutdown_ends_the_task() {
    let stage = Stage::start(2);
    let credential = stage.credential();
    let cache = stage.cache(credential.clone());
    let body = Body::new();
    user(&cache, &body, 1).await.unwrap();
    stage.provider.wait_for_requests(2).await;
    cache.shutdown().await.unwrap();
    let asked = credential.times();
    eventually("the connections to be closed", SOON, async || {
        stage.azure.proxy().open_connections() == 0
    })
    .await;
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut runs = body.runs();
    while Instant::now() < deadline {
        runs += 1;
        assert_eq!(user(&cache, &body, 1).await, Ok(runs));
        cache.ping().await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(credential.times(), asked, "a closed cache asks nobody");
    assert_eq!(stage.azure.proxy().open_connections(), 0);
}

#[test]
fn p9_another_runtime_goes_on_when_the_tasks_own_one_has_ended() {
    let stage = Stage::start(3);
    let credential = stage.credential();
    let cache = stage.cache(credential.clone());
    let body = Body::new();
    for round in 1..5 {
        let runtime = if round % 2 == 0 {
            current_thread()
        } else {
            multi_thread()
        };
        runtime.block_on(async {
            use_once(&cache).await;
            stage.provider.wait_for_issued(round).await;
            eventually("a hit", SOON, async || {
                let before = body.runs();
                user(&cache, &body, 1).await.unwrap();
                body.runs() == before
            })
            .await;
        });
    }
    assert!(credential.pauses().len() >= 3);
    assert_eq!(stage.provider.concurrent_max(), 1);
}

#[test]
fn p9_another_runtime_goes_on_when_nobody_drives_the_tasks_own_one() {
    // It was to be renewed after 7 s at the latest; another 5 s later somebody else does it.
    let stage = Stage::start(14);
    let credential = stage.credential();
    let cache = stage.cache(credential.clone());
    let (left, driven) = (current_thread(), multi_thread());
    left.block_on(use_once(&cache));
    assert_eq!(stage.provider.requests(), 1);
    let body = Body::new();
    driven.block_on(async {
        user(&cache, &body, 1).await.unwrap();
        let mut calls = 0;
        while token(&cache).refreshes < 2 {
            assert_eq!(user(&cache, &body, 1).await, Ok(1), "after {calls} hits");
            calls += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
            let end = stage.provider.issued()[0].expires;
            assert!(SystemTime::now() < end, "the token ran out");
        }
    });
    // The first task comes back to life, and sees that it is not needed.
    left.block_on(async {
        use_once(&cache).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    });
    assert_eq!(stage.provider.requests(), 2);
    assert_eq!(stage.provider.concurrent_max(), 1);
    assert_eq!(credential.pauses().len(), 1);
    assert_eq!(body.runs(), 1);
}

#[test]
fn p9_a_refused_token_is_replaced_at_once_also_beside_a_task_that_nobody_drives() {
    let stage = Stage::start(14);
    let cache = stage.cache(stage.credential());
    let (left, driven) = (current_thread(), multi_thread());
    // Its task waits for its time from now on, and is replaced before the token ends.
    left.block_on(use_once(&cache));
    stage.provider.life(Duration::from_secs(30));
    driven.block_on(async {
        eventually("another task", 2 * SOON, async || {
            let _ = cache.ping().await;
            token(&cache).refreshes == 2
        })
        .await;
        // A token that just came is not what is wrong.
        eventually("the token to have some age", SOON, async || {
            token(&cache).age > Some(Duration::from_millis(3100))
        })
        .await;
        // That task looks at the clock when half of the token's life is over.
        stage.azure.revoke(&stage.provider.issued()[1].token).await;
        let refused = Instant::now();
        while token(&cache).refreshes < 3 {
            let _ = cache.ping().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = refused.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
    });
}

#[test]
fn p9_runtimes_share_one_token_and_one_task() {
    // Eight logins follow each other within a part of half a life, also on a busy machine.
    let stage = Stage::start(7);
    let credential = stage.credential();
    let cache = stage.cache(credential.clone());
    let runtimes: Vec<_> = (0..4).map(|_| multi_thread()).collect();
    let uses: Vec<_> = runtimes
        .iter()
        .enumerate()
        .map(|(number, runtime)| {
            let (cache, key) = (cache.clone(), format!("key-{number}"));
            runtime.spawn(async move {
                let mut connection = cache.connection().unwrap();
                let ends = Instant::now() + Duration::from_secs(11);
                while Instant::now() < ends {
                    cache.set_ex(&key, &1, TTL).await.unwrap();
                    assert_eq!(cache.get::<u64>(&key).await.unwrap(), Some(1));
                    let _: Option<String> = connection.get("other").await.unwrap();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        })
        .collect();
    runtimes[0].block_on(async {
        for used in uses {
            used.await.unwrap();
        }
        // Eight connections, and one token.
        eventually("all to have moved", SOON, async || {
            let in_use = stage.azure.proxy().in_use();
            let first = in_use.values().next().unwrap();
            in_use.len() == 8 && in_use.values().all(|secret| secret == first)
        })
        .await;
    });
    // Asked for at 0 s, then each time when half of it is left.
    let asked = credential.times();
    assert!((3..=5).contains(&asked), "asked {asked} times in 11 s");
    assert_eq!(stage.provider.concurrent_max(), 1);
    assert_eq!(token(&cache).failures, 0);
    assert_eq!(credential.pauses().len(), asked - 1);
}

/// Drives a future with nothing but this thread, which suffices for one that waits for nobody.
fn without_runtime<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits outside a runtime"),
    }
}

#[test]
fn p9_outside_a_runtime_nothing_breaks() {
    let stage = Stage::start(2);
    let credential = stage.credential();
    let cache = stage.cache(credential.clone());
    let body = Body::new();
    let outside = |run| {
        assert_eq!(without_runtime(user(&cache, &body, 1)), Ok(run));
        let error = without_runtime(cache.ping()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoRuntime);
    };
    outside(1);
    assert_eq!(credential.times(), 0);
    assert_eq!((token(&cache).refreshes, token(&cache).failures), (0, 0));
    let runtime = multi_thread();
    runtime.block_on(use_once(&cache));
    // The task lives, and the next caller outside changes nothing about that.
    outside(2);
    let asked = stage.provider.requests();
    runtime.block_on(stage.provider.wait_for_requests(asked + 2));
    // The last handle goes where there is no runtime.
    drop(cache);
    let watched = Arc::downgrade(&credential);
    drop(credential);
    runtime.block_on(stage.is_deserted(&watched));
}
