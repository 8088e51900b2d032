//! Which credentials there are to ask, as the environment says it.
//!
//! The one rule: **the order and the variables are those of the Azure SDKs' `DefaultAzureCredential`.** A
//! credential whose variables are missing stays in the list with the reason, because a person who reads
//! "no token" wants to know the reason as well. The environment is a function, so that tests can pass another, and an
//! empty variable counts as one that is not set.

use std::{ffi::OsString, path::PathBuf};

use url::Url;

use super::own::OwnCredential;
use crate::{auth::secret::Secret, error::Error};

/// The variable that narrows the choice, as in every Azure SDK.
const NARROWING: &str = "AZURE_TOKEN_CREDENTIALS";

/// The authority that signs people in unless `AZURE_AUTHORITY_HOST` names another cloud's.
const PUBLIC_CLOUD: &str = "https://login.microsoftonline.com/";

/// What to do about a key with a password.
pub(super) const ENCRYPTED: &str = "an encrypted key cannot be read; \
     decrypt it with `openssl pkcs12 -in FILE -out NEW_FILE -nodes` (from PEM: `openssl pkey -in FILE -out NEW_FILE`)";

/// The credentials to ask, in order, and the secrets that no message may hold.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) candidates: Vec<Candidate>,
    pub(super) secrets: Vec<Secret>,
}

#[derive(Debug)]
pub(super) struct Candidate {
    /// The type's name in the SDKs, which people look for.
    pub(super) name: &'static str,
    /// What the credential needs; or why it cannot be asked.
    pub(super) source: Result<CredentialSource, String>,
}

/// What a credential needs to be made.
#[derive(Debug)]
pub(super) enum CredentialSource {
    ClientSecret {
        principal: Principal,
        secret: Secret,
    },
    ClientCertificate {
        principal: Principal,
        file: PathBuf,
        /// Whether the assertion holds the certificates, for an application that trusts their issuer.
        send_chain: bool,
    },
    WorkloadIdentity {
        principal: Principal,
        file: PathBuf,
    },
    ManagedIdentity {
        /// The client id of a user-assigned identity.
        client: Option<String>,
        endpoint: IdentityEndpoint,
    },
    AzureCli,
    AzureDeveloperCli,
    Own(OwnCredential),
}

/// An application's identity in a tenant.
#[derive(Debug, Clone)]
pub(super) struct Principal {
    pub(super) tenant: String,
    pub(super) client: String,
    pub(super) authority: Url,
}

/// Who answers for managed identities on this machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum IdentityEndpoint {
    /// The one that App Service, Container Apps and Functions name in `IDENTITY_ENDPOINT`.
    Named { has_tls: bool },
    /// The metadata service of virtual machines, whose address is the same everywhere.
    Metadata,
}

/// One kind of credential, in the order of the chain.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Environment,
    WorkloadIdentity,
    ManagedIdentity,
    AzureCli,
    AzureDeveloperCli,
}

impl Kind {
    const PROD: [Self; 3] = [
        Self::Environment,
        Self::WorkloadIdentity,
        Self::ManagedIdentity,
    ];
    const DEV: [Self; 2] = [Self::AzureCli, Self::AzureDeveloperCli];

    fn all() -> impl Iterator<Item = Self> {
        Self::PROD.into_iter().chain(Self::DEV)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Environment => "EnvironmentCredential",
            Self::WorkloadIdentity => "WorkloadIdentityCredential",
            Self::ManagedIdentity => "ManagedIdentityCredential",
            Self::AzureCli => "AzureCliCredential",
            Self::AzureDeveloperCli => "AzureDeveloperCliCredential",
        }
    }

    /// Those that `AZURE_TOKEN_CREDENTIALS` names, in the chain's order.
    fn named(word: &str) -> Option<Vec<Self>> {
        if word.eq_ignore_ascii_case("prod") {
            return Some(Self::PROD.to_vec());
        }
        if word.eq_ignore_ascii_case("dev") {
            return Some(Self::DEV.to_vec());
        }
        let kind = Self::all().find(|kind| word.eq_ignore_ascii_case(kind.name()))?;
        Some(vec![kind])
    }
}

impl Plan {
    /// The plan that the variables mean; `lookup` is `std::env::var_os` outside tests.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if `AZURE_TOKEN_CREDENTIALS` names no credential, or
    /// if a variable is not UTF-8.
    pub(super) fn from_environment(
        lookup: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Error> {
        let environment = AzureVariables::read(lookup)?;
        let kinds = match &environment.narrowing {
            None => Kind::all().collect(),
            Some(word) => Kind::named(word).ok_or_else(|| unknown(word))?,
        };
        let candidates = kinds
            .into_iter()
            .map(|kind| Candidate {
                name: kind.name(),
                source: environment.source(kind),
            })
            .collect();
        Ok(Self {
            candidates,
            secrets: environment.secrets(),
        })
    }

    /// The user's credential, alone.
    pub(super) fn own(credential: OwnCredential) -> Self {
        Self {
            candidates: vec![Candidate {
                name: "TokenCredential",
                source: Ok(CredentialSource::Own(credential)),
            }],
            secrets: Vec::new(),
        }
    }
}

fn unknown(word: &str) -> Error {
    let names: Vec<_> = Kind::all()
        .map(|kind| format!("`{}`", kind.name()))
        .collect();
    // A text that does not look like a name may be a secret in the wrong place.
    let is_name = word.len() <= 40 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is = if is_name {
        format!("is {word:?}, which")
    } else {
        "is something that".to_owned()
    };
    Error::config(format!(
        "`{NARROWING}` {is} is no credential here; write `prod`, `dev`, or one of {}",
        names.join(", ")
    ))
}

/// The variables, as they are set.
struct AzureVariables {
    narrowing: Option<String>,
    tenant: Option<String>,
    client: Option<String>,
    authority: Result<Url, String>,
    client_secret: Option<Secret>,
    certificate: Option<PathBuf>,
    certificate_password: Option<Secret>,
    send_chain: bool,
    federated_token: Option<PathBuf>,
    identity_endpoint: Option<String>,
    identity_header: Option<Secret>,
}

impl AzureVariables {
    fn read(lookup: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let text = |name: &str| {
            set(name)
                .map(OsString::into_string)
                .transpose()
                .map_err(|_| Error::config(format!("`{name}` is not UTF-8; write it in UTF-8")))
        };
        let trimmed = |name: &str| {
            let text = text(name)?.map(|text| text.trim().to_owned());
            Ok::<_, Error>(text.filter(|text| !text.is_empty()))
        };
        let secret = |name: &str| Ok::<_, Error>(text(name)?.map(Secret::new));
        Ok(Self {
            narrowing: trimmed(NARROWING)?,
            tenant: trimmed("AZURE_TENANT_ID")?,
            client: trimmed("AZURE_CLIENT_ID")?,
            authority: authority(trimmed("AZURE_AUTHORITY_HOST")?.as_deref()),
            client_secret: secret("AZURE_CLIENT_SECRET")?,
            certificate: set("AZURE_CLIENT_CERTIFICATE_PATH").map(PathBuf::from),
            certificate_password: secret("AZURE_CLIENT_CERTIFICATE_PASSWORD")?,
            send_chain: trimmed("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN")?
                .is_some_and(|word| word == "1" || word.eq_ignore_ascii_case("true")),
            federated_token: set("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from),
            identity_endpoint: text("IDENTITY_ENDPOINT")?,
            identity_header: secret("IDENTITY_HEADER")?,
        })
    }

    fn secrets(&self) -> Vec<Secret> {
        [
            &self.client_secret,
            &self.certificate_password,
            &self.identity_header,
        ]
        .into_iter()
        .flatten()
        .cloned()
        .collect()
    }

    fn source(&self, kind: Kind) -> Result<CredentialSource, String> {
        match kind {
            Kind::Environment => self.environment(),
            Kind::WorkloadIdentity => self.workload_identity(),
            Kind::ManagedIdentity => Ok(CredentialSource::ManagedIdentity {
                client: self.client.clone(),
                endpoint: self.endpoint(),
            }),
            Kind::AzureCli => Ok(CredentialSource::AzureCli),
            Kind::AzureDeveloperCli => Ok(CredentialSource::AzureDeveloperCli),
        }
    }

    fn environment(&self) -> Result<CredentialSource, String> {
        let proof = (
            "AZURE_CLIENT_SECRET (or AZURE_CLIENT_CERTIFICATE_PATH)",
            self.client_secret.is_some() || self.certificate.is_some(),
        );
        let principal = self.principal(proof)?;
        if let Some(secret) = &self.client_secret {
            return Ok(CredentialSource::ClientSecret {
                principal,
                secret: secret.clone(),
            });
        }
        if self.certificate_password.is_some() {
            return Err(format!(
                "AZURE_CLIENT_CERTIFICATE_PASSWORD is set, but {ENCRYPTED}; unset it as well"
            ));
        }
        Ok(CredentialSource::ClientCertificate {
            principal,
            file: self.certificate.clone().unwrap_or_default(),
            send_chain: self.send_chain,
        })
    }

    fn workload_identity(&self) -> Result<CredentialSource, String> {
        let file = self.federated_token.clone();
        Ok(CredentialSource::WorkloadIdentity {
            principal: self.principal(("AZURE_FEDERATED_TOKEN_FILE", file.is_some()))?,
            file: file.unwrap_or_default(),
        })
    }

    /// The identity, if it is complete. `proof` is the variable that holds what proves it, and whether that is set.
    fn principal(&self, proof: (&str, bool)) -> Result<Principal, String> {
        let (Some(tenant), Some(client), true) = (&self.tenant, &self.client, proof.1) else {
            return Err(not_set(&[
                ("AZURE_TENANT_ID", self.tenant.is_some()),
                ("AZURE_CLIENT_ID", self.client.is_some()),
                proof,
            ]));
        };
        Ok(Principal {
            tenant: tenant.clone(),
            client: client.clone(),
            authority: self.authority.clone()?,
        })
    }

    /// Who answers for managed identities, decided as `azure_identity` decides it. That refuses by itself the hosts that
    /// it does not support (Arc, Cloud Shell).
    fn endpoint(&self) -> IdentityEndpoint {
        match (&self.identity_endpoint, &self.identity_header) {
            (Some(endpoint), Some(_)) => IdentityEndpoint::Named {
                has_tls: endpoint.starts_with("https:"),
            },
            _ => IdentityEndpoint::Metadata,
        }
    }
}

fn not_set(variables: &[(&str, bool)]) -> String {
    let missing: Vec<_> = variables
        .iter()
        .filter(|(_, is_set)| !is_set)
        .map(|(name, _)| *name)
        .collect();
    match &missing[..] {
        [name] => format!("{name} is not set"),
        [names @ .., last] => format!("{} and {last} are not set", names.join(", ")),
        [] => String::new(),
    }
}

fn authority(host: Option<&str>) -> Result<Url, String> {
    Url::parse(host.unwrap_or(PUBLIC_CLOUD))
        .ok()
        .filter(|url| url.scheme() == "https" && url.has_host())
        .ok_or_else(|| "AZURE_AUTHORITY_HOST is no `https://` address".to_owned())
}

#[cfg(test)]
mod tests;
