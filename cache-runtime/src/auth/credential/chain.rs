//! The credentials that may give a token.
//!
//! The one rule: **the credentials are asked in order until one gives a token, and from then on that one
//! alone.** Each attempt is bounded in time, so that none stalls the rest. No attempt is repeated here, because the
//! schedule says when to ask again.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::FutureExt as _;

use super::{
    failure::TokenFailure,
    maker::Maker,
    own::OwnCredential,
    plan::{Candidate, CredentialSource, IdentityEndpoint, Plan},
    redact::harmless,
};
use crate::{
    auth::secret::Secret,
    error::{Error, ErrorKind},
};

/// How long one credential may take. Entra answers within a second; `az` takes several to start, and the SDKs
/// give it these ten.
const ATTEMPT: Duration = Duration::from_secs(10);

/// A token as the provider gave it.
#[derive(Debug)]
pub(crate) struct TokenGrant {
    pub(crate) token: Secret,
    pub(crate) expires: SystemTime,
}

/// Why the provider gave no token.
#[derive(Debug)]
pub(crate) struct TokenDenial {
    pub(crate) error: Error,
    /// How long the provider asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// Whether the reason stays until somebody mends it: a wrong secret, nobody logged in.
    pub(crate) is_lasting: bool,
}

/// The chain of credentials, or the user's own.
#[derive(Clone)]
pub(crate) struct CredentialChain {
    scope: String,
    plan: Arc<Plan>,
    /// Each clone has one of its own, because a clone may wait for a runtime that nobody drives any more.
    maker: Maker,
    /// The place in the plan of the credential that gave a token.
    kept: Option<usize>,
}

impl CredentialChain {
    /// The chain that the process environment means. Reads variables, and asks nobody.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if `AZURE_TOKEN_CREDENTIALS` names no credential, or if a variable is not
    /// UTF-8.
    pub(crate) fn from_environment(scope: String) -> Result<Self, Error> {
        Plan::from_environment(&|name| std::env::var_os(name)).map(|plan| Self::new(plan, scope))
    }

    /// The user's credential, alone.
    pub(crate) fn own(credential: OwnCredential, scope: String) -> Self {
        Self::new(Plan::own(credential), scope)
    }

    fn new(plan: Plan, scope: String) -> Self {
        Self {
            scope,
            plan: Arc::new(plan),
            maker: Maker::default(),
            kept: None,
        }
    }

    /// The credential in use, for people: its type's name in the SDKs; `None` until one has served.
    pub(crate) fn name(&self) -> Option<&'static str> {
        self.kept.map(|kept| self.plan.candidates[kept].name)
    }

    /// Asks for a token, each credential at most once.
    ///
    /// The chain's own credentials ask the provider every time; a user's may answer what it keeps.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the request, or the tool, that it waits for; nothing is lost.
    pub(crate) async fn token(&mut self) -> Result<TokenGrant, TokenDenial> {
        let mut attempts = Vec::new();
        let places = match self.kept {
            Some(kept) => kept..kept + 1,
            None => 0..self.plan.candidates.len(),
        };
        for place in places {
            let Candidate { name, source } = &self.plan.candidates[place];
            let (was_tried, answer) = match source {
                Ok(source) => (true, self.ask(source).await),
                Err(why) => (false, Err(TokenFailure::refused(why.clone()))),
            };
            match answer {
                Ok(granted) => {
                    if self.kept.is_none() {
                        let in_vain: Vec<_> =
                            attempts.iter().map(|one: &Attempt| one.name).collect();
                        tracing::info!(
                            credential = name,
                            ?in_vain,
                            "an Entra ID credential serves"
                        );
                        self.kept = Some(place);
                    }
                    return Ok(granted);
                }
                Err(failure) => {
                    tracing::debug!(credential = name, why = %failure.text, "no Entra ID token");
                    attempts.push(Attempt {
                        name,
                        was_tried,
                        failure,
                    });
                }
            }
        }
        Err(denied(attempts))
    }

    /// Asks one credential. The failure's text has no secrets.
    async fn ask(&self, source: &CredentialSource) -> Result<TokenGrant, TokenFailure> {
        let mut sent = None;
        let attempt = async {
            let made = self.maker.make(source).await?;
            sent = made.secret;
            let token = made.credential.get_token(&[&self.scope], None).await;
            let token = token.map_err(|error| TokenFailure::of(&error))?;
            // The SDK reads Entra's answers leniently: an answer without a token becomes an empty token.
            if token.token.secret().is_empty() {
                return Err(TokenFailure::garbage());
            }
            Ok(TokenGrant {
                token: Secret::new(token.token.secret()),
                expires: token.expires_on.into(),
            })
        };
        // A user's credential may panic, and so may the conversion of a time that is out of range.
        let attempt = AssertUnwindSafe(attempt).catch_unwind();
        let answer = match tokio::time::timeout(ATTEMPT, attempt).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(TokenFailure::refused("it panicked")),
            Err(_) => Err(TokenFailure::new(
                ErrorKind::Timeout,
                format!("no answer within {} s", ATTEMPT.as_secs()),
            )),
        };
        // If nobody listens at the metadata service's address, this machine is not in Azure, and will not be.
        let elsewhere = |failure: &TokenFailure| {
            let metadata = matches!(
                source,
                CredentialSource::ManagedIdentity {
                    endpoint: IdentityEndpoint::Metadata,
                    ..
                }
            );
            metadata && failure.kind == ErrorKind::Connect
        };
        answer.map_err(|failure| TokenFailure {
            is_lasting: failure.is_lasting || elsewhere(&failure),
            text: harmless(&failure.text, self.plan.secrets.iter().chain(&sent)).into(),
            ..failure
        })
    }
}

impl fmt::Debug for CredentialChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialChain")
            .field("name", &self.name())
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// One credential that gave no token.
struct Attempt {
    name: &'static str,
    /// Whether the credential had its settings, so that it was asked.
    was_tried: bool,
    failure: TokenFailure,
}

/// One error for all of them.
fn denied(attempts: Vec<Attempt>) -> TokenDenial {
    let mut tried = attempts.iter().filter(|attempt| attempt.was_tried);
    let kind = match (tried.next(), tried.next()) {
        (Some(only), None) => only.failure.kind,
        _ => ErrorKind::Identity,
    };
    let is_lasting = attempts
        .iter()
        .all(|attempt| attempt.failure.is_lasting || !attempt.was_tried);
    let said: Vec<_> = attempts
        .iter()
        .map(|Attempt { name, failure, .. }| format!("{name}: {}", failure.text))
        .collect();
    let message = match &attempts[..] {
        [Attempt { name, failure, .. }] => format!("no token from {name}: {}", failure.text),
        // A user who named one credential means Azure; the whole chain may be asked for a server that is not there.
        _ => format!(
            "no Entra ID credential gave a token: {}; if this is no cache of Azure's, set `REDIS_AUTH=none` or `REDIS_PASSWORD`, \
             or say with `REDIS_URL` where it is",
            said.join("; ")
        ),
    };
    TokenDenial {
        error: Error::new(kind, message),
        is_lasting,
        // The chain is asked as a whole, so the longest pause counts.
        retry_after: attempts
            .iter()
            .filter_map(|attempt| attempt.failure.retry_after)
            .max(),
    }
}

#[cfg(test)]
mod tests;
