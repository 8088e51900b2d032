//! Its faults.

use std::time::{Duration, Instant, SystemTime};

use cache_tests::identity_provider::{Identities, Reply, Source};
use cache_tests::wait::SOON;
use cache_tests::{IdentityProvider, eventually};

use super::tools::{az, stderr};
use super::{ask, ask_token, token};

#[tokio::test]
async fn what_is_said_of_one_goes_before_what_is_said_of_its_means_and_of_all() {
    let provider = IdentityProvider::start();
    let status = async |client_id| ask(&provider, client_id).await.unwrap().0;
    provider.answer(Reply::status(500));
    assert_eq!((status(Some("a")).await, status(None).await), (500, 500));
    provider
        .source(Source::ManagedIdentity)
        .answer(Reply::status(429));
    provider
        .source(Source::ClientSecret)
        .answer(Reply::status(418));
    assert_eq!((status(Some("a")).await, status(None).await), (429, 429));
    provider.identity(Some("a")).well();
    assert_eq!((status(Some("a")).await, status(None).await), (200, 429));
    provider.identity(Some("a")).refuse();
    assert_eq!((status(Some("a")).await, status(None).await), (400, 429));
    provider.well();
    assert_eq!((status(Some("a")).await, status(None).await), (200, 200));
}

#[tokio::test]
async fn an_answer_comes_as_often_as_said_and_with_its_headers() {
    let provider = IdentityProvider::start();
    let busy = Reply::entra(429, "temporarily_unavailable", 90_055, "Too many requests.");
    provider.answer_times(2, busy.header("Retry-After", "7"));
    let credential = provider.credential("app");
    for _ in 0..2 {
        let error = token(&credential).await.unwrap_err();
        assert!(
            error.to_string().contains("AADSTS90055: Too many"),
            "{error}"
        );
    }
    token(&credential).await.unwrap();
    assert_eq!(provider.requests(), 3);

    provider.answer(Reply::status(503).header("Retry-After", "7"));
    let response = provider
        .http_client()
        .get(provider.url_of_managed_identity())
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "7");
}

#[tokio::test]
async fn garbage_is_no_token_and_an_unknown_application_is_told_so() {
    let provider = IdentityProvider::start();
    provider.garbage();
    let error = token(&provider.credential("app")).await.unwrap_err();
    assert!(error.to_string().contains("expected value"), "{error}");
    let (status, answer) = ask(&provider, None).await.unwrap();
    assert!(status == 200 && answer.as_str().unwrap().contains("<html>"));
    provider.refuse();
    let error = token(&provider.credential("app")).await.unwrap_err();
    assert!(error.to_string().contains("AADSTS700016"), "{error}");
    assert_eq!(ask(&provider, None).await.unwrap().0, 400);
    assert!(provider.issued().is_empty());
}

#[tokio::test]
async fn the_same_token_comes_again_and_an_expired_one_at_once() {
    let provider = IdentityProvider::start();
    provider.repeat_token();
    let first = ask_token(&provider, Some("a")).await;
    assert_eq!(ask_token(&provider, Some("a")).await, first);
    let other = ask_token(&provider, Some("b")).await;
    assert_ne!(other, first);
    assert_eq!((provider.requests(), provider.issued().len()), (3, 2));

    provider.issue_expired();
    assert_ne!(ask_token(&provider, Some("a")).await, first);
    let expired = provider.issued().pop().unwrap();
    assert!(expired.expires < SystemTime::now() - Duration::from_secs(3_000));
    let got = token(&provider.credential("app")).await.unwrap();
    assert!(SystemTime::from(got.expires_on) <= SystemTime::now());
}

#[tokio::test]
async fn a_slow_answer_takes_its_time_and_requests_at_once_are_counted() {
    let provider = IdentityProvider::start();
    provider.slow(Duration::from_millis(100));
    let begin = Instant::now();
    ask_token(&provider, None).await;
    assert!(begin.elapsed() >= Duration::from_millis(100));
    assert_eq!((provider.concurrent_max(), provider.in_progress()), (1, 0));

    provider.hang();
    let (a, b) = (provider.identity(Some("a")), provider.identity(Some("b")));
    let asking = async {
        tokio::join!(
            ask(&provider, Some("a")),
            ask(&provider, Some("a")),
            ask(&provider, Some("b"))
        )
    };
    let counted = |all: &Identities| (all.in_progress(), all.concurrent_max());
    tokio::select! {
        answers = asking => panic!("nobody answers a hung request: {answers:?}"),
        () = provider.wait_for_requests(4) => {}
    }
    assert_eq!((counted(&a), counted(&b)), ((2, 2), (1, 1)));
    assert_eq!(provider.concurrent_max(), 3);
    // The clients have gone away.
    eventually("the requests to end", SOON, async || {
        provider.in_progress() == 0
    })
    .await;
    assert_eq!(counted(&a), (0, 2));
}

#[tokio::test]
async fn while_it_is_down_connections_are_refused_and_open_ones_are_cut() {
    let provider = IdentityProvider::start();
    provider.hang();
    let credential = provider.credential("app");
    let cut = tokio::select! {
        answer = async { tokio::join!(ask(&provider, None), token(&credential)) } => answer,
        () = async {
            provider.wait_for_requests(2).await;
            provider.down();
            std::future::pending().await
        } => unreachable!("it is pending for ever"),
    };
    assert!(!cut.0.unwrap_err().is_connect());
    cut.1.unwrap_err();

    provider.well();
    let refused = ask(&provider, None).await.unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
    token(&provider.credential("app")).await.unwrap_err();
    let printed = az(&provider);
    assert!(!printed.status.success() && stderr(&printed).contains("refused"));
    assert_eq!(provider.source(Source::ManagedIdentity).requests(), 1);

    provider.up();
    ask_token(&provider, None).await;
    token(&provider.credential("app")).await.unwrap();
    assert!(az(&provider).status.success());
}
