//! Entra ID tokens that are replaced under load: what callers notice of it.
//!
//! **Every command counts**: a read that finds nothing has failed as well, as all keys are stored before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_runtime::Cache;
use cache_tests::{AzureRedis, IdentityProvider};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::hits::time;
use crate::section::Section;
use crate::settings::Settings;
use crate::values::{Size, User, user_from_source};

const CALLERS: u64 = 64;
/// How long a token lives: it is replaced after half of that.
const LIFE: Duration = Duration::from_secs(4);
/// What belongs to a rotation, before and after the server accepted the new token.
const WINDOW: Duration = Duration::from_millis(100);
const TTL: Duration = Duration::from_secs(3600);

/// A server that takes tokens, and a cache that logs in with them.
pub(crate) async fn run(settings: &Settings) -> Section {
    let lasts = Duration::from_secs(if settings.quick { 5 } else { 20 });
    let provider = IdentityProvider::builder().life(LIFE).start();
    let azure = Arc::new(AzureRedis::start().await);
    let grants = azure.grants();
    provider.on_issue(move |issued| {
        let user = issued.oid.as_deref().unwrap_or("default");
        grants.grant(user, &issued.token, issued.expires)
    });
    let cache = Cache::builder()
        .url(azure.url())
        .tls_ca_pem(azure.ca_pem())
        .credential(provider.credential("benches"))
        .build()
        .expect("settings that go together");
    let end = Instant::now() + lasts;
    let rotations = tokio::spawn(rotations(Arc::clone(&azure), end));
    let calls = load(&cache, end).await;
    let rotations = rotations.await.expect("a watch that ends");
    let refused = azure.proxy().failures().len();
    Section {
        title: "Token rotation".to_owned(),
        reading: format!(
            "{CALLERS} callers of `redis_cached`'s client read and store for {} s, through TLS and a proxy, on a server that takes Entra ID tokens \
             and ends connections with them. Tokens live {} s here, so that {} were replaced; the server refused {refused} commands. *In \
             rotations* are the {} ms before and after each. No command may fail, and both *p99* are to be alike.",
            lasts.as_secs(),
            LIFE.as_secs(),
            rotations.len(),
            WINDOW.as_millis(),
        ),
        header: ["calls", "count", "failed", "p50", "p99", "longest"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows(&calls, &rotations),
        bars: None,
    }
}

/// When the server accepted a new token: all but the first.
async fn rotations(azure: Arc<AzureRedis>, end: Instant) -> Vec<Instant> {
    let mut seen = azure.rotations();
    let mut rotations = Vec::new();
    while Instant::now() < end {
        let now = azure.rotations();
        if now > seen && seen > 0 {
            rotations.push(Instant::now());
        }
        seen = now;
        sleep(Duration::from_millis(5)).await;
    }
    rotations
}

/// One call.
#[derive(Clone, Copy)]
struct Call {
    began: Instant,
    took: Duration,
    went_well: bool,
}

/// All calls of all callers.
async fn load(cache: &Cache, end: Instant) -> Vec<Call> {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(calls_of(cache.clone(), caller, end));
    }
    callers.join_all().await.concat()
}

/// A caller reads its value nine times in ten, and stores it again.
async fn calls_of(cache: Cache, caller: u64, end: Instant) -> Vec<Call> {
    let key = format!("rotation:{caller}");
    let value = user_from_source(Size::B330.first_id() + caller);
    let stored = cache.set_ex(&key, &value, TTL).await;
    stored.expect("a server that takes the first token");
    let mut calls = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        let went_well = if calls.len() % 10 == 9 {
            cache.set_ex(&key, &value, TTL).await.is_ok()
        } else {
            let read: Result<Option<User>, _> = cache.get(&key).await;
            read.is_ok_and(|read| read.is_some())
        };
        calls.push(Call {
            began,
            took: began.elapsed(),
            went_well,
        });
    }
    calls
}

fn rows(calls: &[Call], rotations: &[Instant]) -> Vec<Vec<String>> {
    let in_rotation = |call: &&Call| {
        let near =
            |at: &Instant| call.began < *at + WINDOW && call.began + call.took > *at - WINDOW;
        rotations.iter().any(near)
    };
    let (inside, outside): (Vec<&Call>, Vec<&Call>) = calls.iter().partition(in_rotation);
    vec![row("in rotations", &inside), row("between", &outside)]
}

fn row(name: &str, calls: &[&Call]) -> Vec<String> {
    let mut waits: Histogram<u64> = Histogram::new(3).expect("three digits are among the possible");
    for call in calls {
        let wait = call.took.as_nanos() as u64;
        waits.record(wait).expect("a histogram that grows");
    }
    let failed = calls.iter().filter(|call| !call.went_well).count();
    let at = |quantile| time(waits.value_at_quantile(quantile) as f64);
    vec![
        name.to_owned(),
        calls.len().to_string(),
        failed.to_string(),
        at(0.5),
        at(0.99),
        time(waits.max() as f64),
    ]
}
