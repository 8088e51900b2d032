//! Who is logged in, and what is and is not a reason for another login.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cache_runtime::ErrorKind;
use cache_tests::proxy::{Answer, Secret};
use cache_tests::{eventually, wait::SOON};

use crate::load::{AsyncCall, Load, Stores};
use crate::site::{LONG, Site, on_each, send, token_stats};

/// Asks who it is.
struct WhoAmI(cache_runtime::Connection, String);

impl AsyncCall for WhoAmI {
    async fn call(&mut self) -> Result<(), String> {
        let who: Result<String, _> = send(&self.0, &["ACL", "WHOAMI"]).await;
        match who {
            Ok(who) if who == self.1 => Ok(()),
            other => Err(format!("is {other:?}, not {}", self.1)),
        }
    }
}

#[tokio::test]
async fn p9_two_identities_in_one_process_never_log_in_as_each_other() {
    let site = Site::of_path(Duration::from_secs(4)).await;
    let caches = ["app", "other"].map(|id| site.builder(id).prefix(id).build().unwrap());
    let mut loads = Vec::new();
    for cache in &caches {
        cache.ping().await.unwrap();
        let user = token_stats(cache).user.unwrap();
        let connection = cache.connection().unwrap();
        loads.push(Load::start(8, |id| Stores(cache.clone(), id)));
        loads.push(Load::start(8, |_| WhoAmI(connection.clone(), user.clone())));
    }
    let users: BTreeSet<_> = caches.iter().map(|c| token_stats(c).user).collect();
    assert_eq!(users.len(), 2, "{users:?}");
    eventually("three rotations of each", SOON, async || {
        caches.iter().all(|cache| token_stats(cache).refreshes >= 4)
    })
    .await;
    for load in loads {
        load.went_well().await;
    }
    let issued = site.provider.issued();
    let owners: BTreeMap<_, _> = issued
        .iter()
        .map(|issued| (Secret::of(&issued.token), issued.oid.clone().unwrap()))
        .collect();
    let logins = site.azure.proxy().logins();
    assert!(logins.len() >= 12, "{logins:?}");
    for login in logins {
        assert_eq!(owners[&login.secret], login.user);
        assert_ne!(login.answer, Some(Answer::Refused), "{login:?}");
    }
    site.no_failures();
}

#[tokio::test]
async fn p9_noperm_is_no_reason_for_another_token_or_login() {
    on_each(LONG, async |site| {
        let cache = site.cache();
        cache.ping().await.unwrap();
        let user = token_stats(&cache).user.unwrap();
        let connection = cache.connection().unwrap();
        send::<String>(&connection, &["PING"]).await.unwrap();
        site.azure.no_perm(&user, true).await;
        for id in 0..50 {
            let error = cache
                .get::<String>(&format!("read:{id}"))
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Auth, "{error:?}");
            let error = send::<String>(&connection, &["GET", "a"])
                .await
                .unwrap_err();
            assert_eq!(error.code(), Some("NOPERM"), "{error:?}");
        }
        // The least pause between two questions would be over.
        eventually("the token to have some age", SOON, async || {
            token_stats(&cache).age > Some(Duration::from_secs(2))
        })
        .await;
        site.azure.no_perm(&user, false).await;
        cache.ping().await.unwrap();
        send::<String>(&connection, &["PING"]).await.unwrap();
        assert_eq!(site.provider.requests(), 1);
        assert_eq!(site.azure.proxy().logins().len(), 2);
        assert_eq!(token_stats(&cache).failures, 0);
    })
    .await;
}

/// `RESET` logs a connection out; whoever comes next finds `NOAUTH`.
#[tokio::test]
async fn p9_a_connection_that_is_not_logged_in_any_more_is_made_anew() {
    on_each(LONG, async |site| {
        let cache = site.cache();
        let connection = cache.connection().unwrap();
        send::<String>(&connection, &["SET", "a", "1"])
            .await
            .unwrap();
        for round in 1..=2 {
            let reset: String = send(&connection, &["RESET"]).await.unwrap();
            assert_eq!(reset, "RESET");
            if round == 1 {
                assert_eq!(
                    send::<String>(&connection, &["GET", "a"]).await.unwrap(),
                    "1"
                );
            } else {
                let mut pipeline = redis::pipe();
                pipeline.cmd("INCR").arg("n").cmd("GET").arg("a");
                let both = pipeline.query_async(&mut connection.clone()).await;
                assert_eq!(both, Ok((1, "1".to_owned())));
            }
        }
        let logins = site.azure.proxy().logins();
        assert_eq!(logins.len(), 3, "{logins:?}");
        // It was the connection that was at fault.
        assert_eq!(site.provider.requests(), 1);
    })
    .await;
}

#[tokio::test]
async fn p9_a_user_that_is_deleted_and_made_again_is_served_again() {
    on_each(LONG, async |site| {
        let cache = site.cache();
        cache.ping().await.unwrap();
        let user = token_stats(&cache).user.unwrap();
        assert_eq!(site.azure.server().cli(&["ACL", "DELUSER", &user]), "1");
        eventually("a refused login", SOON, async || {
            cache.ping().await.is_err_and(|error| error.is_auth())
        })
        .await;
        // Made again with its tokens.
        site.azure.no_perm(&user, false).await;
        eventually("an answer", SOON, async || cache.ping().await.is_ok()).await;
        let requests = site.provider.requests();
        assert!(requests <= 2, "asked {requests} times");
    })
    .await;
}
