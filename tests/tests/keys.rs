//! Keys outside of their function: `key!` writes what the attribute writes, and a text that nobody escaped is none.
#![allow(missing_docs)]

use std::time::Duration;

use cache_runtime::{Cache, CacheKey, Entry, ErrorKind, key, redis_cached};
use cache_tests::{Body, Stores, in_memory};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde::{Serialize, Serializer};

const MINUTE: Duration = Duration::from_secs(60);

/// What a cache may be told to put before its keys; the last one puts them all into one slot.
const PREFIXES: [&str; 3] = ["", "shop", "{shop}"];

const TENANTS: [&str; 20] = [
    "acme", "a:b", "a b", "ü%41", "", "42", "null", "%", "%_", "%null", "%t", "%l", "a%20b", "{",
    "}", "{a}", "a\nb", "\u{a0}", "a-b", "[a,b]",
];

trait Products {
    async fn price(&self, tenant: &str, id: u64) -> u64;
}

struct Shop<'a> {
    cache: &'a Cache,
    body: &'a Body,
}

impl Products for Shop<'_> {
    #[redis_cached(
        ttl = 300, trait_impl, key = "product:{tenant}:{id}", skip(self), cache = self.cache
    )]
    async fn price(&self, tenant: &str, id: u64) -> u64 {
        self.body.run().await.expect("a body that returns")
    }
}

async fn with_each_prefix(test: impl AsyncFn(&Cache)) {
    for prefix in PREFIXES {
        for cache in Stores::with(|builder| builder.prefix(prefix)).await.both() {
            test(cache).await;
        }
    }
}

#[tokio::test]
async fn a_trait_methods_entry_is_reached_by_its_key() {
    with_each_prefix(async |cache| {
        let body = &Body::new();
        let shop = Shop { cache, body };
        for tenant in TENANTS {
            let id = 7;
            let first = shop.price(tenant, id).await;
            assert_eq!(shop.price(tenant, id).await, first, "a hit for {tenant:?}");

            let entry = cache.entry::<u64>(key!("product:{tenant}:{id}"));
            assert_eq!(entry.get().await.expect("a cache"), Some(first));
            entry.invalidate().await.expect("a cache");
            let second = shop.price(tenant, id).await;
            assert_ne!(second, first, "the old value for {tenant:?}");

            let key = key!("product:{tenant}:{id}");
            assert_eq!(cache.get(&key).await.expect("a cache"), Some(second));
            cache.delete(&key).await.expect("a cache");
            let third = shop.price(tenant, id).await;
            assert_ne!(third, second, "the old value for {tenant:?}");
            cache.set_ex(key, &1_000, MINUTE).await.expect("a cache");
            assert_eq!(shop.price(tenant, id).await, 1_000);
        }
        // Each tenant had an entry of its own.
        for tenant in TENANTS {
            assert_eq!(shop.price(tenant, 7).await, 1_000, "a hit for {tenant:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_text_that_nobody_escaped_is_an_error_at_each_operation() {
    for cache in Stores::start().await.both() {
        let body = &Body::new();
        let shop = Shop { cache, body };
        for tenant in ["a b", "ü%41", "100%", "a\nb", "{", "{a}{b}", "%t"] {
            let stored = shop.price(tenant, 7).await;
            let key = format!("product:{tenant}:7");
            let entry = || cache.entry::<u64>(&key).with_ttl(MINUTE);
            for told in [
                entry().invalidate().await.err(),
                entry().put(&1).await.err(),
                entry().put_with(async { 1 }).await.1.err(),
                entry().get().await.err(),
                entry().ttl().await.err(),
                entry().key().err(),
                cache.delete(&key).await.err(),
                cache.get::<u64>(&key).await.err(),
                cache.set_ex(&key, &1, MINUTE).await.err(),
            ] {
                let told = told.unwrap_or_else(|| panic!("{key:?} was taken"));
                assert_eq!(told.kind(), ErrorKind::Key);
                assert!(told.to_string().contains("write `key!("), "{told}");
                assert!(!told.to_string().contains(&key), "{told} names the key");
            }
            // A computation needs no key.
            assert_eq!(entry().get_or_compute(async || 5).await, 5);
            assert_eq!(entry().refresh(async { 6 }).await, 6);
            assert_eq!(shop.price(tenant, 7).await, stored);
        }
    }
}

#[derive(Debug, Clone, Serialize)]
struct User {
    id: i64,
    name: String,
    score: f64,
    kind: Kind,
    langs: Vec<Option<String>>,
}

#[derive(Debug, Clone, Serialize)]
enum Kind {
    Plain,
    Named(String),
    At { x: f32 },
}

#[redis_cached(ttl = 300, key = "user:{user.name}:{n}", cache = cache, skip(cache))]
async fn by_colons(cache: &Cache, user: &User, n: Option<i8>) -> u64 {
    n.map_or(0, i8::unsigned_abs).into()
}

#[redis_cached(ttl = 300, key = "{{{user.name}}}.{user.score}-{user.id}0{n}", cache = cache, skip(cache))]
async fn by_a_hash_tag(cache: &Cache, user: &User, n: Option<i8>) -> u64 {
    n.map_or(0, i8::unsigned_abs).into()
}

#[redis_cached(ttl = 300, key = "{user}n{user.kind}_{user.langs},{n}!", cache = cache, skip(cache))]
async fn by_borders(cache: &Cache, user: &User, n: Option<i8>) -> u64 {
    n.map_or(0, i8::unsigned_abs).into()
}

impl User {
    #[redis_cached(ttl = 300, key = "of:{self.kind}:{n}", cache = cache, skip(cache))]
    async fn by_self(&self, cache: &Cache, n: Option<i8>) -> u64 {
        n.map_or(0, i8::unsigned_abs).into()
    }

    fn entry_of_self(&self, cache: &Cache, n: Option<i8>) -> Entry<u64> {
        cache.entry(key!("of:{self.kind}:{n}"))
    }
}

fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![select(&TENANTS[..]).prop_map(str::to_owned), "\\PC{0,3}"];
    proptest::collection::vec(part, 0..3).prop_map(|parts| parts.concat())
}

fn user() -> impl Strategy<Value = User> {
    let kind = prop_oneof![
        Just(Kind::Plain),
        text().prop_map(Kind::Named),
        any::<f32>().prop_map(|x| Kind::At { x }),
    ];
    let langs = proptest::collection::vec(proptest::option::of(text()), 0..3);
    let score = prop_oneof![Just(-0.0), Just(f64::NAN), any::<f64>()];
    (any::<i64>(), text(), score, kind, langs).prop_map(|(id, name, score, kind, langs)| User {
        id,
        name,
        score,
        kind,
        langs,
    })
}

#[tokio::test]
async fn the_macro_and_the_attribute_write_the_same_key_for_any_arguments() {
    let mut runner = TestRunner::deterministic();
    let mut drawn = |count| -> Vec<(User, Option<i8>)> {
        let arguments = (user(), any::<Option<i8>>());
        let draw = |_| {
            arguments
                .new_tree(&mut runner)
                .expect("arguments")
                .current()
        };
        (0..count).map(draw).collect()
    };
    let (many, few) = (drawn(500), drawn(30));
    with_each_prefix(async |cache| {
        for (user, n) in &many {
            let n = *n;
            let keys = [
                (
                    by_colons_entry(cache, user, n),
                    key!("user:{user.name}:{n}"),
                ),
                (
                    by_a_hash_tag_entry(cache, user, n),
                    key!("{{{user.name}}}.{user.score}-{user.id}0{n}"),
                ),
                (
                    by_borders_entry(cache, user, n),
                    key!("{user}n{user.kind}_{user.langs},{n}!"),
                ),
                (user.by_self_entry(cache, n), key!("of:{user.kind}:{n}")),
            ];
            for (entry, key) in keys {
                let told = entry.key().expect("a key");
                let reached = cache.entry::<u64>(&key).key();
                assert_eq!(reached.expect("a key"), told, "{user:?}, {n:?}");
                assert!(told.ends_with(key.as_str()), "{told} and {key}");
                // Whoever has the text reaches the same.
                let reached = cache.entry::<u64>(key.as_str()).key();
                assert_eq!(reached.expect("a key"), told, "{user:?}, {n:?}");
            }
        }
        // What was stored by one is there for the other.
        for (user, n) in &few {
            let n = *n;
            let stored = by_colons(cache, user, n).await;
            let key = key!("user:{user.name}:{n}");
            assert_eq!(cache.get(key).await.expect("a cache"), Some(stored));

            let stored = by_a_hash_tag(cache, user, n).await;
            let key = key!("{{{user.name}}}.{user.score}-{user.id}0{n}");
            assert_eq!(cache.get(key).await.expect("a cache"), Some(stored));

            let stored = by_borders(cache, user, n).await;
            let key = key!("{user}n{user.kind}_{user.langs},{n}!");
            assert_eq!(cache.get(&key).await.expect("a cache"), Some(stored));
            cache.set_ex(&key, &1_000, MINUTE).await.expect("a cache");
            assert_eq!(by_borders(cache, user, n).await, 1_000);
            cache.delete(&key).await.expect("a cache");

            let stored = user.by_self(cache, n).await;
            let entry = user.entry_of_self(cache, n);
            assert_eq!(entry.get().await.expect("a cache"), Some(stored));
            entry.invalidate().await.expect("a cache");
            let own = user.by_self_entry(cache, n);
            assert_eq!(own.get().await.expect("a cache"), None);
        }
    })
    .await;
}

#[test]
fn a_template_names_what_is_in_scope_or_given_behind_it() {
    const PAGE: u8 = 3;
    static WHERE: &str = "here";
    struct Pair(u8, (char, Option<u8>));
    let pair = Pair(1, ('ü', None));
    let (r#type, owned) = ("t", "a b".to_owned());
    let boxed: Box<str> = "c".into();
    assert_eq!(key!("greeting").as_str(), "greeting");
    assert_eq!(key!("{PAGE}:{WHERE}").as_str(), "3:here");
    assert_eq!(key!("{pair.0}/{pair.1.0}/{pair.1.1}").as_str(), "1/ü/%null");
    assert_eq!(key!("{r#type}:{owned}:{boxed}").as_str(), "t:a%20b:c");
    assert_eq!(key!("{{user:{owned}}}:x",).as_str(), "{user:a%20b}:x");
    // What is borrowed is still there.
    assert_eq!(owned, "a b");

    let mut evaluated = 0;
    let mut next = || {
        evaluated += 1;
        evaluated
    };
    let key = key!("{a}:{b}:{a}:{pair.0}", a = next(), b = next() + 40,);
    assert_eq!(key.as_str(), "1:42:1:1");
    assert_eq!(evaluated, 2);
    // A name given behind the template is nearer than one in scope, and none of the others sees it.
    let id = 1;
    assert_eq!(
        key!("{id}:{other}", id = id + 1, other = id).as_str(),
        "2:1"
    );
    assert_eq!(key!("{of.0}", of = (id, PAGE)).as_str(), "1");
    assert_eq!(
        key!("{PAGE}:{r#type}", PAGE = 4, r#type = 5).as_str(),
        "4:5"
    );

    macro_rules! within {
        ($template:literal, $id:ident) => {
            (key!($template), key!("n:{id}", id = $id))
        };
    }
    let (one, other) = within!("n:{id}", id);
    assert_eq!(one, other);
    let within = || key!("closed over:{id}");
    assert_eq!(within().as_str(), "closed over:1");
}

#[test]
fn what_is_given_behind_a_template_is_any_expression() {
    let (few, many) = (1_u32, 2_u32);
    let (name, reference) = ("a".to_owned(), &many);
    assert_eq!(key!("{n}", n = few as u64).as_str(), "1");
    assert_eq!(key!("{n}", n = few == many).as_str(), "false");
    assert_eq!(key!("{n}", n = few > 0 && many > 0).as_str(), "true");
    assert_eq!(key!("{n}", n = -1 - 1).as_str(), "-2");
    assert_eq!(key!("{n}", n = *reference * 2).as_str(), "4");
    assert_eq!(key!("{n.start}", n = 1..3).as_str(), "1");
    assert_eq!(
        key!("{n.0}", n = u32::overflowing_add(few, many)).as_str(),
        "3"
    );
    assert_eq!(key!("{n}", n = name + "b").as_str(), "ab");
    assert_eq!(
        key!("{n}", n = if few > 1 { few } else { many }).as_str(),
        "2"
    );
}

#[tokio::test]
async fn a_statement_with_a_key_can_wait_on_any_thread() {
    fn assert_send<T>(future: impl Future<Output = T> + Send) -> impl Future<Output = T> + Send {
        future
    }
    let (cache, tenant) = (in_memory(), "acme".to_owned());
    let (cache, tenant) = (&cache, &tenant);
    assert_send(async {
        cache.set_ex(key!("t:{tenant}"), &1, MINUTE).await?;
        let there = cache.get::<u64>(key!("t:{name}", name = &**tenant)).await?;
        assert_eq!(there, Some(1));
        cache.entry::<u64>(key!("t:{tenant}")).invalidate().await?;
        assert_eq!(cache.get::<u64>(key!("t:{tenant}")).await?, None);
        // What ends with the key's statement need not be `Send`.
        let shared = || std::rc::Rc::new(tenant.clone());
        cache.delete(key!("t:{name}", name = **shared())).await
    })
    .await
    .expect("a cache");
}

#[tokio::test]
async fn white_space_of_the_template_itself_is_the_keys() {
    for cache in Stores::start().await.both() {
        let id = 1;
        let key = key!("all users:{id}");
        cache.set_ex(&key, &5, MINUTE).await.expect("a cache");
        let entry = cache.entry::<u64>(&key);
        assert_eq!(&*entry.key().expect("a key"), "all users:1");
        assert_eq!(entry.get().await.expect("a cache"), Some(5));
    }
}

/// Not `Serialize`, as contexts are that hold a connection.
struct Context {
    tenant: &'static str,
    _trace: &'static str,
}

#[derive(Serialize)]
struct Session {
    user: u64,
    #[serde(skip)]
    tenant: &'static str,
}

#[redis_cached(ttl = 300, key_args(id, ctx.tenant), cache = cache)]
async fn by_arguments(cache: &Cache, ctx: &Context, id: u64) -> String {
    format!("{id} of {}", ctx.tenant)
}

#[redis_cached(ttl = 300, key = "of:{ctx.tenant}:{id}", skip(cache), cache = cache)]
async fn by_a_template(cache: &Cache, ctx: &Context, id: u64) -> String {
    format!("{id} of {}", ctx.tenant)
}

#[redis_cached(ttl = 300, key_args(session), cache = cache)]
async fn by_what_is_serialized(cache: &Cache, session: &Session) -> String {
    format!("{} of {}", session.user, session.tenant)
}

#[redis_cached(ttl = 300, key_args(session, session.tenant), cache = cache)]
async fn by_the_field_too(cache: &Cache, session: &Session) -> String {
    format!("{} of {}", session.user, session.tenant)
}

#[tokio::test]
async fn tenants_are_told_apart_where_their_field_is_named() {
    let [acme, bolt] = ["acme", "bolt"].map(|tenant| Context {
        tenant,
        _trace: "of this request",
    });
    let [of_acme, of_bolt] = ["acme", "bolt"].map(|tenant| Session { user: 1, tenant });
    for cache in Stores::start().await.both() {
        for _ in 0..2 {
            assert_eq!(by_arguments(cache, &acme, 1).await, "1 of acme");
            assert_eq!(by_arguments(cache, &bolt, 1).await, "1 of bolt");
            assert_eq!(by_a_template(cache, &acme, 1).await, "1 of acme");
            assert_eq!(by_a_template(cache, &bolt, 1).await, "1 of bolt");
            assert_eq!(by_the_field_too(cache, &of_acme).await, "1 of acme");
            assert_eq!(by_the_field_too(cache, &of_bolt).await, "1 of bolt");
            // As the documentation warns: what is not serialized is in no key.
            assert_eq!(by_what_is_serialized(cache, &of_acme).await, "1 of acme");
            assert_eq!(by_what_is_serialized(cache, &of_bolt).await, "1 of acme");
        }
    }
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn of_a_default_key(cache: &Cache, body: &Body, text: &str) -> u64 {
    body.run().await.expect("a body that returns")
}

#[redis_cached(ttl = 300, key = "at:{text}", skip(cache, body), cache = cache)]
async fn of_a_template(cache: &Cache, body: &Body, text: &str) -> u64 {
    body.run().await.expect("a body that returns")
}

/// A short text, and texts about which the arguments of a default key, at 200 bytes, and the memory of a key, at 1024, do
/// otherwise than before.
const LENGTHS: [usize; 9] = [0, 1, 8, 199, 200, 201, 1_000, 1_030, 20_000];

#[tokio::test]
async fn p1_calls_flights_and_entries_of_a_key_meet_at_any_length_and_those_of_others_do_not() {
    with_each_prefix(async |cache| {
        let (body, mut runs) = (&Body::gated(), 0);
        for length in LENGTHS {
            for last in ["a", "b"] {
                let text = &("x".repeat(length) + last);
                let (by_default, by_template) = (
                    of_a_default_key_entry(cache, text),
                    of_a_template_entry(cache, text),
                );
                for (entry, is_default) in [(&by_default, true), (&by_template, false)] {
                    let call = async || match is_default {
                        true => of_a_default_key(cache, body, text).await,
                        false => of_a_template(cache, body, text).await,
                    };
                    runs += 1;
                    let open = async {
                        body.wait_until_begun(runs).await;
                        body.let_through(runs);
                    };
                    let (one, other, ()) = tokio::join!(call(), call(), open);
                    assert_eq!((one, other), (runs, runs), "one body of {length}");
                    assert_eq!(call().await, runs, "a hit of {length}");
                    assert_eq!(entry.get().await.expect("a cache"), Some(runs));
                    assert_eq!(cache.stats().flights, 0);

                    entry.put(&(1_000 + runs)).await.expect("a cache");
                    assert_eq!(call().await, 1_000 + runs, "a hit of {length}");
                }
                let key = key!("at:{text}");
                let put = cache.get::<u64>(&key).await.expect("a cache");
                assert_eq!(put, Some(1_000 + runs), "by the text of {length}");
                cache.delete(&key).await.expect("a cache");
                assert_eq!(by_template.get().await.expect("a cache"), None);
                let default = by_default.get().await.expect("a cache");
                assert_eq!(default, Some(1_000 + runs - 1), "of {length}");
            }
        }
        assert_eq!(body.runs(), runs);
    })
    .await;
}

struct Refuses;

impl Serialize for Refuses {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("on command"))
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_written_is_an_error_at_each_operation() {
    for cache in Stores::start().await.both() {
        let id = Refuses;
        let key = key!("user:{id}");
        let entry = || cache.entry::<u64>(&key).with_ttl(MINUTE);
        for told in [
            entry().invalidate().await.err(),
            entry().put(&1).await.err(),
            entry().get().await.err(),
            entry().key().err(),
            cache.delete(&key).await.err(),
            cache.get::<u64>(&key).await.err(),
            cache.set_ex(&key, &1, MINUTE).await.err(),
            // Its text is no way round.
            cache.delete(key.as_str()).await.err(),
        ] {
            assert_eq!(told.expect("an error").kind(), ErrorKind::Key);
        }
        let told = entry().invalidate().await.expect_err("no key");
        let cause = std::error::Error::source(&told).expect("a cause");
        assert!(cause.to_string().contains("on command"), "{cause}");
        assert_eq!(entry().get_or_compute(async || 5).await, 5);
    }
}

#[tokio::test]
async fn a_key_is_taken_in_every_form_of_a_text() {
    for cache in Stores::start().await.both() {
        let owned = "greeting".to_owned();
        cache.set_ex("greeting", &1, MINUTE).await.expect("a cache");
        let shared: std::sync::Arc<str> = owned.as_str().into();
        let either = std::borrow::Cow::Borrowed("greeting");
        let texts = [
            cache.get::<u64>("greeting").await,
            cache.get::<u64>(&owned).await,
            cache.get::<u64>(&*owned).await,
            cache.get::<u64>(&&*owned).await,
            cache.get::<u64>(&shared).await,
            cache.get::<u64>(&either).await,
            cache.get::<u64>(key!("greeting")).await,
            cache.get::<u64>(&key!("greeting")).await,
            cache.get::<u64>(CacheKey::from("greeting")).await,
        ];
        for told in texts {
            assert_eq!(told.expect("a cache"), Some(1));
        }
        // What stores borrows nothing, so it may go where the key does not.
        let put = {
            let key = "greeting".to_owned();
            cache.set_ex(&key, &2, MINUTE)
        };
        tokio::spawn(put).await.expect("no panic").expect("a cache");
        assert_eq!(cache.get("greeting").await.expect("a cache"), Some(2));
    }
}
