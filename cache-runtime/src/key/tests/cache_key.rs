//! Keys outside of an attribute: those that are written, and which texts may be one.

use std::hash::{BuildHasher as _, RandomState};

use super::*;

fn refused(key: &str) -> Option<String> {
    let error = CacheKey::from(key).into_text().err()?;
    assert_eq!(error.kind(), crate::ErrorKind::Key);
    Some(error.to_string())
}

#[test]
fn a_text_is_a_key_if_nothing_shows_that_it_was_not_escaped() {
    for good in [
        "greeting",
        "user:42",
        "user:a%20b",
        "user:%_",
        "user:%null:x",
        "user:%25null",
        "user:%C2%A0:%E2%80%A8",
        "{user}:42",
        "user:{42}",
        "größe",
        "app.users.get_user@2:42:fr",
        "<app.Repo-as-app.Get<u8>>.get<[u8;3]>:1",
        "app.f:(a%2Cb,~42):[%x0aff,%_]:.Circle(1.5)",
        "app.f:.a%3Db",
        "app.f:%h84a0678c90937f5dcf9994d5866668da",
        "user:%(a%2Cb,~42)",
        "user:%some(null):%():%.At(x=1)",
        "a%2Db-c-d",
        // `%[a,b]` before a `-`, then before a `,`, then before a `[`; `%null` before an `n`, `%_` before a `_`.
        "%[a,b]-c",
        "%[a%2Cb],c",
        "%%5Ba,b][c",
        "%%6Eullnx",
        "%%5F_x",
    ] {
        assert_eq!(refused(good), None, "{good}");
    }
    for bad in [
        "",
        "a b",
        "a\tb",
        "a\u{7f}b",
        "a\u{a0}b",
        "100%",
        "100%off",
        "%a0",
        "a%3ab",
        "ü%41",
        "ü%41:A7",
        "xA%41A",
        "a%2Cb",
        "a%2Db-",
        "%C2",
        "%C2a",
        "%F",
        "%nul",
        "%ü",
        "app.f:%h84a0",
        "app.f:%h84A0678C90937F5DCF9994D5866668DA",
        "{a}%t",
        "%l:{a}",
        "a{",
        "}a",
        "}{",
        "{}",
        "{a}{b}",
        "{{a}}",
    ] {
        let why = refused(bad).unwrap_or_else(|| panic!("{bad:?} is taken"));
        assert!(why.contains("; write"), "{why}");
        assert!(bad.is_empty() || why.contains("key!("), "{why}");
    }
}

#[test]
fn a_written_key_is_the_templates_and_stays_what_it_is() {
    let key = CacheKey::of_template(&["user:", ":x", ""], &[&"a b:c", &"ü%41"]);
    assert_eq!(key.to_string(), "user:a%20b%3Ac:xü%2541");
    assert_eq!(format!("{key:?}"), "CacheKey(\"user:a%20b%3Ac:xü%2541\")");
    assert_eq!(CacheKey::from(&key), key);
    assert_eq!(CacheKey::from(key.as_str()), key);
    assert_eq!(key.clone().into_text().unwrap().as_str(), key.as_str());
    // A literal is the template's own, so that what another program wrote can be named.
    let spaced = CacheKey::of_template(&["all users:", ""], &[&1]);
    assert_eq!(spaced.clone().into_text().unwrap().as_str(), "all users:1");
    assert_eq!(CacheKey::from(&spaced), spaced);
    assert_ne!(CacheKey::from(spaced.as_str()), spaced);
}

#[test]
fn equal_keys_have_equal_hashes() {
    let state = RandomState::new();
    let key = CacheKey::of_template(&["user:", ""], &[&"a b"]);
    let text = CacheKey::from("user:a%20b");
    assert_eq!(key, text);
    assert_eq!(state.hash_one(&key), state.hash_one(&text));
    assert_ne!(key, CacheKey::from("user:a"));
}

#[test]
fn what_cannot_be_written_is_no_key_and_says_why() {
    struct Refuses;
    impl Serialize for Refuses {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    let key = CacheKey::of_template(&["user:", ":", ""], &[&1, &Refuses]);
    let told = "no key: an argument cannot be serialized: no";
    assert_eq!(key.as_str(), told);
    for key in [key.clone(), CacheKey::from(&key)] {
        let error = key.into_text().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Key);
        assert_eq!(error.to_string(), "the key cannot be written");
        assert_eq!(error.cause().unwrap(), told.replace("no key: ", ""));
    }
    // Nor is its text, so nobody reaches an entry by it.
    assert!(refused(told).is_some());
}
