//! P9 where the identity provider fails: the token in hand serves to its end, then bodies run, and the
//! provider is asked again for ever, one question at a time and never twice within a second.
#![allow(missing_docs)]

#[path = "p9_provider/kinds.rs"]
mod kinds;
#[path = "p9_provider/stage.rs"]
mod stage;

use std::time::{Duration, Instant, SystemTime};

use cache_runtime::{BreakerState, ErrorKind};
use cache_tests::identity_provider::Reply;
use cache_tests::proxy::{Answer, Secret};
use cache_tests::{
    IdentityProvider, RedisVersion, eventually, redis_state, timed, wait::SOON, within,
};

use self::stage::{LESS_THAN_TWO_TIMEOUTS, RECOVERY, Stage, TIMEOUT, Traffic};

const SECOND: Duration = Duration::from_secs(1);

/// Clients are told whole seconds: they know of so many, and the server gives half a second more.
fn seconds(whole: u64) -> Duration {
    Duration::from_millis(whole * 1000 + 500)
}

async fn down_for_ten_lives(version: RedisVersion) {
    // Clients know of one second, and replace it after that; the server gives another one.
    let life = 2 * SECOND;
    let stage = Stage::on(version, IdentityProvider::builder().life(life)).await;
    let client = stage.client("app");
    let traffic = Traffic::start(&client).await;
    stage.provider.wait_for_issued(3).await;

    stage.provider.down();
    let (went, asked) = (Instant::now(), client.asked.times());
    tokio::time::sleep(10 * life).await;
    let times = client.asked.times() - asked;
    let most = went.elapsed().as_secs() + 2;
    assert!(times as u64 <= most, "asked {times} times, not {most}");
    assert!(times >= 10, "asked {times} times");
    let refused = stage.azure.proxy().logins();
    let refused = refused
        .iter()
        .filter(|login| login.answer == Some(Answer::Refused))
        .count();
    assert!(refused <= 40, "{refused} logins that had to be refused");
    let token = client.token();
    assert_eq!(token.expires_in, Some(Duration::ZERO));
    assert!(token.failures >= times as u64);
    let end = stage.end_of_token_in_use();

    let back = SystemTime::now();
    stage.provider.up();
    let took = client.hits_within(RECOVERY).await;
    eprintln!("on {version}: asked {times} times, recovered after {took:?}");

    let calls = traffic.end().await;
    let served: Vec<_> = calls.iter().filter(|call| call.ended <= end).collect();
    assert!(served.len() > 40, "{} calls before the end", served.len());
    assert!(served.iter().all(|call| call.was_hit), "{served:?}");
    let after: Vec<_> = calls
        .iter()
        .filter(|call| call.began > end + SECOND && call.ended < back)
        .collect();
    assert!(after.len() > 400, "{} calls after the end", after.len());
    assert!(after.iter().all(|call| !call.was_hit));
    client.was_gentle();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_a_provider_that_is_down_for_ten_token_lives_and_one_that_is_from_the_start() {
    tokio::join!(
        down_for_ten_lives(RedisVersion::OfPath),
        down_for_ten_lives(RedisVersion::V8_2),
        down_from_the_start(),
    );
}

async fn down_from_the_start() {
    let stage = Stage::start(IdentityProvider::builder()).await;
    stage.provider.down();
    let client = stage.client("app");
    // The first calls find out; those that come later do not even try.
    eventually("the breaker", SOON, async || {
        assert!(!client.is_hit().await);
        redis_state(&client.cache).breaker == BreakerState::Open
    })
    .await;
    let tried = redis_state(&client.cache).connections_tried;
    let began = Instant::now();
    for _ in 0..1000 {
        assert!(!client.is_hit().await);
    }
    let took = began.elapsed();
    // Only the probe tries: its pauses are 25 ms at least, and double.
    let tried = redis_state(&client.cache).connections_tried - tried;
    let most = 8 + took.as_secs();
    assert!(tried <= most, "{tried} attempts in {took:?}");
    assert_eq!(stage.azure.proxy().connections(), 0);
    eventually("some questions", SOON, async || client.asked.times() >= 3).await;
    assert_eq!(client.token().last_error, Some(ErrorKind::Connect));
    stage.provider.up();
    let took = client.hits_within(RECOVERY).await;
    eprintln!("recovered after {took:?}");
    client.was_gentle();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_a_slow_provider_is_asked_in_time() {
    let stage = Stage::start(IdentityProvider::builder().life(seconds(4))).await;
    let client = stage.client("app");
    let traffic = Traffic::start(&client).await;
    stage.provider.slow(Duration::from_millis(1200));
    stage.provider.wait_for_issued(4).await;
    traffic.were_hits().await;
    assert_eq!(client.token().failures, 0);
    client.was_gentle();
}

#[tokio::test]
async fn p9_the_first_command_waits_for_the_first_token() {
    let stage = Stage::start(IdentityProvider::builder()).await;
    // Longer than an operation may take.
    stage.provider.slow(TIMEOUT + SECOND);
    let mut connection = stage.client("app").cache.connection().unwrap();
    let answer: String = redis::cmd("PING")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(answer, "PONG");
}

async fn hangs_in_a_tokens_life() {
    // Half of it is left when the question hangs, and that is longer than one may take.
    let stage = Stage::start(IdentityProvider::builder().life(seconds(27))).await;
    let client = stage.client("app");
    let traffic = Traffic::start(&client).await;
    stage.provider.hang();
    stage.provider.wait_for_requests(2).await;
    let ((), took) = timed(eventually("a failure", SOON, async || {
        client.token().failures == 1
    }))
    .await;
    assert!(took < Duration::from_secs(12), "given up after {took:?}");
    let token = client.token();
    assert_eq!(token.last_error, Some(ErrorKind::Timeout));
    assert!(token.expires_in > Some(Duration::ZERO), "{token:?}");
    assert!(!client.asked.questions()[1].was_answered);
    // Nothing of it is left where the provider is.
    eventually("the request to end", SECOND, async || {
        client.identity.in_progress() == 0
    })
    .await;
    stage.provider.well();
    stage.provider.wait_for_issued(2).await;
    eventually("the new token", SOON, async || {
        client.token().refreshes == 2
    })
    .await;
    traffic.were_hits().await;
    client.was_gentle();
}

async fn hangs_from_the_start() {
    let stage = Stage::start(IdentityProvider::builder()).await;
    stage.provider.hang();
    let client = stage.client("app");
    let began = Instant::now();
    let mut calls = 0;
    while began.elapsed() < Duration::from_secs(8) {
        let (hit, took) = timed(client.is_hit()).await;
        assert!(!hit);
        assert!(took < LESS_THAN_TWO_TIMEOUTS, "a call took {took:?}");
        calls += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(calls > 100, "{calls} calls in 8 s");
    assert_eq!(client.identity.requests(), 1);
    let error = client.cache.ping().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    stage.provider.well();
    // The question that hangs is given up first.
    within("a second question", SOON, async {
        stage.provider.wait_for_requests(2).await;
    })
    .await;
    let took = client.hits_within(RECOVERY).await;
    eprintln!("recovered after {took:?}");
    client.was_gentle();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_a_provider_that_hangs_is_given_up_and_asked_again_and_holds_up_nobody() {
    tokio::join!(hangs_in_a_tokens_life(), hangs_from_the_start());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_a_pause_that_the_provider_asks_for_is_made() {
    let stage = Stage::start(IdentityProvider::builder().life(seconds(8))).await;
    let busy = |after| {
        Reply::entra(429, "temporarily_unavailable", 90_055, "Too many requests.")
            .header("Retry-After", after)
    };
    let client = stage.client("app");
    // Without a token: bodies run all the while.
    client.identity.answer_times(1, busy("4"));
    assert!(!client.is_hit().await);
    client.identity.wait_for_requests(1).await;
    let waited = async {
        while client.identity.requests() < 2 {
            client.is_hit().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("a second request", SOON, waited).await;
    client.hits_within(SOON).await;
    // With a token, which is asked for again when half of it is left.
    let traffic = Traffic::start(&client).await;
    client.identity.answer_times(1, busy("3"));
    client.identity.wait_for_issued(2).await;
    traffic.were_hits().await;
    let pauses = client.asked.pauses();
    for (pause, asked_for) in [(pauses[0], 4 * SECOND), (pauses[2], 3 * SECOND)] {
        assert!(pause >= asked_for, "{pauses:?}");
        assert!(pause < asked_for + 2 * SECOND, "{pauses:?}");
    }
    client.was_gentle();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_the_same_token_again_is_no_reason_to_hurry() {
    let stage = Stage::start(IdentityProvider::builder().life(seconds(6))).await;
    let client = stage.client("app");
    let traffic = Traffic::start(&client).await;
    stage.provider.repeat_token();
    let began = Instant::now();
    let end = stage.provider.issued()[0].expires;
    let left = end.duration_since(SystemTime::now()).unwrap();
    tokio::time::sleep(left + 2 * SECOND).await;
    let token = client.token();
    assert_eq!(
        (token.refreshes, token.last_error),
        (1, Some(ErrorKind::Identity))
    );
    // Seconds 3 to 8.
    let times = client.identity.requests() as u64 - 1;
    let most = began.elapsed().as_secs() - 2;
    assert!((2..=most).contains(&times), "{times} requests, not {most}");
    stage.provider.well();
    client.hits_within(RECOVERY).await;
    assert_eq!(client.token().refreshes, 2);
    let calls = traffic.end().await;
    let served = calls.iter().filter(|call| call.ended <= end);
    assert!(served.clone().count() > 40);
    assert!(served.clone().all(|call| call.was_hit));
    // Nobody logs in again with what has served already, but to find out whether it still does.
    let logins = stage.azure.proxy().logins();
    let accepted = |login: &&_| -> bool {
        let login: &cache_tests::proxy::Login = login;
        login.answer == Some(Answer::Accepted)
    };
    assert_eq!(logins.iter().filter(accepted).count(), 2, "{logins:?}");
    client.was_gentle();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_a_token_that_came_expired_is_offered_and_the_server_judges() {
    // The server refuses it: bodies run.
    let stage = Stage::start(IdentityProvider::builder()).await;
    stage.provider.issue_expired();
    let client = stage.client("app");
    let began = Instant::now();
    while client.identity.requests() < 5 {
        assert!(!client.is_hit().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() >= 4 * SECOND, "{:?}", began.elapsed());
    let offered = stage.azure.proxy().logins();
    let first = Secret::of(&stage.provider.issued()[0].token);
    assert!(offered.iter().any(|login| login.secret == first));
    let token = client.token();
    assert_eq!(token.expires_in, Some(Duration::ZERO));
    assert_eq!(token.last_error, Some(ErrorKind::Auth));
    stage.provider.well();
    client.hits_within(RECOVERY).await;
    client.was_gentle();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_a_clock_that_calls_every_token_expired_keeps_nobody_from_the_server() {
    let provider = IdentityProvider::start();
    let azure = cache_tests::AzureRedis::start().await;
    let grants = azure.grants();
    // By the server's clock they live.
    provider.on_issue(move |issued| {
        let hour = SystemTime::now() + Duration::from_secs(3600);
        grants.grant(issued.oid.as_deref().unwrap(), &issued.token, hour)
    });
    let stage = Stage { provider, azure };
    stage.provider.issue_expired();
    let client = stage.client("app");
    let traffic = Traffic::start(&client).await;
    stage.provider.wait_for_requests(4).await;
    traffic.were_hits().await;
    client.was_gentle();
    // The pauses grow: at least half of 2 s, 4 s and 8 s, since the server takes each of them.
    let pauses = client.asked.pauses();
    for (pause, least) in pauses.iter().zip([1, 2, 4]) {
        assert!(*pause >= least * SECOND, "{pauses:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_opaque_tokens_serve_like_others() {
    let opaque = IdentityProvider::builder().opaque().life(seconds(3));
    let stage = Stage::start(opaque).await;
    let client = stage.client("app");
    let traffic = Traffic::start(&client).await;
    stage.provider.wait_for_issued(4).await;
    traffic.were_hits().await;
    assert_eq!(client.token().user.as_deref(), Some("default"));
    assert_eq!(client.token().failures, 0);
    client.was_gentle();
}
