//! Arguments of a run behind its call: every kind is copied or moved, and only when a run begins.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use cache_runtime::{Cache, redis_cached};
use cache_tests::Body;
use cache_tests::body::Failed;
use serde::{Deserialize, Serialize};

use crate::scene::{FIRST_PAUSE, Scene, TTL, until_idle, until_stored};

/// Counts its copies.
#[derive(Debug, Serialize)]
struct Counted {
    id: u64,
    #[serde(skip)]
    copies: Arc<AtomicU64>,
}

impl Counted {
    fn new(id: u64) -> Self {
        let copies = Arc::default();
        Self { id, copies }
    }

    fn copies(&self) -> u64 {
        self.copies.load(SeqCst)
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.copies.fetch_add(1, SeqCst);
        Self {
            id: self.id,
            copies: Arc::clone(&self.copies),
        }
    }
}

macro_rules! counted {
    ($name:ident, $($options:tt)*) => {
        #[redis_cached(ttl = 60, $($options)*, skip(cache, body, pool), cache = cache)]
        async fn $name(
            cache: &Cache,
            body: &Body,
            pool: &Counted,
            user: &Counted,
        ) -> Result<u64, Failed> {
            let (mine, its) = (pool.id, user.id);
            body.run().await.map(|run| 100 * mine + 10 * its + run)
        }
    };
}

counted!(revalidated, stale_while_revalidate = 600);
counted!(ahead, refresh_ahead = 0.5);
counted!(soft, stale_if_error = 600, soft_timeout = "1h");
counted!(on_error, stale_if_error = 600);

#[tokio::test]
async fn nothing_is_copied_but_for_a_run_behind() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let (pool, user) = (Counted::new(3), Counted::new(4));
        let copies = || (pool.copies(), user.copies());
        macro_rules! assert_copies {
            ($function:ident, $age:expr, $waits:expr) => {
                let (body, before) = (Body::new(), copies().0);
                assert_eq!($function(cache, &body, &pool, &user).await, Ok(341));
                assert_eq!($function(cache, &body, &pool, &user).await, Ok(341));
                assert_eq!(copies(), (before, before), "a miss and a hit");
                scene.clock.advance($age);
                body.fail_next(1);
                assert_eq!($function(cache, &body, &pool, &user).await, Ok(341));
                until_idle(cache, &body).await;
                assert_eq!(body.runs(), 2);
                assert_eq!(copies(), (before + 1, before + 1), "a run behind");
                assert_eq!($function(cache, &body, &pool, &user).await, Ok(341));
                assert_eq!(copies(), (before + 1, before + 1), "at rest");
                scene.clock.advance(2 * TTL / 60);
                body.shut_gate();
                if !$waits {
                    for _ in 0..3 {
                        assert_eq!($function(cache, &body, &pool, &user).await, Ok(341));
                    }
                    body.wait_until_begun(3).await;
                    assert_eq!(copies(), (before + 2, before + 2), "one run for all");
                }
                body.open_gate();
                until_idle(cache, &body).await;
            };
        }
        assert_copies!(revalidated, TTL, false);
        assert_copies!(ahead, TTL / 2, false);
        assert_copies!(soft, TTL, true);
        let (body, before) = (Body::new(), copies());
        assert_eq!(on_error(cache, &body, &pool, &user).await, Ok(341));
        scene.clock.advance(TTL);
        body.fail();
        assert_eq!(on_error(cache, &body, &pool, &user).await, Ok(341));
        assert_eq!(copies(), before, "its caller waits for it");
    }
}

#[redis_cached(
    ttl = 60,
    stale_while_revalidate = 600,
    skip(cache, body),
    cache = cache
)]
#[allow(clippy::too_many_arguments)]
async fn every_kind<T>(
    cache: &Cache,
    body: &Body,
    text: &str,
    list: &[u64],
    user: &User,
    mut owned: String,
    (left, right): (u64, u64),
    shared: Shared,
    shown: impl Display + Serialize + Clone + Send + Sync + 'static,
    generic: T,
    array: [u8; 2],
    word: &'static str,
    perhaps: Option<&'static str>,
) -> Result<String, Failed>
where
    T: Display + Serialize + Clone + Send + Sync + 'static,
{
    let run = body.run().await?;
    owned.push('!');
    let name = &user.name;
    Ok(format!(
        "{run} {text} {list:?} {name} {owned} {left} {right} {} {shown} {generic} {array:?} {word} {perhaps:?}",
        shared.number
    ))
}

/// By its fields a key, and behind an `Arc` no copy.
#[derive(Debug, Clone, Default, Serialize)]
struct Shared {
    number: u64,
    #[serde(skip)]
    _rest: Arc<()>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
}

fn is_send<T: Send>(future: T) -> T {
    future
}

#[tokio::test]
async fn every_kind_of_argument_reaches_the_run_as_it_was() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        let call = async || {
            // All that is lent ends with the call.
            let (text, list) = ("text".to_owned(), vec![1, 2]);
            let name = "name".to_owned();
            let user = User { name };
            is_send(every_kind(
                cache,
                &body,
                &text,
                &list,
                &user,
                "owned".to_owned(),
                (3, 4),
                Shared::default(),
                5_u8,
                "generic".to_owned(),
                [6, 7],
                "word",
                Some("perhaps"),
            ))
            .await
        };
        let said = |run| {
            Ok(format!(
                r#"{run} text [1, 2] name owned! 3 4 0 5 generic [6, 7] word Some("perhaps")"#
            ))
        };
        assert_eq!(call().await, said(1));
        scene.clock.advance(TTL);
        body.shut_gate();
        assert_eq!(call().await, said(1));
        body.wait_until_running(1).await;
        body.open_gate();
        until_idle(cache, &body).await;
        cache_tests::eventually("the new value", cache_tests::wait::SOON, async || {
            Box::pin(call()).await == said(2)
        })
        .await;
        assert_eq!(body.runs(), 2);
    }
}

#[derive(Debug, Clone)]
struct Service {
    cache: Cache,
    body: Body,
    tenant: String,
}

impl Service {
    #[redis_cached(
        ttl = 60,
        stale_while_revalidate = 600,
        key = "by_ref:{id}:{self.tenant}",
        cache = &self.cache
    )]
    async fn by_ref(&self, id: u64) -> Result<String, Failed> {
        let run = self.body.run().await?;
        Ok(format!("{} {id} {run}", self.tenant))
    }

    #[redis_cached(
        ttl = 60,
        stale_while_revalidate = 600,
        key = "by_value:{id}:{self.tenant}",
        cache = &self.cache
    )]
    async fn by_value(self, id: u64) -> Result<String, Failed> {
        self.by_ref_uncached(id).await
    }

    #[redis_cached(
        ttl = 60,
        stale_while_revalidate = 600,
        key = "by_arc:{id}:{self.tenant}",
        cache = &self.cache
    )]
    async fn by_arc(self: Arc<Self>, id: u64) -> Result<String, Failed> {
        self.by_ref_uncached(id).await
    }
}

#[tokio::test]
async fn a_method_takes_its_self_along() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let bodies = [Body::new(), Body::new(), Body::new()];
        let service = |body: usize| Service {
            cache: cache.clone(),
            body: bodies[body].clone(),
            tenant: "acme".to_owned(),
        };
        macro_rules! assert_runs {
            ($call:expr, $entry:expr) => {
                assert_eq!($call.await, Ok("acme 7 1".to_owned()));
                scene.clock.advance(TTL);
                assert_eq!($call.await, Ok("acme 7 1".to_owned()));
                until_stored(&$entry, "acme 7 2".to_owned()).await;
            };
        }
        assert_runs!(is_send(service(0).by_ref(7)), service(0).by_ref_entry(7));
        assert_runs!(
            is_send(service(1).by_value(7)),
            service(1).by_value_entry(7)
        );
        let shared = Arc::new(service(2));
        assert_runs!(
            is_send(Arc::clone(&shared).by_arc(7)),
            Arc::clone(&shared).by_arc_entry(7)
        );
        // An `Arc` is shared, what it points to is not copied.
        assert!(Arc::into_inner(shared).is_some(), "and the run let it go");
        assert!(bodies.iter().all(|body| body.runs() == 2));
    }
}

/// A copy that panics is made for the cache's sake, so the call does not.
#[derive(Debug, Serialize)]
struct Uncopied;

static COPIES: AtomicU64 = AtomicU64::new(0);

impl Clone for Uncopied {
    fn clone(&self) -> Self {
        COPIES.fetch_add(1, SeqCst);
        panic!("this cannot be copied");
    }
}

#[redis_cached(ttl = 60, stale_while_revalidate = 600, skip(cache, body), cache = cache)]
async fn uncopied(cache: &Cache, body: &Body, of: &Uncopied) -> Result<u64, Failed> {
    let _ = of;
    body.run().await
}

#[tokio::test]
async fn a_copy_that_panics_makes_no_call_panic_and_lets_the_key_rest() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let (body, before) = (Body::new(), COPIES.load(SeqCst));
        assert_eq!(uncopied(cache, &body, &Uncopied).await, Ok(1));
        scene.clock.advance(TTL);
        for copies in [1, 2] {
            for _ in 0..3 {
                assert_eq!(uncopied(cache, &body, &Uncopied).await, Ok(1));
            }
            assert_eq!(COPIES.load(SeqCst) - before, copies);
            scene.clock.advance(2 * FIRST_PAUSE);
        }
        assert_eq!((body.runs(), cache.stats().flights), (1, 0));
    }
}

/// Any future here can be spawned, also where its error cannot be sent.
#[redis_cached(ttl = 60, stale_if_error = 600, skip(cache), cache = cache)]
async fn boxed(cache: &Cache, id: u64) -> Result<u64, Box<dyn std::error::Error>> {
    Ok(id)
}

#[redis_cached(
    ttl = 60,
    stale_while_revalidate = 600,
    refresh_ahead = "xfetch",
    stale_if_error = 600,
    soft_timeout = "1s",
    skip(cache),
    cache = cache
)]
async fn boxed_behind(cache: &Cache, id: u64) -> Result<u64, Box<dyn std::error::Error>> {
    Ok(id)
}

#[tokio::test]
async fn futures_are_send() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        assert_eq!(is_send(boxed(cache, 1)).await.expect("a value"), 1);
        assert_eq!(is_send(boxed_behind(cache, 1)).await.expect("a value"), 1);
        let entry = boxed_behind_entry(cache, 1);
        let computed = is_send(entry.get_or_compute(|| boxed_behind_uncached(cache, 1)));
        assert_eq!(computed.await.expect("a value"), 1);
    }
}
