//! Two functions, one above the other, and what is asked of a cache between calls.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use cache_runtime::{Cache, SiteStats, redis_cached, sites};
use cache_tests::Body;
use cache_tests::body::Failed;

/// Its value is the number of the body's run.
#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
pub(crate) async fn below(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// What it computes, and what the function below it said.
#[redis_cached(ttl = 300, skip(cache, body, lower), cache = cache)]
pub(crate) async fn above(
    cache: &Cache,
    body: &Body,
    lower: &Body,
    id: u64,
) -> Result<(u64, u64), Failed> {
    Ok((body.run().await?, below(cache, lower, id).await?))
}

/// What happened to a function's calls; only one test may call it.
pub(crate) fn stats(function: &str) -> SiteStats {
    let site = sites().into_iter().find(|site| site.function == function);
    site.expect("the function was called").stats
}

/// Nothing is computed, and nobody waits.
pub(crate) fn assert_idle(cache: &Cache) {
    let stats = cache.stats();
    assert_eq!((stats.flights, stats.waiting, stats.reads), (0, 0, 0));
}

/// Polls `future` to its end; `None` if it panicked.
pub(crate) async fn unless_it_panics<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        },
    )
    .await
}
