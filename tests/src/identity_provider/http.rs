//! The two endpoints: the managed identity's over http, Entra ID's over https.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use url::form_urlencoded;

use super::assertion;
use super::behaviour::{Reply, Source};
use super::issued::Issued;
use super::shared::{Answer, Asked, Shared};

/// The managed identity endpoint's path.
pub(super) const MANAGED_IDENTITY_PATH: &str = "/msi/token";

/// What stands behind a door.
#[derive(Debug, Clone)]
pub(super) enum Endpoint {
    ManagedIdentity,
    /// Entra ID, with the URL by which clients know it.
    Entra {
        url: String,
    },
}

/// Serves one connection to its end.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    shared: Arc<Shared>,
    endpoint: Endpoint,
) {
    let service = service_fn(|request| {
        let (shared, endpoint) = (shared.clone(), endpoint.clone());
        async move {
            let reply = match &endpoint {
                Endpoint::ManagedIdentity => managed_identity(&shared, &request).await,
                Endpoint::Entra { url } => entra(&shared, url, request).await,
            };
            Ok::<_, Infallible>(response(reply))
        }
    });
    // A client that goes away in between is none of the provider's business.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = StatusCode::from_u16(reply.status).expect("a status of HTTP");
    for (name, value) in &reply.headers {
        let name: hyper::header::HeaderName = name.parse().expect("a header's name");
        let value = value.parse().expect("a header's value");
        response.headers_mut().append(name, value);
    }
    response
}

fn pairs(encoded: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(encoded).into_owned().collect()
}

async fn managed_identity(shared: &Arc<Shared>, request: &Request<Incoming>) -> Reply {
    if (request.method(), request.uri().path()) != (&Method::GET, MANAGED_IDENTITY_PATH) {
        return Reply::status(404);
    }
    let query = pairs(request.uri().query().unwrap_or_default().as_bytes());
    let asked = Asked {
        source: Source::ManagedIdentity,
        client_id: query.get("client_id").cloned(),
        resource: query.get("resource").cloned().unwrap_or_default(),
        pid: None,
    };
    let secret = request.headers().get("x-identity-header");
    let error = |status: u16, text: &str| {
        Reply::json(status, &json!({ "StatusCode": status, "Message": text }))
    };
    let refusal = if secret.is_none_or(|s| s.as_bytes() != shared.identity_header.as_bytes()) {
        Some(error(
            401,
            "The header X-IDENTITY-HEADER is missing or wrong.",
        ))
    } else if query.get("api-version").map(String::as_str) != Some("2019-08-01") {
        Some(error(400, "The api-version is not supported."))
    } else if asked.resource.is_empty() {
        Some(error(400, "The parameter resource is missing."))
    } else {
        None
    };
    let resource = asked.resource.clone();
    let under_way = shared.receive(asked);
    match under_way.answer(refusal).await {
        Answer::Token(issued) => {
            let token = json!({
                "access_token": issued.token,
                "expires_on": issued.expires_on().to_string(),
                "resource": resource,
                "token_type": "Bearer",
                "client_id": issued.client_id,
            });
            Reply::json(200, &token)
        }
        Answer::Unknown => error(
            400,
            "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.",
        ),
        Answer::Reply(reply) => reply,
        Answer::Garbage => garbage(),
    }
}

async fn entra(shared: &Arc<Shared>, url: &str, request: Request<Incoming>) -> Reply {
    let path = request.uri().path().to_owned();
    let is_form = request.headers().get(CONTENT_TYPE).is_some_and(|kind| {
        kind.as_bytes()
            .starts_with(b"application/x-www-form-urlencoded")
    });
    let Some(tenant) = path
        .strip_prefix('/')
        .and_then(|path| path.strip_suffix("/oauth2/v2.0/token"))
    else {
        return Reply::status(404);
    };
    if request.method() != Method::POST || !is_form {
        return Reply::status(400);
    }
    let Ok(body) = request.into_body().collect().await else {
        // Nobody is there to read it.
        return Reply::status(400);
    };
    let form = pairs(&body.to_bytes());
    let asked = Asked {
        source: source(&form),
        client_id: form.get("client_id").cloned(),
        resource: form.get("scope").cloned().unwrap_or_default(),
        pid: None,
    };
    let refusal = if tenant == shared.tenant {
        refusal(shared, &form, asked.source, &format!("{url}{path}"))
    } else {
        let text = format!("Tenant '{tenant}' not found.");
        Some(Reply::entra(400, "invalid_request", 90_002, &text))
    };
    let client_id = asked.client_id.clone().unwrap_or_default();
    let under_way = shared.receive(asked);
    match under_way.answer(refusal).await {
        Answer::Token(issued) => entra_token(&issued),
        Answer::Unknown => {
            let text = format!("Application with identifier '{client_id}' was not found.");
            Reply::entra(400, "unauthorized_client", 700_016, &text)
        }
        Answer::Reply(reply) => reply,
        Answer::Garbage => garbage(),
    }
}

fn entra_token(issued: &Issued) -> Reply {
    let seconds = issued.expires_in();
    Reply::json(
        200,
        &json!({
            "token_type": "Bearer",
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "access_token": issued.token,
        }),
    )
}

/// What a proxy or a captive portal says in place of the provider.
fn garbage() -> Reply {
    Reply::status(200)
        .header("Content-Type", "text/html")
        .body("<!DOCTYPE html><html><body>Sign in to the network</body></html>")
}

fn source(form: &HashMap<String, String>) -> Source {
    match form.get("client_assertion") {
        None => Source::ClientSecret,
        Some(jwt) if assertion::names_a_certificate(jwt) => Source::ClientCertificate,
        Some(_) => Source::WorkloadIdentity,
    }
}

/// What an honest provider has against a request; nothing if it is in order.
fn refusal(
    shared: &Shared,
    form: &HashMap<String, String>,
    source: Source,
    endpoint: &str,
) -> Option<Reply> {
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let invalid_client = |code, text: &str| Some(Reply::entra(401, "invalid_client", code, text));
    if field("grant_type") != "client_credentials" {
        let text = "The app requested an unsupported grant type.";
        return Some(Reply::entra(400, "unsupported_grant_type", 70_003, text));
    }
    if !field("scope").ends_with("/.default") {
        let text = "The provided value for the input parameter 'scope' is not valid.";
        return Some(Reply::entra(400, "invalid_scope", 70_011, text));
    }
    if field("client_id").is_empty() {
        let text = "The request body must contain the following parameter: 'client_id'.";
        return Some(Reply::entra(400, "invalid_request", 900_144, text));
    }
    let secret = form.get("client_secret");
    let is_jwt =
        field("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    match source {
        Source::ClientSecret if secret.is_none() => invalid_client(
            7_000_216,
            "'client_assertion', 'client_secret' or 'request' is required.",
        ),
        Source::ClientSecret if field("client_secret") != shared.client_secret => {
            invalid_client(7_000_215, "Invalid client secret provided.")
        }
        Source::ClientSecret => None,
        _ if !is_jwt => invalid_client(50_027, "The type of the client assertion is not known."),
        Source::WorkloadIdentity => {
            // The file is a pod's: whoever renews it there renews it here as well.
            let expected = std::fs::read_to_string(&shared.federated_token_file);
            let text = "No matching federated identity record found for presented assertion.";
            match expected {
                Ok(expected) if field("client_assertion") == expected => None,
                _ => invalid_client(70_021, text),
            }
        }
        _ => {
            let used = &mut shared.state().assertions;
            assertion::check(
                field("client_assertion"),
                field("client_id"),
                endpoint,
                used,
            )
            .err()
            .and_then(|what| invalid_client(700_027, &format!("Invalid client assertion: {what}.")))
        }
    }
}
