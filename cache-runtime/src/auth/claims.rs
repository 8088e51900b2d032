//! What a token says of itself.
//!
//! The one rule: **nothing here is trusted or checked**, because the server does that. A token that cannot be
//! read serves as well as any other; it only names no user.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

/// The object id of the identity that the token was given to: its `oid` claim, which is the name of
/// the identity's Redis user.
pub(super) fn object_id(token: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Claims {
        oid: String,
    }
    // RFC 7519: header, claims and signature; only the claims are of interest.
    let mut parts = token.split('.');
    let (_header, claims) = (parts.next()?, parts.next()?);
    let claims = BASE64_URL_SAFE_NO_PAD
        .decode(claims.trim_end_matches('='))
        .ok()?;
    let Claims { oid } = serde_json::from_slice(&claims).ok()?;
    Some(oid).filter(|oid| !oid.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!(
            "eyJhbGciOiJub25lIn0.{}.c2ln",
            BASE64_URL_SAFE_NO_PAD.encode(claims)
        )
    }

    #[test]
    fn the_object_id_is_the_user() {
        let token = token(r#"{"aud":"https://redis.azure.com","oid":"2c9f-ü","exp":1}"#);
        assert_eq!(object_id(&token).as_deref(), Some("2c9f-ü"));
    }

    #[test]
    fn a_token_that_names_nobody_has_no_user() {
        for opaque in [
            "",
            "opaque",
            "a.b",
            "a.!!!.c",
            &token("[]"),
            &token(r#"{"sub":"x"}"#),
            &token(r#"{"oid":7}"#),
            &token(r#"{"oid":""}"#),
        ] {
            assert_eq!(object_id(opaque), None, "{opaque}");
        }
    }
}
