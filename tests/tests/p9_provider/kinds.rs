//! Each kind of failure: what is counted, what errors say, and that it passes.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use cache_runtime::{Error, ErrorKind};
use cache_tests::identity_provider::{Identities, Reply};
use cache_tests::{IdentityProvider, assert_never_holds, eventually, wait::SOON};

use tokio::task::{JoinSet, LocalSet};

use super::seconds;
use super::stage::{RECOVERY, Stage, Traffic};

struct Kind {
    name: &'static str,
    fault: fn(&Identities),
    kind: ErrorKind,
    words: &'static str,
    /// Whether somebody has to mend it.
    is_lasting: bool,
}

static KINDS: [Kind; 6] = [
    Kind {
        name: "status-400",
        fault: |identity| identity.refuse(),
        kind: ErrorKind::Identity,
        words: "status 400: AADSTS700016: Application with identifier 'status-400' was not found.",
        is_lasting: true,
    },
    Kind {
        name: "status-401",
        fault: |identity| {
            let text = "Invalid client secret provided.";
            identity.answer(Reply::entra(401, "invalid_client", 7_000_215, text));
        },
        kind: ErrorKind::Identity,
        words: "status 401: AADSTS7000215: Invalid client secret provided.",
        is_lasting: true,
    },
    Kind {
        name: "status-429",
        fault: |identity| {
            let text = "Too many requests.";
            identity.answer(Reply::entra(429, "temporarily_unavailable", 90_055, text));
        },
        kind: ErrorKind::Identity,
        words: "status 429: AADSTS90055: Too many requests.",
        is_lasting: false,
    },
    Kind {
        name: "status-500",
        fault: |identity| {
            let text = "A transient error has occurred.";
            identity.answer(Reply::entra(500, "server_error", 90_033, text));
        },
        kind: ErrorKind::Identity,
        words: "status 500: AADSTS90033: A transient error has occurred.",
        is_lasting: false,
    },
    Kind {
        // What a gateway before the provider says.
        name: "no-json",
        fault: |identity| identity.answer(Reply::status(503).body("<html>Service Unavailable")),
        kind: ErrorKind::Decode,
        words: "the answer is not a token",
        is_lasting: false,
    },
    Kind {
        name: "garbage",
        fault: Identities::garbage,
        kind: ErrorKind::Decode,
        words: "the answer is not a token",
        is_lasting: false,
    },
];

/// All that an error says.
fn text(error: &Error) -> String {
    let mut text = format!("{error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn without_secrets(stage: &Stage, text: &str) {
    for secret in stage.provider.secrets() {
        assert_never_holds(&secret, text);
    }
}

/// All at once; the identities are different ones.
async fn for_each_kind<T: Future<Output = ()> + 'static>(test: impl Fn(&'static Kind) -> T) {
    let local = LocalSet::new();
    let mut tests = JoinSet::new();
    for kind in &KINDS {
        tests.spawn_local_on(test(kind), &local);
    }
    local.run_until(tests.join_all()).await;
}

async fn in_a_tokens_life(stage: Arc<Stage>, kind: &'static Kind) {
    let client = stage.client(kind.name);
    let traffic = Traffic::start(&client).await;
    (kind.fault)(&client.identity);
    eventually(kind.name, SOON, async || client.token().failures >= 1).await;
    let token = client.token();
    assert_eq!(token.last_error, Some(kind.kind), "{}", kind.name);
    assert_eq!(token.refreshes, 1, "{}", kind.name);
    // A connection that is made now logs in with it as well.
    let mut connection = client.cache.connection().unwrap();
    let () = redis::cmd("PING")
        .query_async(&mut connection)
        .await
        .unwrap();
    client.identity.well();
    eventually(kind.name, SOON, async || client.token().refreshes == 2).await;
    traffic.were_hits().await;
    client.was_gentle();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_each_kind_of_failure_leaves_the_valid_token_in_use() {
    let stage = Arc::new(Stage::start(IdentityProvider::builder().life(seconds(9))).await);
    for_each_kind(|kind| in_a_tokens_life(stage.clone(), kind)).await;
}

async fn from_the_start(stage: Arc<Stage>, kind: &'static Kind) {
    let client = stage.client(kind.name);
    (kind.fault)(&client.identity);
    assert!(!client.is_hit().await, "{}", kind.name);
    let cache = &client.cache;
    let mut connection = cache.connection().unwrap();
    let set = cache.set_ex("key", &1, Duration::from_secs(60)).await;
    let errors = [
        cache.ping().await.unwrap_err(),
        cache.get::<u64>("key").await.unwrap_err(),
        set.unwrap_err(),
    ];
    for error in errors {
        let said = text(&error);
        assert!(said.contains(kind.words), "{}: {said}", kind.name);
        without_secrets(&stage, &said);
        without_secrets(&stage, &format!("{error:?} {error:#?}"));
    }
    let error = redis::cmd("PING")
        .query_async::<()>(&mut connection)
        .await
        .unwrap_err();
    assert!(error.to_string().contains(kind.words), "{error}");
    without_secrets(&stage, &format!("{error} {error:?}"));
    eventually(kind.name, SOON, async || client.token().failures >= 2).await;
    let token = client.token();
    assert_eq!(token.last_error, Some(kind.kind), "{}", kind.name);
    assert_eq!((token.refreshes, token.user), (0, None), "{}", kind.name);
    client.identity.well();
    // Who is told that its secret is wrong asks less and less often.
    client
        .hits_within(if kind.is_lasting { SOON } else { RECOVERY })
        .await;
    without_secrets(&stage, &format!("{:?} {cache:?}", cache.stats()));
    client.was_gentle();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_each_kind_of_failure_is_told_where_there_is_no_token() {
    let stage = Arc::new(Stage::start(IdentityProvider::builder()).await);
    for_each_kind(|kind| from_the_start(stage.clone(), kind)).await;
}
