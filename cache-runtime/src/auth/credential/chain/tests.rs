use std::{
    future::pending,
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use azure_core::{
    credentials::{AccessToken, TokenCredential, TokenRequestOptions},
    error::ErrorKind as AzureKind,
    time::OffsetDateTime,
};

use super::*;

type Answer = fn() -> azure_core::Result<AccessToken>;

/// A credential that answers as it is told.
#[derive(Debug)]
struct Fake {
    /// `None` never answers.
    answer: Option<Answer>,
    asked: AtomicUsize,
}

impl Fake {
    fn new(answer: impl Into<Option<Answer>>) -> Arc<Self> {
        Arc::new(Self {
            answer: answer.into(),
            asked: AtomicUsize::new(0),
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait::async_trait]
impl TokenCredential for Fake {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        assert_eq!(scopes, ["a scope"]);
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.answer {
            Some(answer) => answer(),
            None => pending().await,
        }
    }
}

const EXPIRES: i64 = 1_700_000_000;

fn serves() -> azure_core::Result<AccessToken> {
    let expires = OffsetDateTime::from_unix_timestamp(EXPIRES).expect("a moment");
    Ok(AccessToken::new("a token", expires))
}

fn empty() -> azure_core::Result<AccessToken> {
    Ok(AccessToken::new("", OffsetDateTime::now_utc()))
}

fn refuses() -> azure_core::Result<AccessToken> {
    let text = "not s3cr3t, nor eyJhbGciOiJSUzI1NiJ9.e30.c2ln\nsee there";
    Err(azure_core::Error::with_message(AzureKind::Credential, text))
}

fn asks_for_a_pause() -> azure_core::Result<AccessToken> {
    let failure = TokenFailure {
        retry_after: Some(Duration::from_secs(7)),
        ..TokenFailure::refused("slow down")
    };
    Err(azure_core::Error::new(AzureKind::Other, failure))
}

fn is_unreachable() -> azure_core::Result<AccessToken> {
    let error = io::Error::from(io::ErrorKind::ConnectionRefused);
    Err(azure_core::Error::with_error(
        AzureKind::Connection,
        error,
        "no answer",
    ))
}

fn panics() -> azure_core::Result<AccessToken> {
    panic!("a panic of the test's")
}

fn chain(
    sources: impl IntoIterator<Item = (&'static str, Result<Arc<Fake>, &'static str>)>,
) -> CredentialChain {
    let candidates = sources
        .into_iter()
        .map(|(name, source)| Candidate {
            name,
            source: match source {
                Ok(fake) => Ok(CredentialSource::Own(OwnCredential::from(
                    fake as Arc<dyn TokenCredential>,
                ))),
                Err(why) => Err(why.to_owned()),
            },
        })
        .collect();
    let secrets = vec![Secret::new("s3cr3t")];
    CredentialChain::new(
        Plan {
            candidates,
            secrets,
        },
        "a scope".to_owned(),
    )
}

async fn denied_by(answer: impl Into<Option<Answer>>) -> TokenDenial {
    let mut credentials = chain([("first", Ok(Fake::new(answer)))]);
    credentials.token().await.expect_err("no token")
}

#[tokio::test]
async fn the_first_that_serves_is_asked_alone_from_then_on() {
    let fakes = [
        Fake::new(refuses as Answer),
        Fake::new(serves as Answer),
        Fake::new(serves as Answer),
    ];
    let [first, second, third] = &fakes;
    let mut credentials = chain([
        ("zeroth", Err("nothing is set")),
        ("first", Ok(Arc::clone(first))),
        ("second", Ok(Arc::clone(second))),
        ("third", Ok(Arc::clone(third))),
    ]);
    assert_eq!(credentials.name(), None);
    for _ in 0..3 {
        let granted = credentials.token().await.expect("a token");
        assert_eq!(granted.token.expose(), "a token");
        let expires = Duration::from_secs(EXPIRES.unsigned_abs());
        assert_eq!(granted.expires, SystemTime::UNIX_EPOCH + expires);
        assert_eq!(credentials.name(), Some("second"));
    }
    assert_eq!([first.asked(), second.asked(), third.asked()], [1, 3, 0]);
}

#[tokio::test]
async fn if_none_serves_one_error_lists_them_all_and_all_are_asked_again() {
    let fakes = [
        Fake::new(refuses as Answer),
        Fake::new(asks_for_a_pause as Answer),
    ];
    let mut credentials = chain([
        ("zeroth", Err("A_VARIABLE is not set")),
        ("first", Ok(Arc::clone(&fakes[0]))),
        ("second", Ok(Arc::clone(&fakes[1]))),
    ]);
    for _ in 0..2 {
        let denied = credentials.token().await.expect_err("no token");
        assert_eq!(
            denied.error.to_string(),
            "no Entra ID credential gave a token: zeroth: A_VARIABLE is not set; \
             first: not <redacted>, nor <redacted>; second: slow down; if this is no cache of Azure's, \
             set `REDIS_AUTH=none` or `REDIS_PASSWORD`, or say with `REDIS_URL` where it is"
        );
        assert_eq!(denied.error.kind(), ErrorKind::Identity);
        assert_eq!(denied.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(credentials.name(), None);
    }
    assert_eq!([fakes[0].asked(), fakes[1].asked()], [2, 2]);
}

#[tokio::test]
async fn the_only_one_that_was_tried_gives_the_error_its_kind() {
    let mut credentials = chain([
        ("zeroth", Err("A_VARIABLE is not set")),
        ("first", Ok(Fake::new(is_unreachable as Answer))),
    ]);
    let denied = credentials.token().await.expect_err("no token");
    assert_eq!(denied.error.kind(), ErrorKind::Connect);
    let denied = denied_by(empty as Answer).await;
    assert_eq!(denied.error.kind(), ErrorKind::Decode);
    assert_eq!(
        denied.error.to_string(),
        "no token from first: the answer is not a token"
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_answer_does_not_stall_the_rest() {
    let start = tokio::time::Instant::now();
    let mut credentials = chain([
        ("first", Ok(Fake::new(None))),
        ("second", Ok(Fake::new(serves as Answer))),
    ]);
    assert!(credentials.token().await.is_ok());
    assert_eq!(start.elapsed().as_secs(), ATTEMPT.as_secs());

    let denied = denied_by(None).await;
    assert_eq!(denied.error.kind(), ErrorKind::Timeout);
    assert_eq!(
        denied.error.to_string(),
        "no token from first: no answer within 10 s"
    );
}

#[tokio::test]
async fn one_that_panics_is_one_that_gave_no_token() {
    let denied = denied_by(panics as Answer).await;
    assert_eq!(denied.error.kind(), ErrorKind::Identity);
    assert_eq!(denied.error.to_string(), "no token from first: it panicked");
}

#[tokio::test]
async fn nothing_of_a_users_credential_is_shown() {
    let fake = Fake::new(serves as Answer);
    let own = OwnCredential::from(Arc::clone(&fake) as Arc<dyn TokenCredential>);
    assert_eq!(own, own.clone());
    assert_ne!(
        own,
        OwnCredential::from(Fake::new(serves as Answer) as Arc<dyn TokenCredential>)
    );
    assert_eq!(format!("{own:?}"), "OwnCredential(..)");
    let mut credentials = CredentialChain::own(own, "a scope".to_owned());
    let granted = credentials.token().await.expect("a token");
    assert_eq!(credentials.name(), Some("TokenCredential"));
    let shown = format!("{credentials:?} {granted:?}");
    assert!(
        !shown.contains("a token") && !shown.contains("Fake"),
        "{shown}"
    );
}
