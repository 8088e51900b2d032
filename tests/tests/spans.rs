//! The span that a call was made in ends with the call, whatever goes on behind it: a trace says how long a request took,
//! and not how long the cache was busy afterwards.
#![allow(missing_docs)]

use std::fmt;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use cache_runtime::{Cache, ManualClock, redis_cached};
use cache_tests::body::Failed;
use cache_tests::proxy::script;
use cache_tests::wait::SOON;
use cache_tests::{Body, Proxy, RedisServer, Stores, eventually, patient, within};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Instrument as _, Subscriber, info_span, instrument};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

const TTL: Duration = Duration::from_secs(60);

/// What became of the spans of this process, in order.
#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

impl Spans {
    fn global() -> Self {
        static GLOBAL: LazyLock<Spans> = LazyLock::new(|| {
            let spans = Spans::default();
            tracing::subscriber::set_global_default(Registry::default().with(spans.clone()))
                .expect("the first global subscriber of this process");
            spans
        });
        GLOBAL.clone()
    }

    fn add(&self, line: String) {
        self.0.lock().expect("no panic").push(line);
    }

    fn with(&self, part: &str) -> Vec<String> {
        let lines = self.0.lock().expect("no panic");
        let lines = lines.iter().filter(|line| line.contains(part));
        lines.cloned().collect()
    }

    fn are_closed(&self, name: &str) -> usize {
        let closed = format!("closed {name}");
        self.with(&closed).len()
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).expect("a new span");
        let parent = span.parent().map_or("nothing", |parent| parent.name());
        let mut fields = Fields(String::new());
        attributes.record(&mut fields);
        self.add(format!("new {} in {parent}{}", span.name(), fields.0));
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        let name = |id| context.span(id).expect("an open span").name();
        self.add(format!("{} follows {}", name(id), name(follows)));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        let inside = context.event_span(event);
        let inside = inside.map_or("nothing", |span| span.name());
        self.add(format!("event in {inside}{}", fields.0));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).expect("a span that ends");
        self.add(format!("closed {}", span.name()));
    }
}

#[redis_cached(ttl = 60, stale_while_revalidate = 600, skip(cache, body), cache = cache)]
async fn refreshed(cache: &Cache, body: &Body) -> Result<u64, Failed> {
    tracing::info!("the body of refreshed");
    body.run().await
}

#[redis_cached(
    ttl = 60,
    stale_while_revalidate = 600,
    soft_timeout = "1ms",
    skip(cache, body),
    cache = cache
)]
async fn softly(cache: &Cache, body: &Body) -> Option<u64> {
    tracing::info!("the body of softly");
    body.run().await.ok()
}

#[redis_cached(ttl = 60, skip(cache, body), cache = cache)]
async fn failing(cache: &Cache, body: &Body) -> Result<u64, Failed> {
    body.run().await
}

#[tokio::test]
async fn a_calls_span_ends_with_the_call_though_its_body_runs_on_behind_it() {
    let spans = Spans::global();
    let clock = ManualClock::new();
    let stores = Stores::with(|builder| builder.clock(&clock)).await;
    for (n, cache) in stores.both().into_iter().enumerate() {
        let body = Body::new();
        assert_eq!(refreshed(cache, &body).await, Ok(1));
        assert_eq!(softly(cache, &body).await, Some(2));
        clock.advance(TTL);
        body.shut_gate();
        let page = info_span!("page_of_refreshed");
        assert_eq!(refreshed(cache, &body).instrument(page).await, Ok(1));
        assert_eq!(spans.are_closed("page_of_refreshed"), n + 1);
        let page = info_span!("page_of_softly");
        assert_eq!(softly(cache, &body).instrument(page).await, Some(2));
        assert_eq!(spans.are_closed("page_of_softly"), n + 1);
        // Both go on.
        body.wait_until_running(2).await;
        body.open_gate();
        body.wait_until_idle().await;
    }
    for function in ["refreshed", "softly"] {
        let begun = spans.with(&format!("new run_behind in nothing function={function} ("));
        assert_eq!(begun.len(), 2, "{begun:?}");
        let follows = spans.with(&format!("run_behind follows page_of_{function}"));
        assert_eq!(follows.len(), 2, "{follows:?}");
        let inside = format!("event in run_behind message=the body of {function}");
        assert_eq!(spans.with(&inside).len(), 2, "{inside}");
    }
}

tokio::task_local! {
    static TENANT: &'static str;
}

/// Whose task-local the body saw.
#[redis_cached(ttl = 60, stale_while_revalidate = 600, skip(cache), cache = cache)]
async fn tenant(cache: &Cache) -> Option<String> {
    let seen = TENANT.try_with(|tenant| (*tenant).to_owned());
    Some(seen.unwrap_or_else(|_| "nobody".to_owned()))
}

/// The same of a body that may go on behind its call, and does not.
#[redis_cached(
    ttl = 60,
    stale_if_error = 600,
    soft_timeout = "1h",
    skip(cache),
    cache = cache
)]
async fn tenant_in_time(cache: &Cache) -> Result<String, Failed> {
    let seen = TENANT.try_with(|tenant| (*tenant).to_owned());
    Ok(seen.unwrap_or_else(|_| "nobody".to_owned()))
}

#[tokio::test]
async fn a_run_behind_a_call_has_none_of_its_task_locals() {
    let clock = ManualClock::new();
    let stores = Stores::with(|builder| builder.clock(&clock)).await;
    for cache in stores.both() {
        let ask = || TENANT.scope("acme", tenant(cache));
        assert_eq!(ask().await.as_deref(), Some("acme"));
        clock.advance(TTL);
        assert_eq!(ask().await.as_deref(), Some("acme"));
        eventually("the run behind", SOON, async || {
            ask().await.as_deref() == Some("nobody")
        })
        .await;
        let in_time = || TENANT.scope("acme", tenant_in_time(cache));
        assert_eq!(in_time().await.as_deref(), Ok("acme"));
        clock.advance(TTL);
        assert_eq!(in_time().await.as_deref(), Ok("nobody"));
    }
}

#[instrument(skip_all)]
#[redis_cached(ttl = 60, stale_while_revalidate = 600, skip(cache), cache = cache)]
async fn instrumented_above(cache: &Cache, id: u64) -> Result<u64, Failed> {
    tracing::info!("the body of instrumented_above");
    Ok(id)
}

#[redis_cached(ttl = 60, stale_while_revalidate = 600, skip(cache), cache = cache)]
#[instrument(skip_all)]
async fn instrumented_below(cache: &Cache, id: u64) -> Result<u64, Failed> {
    tracing::info!("the body of instrumented_below");
    Ok(id)
}

#[tokio::test]
async fn instrument_above_is_of_each_body_run_and_below_of_each_call() {
    let spans = Spans::global();
    let clock = ManualClock::new();
    let builder = Cache::builder().in_memory().clock(&clock);
    let cache = builder.build().expect("a cache");
    for _ in 0..3 {
        assert_eq!(instrumented_above(&cache, 1).await, Ok(1));
        assert_eq!(instrumented_below(&cache, 1).await, Ok(1));
    }
    let above = "new instrumented_above in ";
    assert_eq!(spans.with(above), ["new instrumented_above in nothing"]);
    let below = vec!["new instrumented_below in nothing"; 3];
    assert_eq!(spans.with("new instrumented_below in "), below);

    clock.advance(TTL);
    assert_eq!(instrumented_above(&cache, 1).await, Ok(1));
    assert_eq!(instrumented_below(&cache, 1).await, Ok(1));
    eventually("both runs behind", SOON, async || {
        spans
            .with("event in run_behind message=the body of instrumented_below")
            .len()
            == 1
            && spans.with(above).len() == 2
    })
    .await;
    assert_eq!(spans.with(above)[1], "new instrumented_above in run_behind");
    assert_eq!(spans.with("new instrumented_below").len(), 4);
}

/// The first connection, and a right to store that is given back behind the call.
#[tokio::test]
async fn no_other_task_of_the_caches_is_inside_the_calls_span() {
    let spans = Spans::global();
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let (cache, body) = (patient(&proxy.url()), Body::gated());
    let call = {
        let (cache, body) = (cache.clone(), body.clone());
        async move { failing(&cache, &body).await }
    };
    let call = tokio::spawn(call.instrument(info_span!("page_of_failing")));
    body.wait_until_running(1).await;
    let held = proxy.hold(script());
    body.fail_next(1);
    body.open_gate();
    let answer = within("the body's error", SOON, call).await;
    assert!(answer.expect("no panic").is_err());
    proxy.wait_for_command(script()).await;
    eventually("the span to end", SOON, async || {
        spans.are_closed("page_of_failing") == 1
    })
    .await;
    held.release();
}
