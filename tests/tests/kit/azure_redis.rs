//! Azure's Redis: tokens, their ends, and what becomes of connections.

use std::time::{Duration, Instant, SystemTime};

use cache_tests::proxy::{Answer, Login, Secret, login, named};
use cache_tests::{AzureRedis, RedisServer, RedisVersion, eventually, wait::SOON, within};
use redis::aio::MultiplexedConnection;

use crate::{get, set};

/// Runs a test on each version of the server.
async fn on_each(test: impl AsyncFn(AzureRedis)) {
    for version in RedisVersion::ALL {
        eprintln!("on {version}:");
        test(AzureRedis::start_with(RedisServer::builder().version(version)).await).await;
    }
}

fn after(life: Duration) -> SystemTime {
    SystemTime::now() + life
}

fn in_an_hour() -> SystemTime {
    after(Duration::from_secs(3600))
}

async fn auth(client: &MultiplexedConnection, words: &[&str]) -> redis::RedisResult<String> {
    let mut client = client.clone();
    redis::cmd("AUTH").arg(words).query_async(&mut client).await
}

async fn refused(azure: &AzureRedis, user: &str, token: &str) {
    let error = azure.connect(user, token).await.unwrap_err();
    assert!(error.to_string().contains("WRONGPASS"), "{error:?}");
}

/// Waits until the client's connection is closed, and says when that was.
async fn closed(client: &MultiplexedConnection) -> SystemTime {
    within("the connection to be closed", SOON, async {
        while get(client, "a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    SystemTime::now()
}

fn answers(logins: &[Login]) -> Vec<(u64, bool, Option<Answer>)> {
    let of = |login: &Login| (login.connection, login.in_place, login.answer);
    logins.iter().map(of).collect()
}

#[tokio::test]
async fn nobody_enters_without_a_token() {
    on_each(async |azure| {
        assert!(azure.url().starts_with("rediss://127.0.0.1:"));
        refused(&azure, "default", "a").await;
        azure.grant("default", "a", in_an_hour()).await;
        azure.grant("oid", "b", in_an_hour()).await;
        for (user, token) in [("default", "a"), ("oid", "b")] {
            let client = azure.connect(user, token).await.unwrap();
            set(&client, user, "1").await.unwrap();
            assert_eq!(get(&client, user).await.unwrap().as_deref(), Some("1"));
            let who: String = redis::cmd("ACL")
                .arg("WHOAMI")
                .query_async(&mut client.clone())
                .await
                .unwrap();
            assert_eq!(who, user);
        }
        refused(&azure, "default", "b").await;
        refused(&azure, "oid", "a").await;
        assert_eq!(azure.proxy().seen("SET"), 2);
        assert_eq!(azure.rotations(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_token_ends_with_its_connections_and_on_time() {
    on_each(async |azure| {
        let expires = after(Duration::from_secs(2));
        azure.grant("u", "old", expires).await;
        azure.grant("u", "new", in_an_hour()).await;
        let old = azure.connect("u", "old").await.unwrap();
        let renewed = azure.connect("u", "old").await.unwrap();
        let new = azure.connect("u", "new").await.unwrap();
        assert_eq!(auth(&renewed, &["u", "new"]).await.unwrap(), "OK");
        let late = closed(&old).await.duration_since(expires).unwrap();
        assert!(late < Duration::from_secs(5), "{late:?}");
        refused(&azure, "u", "old").await;
        assert_eq!(get(&renewed, "a").await.unwrap(), None);
        assert_eq!(get(&new, "a").await.unwrap(), None);
        assert_eq!((azure.rotations(), azure.logins_in_place()), (2, 1));
        let by_connection = azure.logins_by_connection();
        let renewed: Vec<_> = by_connection[&2].iter().map(|login| login.secret).collect();
        assert_eq!(renewed, [Secret::of("old"), Secret::of("new")]);
        assert_eq!(
            azure.proxy().in_use().into_iter().collect::<Vec<_>>(),
            [(2, Secret::of("new")), (3, Secret::of("new"))]
        );
    })
    .await;
}

#[tokio::test]
async fn a_revoked_token_ends_at_once_and_for_good() {
    on_each(async |azure| {
        azure.grant("u", "a", in_an_hour()).await;
        azure.grant("u", "b", in_an_hour()).await;
        let a = azure.connect("u", "a").await.unwrap();
        let b = azure.connect("u", "b").await.unwrap();
        azure.revoke("a").await;
        closed(&a).await;
        azure.grant("u", "a", in_an_hour()).await;
        refused(&azure, "u", "a").await;
        assert_eq!(get(&b, "a").await.unwrap(), None);
        azure.grant("u", "c", after(Duration::ZERO)).await;
        refused(&azure, "u", "c").await;
    })
    .await;
}

#[tokio::test]
async fn a_login_that_the_end_of_its_token_overtakes_is_closed() {
    on_each(async |azure| {
        azure.grant("u", "a", in_an_hour()).await;
        azure.grant("u", "b", in_an_hour()).await;
        let client = azure.connect("u", "a").await.unwrap();
        let reply = azure.proxy().hold_reply(login());
        let again = tokio::spawn({
            let client = client.clone();
            async move { auth(&client, &["u", "b"]).await }
        });
        reply.arrived().await;
        // The server has accepted it, and the client does not know yet.
        azure.revoke("b").await;
        within("the end", SOON, again).await.unwrap().unwrap_err();
        closed(&client).await;
    })
    .await;
}

#[tokio::test]
async fn refused_logins_leave_connections_alone() {
    on_each(async |azure| {
        azure.grant("u", "a", in_an_hour()).await;
        let open = azure.connect("u", "a").await.unwrap();
        azure.refuse_logins(true).await;
        azure.grant("u", "b", in_an_hour()).await;
        refused(&azure, "u", "a").await;
        refused(&azure, "u", "b").await;
        assert_eq!(
            auth(&open, &["u", "b"]).await.unwrap_err().code(),
            Some("WRONGPASS")
        );
        assert_eq!(get(&open, "a").await.unwrap(), None);
        assert_eq!(
            answers(&azure.proxy().logins()),
            [
                (1, false, Some(Answer::Accepted)),
                (2, false, Some(Answer::Refused)),
                (3, false, Some(Answer::Refused)),
                (1, true, Some(Answer::Refused)),
            ]
        );
        azure.refuse_logins(false).await;
        for token in ["a", "b"] {
            azure.connect("u", token).await.unwrap();
        }
        assert_eq!(azure.proxy().failures(), []);
    })
    .await;
}

#[tokio::test]
async fn rights_are_apart_from_tokens() {
    on_each(async |azure| {
        azure.grant("u", "a", in_an_hour()).await;
        let open = azure.connect("u", "a").await.unwrap();
        azure.no_perm("u", true).await;
        azure.grant("u", "b", in_an_hour()).await;
        let new = azure.connect("u", "b").await.unwrap();
        for client in [&open, &new] {
            assert_eq!(get(client, "k").await.unwrap_err().code(), Some("NOPERM"));
        }
        let failures = azure.proxy().failures();
        let gets: Vec<_> = failures
            .iter()
            .filter(|failure| failure.command == "GET")
            .collect();
        assert_eq!((gets.len(), gets[0].connection), (2, 1));
        assert!(gets[0].error.starts_with("NOPERM "), "{gets:?}");
        azure.no_perm("u", false).await;
        assert_eq!(get(&open, "k").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn each_form_of_login_is_seen() {
    on_each(async |azure| {
        azure.grant("default", "a", in_an_hour()).await;
        azure.grant("u", "b", in_an_hour()).await;
        let client = azure.connect("default", "a").await.unwrap();
        assert_eq!(auth(&client, &["a"]).await.unwrap(), "OK");
        let mut hello = redis::cmd("HELLO");
        hello
            .arg(3)
            .arg("auth")
            .arg("u")
            .arg("b")
            .arg("SETNAME")
            .arg("n");
        hello
            .query_async::<redis::Value>(&mut client.clone())
            .await
            .unwrap();
        hello
            .query_async::<redis::Value>(&mut client.clone())
            .await
            .unwrap();
        let logins = azure.proxy().logins();
        let seen: Vec<_> = logins
            .iter()
            .map(|login| (login.user.as_str(), login.secret))
            .collect();
        let (a, b) = (("default", Secret::of("a")), ("u", Secret::of("b")));
        assert_eq!(seen, [a, a, b, b]);
        assert!(
            logins
                .iter()
                .all(|login| login.answer == Some(Answer::Accepted))
        );
        assert_eq!(azure.logins_in_place(), 3);
        azure.revoke("a").await;
        assert_eq!(get(&client, "k").await.unwrap(), None);
        azure.revoke("b").await;
        closed(&client).await;
    })
    .await;
}

#[tokio::test]
async fn a_subscriber_renews_its_token_in_place() {
    on_each(async |azure| {
        azure.grant("u", "a", in_an_hour()).await;
        azure.grant("u", "b", in_an_hour()).await;
        let mut client = azure.connect("u", "a").await.unwrap();
        client.subscribe(&["one", "two"]).await.unwrap();
        client.psubscribe("*").await.unwrap();
        set(&client, "k", "1").await.unwrap();
        auth(&client, &["u", "b"]).await.unwrap();
        azure.revoke("a").await;
        assert_eq!(get(&client, "k").await.unwrap().as_deref(), Some("1"));
        client.unsubscribe(&["one", "two"]).await.unwrap();
        assert_eq!(get(&client, "k").await.unwrap().as_deref(), Some("1"));
        assert_eq!(azure.proxy().in_use()[&1], Secret::of("b"));
        azure.no_perm("u", true).await;
        let error = client.subscribe("three").await.unwrap_err();
        assert_eq!(error.code(), Some("NOPERM"), "{error:?}");
        assert_eq!(
            azure.proxy().failures().last().unwrap().command,
            "SUBSCRIBE"
        );
    })
    .await;
}

#[tokio::test]
async fn a_swallowed_login_stalls_its_connection_and_no_other() {
    on_each(async |azure| {
        azure.grant("u", "a", in_an_hour()).await;
        let (busy, other) = (
            azure.connect("u", "a").await.unwrap(),
            azure.connect("u", "a").await.unwrap(),
        );
        let before = azure.proxy().hold_reply(named("SET"));
        let answered = tokio::spawn({
            let busy = busy.clone();
            async move { set(&busy, "before", "1").await }
        });
        before.arrived().await;
        azure.proxy().swallow_auth(true);
        let login = tokio::spawn({
            let busy = busy.clone();
            async move { auth(&busy, &["u", "a"]).await }
        });
        azure.proxy().wait_for_command(named("AUTH")).await;
        let behind = tokio::spawn({
            let busy = busy.clone();
            async move { set(&busy, "behind", "1").await }
        });
        azure
            .proxy()
            .wait_for_command(|args: &[Vec<u8>]| args.contains(&b"behind".to_vec()))
            .await;
        before.release();
        within("what came before", SOON, answered)
            .await
            .unwrap()
            .unwrap();
        set(&other, "other", "1").await.unwrap();
        azure.proxy().swallow_auth(false);
        assert_eq!(
            azure.server().cli(&["EXISTS", "before", "other", "behind"]),
            "2"
        );
        assert!(!login.is_finished() && !behind.is_finished());
        assert_eq!(azure.proxy().logins().last().unwrap().answer, None);
        azure.kill_connections();
        within("the end", SOON, login).await.unwrap().unwrap_err();
        within("the end", SOON, behind).await.unwrap().unwrap_err();
        eventually("both counted", SOON, async || {
            azure.proxy().unanswered() == 2
        })
        .await;
        azure.connect("u", "a").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_login_can_cut_its_connection() {
    on_each(async |azure| {
        azure.grant("u", "a", in_an_hour()).await;
        let open = azure.connect("u", "a").await.unwrap();
        azure.proxy().cut_in_auth(true);
        assert!(azure.connect("u", "a").await.is_err());
        assert_eq!(get(&open, "k").await.unwrap(), None);
        azure.proxy().cut_in_auth(false);
        azure.connect("u", "a").await.unwrap();
        assert_eq!(answers(&azure.proxy().logins())[1], (2, false, None));
    })
    .await;
}

#[tokio::test]
async fn connections_are_counted_and_killed_at_once() {
    on_each(async |azure| {
        azure.grant("u", "a", in_an_hour()).await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(azure.connect("u", "a").await.unwrap());
        }
        assert_eq!(azure.proxy().open_connections(), 5);
        azure.kill_connections();
        for client in &clients {
            closed(client).await;
        }
        eventually("the end of all", SOON, async || {
            azure.proxy().open_connections() == 0
        })
        .await;
        azure.connect("u", "a").await.unwrap();
        assert_eq!(
            (
                azure.proxy().connections(),
                azure.proxy().most_connections()
            ),
            (6, 5)
        );
        azure.proxy().forget();
        assert_eq!(azure.proxy().connections(), 0);
        assert_eq!(azure.proxy().logins(), []);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_comes_back_knows_the_tokens_of_now() {
    on_each(async |azure| {
        azure.grant("u", "a", in_an_hour()).await;
        azure.grant("u", "b", in_an_hour()).await;
        let client = azure.connect("u", "a").await.unwrap();
        azure.kill().await;
        closed(&client).await;
        assert!(azure.connect("u", "a").await.is_err());
        azure.revoke("a").await;
        azure.grant("u", "c", in_an_hour()).await;
        azure.restart().await;
        refused(&azure, "u", "a").await;
        for token in ["b", "c"] {
            azure.connect("u", token).await.unwrap();
        }
        let anybody = azure.connect("default", "").await;
        assert!(anybody.is_err());
    })
    .await;
}

#[tokio::test]
async fn big_values_and_long_pipelines_pass_tls_unchanged() {
    let azure = AzureRedis::start().await;
    azure.grant("u", "a", in_an_hour()).await;
    let client = azure.connect("u", "a").await.unwrap();
    let big = "x\r\n$5\r\n".repeat(500_000);
    set(&client, "big", &big).await.unwrap();
    assert_eq!(get(&client, "big").await.unwrap(), Some(big));
    let mut pipe = redis::pipe();
    for n in 0..5_000 {
        pipe.cmd("SET").arg(n).arg(n).ignore().cmd("GET").arg(n);
    }
    let got: Vec<u32> = pipe.query_async(&mut client.clone()).await.unwrap();
    assert_eq!(got, (0..5_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn faults_of_the_proxy_reach_through_tls() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let azure = AzureRedis::start().await;
    azure.grant("u", "a", in_an_hour()).await;
    let client = azure.connect("u", "a").await.unwrap();
    let cut = azure.proxy().cut_in_reply_to(named("GET"), 2);
    assert!(get(&client, "k").await.is_err());
    cut.happened().await;

    azure.proxy().delay(Duration::from_millis(200));
    let begin = Instant::now();
    let client = azure.connect("u", "a").await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(400));
    azure.proxy().delay(Duration::ZERO);

    azure.proxy().reset();
    let error = get(&client, "k").await.unwrap_err();
    assert!(error.is_io_error(), "{error:?}");
    let seen = azure.proxy().connections();
    let mut raw = tokio::net::TcpStream::connect(("127.0.0.1", azure.port()))
        .await
        .unwrap();
    eventually("it", SOON, async || azure.proxy().connections() > seen).await;
    azure.proxy().reset();
    let error = within("a reset before TLS", SOON, raw.read(&mut [0; 8]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    azure.proxy().swallow();
    let seen = azure.proxy().connections();
    {
        let connect = azure.connect("u", "a");
        let swallowed = tokio::time::timeout(Duration::from_millis(200), connect).await;
        assert!(swallowed.is_err());
    }
    assert!(azure.proxy().connections() > seen);
    // No handshake, either: what begins none gets no alert.
    let mut raw = tokio::net::TcpStream::connect(("127.0.0.1", azure.port()))
        .await
        .unwrap();
    raw.write_all(b"not TLS").await.unwrap();
    let mut answer = [0; 8];
    let answer = tokio::time::timeout(Duration::from_millis(200), raw.read(&mut answer)).await;
    assert!(answer.is_err(), "{answer:?}");
    azure.proxy().accept();
    azure.connect("u", "a").await.unwrap();
    azure.proxy().refuse();
    let error = azure.connect("u", "a").await.unwrap_err();
    assert!(error.is_connection_refusal(), "{error:?}");
}

#[tokio::test]
async fn grants_do_not_keep_the_server() {
    let azure = AzureRedis::start().await;
    let (grants, pid) = (azure.grants(), azure.server().pid().unwrap());
    azure.grant("u", "a", in_an_hour()).await;
    drop(azure);
    assert!(!crate::redis_server::is_alive(pid));
    grants.grant("u", "b", in_an_hour()).await;
}

#[test]
fn a_server_of_tokens_starts_without_a_runtime() {
    let azure = AzureRedis::start_blocking(RedisServer::builder());
    assert!(azure.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
}
