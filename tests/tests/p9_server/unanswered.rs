//! A login gets no answer, or its connection ends first.

use std::time::{Duration, Instant, SystemTime};

use cache_tests::{Body, eventually, wait::SOON};

use crate::load::{Load, Reads, Stores, store_values};
use crate::site::{LONG, Site, hits_resume, until, user};

#[tokio::test]
async fn p9_a_login_that_is_not_answered_is_given_up_and_tried_again() {
    let site = Site::of_path(Duration::from_secs(16)).await;
    let cache = site.cache();
    cache.ping().await.unwrap();
    let load = Load::start(16, |id| Stores(cache.clone(), id));
    site.provider.life(LONG);
    site.azure.proxy().swallow_auth(true);
    site.new_logins_are(None, 1).await;
    site.azure.proxy().swallow_auth(false);
    site.moved(1, 1).await;
    assert!(
        SystemTime::now() < site.end_of(0),
        "the old connection ended"
    );
    load.goes_on(160).await;
    load.went_well().await;
    site.no_failures();
    assert_eq!(site.logins_with(0), 1, "the old connection served on");
    assert_eq!(site.provider.requests(), 2);
}

#[tokio::test]
async fn p9_a_connection_that_ends_in_the_middle_of_its_login_is_made_again() {
    let site = Site::of_path(Duration::from_secs(6)).await;
    let cache = site.cache();
    cache.ping().await.unwrap();
    let load = Load::start(16, |id| Stores(cache.clone(), id));
    site.provider.life(LONG);
    site.azure.proxy().cut_in_auth(true);
    site.new_logins_are(None, 2).await;
    site.azure.proxy().cut_in_auth(false);
    site.moved(1, 1).await;
    load.goes_on(160).await;
    load.went_well().await;
    site.no_failures();
    assert_eq!(site.logins_with(0), 1, "the old connection served on");
    assert_eq!(site.provider.requests(), 2);
}

#[tokio::test]
async fn p9_a_connection_that_is_hung_up_at_its_tokens_end_is_made_again_with_the_next() {
    let site = Site::of_path(Duration::from_secs(4)).await;
    let cache = site.cache();
    let body = Body::new();
    user(&cache, &body, 1).await.unwrap();
    site.provider.life(LONG);
    site.azure.proxy().cut_in_auth(true);
    eventually("the server to hang up", SOON, async || {
        site.azure.proxy().in_use().is_empty()
    })
    .await;
    until(site.end_of(0)).await;
    // Without redis, and without an error.
    user(&cache, &body, 1).await.unwrap();
    site.azure.proxy().cut_in_auth(false);
    hits_resume(&cache, &body, 1).await;
    assert_eq!(site.connections_with(1).len(), 1);
    assert_eq!(site.provider.requests(), 2, "a hang-up is no reason to ask");
}

#[tokio::test]
async fn p9_an_old_token_is_replaced_where_the_server_hangs_up_on_it() {
    let site = Site::of_path(Duration::from_secs(100)).await;
    let cache = site.cache();
    cache.ping().await.unwrap();
    let since = Instant::now();
    site.azure.proxy().cut_in_auth(true);
    site.azure.kill_connections();
    // It is old at a tenth of its life, and would be renewed at half of it.
    eventually("a fresh token", SOON, async || {
        cache.ping().await.unwrap_err();
        site.provider.requests() == 2
    })
    .await;
    assert!(since.elapsed() > Duration::from_secs(5), "it was young");
    site.azure.proxy().cut_in_auth(false);
    eventually("redis to be used again", SOON, async || {
        cache.ping().await.is_ok()
    })
    .await;
    assert_eq!(site.provider.requests(), 2);
}

#[tokio::test]
async fn p9_no_read_fails_where_all_connections_are_killed_at_once_under_load() {
    let site = Site::of_path(Duration::from_secs(4)).await;
    let cache = site.cache();
    store_values(&cache, 64).await;
    let load = Load::start(64, |id| Reads(cache.clone(), id));
    // Through two rotations, at any point of them.
    while site.azure.rotations() < 3 {
        site.azure.kill_connections();
        load.goes_on(128).await;
        site.azure.proxy().reset();
        load.goes_on(128).await;
    }
    load.went_well().await;
    let requests = site.provider.requests();
    assert!(
        requests <= site.azure.rotations() + 1,
        "asked {requests} times"
    );
}
