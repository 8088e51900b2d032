//! Makes Azure's credentials.
//!
//! The one rule: **each credential is made for one request**, because those of azure_identity keep their token
//! until 300 s before it expires, and what they read from files for ever. Only the HTTP clients are kept, because the
//! system's certificates take long to read. Files are read on a thread that may block.

use std::sync::Arc;

use azure_core::{
    cloud::{CloudConfiguration, CustomConfiguration},
    credentials::TokenCredential,
    http::{ClientOptions, RetryOptions, Transport},
};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, AzureDeveloperCliCredential,
    AzureDeveloperCliCredentialOptions, ClientAssertionCredential,
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
};
use tokio::sync::OnceCell;

use super::{
    assertion::Assertion,
    failure::TokenFailure,
    plan::{CredentialSource, Principal},
    tool::Tool,
    wire::Wire,
};
use crate::auth::secret::Secret;

/// A credential for one request.
pub(super) struct MadeCredential {
    pub(super) credential: Arc<dyn TokenCredential>,
    /// What the credential will send, if that is a secret which the plan does not know; no message may hold it.
    pub(super) secret: Option<Secret>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Maker {
    entra: OnceCell<Wire>,
    managed_identity: OnceCell<Wire>,
}

impl Maker {
    pub(super) async fn make(
        &self,
        source: &CredentialSource,
    ) -> Result<MadeCredential, TokenFailure> {
        let plain = |credential| MadeCredential {
            credential,
            secret: None,
        };
        Ok(match source {
            CredentialSource::Own(own) => plain(own.get()),
            CredentialSource::ClientSecret { principal, secret } => plain(
                ClientSecretCredential::new(
                    &principal.tenant,
                    principal.client.clone(),
                    secret.expose().to_owned().into(),
                    Some(ClientSecretCredentialOptions {
                        client_options: self.entra(principal).await?,
                    }),
                )
                .map_err(refusal)?,
            ),
            CredentialSource::ClientCertificate {
                principal,
                file,
                send_chain,
            } => {
                let (file, send_chain, of) = (file.clone(), *send_chain, principal.clone());
                let signed = move || Assertion::from_certificate_file(&file, send_chain, &of);
                self.asserted(principal, signed).await?
            }
            CredentialSource::WorkloadIdentity { principal, file } => {
                let file = file.clone();
                self.asserted(principal, move || Assertion::from_token_file(&file))
                    .await?
            }
            CredentialSource::ManagedIdentity { client, endpoint } => {
                let endpoint = *endpoint;
                let wire = self
                    .managed_identity
                    .get_or_try_init(|| blocking(move || Wire::to_managed_identity(endpoint)))
                    .await?;
                plain(
                    ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                        user_assigned_id: client.clone().map(UserAssignedId::ClientId),
                        client_options: options(wire),
                    }))
                    .map_err(refusal)?,
                )
            }
            CredentialSource::AzureCli => plain(
                AzureCliCredential::new(Some(AzureCliCredentialOptions {
                    executor: Some(Arc::new(Tool("az"))),
                    ..Default::default()
                }))
                .map_err(refusal)?,
            ),
            CredentialSource::AzureDeveloperCli => plain(
                AzureDeveloperCliCredential::new(Some(AzureDeveloperCliCredentialOptions {
                    executor: Some(Arc::new(Tool("azd"))),
                    ..Default::default()
                }))
                .map_err(refusal)?,
            ),
        })
    }

    async fn asserted(
        &self,
        principal: &Principal,
        read: impl FnOnce() -> Result<Assertion, String> + Send + 'static,
    ) -> Result<MadeCredential, TokenFailure> {
        let assertion = blocking(move || read().map_err(TokenFailure::refused)).await?;
        let secret = assertion.secret().clone();
        let credential = ClientAssertionCredential::new(
            principal.tenant.clone(),
            principal.client.clone(),
            assertion,
            Some(ClientAssertionCredentialOptions {
                client_options: self.entra(principal).await?,
            }),
        )
        .map_err(refusal)?;
        Ok(MadeCredential {
            credential,
            secret: Some(secret),
        })
    }

    async fn entra(&self, principal: &Principal) -> Result<ClientOptions, TokenFailure> {
        let wire = self
            .entra
            .get_or_try_init(|| blocking(Wire::to_entra))
            .await?;
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = principal.authority.to_string();
        Ok(ClientOptions {
            cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
            ..options(wire)
        })
    }
}

fn options(wire: &Wire) -> ClientOptions {
    ClientOptions {
        transport: Some(Transport::new(Arc::new(wire.clone()))),
        retry: RetryOptions::none(),
        ..Default::default()
    }
}

fn refusal(error: azure_core::Error) -> TokenFailure {
    TokenFailure::of(&error)
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, TokenFailure> + Send + 'static,
) -> Result<T, TokenFailure> {
    match tokio::task::spawn_blocking(read).await {
        Ok(read) => read,
        // The runtime is shutting down, so nobody waits for the answer any more.
        Err(_) => Err(TokenFailure::refused("the runtime is shutting down")),
    }
}
