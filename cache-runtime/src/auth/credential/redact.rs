//! What a message may repeat of a provider's, or a tool's, own words.
//!
//! The one rule: **one line of bounded length, without the secrets that are known and without anything that
//! looks like one.** A word that may be a secret is removed.

use crate::auth::secret::Secret;

/// The most characters that are repeated: Entra's descriptions say what matters in their first sentence.
const LENGTH: usize = 200;

/// The shortest run that is taken for a token that nobody can read: 256 bits in base64. Identifiers and
/// thumbprints are shorter.
const OPAQUE: usize = 43;

/// The shortest run of small letters, capitals and digits mixed that is taken for a client secret, which
/// has 40 characters. Identifiers and thumbprints have one kind of letters.
const MIXED: usize = 24;

/// The shortest part of a JWT. The parts of host names are shorter.
const JWT_PART: usize = 16;

const REDACTED: &str = "<redacted>";

/// The first line of `text` that says something, without secrets.
pub(super) fn harmless<'a>(text: &str, secrets: impl IntoIterator<Item = &'a Secret>) -> String {
    // The known secrets are removed first, because a secret may hold a line's end.
    let text = secrets
        .into_iter()
        .map(|secret| secret.expose().trim())
        .filter(|secret| !secret.is_empty())
        .fold(text.to_owned(), |text, secret| {
            text.replace(secret, REDACTED)
        });
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    cut(&without_tokens(line))
}

fn without_tokens(line: &str) -> String {
    line.split_inclusive(|c: char| !is_of_token(c))
        .map(|piece| {
            let word = piece.trim_end_matches(|c: char| !is_of_token(c));
            if looks_secret(word) {
                format!("{REDACTED}{}", &piece[word.len()..])
            } else {
                piece.to_owned()
            }
        })
        .collect()
}

/// The characters of base64, in both its alphabets, and the dots of a JWT.
fn is_of_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '=' | '~')
}

fn looks_secret(word: &str) -> bool {
    // A path holds slashes too, but each of its parts is shorter than a token.
    let longest = word.split(['/', '.']).map(str::len).max().unwrap_or(0);
    let mut parts = word.split('.').filter(|part| part.len() >= JWT_PART);
    // `{"` in base64 begins with `eyJ` before any letter.
    word.contains("eyJ")
        || longest >= OPAQUE
        || parts.by_ref().count() >= 3
        || word.split('/').any(is_mixed)
}

fn is_mixed(word: &str) -> bool {
    let holds = |kind: fn(&u8) -> bool| word.as_bytes().iter().any(kind);
    word.len() >= MIXED
        && holds(u8::is_ascii_lowercase)
        && holds(u8::is_ascii_uppercase)
        && holds(u8::is_ascii_digit)
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(text: &str) -> String {
        harmless(text, &[])
    }

    #[test]
    fn what_a_person_needs_stays() {
        for text in [
            "AADSTS7000215: Invalid client secret provided for app '11111111-2222-3333-4444-555555555555'.",
            "Please run 'az login' to setup account.",
            "no route to https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token",
            "AADSTS700027: the certificate with the thumbprint 'A1B2C3D4E5F60718293A4B5C6D7E8F9012345678' was not found",
            "the request with the id a1b2c3d4e5f60718293a4b5c6d7e8f9012345678 is unknown",
            "obey and deny",
        ] {
            assert_eq!(without(text), text);
        }
    }

    #[test]
    fn what_looks_like_a_token_goes() {
        let opaque = "aB3".repeat(40);
        for (text, shown) in [
            (
                "bad token eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl, sorry",
                "bad token <redacted>, sorry",
            ),
            ("token=eyJhbGciOi", "<redacted>"),
            (
                "bad 0123456789abcdef.0123456789abcdef.0123456789abcdef!",
                "bad <redacted>!",
            ),
            (
                "what is 'aBc8Q~dEfGhIjKlMnOpQrStUvWxYz.0123-_456a'?",
                "what is '<redacted>'?",
            ),
            (&format!("what is '{opaque}'?"), "what is '<redacted>'?"),
        ] {
            assert_eq!(without(text), shown, "{text}");
        }
    }

    #[test]
    fn long_hexadecimal_secrets_go() {
        // Keys of 256 and 512 bits, and the shortest that is taken for one.
        for length in [64, 128, 43] {
            for digits in ["0123456789abcdef", "0123456789ABCDEF", "0", "af"] {
                let secret: String = digits.chars().cycle().take(length).collect();
                for (text, shown) in [
                    (secret.clone(), "<redacted>".to_owned()),
                    (
                        format!("bad key {secret}, sorry"),
                        "bad key <redacted>, sorry".to_owned(),
                    ),
                    (format!("'{secret}'"), "'<redacted>'".to_owned()),
                    (
                        format!("see (https://host/{secret})"),
                        "see (https:<redacted>)".to_owned(),
                    ),
                    (format!("sha256:{secret}"), "sha256:<redacted>".to_owned()),
                    (format!("key={secret}"), "<redacted>".to_owned()),
                ] {
                    assert_eq!(without(&text), shown);
                }
                let one_less = &secret[1..];
                let is_kept = without(one_less) == one_less;
                assert_eq!(is_kept, length == 43, "{one_less}");
            }
        }
    }

    #[test]
    fn the_shortest_of_each_kind_goes_and_one_less_stays() {
        for (secret, one_less) in [
            // All kinds of characters, as a client secret has them.
            ("aB3aB3aB3aB3aB3aB3aB3aB3", "aB3aB3aB3aB3aB3aB3aB3aB"),
            // A JWT whose header says nothing.
            (
                "0123456789abcdef.0123456789abcdef.0123456789abcdef",
                "0123456789abcdef.0123456789abcdef.0123456789abcde",
            ),
        ] {
            assert_eq!(without(secret), "<redacted>");
            assert_eq!(without(one_less), one_less);
        }
        // Two kinds of three are no client secret.
        for kept in [
            "abcabcabcabcabcabcABCABCABCABCABC",
            "abc123abc123abc123abc123abc123",
            "ABC123ABC123ABC123ABC123ABC123",
        ] {
            assert_eq!(without(kept), kept);
        }
    }

    #[test]
    fn known_secrets_go_wherever_they_stand() {
        let secrets = [
            Secret::new("s3cr3t"),
            Secret::new(""),
            Secret::new("two\nlines\n"),
        ];
        assert_eq!(
            harmless("client_secret=s3cr3t, s3cr3ts, two\nlines", &secrets),
            "client_secret=<redacted>, <redacted>s, <redacted>"
        );
    }

    #[test]
    fn one_line_of_bounded_length_is_kept() {
        assert_eq!(without("\r\n  first \r\nTrace ID: 1"), "first");
        let long = "ä ".repeat(300);
        let cut = without(&long);
        assert_eq!(cut.chars().count(), LENGTH + 1);
        assert!(cut.ends_with('…'));
        assert_eq!(without(""), "");
    }
}
