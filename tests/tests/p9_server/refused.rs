//! The server refuses a token.

use std::time::{Duration, SystemTime};

use cache_tests::proxy::{Answer, login};
use cache_tests::{Body, assert_never_holds, eventually, wait::SOON};

use crate::load::{Commands, Load, Reads, Stores, store_values};
use crate::site::{LONG, hits_resume, on_each, send, token_stats, until, user};

#[tokio::test]
async fn p9_a_token_that_is_revoked_early_is_replaced_and_no_read_fails() {
    on_each(Duration::from_secs(20), async |site| {
        let cache = site.cache();
        store_values(&cache, 64).await;
        let load = Load::start(64, |id| Reads(cache.clone(), id));
        // A token that just came is not what is wrong.
        eventually("the token to have some age", SOON, async || {
            token_stats(&cache).age > Some(Duration::from_millis(2100))
        })
        .await;
        site.provider.life(LONG);
        site.azure.revoke(&site.provider.issued()[0].token).await;
        site.moved(1, 1).await;
        load.goes_on(640).await;
        load.went_well().await;
        assert_eq!(site.provider.requests(), 2);
        let stats = token_stats(&cache);
        assert_eq!((stats.refreshes, stats.failures), (2, 1), "{stats:?}");
    })
    .await;
}

#[tokio::test]
async fn p9_a_new_token_that_is_refused_once_is_offered_again() {
    on_each(Duration::from_secs(4), async |site| {
        let cache = site.cache();
        cache.ping().await.unwrap();
        let load = Load::start(16, |id| Stores(cache.clone(), id));
        site.provider.life(LONG);
        site.azure.refuse_logins(true).await;
        site.new_logins_are(Some(Answer::Refused), 1).await;
        site.azure.refuse_logins(false).await;
        site.moved(1, 1).await;
        load.goes_on(160).await;
        load.went_well().await;
        site.no_failures();
        assert_eq!(site.logins_with(0), 1, "the old connection served on");
        assert_eq!(site.provider.requests(), 2, "the token was good all along");
    })
    .await;
}

#[tokio::test]
async fn p9_while_every_new_token_is_refused_the_old_one_serves_to_its_last_second() {
    on_each(Duration::from_secs(6), async |site| {
        let cache = site.cache();
        let body = Body::new();
        user(&cache, &body, 1).await.unwrap();
        let connection = cache.connection().unwrap();
        send::<String>(&connection, &["PING"]).await.unwrap();
        let stores = Load::start(16, |id| Stores(cache.clone(), id));
        let commands = Load::start(16, |id| Commands(connection.clone(), id));
        site.azure.refuse_logins(true).await;
        site.new_logins_are(Some(Answer::Refused), 1).await;
        let refused = SystemTime::now();
        let asked = site.provider.requests();
        until(site.end_of(0) - Duration::from_millis(500)).await;
        assert_eq!(site.connections_with(0), [1, 2], "the first connections");
        stores.went_well().await;
        commands.went_well().await;
        assert_eq!(site.azure.logins_in_place(), 0);

        // From here on nobody is let in, and nobody has to suffer from that.
        eventually("the connections to end", SOON, async || {
            site.azure.proxy().in_use().is_empty()
        })
        .await;
        until(refused + Duration::from_secs(8)).await;
        user(&cache, &body, 1).await.unwrap();
        let more = site.provider.requests() - asked;
        // After 1 s, and pauses of 1, 2 and 4 s or more; 8 s at least are too long for a fifth.
        assert!((2..=5).contains(&more), "asked {more} times");
        let logins = site.azure.proxy().logins().len();
        assert!(logins < 60, "{logins} logins");
        let error = eventually_an_error(&cache).await;
        assert!(error.contains("access policy"), "{error}");
        for issued in site.provider.issued() {
            assert_never_holds(&issued.token, &error);
        }

        site.azure.refuse_logins(false).await;
        hits_resume(&cache, &body, 1).await;
    })
    .await;
}

#[tokio::test]
async fn p9_while_a_new_token_is_refused_new_connections_are_made_with_the_old_one() {
    on_each(Duration::from_secs(8), async |site| {
        let cache = site.cache();
        cache.ping().await.unwrap();
        site.provider.life(LONG);
        let held = site.azure.proxy().hold(login());
        held.arrived().await;
        site.provider.repeat_token();
        site.azure.revoke(&site.provider.issued()[1].token).await;
        held.release();
        site.new_logins_are(Some(Answer::Refused), 1).await;
        for _ in 0..5 {
            site.azure.kill_connections();
            cache.set_ex("a", &1, Duration::from_secs(60)).await.ok();
            cache.ping().await.unwrap();
        }
        assert_eq!(site.connections_with(0).len(), 1);
        // When the provider has another one, that is taken.
        site.provider.well();
        eventually("a connection with the third token", SOON, async || {
            // A lost one is made again when it is wanted.
            cache.ping().await.ok();
            site.connections_with(2).len() == 1
        })
        .await;
    })
    .await;
}

/// What the server says, and not that the breaker keeps it from being asked.
async fn eventually_an_error(cache: &cache_runtime::Cache) -> String {
    let mut said = String::new();
    eventually("a login to be refused", SOON, async || {
        // Sent whatever the breaker says.
        match cache.ping().await {
            Err(error) if error.is_auth() => {
                said = format!("{error} {error:?}");
                true
            }
            _ => false,
        }
    })
    .await;
    said
}
