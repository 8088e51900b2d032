//! A connection for which the server keeps something is logged in again in place.

use std::time::{Duration, SystemTime};

use cache_runtime::{Cache, Connection};
use cache_tests::proxy::{Answer, login, named};
use cache_tests::{eventually, wait::SOON, within};

use crate::load::{Commands, Load};
use crate::site::{LONG, Site, on_each, send};

async fn id(connection: &Connection) -> redis::RedisResult<u64> {
    send(connection, &["CLIENT", "ID"]).await
}

/// A command for which the server keeps something with the connection, and what shows that it still does.
async fn keeps(words: &[&str], shows: impl AsyncFn(&Connection)) {
    on_each(Duration::from_secs(4), async |site| {
        let connection = site.cache().connection().unwrap();
        send::<redis::Value>(&connection, words).await.unwrap();
        let before = id(&connection).await.unwrap();
        let load = Load::start(8, |id| Commands(connection.clone(), id));
        eventually("three logins in place", SOON, async || {
            site.azure.logins_in_place() >= 3
        })
        .await;
        load.goes_on(80).await;
        load.went_well().await;
        assert_eq!(id(&connection).await.unwrap(), before);
        shows(&connection).await;
        let logins = site.azure.proxy().logins();
        for (at, login) in logins.iter().enumerate() {
            let proved = logins[..at].iter().any(|earlier| {
                let other = earlier.connection != login.connection && !earlier.in_place;
                other && earlier.secret == login.secret && earlier.answer == Some(Answer::Accepted)
            });
            assert!(!login.in_place || proved, "{login:?} was not proved before");
        }
        site.no_failures();
    })
    .await;
}

#[tokio::test]
async fn p9_a_command_that_blocks_a_kept_connection_has_until_the_token_ends() {
    on_each(Duration::from_secs(16), async |site| {
        let connection = site.cache().connection().unwrap();
        send::<redis::Value>(&connection, &["SELECT", "0"])
            .await
            .unwrap();
        let before = id(&connection).await.unwrap();
        site.provider.life(LONG);
        // The next token comes after half of the present one's life, and the login with it waits here.
        let answer: redis::RedisResult<Option<String>> =
            send(&connection, &["BLPOP", "nobody", "14.5"]).await;
        assert_eq!(answer, Ok(None));
        assert!(SystemTime::now() < site.end_of(0), "the token ended first");
        eventually("a login in place", SOON, async || {
            site.azure.logins_in_place() == 1
        })
        .await;
        assert_eq!(id(&connection).await.unwrap(), before);
    })
    .await;
}

async fn client_info(connection: &Connection) -> String {
    send(connection, &["CLIENT", "INFO"]).await.unwrap()
}

#[tokio::test]
async fn p9_a_connection_that_tracks_keys_is_kept_over_rotations() {
    keeps(&["CLIENT", "TRACKING", "ON"], async |connection| {
        let info = client_info(connection).await;
        assert!(info.contains(" flags=t "), "{info}");
    })
    .await;
}

#[tokio::test]
async fn p9_a_connection_that_subscribes_is_kept_over_rotations() {
    keeps(&["SUBSCRIBE", "news"], async |connection| {
        let info = client_info(connection).await;
        assert!(info.contains(" sub=1 "), "{info}");
    })
    .await;
}

#[tokio::test]
async fn p9_a_connection_with_another_database_is_kept_over_rotations() {
    keeps(&["SELECT", "3"], async |connection| {
        let info = client_info(connection).await;
        assert!(info.contains(" db=3 "), "{info}");
    })
    .await;
}

#[tokio::test]
async fn p9_a_connection_that_watches_is_kept_over_rotations() {
    keeps(&["WATCH", "a"], async |connection| {
        send::<String>(connection, &["SET", "a", "1"])
            .await
            .unwrap();
        let mut transaction = redis::pipe();
        transaction.atomic().cmd("SET").arg("a").arg("2");
        let done: Option<(String,)> = transaction
            .query_async(&mut connection.clone())
            .await
            .unwrap();
        assert_eq!(done, None, "what was watched has changed");
    })
    .await;
}

async fn pinned(site: &Site) -> (Cache, Connection, u64) {
    let cache = site.cache();
    let connection = cache.connection().unwrap();
    send::<String>(&connection, &["SELECT", "3"]).await.unwrap();
    let before = id(&connection).await.unwrap();
    (cache, connection, before)
}

#[tokio::test]
async fn p9_a_connection_whose_login_in_place_is_refused_is_closed() {
    on_each(Duration::from_secs(6), async |site| {
        let (_cache, connection, before) = pinned(&site).await;
        let held = site.azure.proxy().hold(named("AUTH"));
        held.arrived().await;
        // Proved, and then withdrawn.
        site.provider.life(LONG);
        site.azure.revoke(&site.provider.issued()[1].token).await;
        held.release();
        eventually("another connection", SOON, async || {
            id(&connection).await.is_ok_and(|id| id != before)
        })
        .await;
        let logins = site.azure.proxy().logins();
        let in_place: Vec<_> = logins.iter().filter(|login| login.in_place).collect();
        assert_eq!(in_place.len(), 1, "{logins:?}");
        assert_eq!(in_place[0].answer, Some(Answer::Refused));
    })
    .await;
}

/// From 7.2 on the answer to a refused `AUTH` can be lost, and what comes in its place is another's `OK`.
#[tokio::test]
async fn p9_the_ok_of_another_command_is_not_taken_for_that_of_a_login_in_place() {
    on_each(Duration::from_secs(10), async |site| {
        let (_cache, connection, before) = pinned(&site).await;
        site.provider.life(LONG);
        // Proved, and then withdrawn.
        let held = site.azure.proxy().hold_reply(login());
        held.arrived().await;
        site.azure.refuse_logins(true).await;
        // The server reads at once what comes before the login, the login, and what comes behind.
        site.azure.server().stop();
        let set = || {
            let connection = connection.clone();
            tokio::spawn(async move { send::<redis::Value>(&connection, &["SET", "a", "1"]).await })
        };
        let sent = async |count: u64| {
            let proxy = site.azure.proxy();
            eventually("the command", SOON, async || proxy.seen("SET") == count).await;
        };
        let ahead = set();
        sent(1).await;
        held.release();
        eventually("a login in place", SOON, async || {
            site.azure.logins_in_place() == 1
        })
        .await;
        let behind = set();
        sent(2).await;
        site.azure.server().cont();
        let (ahead, _behind) = within("ends", SOON, async { (ahead.await, behind.await) }).await;
        assert_eq!(ahead.unwrap(), Ok(redis::Value::Okay));
        site.azure.refuse_logins(false).await;
        eventually("another connection", SOON, async || {
            id(&connection).await.is_ok_and(|id| id != before)
        })
        .await;
        assert_eq!(site.azure.logins_in_place(), 1);
    })
    .await;
}

#[tokio::test]
async fn p9_a_connection_whose_login_in_place_is_queued_in_a_transaction_is_closed() {
    on_each(Duration::from_secs(4), async |site| {
        let (_cache, connection, before) = pinned(&site).await;
        send::<String>(&connection, &["MULTI"]).await.unwrap();
        site.provider.life(LONG);
        eventually("a login that is queued", SOON, async || {
            let logins = site.azure.proxy().logins();
            let mut in_place = logins.iter().filter(|login| login.in_place);
            in_place.any(|login| login.answer == Some(Answer::Strange))
        })
        .await;
        eventually("the connection to be closed", SOON, async || {
            site.connections_with(0).is_empty()
        })
        .await;
        assert!(SystemTime::now() < site.end_of(0), "not before its end");
        let value: String = send(&connection, &["SET", "a", "1"]).await.unwrap();
        assert_eq!(value, "OK");
        assert_ne!(id(&connection).await.unwrap(), before);
        assert_eq!(site.connections_with(1).len(), 1);
        assert_eq!(site.azure.logins_in_place(), 1);
    })
    .await;
}
