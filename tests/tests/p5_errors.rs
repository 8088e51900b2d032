//! P5 where the body fails: one run for all who wait, whatever the error is; its own caller has it untouched.
//!
//! | the error | those who wait |
//! |---|---|
//! | `Clone` | clones: `p5_one_body_run.rs` |
//! | has `From<SharedError>` | its texts, and none of it to downcast |
//! | `share_errors = \|error\| …` | what that makes of it |
//! | none of these, or `share_errors = none` | run for themselves |
#![allow(missing_docs)]

use std::error::Error;
use std::fmt::{self, Display};
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::Context as _;
use cache_runtime::{Cache, SharedError, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, RedisServer, Stores, eventually, in_memory, patient, within};
use tokio::task::{JoinSet, LocalSet};

const CALLERS: usize = 200;

/// Many callers at once, each on a task of its own; the body of the first fails when all others wait for it.
async fn failing<R: 'static>(cache: &Cache, body: &Body, callers: JoinSet<R>) -> Vec<R> {
    until_waiting(cache, body).await;
    assert_eq!(body.runs(), 1);
    body.open_gate();
    let outcomes = within("every caller to be answered", SOON, callers.join_all()).await;
    assert_eq!(cache.stats().flights, 0);
    outcomes
}

async fn until_waiting(cache: &Cache, body: &Body) {
    body.wait_until_running(1).await;
    eventually("the other callers to wait", SOON, async || {
        cache.stats().waiting == CALLERS - 1
    })
    .await;
}

fn failing_body() -> Body {
    let body = Body::gated();
    body.fail_next(1);
    body
}

macro_rules! callers {
    ($function:path, $cache:expr, $body:expr) => {
        (0..CALLERS)
            .map(|_| {
                let (cache, body) = ($cache.clone(), $body.clone());
                async move { $function(&cache, &body).await }
            })
            .collect()
    };
}

/// The errors of all callers, of which one body run made one.
async fn errors_of_one_run<E: 'static>(
    cache: &Cache,
    body: &Body,
    callers: JoinSet<Result<u64, E>>,
) -> Vec<E> {
    let outcomes = failing(cache, body, callers).await;
    assert_eq!(body.runs(), 1, "one run for all");
    let errors: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert_eq!(errors.len(), CALLERS);
    errors
}

/// All of them read alike; `is_original` says which one is what the body returned.
fn read_alike<E: Display>(errors: &[E], expected: &str, is_original: impl Fn(&E) -> bool) {
    for error in errors {
        assert_eq!(format!("{error:#}"), expected);
    }
    let originals = errors.iter().filter(|error| is_original(error)).count();
    assert_eq!(originals, 1, "its own caller has the error itself");
}

/// As `anyhow` writes an error with all its sources.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn by_anyhow(cache: &Cache, body: &Body) -> anyhow::Result<u64> {
    let run = body.run().await.context("no row")?;
    Ok(run)
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn by_eyre(cache: &Cache, body: &Body) -> eyre::Result<Option<u64>> {
    let run = eyre::WrapErr::wrap_err(body.run().await, "no row")?;
    Ok(Some(run))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_an_anyhow_error_reaches_all_who_wait() {
    for cache in Stores::start().await.both() {
        let body = failing_body();
        let callers = callers!(by_anyhow, cache, body);
        let errors = errors_of_one_run(cache, &body, callers).await;
        let expected = "no row: run 1 of the test body failed as it was told";
        read_alike(&errors, expected, |error| {
            error.downcast_ref::<Failed>() == Some(&Failed { run: 1 })
        });
        let of_those_who_wait = |error: &&anyhow::Error| error.is::<SharedError>();
        let waited = errors.iter().filter(of_those_who_wait).count();
        assert_eq!(waited, CALLERS - 1);
        assert_eq!(by_anyhow(cache, &body).await.unwrap(), 2, "none is stored");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_an_eyre_report_reaches_all_who_wait() {
    for cache in Stores::start().await.both() {
        let body = failing_body();
        let callers: JoinSet<_> = callers!(by_eyre, cache, body);
        let outcomes = failing(cache, &body, callers).await;
        assert_eq!(body.runs(), 1, "one run for all");
        let errors: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
        assert_eq!(errors.len(), CALLERS);
        let expected = "no row: run 1 of the test body failed as it was told";
        read_alike(&errors, expected, |error| {
            error.downcast_ref::<Failed>() == Some(&Failed { run: 1 })
        });
    }
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn by_box(cache: &Cache, body: &Body) -> Result<u64, Box<dyn Error + Send + Sync>> {
    Ok(body.run().await?)
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn by_local_box(cache: &Cache, body: &Body) -> Result<u64, Box<dyn Error>> {
    Ok(body.run().await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_a_boxed_error_reaches_all_who_wait() {
    for cache in Stores::start().await.both() {
        let body = failing_body();
        let callers = callers!(by_box, cache, body);
        let errors = errors_of_one_run(cache, &body, callers).await;
        let expected = Failed { run: 1 }.to_string();
        read_alike(&errors, &expected, |error| error.is::<Failed>());
    }
}

/// Its own caller's future cannot be sent, and texts of its error can.
#[tokio::test]
async fn p5_a_boxed_error_that_cannot_be_sent_reaches_all_who_wait() {
    for cache in Stores::start().await.both() {
        let body = failing_body();
        let (tasks, mut callers) = (LocalSet::new(), JoinSet::new());
        for _ in 0..CALLERS {
            let (cache, body) = (cache.clone(), body.clone());
            callers.spawn_local_on(async move { by_local_box(&cache, &body).await }, &tasks);
        }
        let all = tasks.run_until(errors_of_one_run(cache, &body, callers));
        let expected = Failed { run: 1 }.to_string();
        read_alike(&all.await, &expected, |error| error.is::<Failed>());
    }
}

/// A service's own error, as most services have one.
#[derive(Debug, thiserror::Error)]
enum ServiceError {
    #[error("the database has no answer")]
    Database(#[from] DbError),
    #[error("the service behind this one has no answer")]
    Http(#[from] reqwest::Error),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
    #[error(transparent)]
    Shared(#[from] SharedError),
}

/// Of the shape of `sqlx::Error`: not `Clone`, and with boxes in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum DbError {
    #[error("error returned from database: {0}")]
    Database(#[source] Box<dyn Error + Send + Sync>),
    #[error("error communicating with database: {0}")]
    Io(#[from] io::Error),
    #[error("pool timed out")]
    PoolTimedOut,
    #[error("encountered unexpected or invalid data: {0}")]
    Protocol(String),
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn by_enum(cache: &Cache, body: &Body) -> Result<u64, ServiceError> {
    let row = body.run().await;
    Ok(row.map_err(|error| DbError::Database(error.into()))?)
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn by_transparent(cache: &Cache, body: &Body) -> Result<u64, ServiceError> {
    Ok(body.run().await.context("no row")?)
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn by_request(cache: &Cache, body: &Body) -> Result<u64, ServiceError> {
    if let Ok(run) = body.run().await {
        return Ok(run);
    }
    // An address that is none: reqwest's own error, and no request.
    let proxy = reqwest::Proxy::all("http://[")?;
    unreachable!("no proxy has that address: {proxy:?}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_an_own_error_with_one_from_reaches_all_who_wait() {
    for cache in Stores::start().await.both() {
        let body = failing_body();
        let callers = callers!(by_enum, cache, body);
        let errors = errors_of_one_run(cache, &body, callers).await;
        read_alike(&errors, "the database has no answer", |error| {
            let ServiceError::Database(DbError::Database(error)) = error else {
                return false;
            };
            error.is::<Failed>()
        });
        let failed = Failed { run: 1 };
        let expected =
            format!("the database has no answer: error returned from database: {failed}: {failed}");
        assert!(errors.iter().all(|error| chain(error) == expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_an_own_error_that_is_anothers_reads_as_that_does() {
    for cache in Stores::start().await.both() {
        let body = failing_body();
        let callers = callers!(by_transparent, cache, body);
        let errors = errors_of_one_run(cache, &body, callers).await;
        let expected = format!("no row: {}", Failed { run: 1 });
        read_alike(&errors, &expected, |error| {
            matches!(error, ServiceError::Other(_))
        });
        assert!(errors.iter().all(|error| chain(error) == expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_an_own_error_that_holds_one_of_reqwest_reaches_all_who_wait() {
    for cache in Stores::start().await.both() {
        let body = failing_body();
        let callers = callers!(by_request, cache, body);
        let errors = errors_of_one_run(cache, &body, callers).await;
        let original = errors
            .iter()
            .find(|error| matches!(error, ServiceError::Http(error) if error.is_builder()));
        let expected = chain(original.expect("its own caller has the error itself"));
        let waited = |error: &&ServiceError| matches!(error, ServiceError::Shared(_));
        assert_eq!(errors.iter().filter(waited).count(), CALLERS - 1);
        assert!(errors.iter().all(|error| chain(error) == expected));
    }
}

#[redis_cached(
    ttl = 300, skip(cache, body), cache = cache,
    share_errors = |error| io::Error::new(error.kind(), SharedError::new(error))
)]
async fn by_io(cache: &Cache, body: &Body) -> io::Result<u64> {
    let row = body.run().await;
    row.map_err(|error| io::Error::new(io::ErrorKind::NotFound, error))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_an_io_error_that_is_copied_by_hand_reaches_all_who_wait() {
    for cache in Stores::start().await.both() {
        let body = failing_body();
        let callers = callers!(by_io, cache, body);
        let errors = errors_of_one_run(cache, &body, callers).await;
        let expected = Failed { run: 1 }.to_string();
        read_alike(&errors, &expected, |error| {
            error.get_ref().is_some_and(|error| error.is::<Failed>())
        });
        let kinds = errors.iter().map(io::Error::kind);
        assert!(
            kinds
                .into_iter()
                .all(|kind| kind == io::ErrorKind::NotFound)
        );
    }
}

/// As one would write it of `sqlx::Error`: what a caller matches on stays what it is, the rest keeps its text.
fn db_error(error: &DbError) -> DbError {
    match error {
        DbError::PoolTimedOut => DbError::PoolTimedOut,
        DbError::Io(error) => DbError::Io(io::Error::new(error.kind(), error.to_string())),
        other => DbError::Protocol(other.to_string()),
    }
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache, share_errors = db_error)]
async fn by_db(cache: &Cache, body: &Body) -> Result<u64, DbError> {
    body.run().await.map_err(|_| DbError::PoolTimedOut)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_a_database_error_that_is_copied_by_hand_can_be_matched_on() {
    for cache in Stores::start().await.both() {
        let body = failing_body();
        let callers = callers!(by_db, cache, body);
        let errors = errors_of_one_run(cache, &body, callers).await;
        let timed_out = |error: &&DbError| matches!(error, DbError::PoolTimedOut);
        assert_eq!(errors.iter().filter(timed_out).count(), CALLERS);
    }
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache, share_errors = none)]
async fn none_of_anyhow(cache: &Cache, body: &Body) -> anyhow::Result<u64> {
    Ok(body.run().await?)
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache, share_errors = none)]
async fn none_of_a_clone(cache: &Cache, body: &Body) -> Result<u64, Failed> {
    body.run().await
}

/// `io::Error` is not `Clone`, and no `SharedError` becomes one.
#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn none_of_io(cache: &Cache, body: &Body) -> io::Result<u64> {
    body.run().await.map_err(io::Error::other)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_errors_that_nobody_shares_make_everybody_run() {
    async fn runs_of<E: 'static>(
        cache: &Cache,
        body: &Body,
        callers: JoinSet<Result<u64, E>>,
    ) -> u64 {
        body.fail();
        let outcomes = failing(cache, body, callers).await;
        assert!(outcomes.iter().all(Result::is_err));
        body.runs()
    }
    for cache in Stores::start().await.both() {
        let body = Body::gated();
        let callers = callers!(none_of_anyhow, cache, body);
        assert_eq!(runs_of(cache, &body, callers).await, CALLERS as u64);
        let body = Body::gated();
        let callers = callers!(none_of_a_clone, cache, body);
        assert_eq!(runs_of(cache, &body, callers).await, CALLERS as u64);
        let body = Body::gated();
        let callers = callers!(none_of_io, cache, body);
        assert_eq!(runs_of(cache, &body, callers).await, CALLERS as u64);
    }
}

#[redis_cached(ttl = 300, coalesce = "cluster", skip(cache, body), cache = cache)]
async fn in_cluster(cache: &Cache, body: &Body) -> anyhow::Result<u64> {
    Ok(body.run().await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_an_error_reaches_all_who_wait_in_the_process_that_has_the_lock() {
    let server = RedisServer::start().await;
    let (cache, other) = (patient(&server.url()), patient(&server.url()));
    let body = failing_body();
    let callers = callers!(in_cluster, cache, body);
    until_waiting(&cache, &body).await;
    // It waits for the lock, and errors do not go through Redis.
    let (its, elsewhere) = (body.clone(), other.clone());
    let elsewhere = tokio::spawn(async move { in_cluster(&elsewhere, &its).await });
    eventually("its flight", SOON, async || other.stats().flights == 1).await;
    let errors = failing(&cache, &body, callers).await;
    let errors: Vec<_> = errors.into_iter().filter_map(Result::err).collect();
    assert_eq!(errors.len(), CALLERS);
    let expected = Failed { run: 1 }.to_string();
    read_alike(&errors, &expected, |error| error.is::<Failed>());
    let outcome = within("the other process", SOON, elsewhere).await;
    assert_eq!(outcome.expect("no panic").expect("its own run"), 2);
    assert_eq!(body.runs(), 2);
}

trait Rows {
    async fn row(&self, body: &Body) -> anyhow::Result<u64>;
    async fn page(&self, body: &Body) -> io::Result<u64>;
}

impl Rows for Cache {
    #[redis_cached(ttl = 300, trait_impl, skip(self, body), cache = self)]
    async fn row(&self, body: &Body) -> anyhow::Result<u64> {
        Ok(body.run().await?)
    }

    #[redis_cached(
        ttl = 300, trait_impl, skip(self, body), cache = self,
        share_errors = |error| io::Error::from(error.kind())
    )]
    async fn page(&self, body: &Body) -> io::Result<u64> {
        body.run().await.map_err(io::Error::other)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_the_errors_of_a_trait_method_reach_all_who_wait() {
    for cache in Stores::start().await.both() {
        let body = failing_body();
        let callers = callers!(Rows::row, cache, body);
        let errors = errors_of_one_run(cache, &body, callers).await;
        let expected = Failed { run: 1 }.to_string();
        read_alike(&errors, &expected, |error| error.is::<Failed>());
        let body = failing_body();
        let callers = callers!(Rows::page, cache, body);
        let errors = errors_of_one_run(cache, &body, callers).await;
        let copies = errors.iter().filter(|error| error.get_ref().is_none());
        assert_eq!(copies.count(), CALLERS - 1);
    }
}

/// A body of its own has an error of its own: what the function shares is not for it.
#[tokio::test]
async fn p5_another_body_on_the_entry_of_a_run_that_fails_runs_itself() {
    for cache in Stores::start().await.both() {
        let body = failing_body();
        let (own, its) = (cache.clone(), body.clone());
        let leader = tokio::spawn(async move { by_anyhow(&own, &its).await });
        body.wait_until_running(1).await;
        let entry = by_anyhow_entry(cache);
        let (waiter, its) = (
            tokio::spawn(async move {
                let body = async || anyhow::Ok(9);
                entry.get_or_compute(body).await
            }),
            cache,
        );
        eventually("it to wait", SOON, async || its.stats().waiting == 1).await;
        body.open_gate();
        let led = within("the leader", SOON, leader).await.expect("no panic");
        assert!(led.unwrap_err().is::<Failed>());
        let waited = within("the waiter", SOON, waiter).await.expect("no panic");
        assert_eq!(waited.unwrap(), 9);
    }
}

static READ: AtomicUsize = AtomicUsize::new(0);

/// Counts how often its text is read.
#[derive(Debug)]
struct Counted;

impl Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        READ.fetch_add(1, Relaxed);
        f.write_str("counted")
    }
}

impl Error for Counted {}

impl From<SharedError> for Counted {
    fn from(_: SharedError) -> Self {
        Self
    }
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn counted(cache: &Cache, body: &Body) -> Result<u64, Counted> {
    body.run().await.map_err(|_| Counted)
}

#[tokio::test]
async fn p8_an_error_that_nobody_waits_for_is_not_even_read() {
    let stores = Stores::start().await;
    for cache in stores.both() {
        let body = Body::new();
        body.fail_next(1);
        assert!(counted(cache, &body).await.is_err());
        assert_eq!(READ.load(Relaxed), 0);
        assert_eq!(cache.stats().flights, 0);
        assert_eq!(counted(cache, &body).await.unwrap(), 2);
    }
}

/// Texts of an error stay in memory: neither Redis nor a log has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p8_the_texts_of_an_error_go_to_no_store() {
    let server = RedisServer::start().await;
    let (cache, log) = (patient(&server.url()), server.command_log().await);
    let body = failing_body();
    let callers = callers!(by_anyhow, cache, body);
    let errors = errors_of_one_run(&cache, &body, callers).await;
    assert_eq!(errors.len(), CALLERS);
    assert_eq!(by_anyhow(&cache, &body).await.unwrap(), 2);
    let asked = log.settled().await;
    assert!(asked.iter().any(|line| line.contains("by_anyhow")));
    assert!(!asked.iter().any(|line| line.contains("no row")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_an_error_whose_own_code_panics_reaches_its_caller_alone() {
    #[derive(Debug)]
    struct NoText(Failed);
    impl Display for NoText {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("no text, as the test wants it")
        }
    }
    impl From<SharedError> for NoText {
        fn from(_: SharedError) -> Self {
            unreachable!("there is no text to make it from")
        }
    }
    #[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
    async fn no_text(cache: &Cache, body: &Body) -> Result<u64, NoText> {
        body.run().await.map_err(NoText)
    }
    let (cache, body) = (in_memory(), failing_body());
    let callers: JoinSet<_> = callers!(no_text, cache, body);
    let outcomes = failing(&cache, &body, callers).await;
    let failed = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    let failed: Vec<_> = failed.map(|error| error.0.run).collect();
    assert_eq!(failed, [1], "the others ran for themselves");
}

/// What callers wait with is a future of theirs.
fn is_send(_: impl Future + Send) {}

#[test]
fn a_future_is_send_whatever_its_error_is() {
    let (cache, body) = (in_memory(), Body::new());
    is_send(by_local_box(&cache, &body));
    is_send(by_io(&cache, &body));
}
