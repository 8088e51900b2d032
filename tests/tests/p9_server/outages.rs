//! The server goes away, or says nothing, while tokens are renewed.

use std::time::Duration;

use cache_runtime::{Cache, redis_cached};
use cache_tests::{Body, eventually, wait::SOON};

use crate::load::{AsyncCall, Load};
use crate::site::{LONG, Site, hits_resume, until};

#[redis_cached(ttl = 300, key = "own:{id}", skip(cache), cache = cache)]
async fn own_value(cache: &Cache, id: u64) -> u64 {
    id
}

/// Calls of an annotated function, which nothing of this makes fail.
struct Calls(Cache, u64);

impl AsyncCall for Calls {
    async fn call(&mut self) -> Result<(), String> {
        match own_value(&self.0, self.1).await {
            value if value == self.1 => Ok(()),
            other => Err(format!("is {other}")),
        }
    }
}

/// Runs `outage` under load; from its end on, the server is well again.
async fn recovers(outage: impl AsyncFn(&Site)) {
    let site = Site::of_path(Duration::from_secs(4)).await;
    let timeout = Duration::from_millis(500);
    let cache = site.builder("app").timeout(timeout).build().unwrap();
    let body = Body::new();
    hits_resume(&cache, &body, 1).await;
    let load = Load::start(16, |id| Calls(cache.clone(), id));
    outage(&site).await;
    hits_resume(&cache, &body, 1).await;
    // And the next rotation is as any other.
    let next = site.provider.issued().len();
    site.provider.life(LONG);
    site.provider.wait_for_issued(next + 1).await;
    eventually("a connection with the latest token", SOON, async || {
        let last = site.provider.issued().len() - 1;
        !site.connections_with(last).is_empty()
    })
    .await;
    load.goes_on(160).await;
    load.went_well().await;
    let most = site.provider.concurrent_max();
    assert_eq!(most, 1, "asked {most} times at once");
}

#[tokio::test]
async fn p9_a_server_that_restarts_in_the_middle_of_rotations_is_used_again() {
    recovers(async |site| {
        for _ in 0..2 {
            let issued = site.provider.issued().len();
            site.provider.wait_for_issued(issued + 1).await;
            site.azure.restart().await;
        }
    })
    .await;
}

#[tokio::test]
async fn p9_a_server_that_is_away_for_a_whole_rotation_is_used_again() {
    recovers(async |site| {
        let last = site.provider.issued().len() - 1;
        site.azure.kill().await;
        site.provider.wait_for_issued(last + 2).await;
        until(site.end_of(last)).await;
        site.azure.restart().await;
    })
    .await;
}

#[tokio::test]
async fn p9_a_server_that_says_nothing_for_a_whole_rotation_is_used_again() {
    recovers(async |site| {
        let last = site.provider.issued().len() - 1;
        site.azure.proxy().swallow();
        site.provider.wait_for_issued(last + 2).await;
        until(site.end_of(last)).await;
        site.azure.proxy().accept();
    })
    .await;
}
