//! Waiting, and logs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cache_tests::{Logs, assert_never_holds, eventually, wait::SOON, within};

#[tokio::test]
async fn a_condition_is_polled_until_it_holds() {
    let calls = AtomicUsize::new(0);
    eventually("three calls", SOON, async || {
        calls.fetch_add(1, Ordering::SeqCst) == 2
    })
    .await;
    assert_eq!(calls.into_inner(), 3);
}

#[tokio::test]
#[should_panic(expected = "in vain: the moon")]
async fn a_condition_that_never_holds_says_what_was_missing() {
    eventually("the moon", Duration::from_millis(20), async || false).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "in vain: for ever")]
async fn a_bound_is_real_time_also_with_a_paused_clock() {
    let begin = Instant::now();
    within(
        "two virtual hours",
        SOON,
        tokio::time::sleep(Duration::from_secs(7_200)),
    )
    .await;
    assert!(begin.elapsed() < SOON);
    within(
        "for ever",
        Duration::from_millis(20),
        std::future::pending::<()>(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_works_on_any_task() {
    let wait = async { eventually("nothing", SOON, async || true).await };
    tokio::spawn(wait).await.unwrap();
}

#[test]
fn this_thread_s_lines_are_captured_at_every_level_and_with_their_spans() {
    let (logs, _guard) = Logs::of_this_thread();
    let span = tracing::info_span!("outer", user = "span-field");
    span.in_scope(|| tracing::trace!(answer = 42, "inside"));
    tracing::error!("outside");
    std::thread::spawn(|| tracing::error!("elsewhere"))
        .join()
        .unwrap();
    assert!(
        logs.lines_with("inside")[0].contains("span-field"),
        "{}",
        logs.text()
    );
    assert_eq!(logs.lines_with("answer=42").len(), 1);
    assert_eq!(logs.lines_with("outside").len(), 1);
    assert!(logs.lines_with("elsewhere").is_empty());
}

#[test]
fn every_thread_s_lines_are_captured_globally() {
    use cache_tests::{Child, child};
    // A process has one global subscriber: the other tests keep theirs.
    if child::role().is_none() {
        Child::of_test("waits::every_thread_s_lines_are_captured_globally")
            .run()
            .assert_passed();
        return;
    }
    let logs = Logs::global();
    std::thread::spawn(|| tracing::trace!("elsewhere"))
        .join()
        .unwrap();
    assert_eq!(logs.lines_with("elsewhere").len(), 1);
    assert_eq!(Logs::global().lines_with("elsewhere").len(), 1);
}

#[test]
fn a_secret_is_found_in_every_form() {
    let secret = "p@ss\"/ö";
    let leaks = [
        format!("line one\npassword is {secret}\nline three"),
        format!("{:?}", Some(secret)),
        format!("{:?}", secret.as_bytes()),
        "redis://:p%40ss%22%2F%C3%B6@host/".to_owned(),
        url_of(secret),
        secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ];
    for leak in leaks {
        let found = std::panic::catch_unwind(|| assert_never_holds(secret, &leak));
        assert!(found.is_err(), "not found in {leak}");
    }
    assert_never_holds(secret, "p@ss is only a part of it");
    assert!(std::panic::catch_unwind(|| assert_never_holds("", "x")).is_err());
}

fn url_of(password: &str) -> String {
    let mut url = url::Url::parse("redis://host/").unwrap();
    url.set_password(Some(password)).unwrap();
    url.into()
}
