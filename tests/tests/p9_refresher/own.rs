//! Credentials of the user's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use cache_runtime::ErrorKind;
use cache_tests::{Watched, eventually, wait::SOON};

use super::{Stage, token, use_once};

const GIVES: u8 = 0;
const PANICS: u8 = 1;
const PANICS_LATER: u8 = 2;
const HANGS: u8 = 3;

/// What the test says, else the provider's token.
#[derive(Debug)]
struct Own {
    manner: AtomicU8,
    inner: Arc<dyn TokenCredential>,
}

impl Own {
    fn of(stage: &Stage, manner: u8) -> Arc<Self> {
        Arc::new(Self {
            manner: AtomicU8::new(manner),
            inner: stage.provider.credential("app"),
        })
    }

    fn is_to(&self, manner: u8) {
        self.manner.store(manner, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl TokenCredential for Own {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        match self.manner.load(Ordering::SeqCst) {
            PANICS => panic!("as it was told"),
            PANICS_LATER => {
                tokio::task::yield_now().await;
                panic!("as it was told")
            }
            HANGS => std::future::pending().await,
            _ => self.inner.get_token(scopes, options).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_a_credential_that_panics_is_asked_again() {
    let stage = Stage::start(4);
    let own = Own::of(&stage, PANICS);
    let watched = Watched::new(own.clone());
    let cache = stage.cache(watched.clone());
    let error = cache.ping().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Identity);
    assert_eq!(
        error.to_string(),
        "no token from TokenCredential: it panicked"
    );
    own.is_to(PANICS_LATER);
    eventually("more questions", SOON, async || watched.times() >= 3).await;
    own.is_to(GIVES);
    use_once(&cache).await;
    // With a token in hand it hurts nobody.
    own.is_to(PANICS);
    let failures = token(&cache).failures;
    while token(&cache).failures == failures {
        cache.ping().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    own.is_to(GIVES);
    while token(&cache).refreshes < 2 {
        cache.ping().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let least = Duration::from_secs(1);
    let pauses = watched.pauses();
    assert!(pauses.iter().all(|pause| *pause >= least), "{pauses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_a_credential_that_hangs_is_dropped_and_asked_again() {
    let stage = Stage::start(3600);
    let own = Own::of(&stage, HANGS);
    let watched = Watched::new(own.clone());
    let cache = stage.cache(watched.clone());
    let began = Instant::now();
    // Whoever calls meanwhile asks no second time.
    while token(&cache).failures == 0 {
        assert!(began.elapsed() < Duration::from_secs(15));
        assert!(watched.times() <= 1);
        cache.ping().await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(token(&cache).last_error, Some(ErrorKind::Timeout));
    let hung = watched.questions()[0];
    assert!(hung.ended.is_some() && !hung.was_answered, "{hung:?}");
    let error = cache.ping().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no token from TokenCredential: no answer within 10 s"
    );
    own.is_to(GIVES);
    use_once(&cache).await;
    assert!(watched.pauses()[0] >= Duration::from_secs(1));
}
