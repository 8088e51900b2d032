//! The tokens: in the form of Entra ID's, but signed by nobody.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use azure_core::base64::encode_url_safe;
use serde_json::json;

use super::behaviour::{Behaviour, Fault, Source, guid};
use super::shared::Asked;

/// A token that the provider has issued.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The token itself.
    pub token: String,
    /// Its `oid` claim, if it has one.
    pub oid: Option<String>,
    /// For whom it is; `None` for the system-assigned identity and for who is logged in to a tool.
    pub client_id: Option<String>,
    /// By which means it was got.
    pub source: Source,
    /// When it ends. What clients are told is in whole seconds, and never later.
    pub expires: SystemTime,
}

impl Issued {
    pub(super) fn new(asked: &Asked, behaviour: &Behaviour, tenant: &str) -> Self {
        let now = SystemTime::now();
        let expires = match behaviour.fault {
            Fault::IssueExpired => now - Duration::from_secs(3_600),
            _ => now + behaviour.life,
        };
        let mut issued = Self {
            token: random_part(64),
            oid: None,
            client_id: asked.client_id.clone(),
            source: asked.source,
            expires,
        };
        if behaviour.opaque {
            return issued;
        }
        issued.oid = match &behaviour.oid {
            Some(said) => said.clone(),
            None => Some(object_id(asked.client_id.as_deref())),
        };
        let mut claims = json!({
            "aud": asked.resource.trim_end_matches("/.default"),
            "iss": format!("https://sts.windows.net/{tenant}/"),
            "iat": unix_seconds(now),
            "nbf": unix_seconds(now),
            "exp": issued.expires_on(),
            "tid": tenant,
            "appid": asked.client_id,
            "jti": guid(fastrand::u128(..)),
        });
        if let Some(oid) = &issued.oid {
            claims["oid"] = json!(oid);
            claims["sub"] = json!(oid);
        }
        issued.token = jwt(&claims);
        issued
    }

    /// Its end in seconds since 1970, rounded down.
    #[must_use]
    pub fn expires_on(&self) -> u64 {
        unix_seconds(self.expires)
    }

    /// The seconds that it lives from now, rounded down; 0 for an expired one.
    pub(super) fn expires_in(&self) -> u64 {
        let left = self.expires.duration_since(SystemTime::now());
        left.unwrap_or_default().as_secs()
    }
}

/// What is shown never holds the token.
impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            token: _,
            oid,
            client_id,
            source,
            expires,
        } = self;
        f.debug_struct("Issued")
            .field("oid", oid)
            .field("client_id", client_id)
            .field("source", source)
            .field("expires", expires)
            .finish_non_exhaustive()
    }
}

/// A token with these claims, and a signature that cannot be guessed.
pub(super) fn jwt(claims: &serde_json::Value) -> String {
    let header = json!({ "typ": "JWT", "alg": "RS256", "kid": "cache-tests" });
    let part = |value: &serde_json::Value| encode_url_safe(value.to_string());
    [part(&header), part(claims), random_part(256)].join(".")
}

/// Random bytes, as text for URLs.
pub(super) fn random_part(bytes: usize) -> String {
    let bytes: Vec<u8> = (0..bytes).map(|_| fastrand::u8(..)).collect();
    encode_url_safe(bytes)
}

/// The time in seconds since 1970, rounded down.
pub(super) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .expect("the clock stands after 1970")
        .as_secs()
}

/// The same for the same identity, always.
fn object_id(client_id: Option<&str>) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, client_id).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    guid(half(0) << 64 | half(1))
}
