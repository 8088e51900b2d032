//! Why a credential gave no token.
//!
//! The one rule: **a message is made from parts whose meaning is known** (a status, a code, a description), and
//! goes through [`redact`](super::redact) before anybody sees it. Bodies and parsers' errors are not
//! repeated, because a body may be a token.

use std::{borrow::Cow, error::Error as StdError, fmt, io, time::Duration};

use azure_core::{
    error::ErrorKind as AzureKind,
    http::headers::{HeaderName, Headers, RETRY_AFTER, RETRY_AFTER_MS, X_MS_RETRY_AFTER_MS},
    time::{OffsetDateTime, parse_rfc7231},
};
use serde_json::Value;

use crate::error::ErrorKind;

/// Why one credential gave no token.
///
/// It travels inside errors of `azure_core`, whose messages show nothing of it.
#[derive(Clone)]
pub(super) struct TokenFailure {
    pub(super) kind: ErrorKind,
    pub(super) text: Cow<'static, str>,
    /// How long the provider asks to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// Whether the reason stays until somebody mends it: a wrong secret, nobody logged in.
    pub(super) is_lasting: bool,
}

impl TokenFailure {
    pub(super) fn new(kind: ErrorKind, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            text: text.into(),
            retry_after: None,
            is_lasting: kind == ErrorKind::Identity,
        }
    }

    /// The provider, or a tool, said no.
    pub(super) fn refused(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Identity, text)
    }

    /// The provider's answer is a success, and holds something else than a token.
    pub(super) fn garbage() -> Self {
        Self::new(ErrorKind::Decode, "the answer is not a token")
    }

    /// The provider answered with a status that is no success.
    pub(super) fn answered(status: u16, headers: &Headers, body: &[u8]) -> Self {
        let said = serde_json::from_slice(body)
            .ok()
            .and_then(|body: Value| description(&body));
        Self {
            kind: ErrorKind::Identity,
            text: match said {
                Some(said) => format!("status {status}: {said}").into(),
                None => format!("status {status}").into(),
            },
            retry_after: retry_after(headers),
            // 408, the provider's own time limit, and 429, too many requests, pass by themselves (RFC 9110 §15.5.9,
            // RFC 6585 §4).
            is_lasting: (400..500).contains(&status) && !matches!(status, 408 | 429),
        }
    }

    /// The failure in a credential's error, or one made of an error that holds none.
    pub(super) fn of(error: &azure_core::Error) -> Self {
        causes(error)
            .find_map(known)
            .unwrap_or_else(|| Self::told(error))
    }

    /// An error without known parts, in its own words and those of its deepest cause.
    fn told(error: &azure_core::Error) -> Self {
        // The SDK's credentials wrap whatever happened in an error of their own kind.
        let kind = causes(error)
            .filter_map(|cause| cause.downcast_ref::<azure_core::Error>())
            .find_map(|cause| match cause.kind() {
                AzureKind::Connection | AzureKind::Io => Some(ErrorKind::Connect),
                AzureKind::DataConversion => Some(ErrorKind::Decode),
                _ => None,
            })
            .unwrap_or(ErrorKind::Identity);
        let words = error.to_string();
        let deepest = causes(error).last().map(ToString::to_string);
        let text = match deepest {
            Some(deepest) if !words.contains(&deepest) => {
                let line = words.lines().next().unwrap_or_default();
                format!("{line}: {deepest}")
            }
            _ => words,
        };
        Self::new(kind, text)
    }
}

// Without the text, because the SDK logs its errors with what they hold.
impl fmt::Debug for TokenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFailure")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for TokenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl StdError for TokenFailure {}

/// The error, its cause, the cause of that, and so on.
pub(super) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // `io::Error::source` is the cause of what the error holds, so that itself would be passed over.
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(content) => Some(content as _),
            None => error.source(),
        }
    })
}

fn known(error: &(dyn StdError + 'static)) -> Option<TokenFailure> {
    if let Some(failure) = error.downcast_ref::<TokenFailure>() {
        return Some(failure.clone());
    }
    // A parser's message may quote what it read.
    if error.is::<serde_json::Error>() {
        return Some(TokenFailure::garbage());
    }
    match error.downcast_ref::<azure_core::Error>()?.kind() {
        AzureKind::HttpResponse {
            status,
            raw_response: Some(answer),
            ..
        } => Some(TokenFailure::answered(
            u16::from(*status),
            answer.headers(),
            answer.body(),
        )),
        AzureKind::HttpResponse { status, .. } => Some(TokenFailure::answered(
            u16::from(*status),
            &Headers::new(),
            &[],
        )),
        _ => None,
    }
}

/// What a provider says in words: Entra and the metadata service in `error_description`, App Service in
/// `message`, the front of either in `error.message`.
fn description(body: &Value) -> Option<String> {
    [
        "/error_description",
        "/message",
        "/Message",
        "/error/message",
        "/error",
    ]
    .into_iter()
    .filter_map(|place| body.pointer(place)?.as_str())
    // The numbers that Entra adds for its support are long, and new each time.
    .map(|text| text.split("Trace ID:").next().unwrap_or_default().trim())
    .find(|text| !text.is_empty())
    .map(str::to_owned)
}

/// How long to wait, as the first of these headers that can be read says: the SDKs' order.
fn retry_after(headers: &Headers) -> Option<Duration> {
    let text = |name: HeaderName| headers.get_optional_str(&name).map(str::trim);
    let millis = |name| text(name)?.parse().ok().map(Duration::from_millis);
    millis(X_MS_RETRY_AFTER_MS)
        .or_else(|| millis(RETRY_AFTER_MS))
        .or_else(|| {
            let value = text(RETRY_AFTER)?;
            if let Ok(seconds) = value.parse() {
                return Some(Duration::from_secs(seconds));
            }
            let until = parse_rfc7231(value).ok()? - OffsetDateTime::now_utc();
            // A time that is past asks for no pause.
            Some(Duration::try_from(until).unwrap_or(Duration::ZERO))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, String)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in pairs {
            headers.insert(HeaderName::from_static(name), value.clone());
        }
        headers
    }

    fn answered(body: &str) -> String {
        TokenFailure::answered(400, &Headers::new(), body.as_bytes())
            .text
            .into_owned()
    }

    #[test]
    fn a_providers_words_are_found_in_every_form() {
        for (body, text) in [
            (
                r#"{"error":"invalid_client","error_description":"AADSTS7000215: no.\r\nTrace ID: 1"}"#,
                "status 400: AADSTS7000215: no.",
            ),
            (r#"{"statusCode":400,"message":"none"}"#, "status 400: none"),
            (r#"{"StatusCode":400,"Message":"none"}"#, "status 400: none"),
            (
                r#"{"error":{"code":"x","message":"none"}}"#,
                "status 400: none",
            ),
            (
                r#"{"error":"invalid_request","error_description":""}"#,
                "status 400: invalid_request",
            ),
            (r#"{"access_token":"secret"}"#, "status 400"),
            ("<html>secret</html>", "status 400"),
            ("", "status 400"),
        ] {
            assert_eq!(answered(body), text);
        }
    }

    #[test]
    fn a_pause_that_is_asked_for_is_read_in_every_form() {
        let read = |pairs: &[(&'static str, String)]| retry_after(&headers(pairs));
        assert_eq!(read(&[]), None);
        assert_eq!(
            read(&[("retry-after", "7".into())]),
            Some(Duration::from_secs(7))
        );
        assert_eq!(read(&[("retry-after", "-7".into())]), None);
        assert_eq!(read(&[("retry-after", "soon".into())]), None);
        assert_eq!(
            read(&[
                ("retry-after-ms", "250".into()),
                ("retry-after", "7".into())
            ]),
            Some(Duration::from_millis(250))
        );
        assert_eq!(
            read(&[
                ("x-ms-retry-after-ms", "1".into()),
                ("retry-after-ms", "250".into())
            ]),
            Some(Duration::from_millis(1))
        );
        assert_eq!(
            read(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT".into())]),
            Some(Duration::ZERO)
        );
        let later = OffsetDateTime::now_utc() + Duration::from_secs(3600);
        let pause = read(&[("retry-after", azure_core::time::to_rfc7231(&later))]).expect("a date");
        assert!(pause > Duration::from_secs(3000) && pause <= Duration::from_secs(3600));
    }

    #[test]
    fn a_failure_is_found_however_deep_it_lies() {
        let failure = || TokenFailure::new(ErrorKind::Connect, "nobody is there");
        let wire = azure_core::Error::with_error(AzureKind::Other, failure(), "no answer");
        let wrapped = azure_core::Error::with_error(AzureKind::Credential, wire, "it failed");
        let tool = azure_core::Error::with_error(
            AzureKind::Credential,
            io::Error::other(failure()),
            "it failed",
        );
        for error in [wrapped, tool] {
            let found = TokenFailure::of(&error);
            assert_eq!(found.kind, ErrorKind::Connect);
            assert_eq!(found.text, "nobody is there");
            assert!(
                !format!("{error} {error:?}").contains("nobody"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_parser_is_not_quoted() {
        let parsed = serde_json::from_str::<u32>(r#""s3cr3t""#).expect_err("a string");
        assert!(parsed.to_string().contains("s3cr3t"));
        let found = TokenFailure::of(&azure_core::Error::from(parsed));
        assert_eq!(found.kind, ErrorKind::Decode);
        assert_eq!(found.text, "the answer is not a token");
    }

    #[test]
    fn anybodys_error_keeps_its_words_and_its_deepest_cause() {
        let error = azure_core::Error::with_error(
            AzureKind::Io,
            io::Error::new(io::ErrorKind::ConnectionRefused, "refused"),
            "no answer\nsee there",
        );
        let found = TokenFailure::of(&error);
        assert_eq!(found.kind, ErrorKind::Connect);
        assert_eq!(found.text, "no answer: refused");
        let error = azure_core::Error::with_message(AzureKind::Credential, "not logged in");
        assert_eq!(TokenFailure::of(&error).text, "not logged in");
    }

    #[test]
    fn an_answer_in_anybodys_error_is_read() {
        let answer = azure_core::http::RawResponse::from_bytes(
            429.into(),
            headers(&[("retry-after", "9".into())]),
            r#"{"error_description":"slow down"}"#,
        );
        let error = azure_core::Error::new(
            AzureKind::HttpResponse {
                status: 429.into(),
                error_code: None,
                raw_response: Some(Box::new(answer)),
            },
            "the body is secret",
        );
        let error = azure_core::Error::with_error(AzureKind::Credential, error, "it failed");
        let found = TokenFailure::of(&error);
        assert_eq!(found.text, "status 429: slow down");
        assert_eq!(found.retry_after, Some(Duration::from_secs(9)));
    }
}
