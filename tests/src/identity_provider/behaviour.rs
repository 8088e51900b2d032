//! How the provider behaves, towards whom: what is said of one identity goes before what is said of a
//! means, and that before what is said of all.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

/// By which means a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The managed identity of an App Service, over http.
    ManagedIdentity,
    /// A service principal with a client secret.
    ClientSecret,
    /// A service principal with a client certificate.
    ClientCertificate,
    /// A service principal with the token of a Kubernetes service account.
    WorkloadIdentity,
    /// The stand-in `az`.
    AzureCli,
    /// The stand-in `azd`.
    AzureDeveloperCli,
}

/// An HTTP answer in place of a token; a tool prints its body as an error.
#[derive(Debug, Clone)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Reply {
    /// An answer with this status and no body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// An error as Entra ID tells it: `entra(401, "invalid_client", 7_000_215, "Invalid client secret provided.")`.
    #[must_use]
    pub fn entra(status: u16, error: &str, code: u32, text: &str) -> Self {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        Self::json(
            status,
            &serde_json::json!({
                "error": error,
                "error_description": format!(
                    "AADSTS{code}: {text} Trace ID: {} Correlation ID: {} Timestamp: {now}",
                    guid(fastrand::u128(..)),
                    guid(fastrand::u128(..)),
                ),
                "error_codes": [code],
                "timestamp": now,
            }),
        )
    }

    pub(super) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::status(status)
            .header("Content-Type", "application/json; charset=utf-8")
            .body(&body.to_string())
    }

    /// Adds a header: `header("Retry-After", "1")`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }
}

/// Bits in the form of a GUID.
pub(super) fn guid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

/// Towards whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Whom {
    All,
    Source(Source),
    Identity(Option<String>),
}

/// What is wrong with the provider.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    Nothing,
    Hang,
    Refuse,
    Garbage,
    RepeatToken,
    IssueExpired,
    Answer { reply: Reply, times: Option<u64> },
}

/// What was said of somebody.
#[derive(Debug, Clone, Default)]
pub(super) struct Manners {
    pub(super) life: Option<Duration>,
    pub(super) oid: Option<Option<String>>,
    pub(super) opaque: Option<bool>,
    pub(super) slow: Option<Duration>,
    pub(super) fault: Option<Fault>,
}

/// How one request is to be answered.
#[derive(Debug)]
pub(super) struct Behaviour {
    pub(super) life: Duration,
    /// The claim; none where nothing was said of it.
    pub(super) oid: Option<Option<String>>,
    pub(super) opaque: bool,
    pub(super) slow: Duration,
    pub(super) fault: Fault,
}

/// What was said of all.
#[derive(Debug, Default)]
pub(super) struct Behaviours(HashMap<Whom, Manners>);

impl Behaviours {
    pub(super) fn of(&mut self, whom: &Whom) -> &mut Manners {
        self.0.entry(whom.clone()).or_default()
    }

    /// Ends what is wrong for somebody; for all, it ends whatever is wrong for anybody.
    pub(super) fn end_faults(&mut self, whom: &Whom) {
        if *whom == Whom::All {
            for manners in self.0.values_mut() {
                (manners.slow, manners.fault) = (None, None);
            }
        } else {
            let manners = self.of(whom);
            (manners.slow, manners.fault) = (Some(Duration::ZERO), Some(Fault::Nothing));
        }
    }

    /// How a request of one of these is to be answered, the first going before the others.
    pub(super) fn take(&mut self, whoms: &[Whom]) -> Behaviour {
        let fault = whoms.iter().find_map(|whom| {
            let fault = &mut self.0.get_mut(whom)?.fault;
            let taken = fault.clone()?;
            if let Some(Fault::Answer {
                times: Some(times), ..
            }) = fault
            {
                *times -= 1;
                if *times == 0 {
                    *fault = None;
                }
            }
            Some(taken)
        });
        let said: Vec<&Manners> = whoms.iter().filter_map(|whom| self.0.get(whom)).collect();
        Behaviour {
            life: said
                .iter()
                .find_map(|m| m.life)
                .unwrap_or(Duration::from_secs(3_600)),
            oid: said.iter().find_map(|m| m.oid.clone()),
            opaque: said.iter().find_map(|m| m.opaque).unwrap_or(false),
            slow: said.iter().find_map(|m| m.slow).unwrap_or_default(),
            fault: fault.unwrap_or(Fault::Nothing),
        }
    }
}
