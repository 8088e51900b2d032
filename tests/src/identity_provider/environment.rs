//! What a child process finds in its environment.

use std::ffi::OsString;

use super::IdentityProvider;
use super::behaviour::Source;
use super::http::MANAGED_IDENTITY_PATH;

impl IdentityProvider {
    /// The variables by which a process gets tokens by one means, and by no other.
    ///
    /// `AZURE_TOKEN_CREDENTIALS` is among them, so that nobody looks for a managed identity elsewhere. No
    /// client id stands for the system-assigned identity; the tools take none.
    ///
    /// # Panics
    ///
    /// Panics for a service principal without a client id.
    #[must_use]
    pub fn environment(
        &self,
        source: Source,
        client_id: Option<&str>,
    ) -> Vec<(&'static str, OsString)> {
        let mut variables: Vec<(&'static str, OsString)> = Vec::new();
        let mut set = |name, value: OsString| variables.push((name, value));
        let credential = match source {
            Source::ManagedIdentity => {
                let endpoint = self.url_of_managed_identity();
                set("IDENTITY_ENDPOINT", endpoint.into());
                set("IDENTITY_HEADER", self.identity_header().into());
                if let Some(client_id) = client_id {
                    set("AZURE_CLIENT_ID", client_id.into());
                }
                "ManagedIdentityCredential"
            }
            Source::AzureCli | Source::AzureDeveloperCli => {
                set("PATH", self.path_with_tools());
                if source == Source::AzureCli {
                    "AzureCliCredential"
                } else {
                    "AzureDeveloperCliCredential"
                }
            }
            Source::ClientSecret | Source::ClientCertificate | Source::WorkloadIdentity => {
                let client_id = client_id.expect("a service principal has a client id");
                set("AZURE_TENANT_ID", self.tenant().into());
                set("AZURE_CLIENT_ID", client_id.into());
                set("AZURE_AUTHORITY_HOST", self.authority().into());
                set("SSL_CERT_FILE", self.ca_path().into());
                if source == Source::WorkloadIdentity {
                    let file = self.federated_token_file();
                    set("AZURE_FEDERATED_TOKEN_FILE", file.into());
                    "WorkloadIdentityCredential"
                } else {
                    if source == Source::ClientSecret {
                        set("AZURE_CLIENT_SECRET", self.client_secret().into());
                    } else {
                        let file = self.client_certificate_path();
                        set("AZURE_CLIENT_CERTIFICATE_PATH", file.into());
                    }
                    "EnvironmentCredential"
                }
            }
        };
        set("AZURE_TOKEN_CREDENTIALS", credential.into());
        variables
    }

    /// The URL of the managed identity's endpoint.
    #[must_use]
    pub fn url_of_managed_identity(&self) -> String {
        format!(
            "http://127.0.0.1:{}{MANAGED_IDENTITY_PATH}",
            self.http.port()
        )
    }

    /// This process' `PATH`, with the folder of [`tools`](Self::tools) first.
    fn path_with_tools(&self) -> OsString {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.tools().to_owned()).chain(std::env::split_paths(&path));
        std::env::join_paths(folders).expect("the kit's folders have no colon in their names")
    }
}
