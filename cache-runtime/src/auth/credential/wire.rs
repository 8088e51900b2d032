//! How a token is asked for over HTTP.
//!
//! The one rule: **a request is sent once**, because when to ask again is decided elsewhere. Only a success goes
//! to the SDK; everything else becomes a [`TokenFailure`], whose words the SDK's logs do not show. No connection
//! is kept, because it would belong to the runtime that it was made on.

use std::{fmt, sync::Arc, time::Duration};

use azure_core::{
    error::ErrorKind as AzureKind,
    http::{
        AsyncRawResponse, Body, HttpClient, Method, Request,
        headers::{HeaderName, HeaderValue, Headers},
    },
};
use reqwest::{Client, ClientBuilder, Response, header::HeaderMap, redirect};
use rustls::RootCertStore;

use super::{
    failure::{TokenFailure, causes},
    plan::IdentityEndpoint,
};
use crate::{
    error::ErrorKind,
    tls::{client_trusting, system_authorities},
};

/// The most bytes that are read of an answer. A token is a few KiB long, and an answer may have no end.
const ANSWER: usize = 1 << 20;

/// How long a connection to the metadata service may take. Inside Azure the service is on the same machine; outside,
/// nobody answers at its address, and nobody refuses. The SDKs probe it with the same second.
const METADATA_CONNECT: Duration = Duration::from_secs(1);

/// A client for one kind of endpoint.
#[derive(Clone)]
pub(super) struct Wire(Client);

// A client shows its proxies, whose addresses may hold passwords.
impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire(..)")
    }
}

impl Wire {
    /// A client for Entra ID itself. Blocks, because it reads the certificates that the system trusts.
    pub(super) fn to_entra() -> Result<Self, TokenFailure> {
        Self::new(authorities()?, |builder| builder)
    }

    /// A client for the service that answers for managed identities. It uses no proxy, because the service is near. Blocks as
    /// [`to_entra`](Self::to_entra), if certificates are needed.
    pub(super) fn to_managed_identity(endpoint: IdentityEndpoint) -> Result<Self, TokenFailure> {
        let (authorities, connect) = match endpoint {
            IdentityEndpoint::Named { has_tls: true } => (authorities()?, None),
            IdentityEndpoint::Named { has_tls: false } => (Arc::new(RootCertStore::empty()), None),
            IdentityEndpoint::Metadata => {
                (Arc::new(RootCertStore::empty()), Some(METADATA_CONNECT))
            }
        };
        Self::new(authorities, |builder| {
            let builder = builder.no_proxy();
            match connect {
                Some(limit) => builder.connect_timeout(limit),
                None => builder,
            }
        })
    }

    fn new(
        authorities: Arc<RootCertStore>,
        adjust: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, TokenFailure> {
        let tls = client_trusting(authorities).map_err(|_| no_client())?;
        let builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0);
        adjust(builder).build().map(Self).map_err(|_| no_client())
    }

    async fn exchange(&self, request: &Request) -> Result<AsyncRawResponse, TokenFailure> {
        let mut answer = self.send(request).await?;
        let status = answer.status();
        let headers = text_headers(answer.headers());
        let body = body(&mut answer).await;
        if !status.is_success() {
            // A body that broke off counts as empty, because the status says enough.
            let body = body.unwrap_or_default();
            return Err(TokenFailure::answered(status.as_u16(), &headers, &body));
        }
        Ok(AsyncRawResponse::from_bytes(
            status.as_u16().into(),
            headers,
            body?,
        ))
    }

    async fn send(&self, request: &Request) -> Result<Response, TokenFailure> {
        let method = match request.method() {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            _ => {
                return Err(TokenFailure::refused(
                    "the SDK sends a request of an unknown kind",
                ));
            }
        };
        let mut sent = self.0.request(method, request.url().clone());
        for (name, value) in request.headers().iter() {
            sent = sent.header(name.as_str(), value.as_str());
        }
        match request.body() {
            Body::Bytes(bytes) => sent = sent.body(bytes.clone()),
            Body::SeekableStream(_) => {
                return Err(TokenFailure::refused(
                    "the SDK sends a request of an unknown kind",
                ));
            }
        }
        sent.send()
            .await
            .map_err(|error| unreachable(&error, request))
    }
}

#[async_trait::async_trait]
impl HttpClient for Wire {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        self.exchange(request).await.map_err(|failure| {
            // The SDK sends no request again after an error of this kind, though its managed identity insists on
            // retries.
            azure_core::Error::with_error(AzureKind::Other, failure, "no token came")
        })
    }
}

fn no_client() -> TokenFailure {
    TokenFailure::new(ErrorKind::Connect, "no HTTP client can be made")
}

fn authorities() -> Result<Arc<RootCertStore>, TokenFailure> {
    system_authorities().map_err(|_| {
        TokenFailure::new(
            ErrorKind::Connect,
            "this system has no certificate authorities; name a file of them in `SSL_CERT_FILE`",
        )
    })
}

/// Says who did not answer, and the deepest cause; the causes above that repeat the address.
fn unreachable(error: &reqwest::Error, request: &Request) -> TokenFailure {
    let url = request.url();
    let who = match (url.host_str(), url.port_or_known_default()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => url.scheme().to_owned(),
    };
    let text = if error.is_timeout() {
        format!("nobody answers at {who}")
    } else {
        match causes(error).skip(1).last() {
            Some(cause) => format!("no answer from {who}: {cause}"),
            None => format!("no answer from {who}"),
        }
    };
    TokenFailure::new(ErrorKind::Connect, text)
}

async fn body(answer: &mut Response) -> Result<Vec<u8>, TokenFailure> {
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(_) => {
                return Err(TokenFailure::new(
                    ErrorKind::Connect,
                    "the answer broke off",
                ));
            }
        }
        if body.len() > ANSWER {
            return Err(TokenFailure::garbage());
        }
    }
}

fn text_headers(map: &HeaderMap) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in map {
        if let Ok(value) = value.to_str() {
            headers.insert(
                HeaderName::from(name.as_str().to_owned()),
                HeaderValue::from(value.to_owned()),
            );
        }
    }
    headers
}

#[cfg(test)]
mod tests;
