//! Azure's own client in this process, without a variable of the environment.

use std::path::Path;
use std::sync::Arc;

use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{ClientOptions, RetryOptions, Transport};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};

use super::IdentityProvider;
use crate::tls;

impl IdentityProvider {
    /// A real client-secret credential for one client id. Like every one of Azure's it keeps a token until
    /// 300 s before its end; it repeats no failed request.
    ///
    /// # Panics
    ///
    /// Panics where the client id is empty.
    #[must_use]
    pub fn credential(&self, client_id: &str) -> Arc<dyn TokenCredential> {
        let options = ClientSecretCredentialOptions {
            client_options: self.client_options(),
        };
        let secret = Secret::new(self.client_secret().to_owned());
        ClientSecretCredential::new(self.tenant(), client_id.to_owned(), secret, Some(options))
            .expect("a tenant, a client id and a secret")
    }

    /// What leads any credential of Azure's to this provider.
    #[must_use]
    pub fn client_options(&self) -> ClientOptions {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = self.authority();
        ClientOptions {
            cloud: Some(Arc::new(cloud.into())),
            retry: RetryOptions::none(),
            transport: Some(Transport::new(Arc::new(self.http_client()))),
            ..ClientOptions::default()
        }
    }

    /// A client that trusts the provider's CA.
    #[must_use]
    pub fn http_client(&self) -> reqwest::Client {
        http_client(self.ca_path())
    }
}

/// A client that trusts one CA, a PEM file, and no other; it uses no proxy and repeats nothing.
///
/// # Panics
///
/// Panics where the file is not a CA's.
#[must_use]
pub fn http_client(ca: &Path) -> reqwest::Client {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls::trusting(ca))
        .no_proxy()
        // A connection belongs to the runtime that made it, and another may ask next.
        .pool_max_idle_per_host(0)
        .build()
        .expect("a client with a configuration of its own")
}
