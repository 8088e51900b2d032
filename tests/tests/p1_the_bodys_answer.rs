//! P1: a call returns what its body returned for an equal key; never another function's, another
//! argument's or another type's value.
#![allow(missing_docs)]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::marker::PhantomData;

use cache_runtime::{Cache, ErrorKind, SiteInfo, redis_cached, sites};
use cache_tests::{Body, Logs, Stores, patient};
use serde::{Deserialize, Serialize};

fn site(function: &str) -> SiteInfo {
    let found = sites().into_iter().find(|site| site.function == function);
    found.expect("the function was called")
}

mod north {
    use cache_runtime::{Cache, redis_cached};

    #[redis_cached(ttl = 300, skip(cache), cache = cache)]
    pub(super) async fn name(cache: &Cache, id: u64) -> String {
        format!("north {id}")
    }
}

mod south {
    use cache_runtime::{Cache, redis_cached};

    #[redis_cached(ttl = 300, skip(cache), cache = cache)]
    pub(super) async fn name(cache: &Cache, id: u64) -> String {
        format!("south {id}")
    }
}

#[tokio::test]
async fn p1_same_name_in_two_modules() {
    for cache in Stores::start().await.both() {
        for _ in 0..2 {
            assert_eq!(north::name(cache, 1).await, "north 1");
            assert_eq!(south::name(cache, 1).await, "south 1");
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Cat;

#[derive(Debug, Clone, Copy, Serialize)]
struct Dog;

impl Cat {
    #[redis_cached(ttl = 300, skip(cache), cache = cache)]
    async fn sound(&self, cache: &Cache, id: u64) -> String {
        format!("meow {id}")
    }

    #[redis_cached(ttl = 300, in_impl, skip(cache), cache = cache)]
    async fn kind(cache: &Cache, id: u64) -> String {
        format!("cat {id}")
    }
}

impl Dog {
    #[redis_cached(ttl = 300, skip(cache), cache = cache)]
    async fn sound(&self, cache: &Cache, id: u64) -> String {
        format!("woof {id}")
    }

    #[redis_cached(ttl = 300, in_impl, skip(cache), cache = cache)]
    async fn kind(cache: &Cache, id: u64) -> String {
        format!("dog {id}")
    }
}

#[tokio::test]
async fn p1_same_name_in_two_impls() {
    for cache in Stores::start().await.both() {
        for _ in 0..2 {
            assert_eq!(Cat.sound(cache, 1).await, "meow 1");
            assert_eq!(Dog.sound(cache, 1).await, "woof 1");
            assert_eq!(Cat::kind(cache, 1).await, "cat 1");
            assert_eq!(Dog::kind(cache, 1).await, "dog 1");
        }
    }
}

trait Named {
    const NAME: &'static str;
}

impl Named for Cat {
    const NAME: &'static str = "cat";
}

impl Named for Dog {
    const NAME: &'static str = "dog";
}

#[derive(Debug)]
struct Shelter<T>(PhantomData<T>);

impl<T: Named> Shelter<T> {
    #[redis_cached(ttl = 300, in_impl, skip(cache), cache = cache)]
    async fn keeps(cache: &Cache, id: u64) -> String {
        format!("{} {id}", T::NAME)
    }

    #[redis_cached(ttl = 300, skip(self, cache), cache = cache)]
    async fn feeds(&self, cache: &Cache, id: u64) -> String {
        format!("{} {id}", T::NAME)
    }
}

#[redis_cached(ttl = 300, skip(cache), cache = cache)]
async fn generic<T: Named>(cache: &Cache, of: PhantomData<T>, id: u64) -> String {
    format!("{} {id}", T::NAME)
}

#[tokio::test]
async fn p1_one_generic_type_for_two_types() {
    for cache in Stores::start().await.both() {
        let (cats, dogs) = (Shelter::<Cat>(PhantomData), Shelter::<Dog>(PhantomData));
        for _ in 0..2 {
            assert_eq!(Shelter::<Cat>::keeps(cache, 1).await, "cat 1");
            assert_eq!(Shelter::<Dog>::keeps(cache, 1).await, "dog 1");
            assert_eq!(cats.feeds(cache, 1).await, "cat 1");
            assert_eq!(dogs.feeds(cache, 1).await, "dog 1");
            assert_eq!(generic(cache, PhantomData::<Cat>, 1).await, "cat 1");
            assert_eq!(generic(cache, PhantomData::<Dog>, 1).await, "dog 1");
        }
    }
}

trait Morning {
    async fn greeting(&self, cache: &Cache, id: u64) -> String;
}

trait Evening {
    async fn greeting(&self, cache: &Cache, id: u64) -> String;
}

impl Morning for Cat {
    #[redis_cached(ttl = 300, trait_impl, skip(self, cache), cache = cache)]
    async fn greeting(&self, cache: &Cache, id: u64) -> String {
        format!("good morning {id}")
    }
}

impl Evening for Cat {
    #[redis_cached(ttl = 300, trait_impl, skip(self, cache), cache = cache)]
    async fn greeting(&self, cache: &Cache, id: u64) -> String {
        format!("good evening {id}")
    }
}

impl Morning for Dog {
    #[redis_cached(ttl = 300, trait_impl, skip(self, cache), cache = cache)]
    async fn greeting(&self, cache: &Cache, id: u64) -> String {
        format!("get up {id}")
    }
}

#[tokio::test]
async fn p1_two_traits_on_one_type_and_one_trait_on_two_types() {
    for cache in Stores::start().await.both() {
        for _ in 0..2 {
            assert_eq!(Morning::greeting(&Cat, cache, 1).await, "good morning 1");
            assert_eq!(Evening::greeting(&Cat, cache, 1).await, "good evening 1");
            assert_eq!(Morning::greeting(&Dog, cache, 1).await, "get up 1");
        }
    }
}

async fn first(cache: &Cache) -> String {
    #[redis_cached(ttl = 300, skip(cache), cache = cache)]
    async fn inner(cache: &Cache, id: u64) -> String {
        format!("first {id}")
    }
    inner(cache, 1).await
}

async fn second(cache: &Cache) -> String {
    #[redis_cached(ttl = 300, skip(cache), cache = cache)]
    async fn inner(cache: &Cache, id: u64) -> String {
        format!("second {id}")
    }
    inner(cache, 1).await
}

#[tokio::test]
async fn p1_two_nested_functions() {
    for cache in Stores::start().await.both() {
        for _ in 0..2 {
            assert_eq!(first(cache).await, "first 1");
            assert_eq!(second(cache).await, "second 1");
        }
    }
}

/// The compiler has one name for both, which only the runtime can notice.
#[tokio::test]
async fn p1_two_nested_functions_of_one_path_are_reported_and_share_nothing() {
    let (logs, _guard) = Logs::of_this_thread();
    for cache in Stores::start().await.both() {
        for _ in 0..2 {
            {
                #[redis_cached(ttl = 300, skip(cache), cache = cache)]
                async fn twin(cache: &Cache, id: u64) -> String {
                    format!("left {id}")
                }
                assert_eq!(twin(cache, 1).await, "left 1");
            }
            {
                #[redis_cached(ttl = 300, skip(cache), cache = cache)]
                async fn twin(cache: &Cache, id: u64) -> String {
                    format!("right {id}")
                }
                assert_eq!(twin(cache, 1).await, "right 1");
            }
        }
    }
    let reports = logs.lines_with("two cached functions have the same namespace");
    assert_eq!(reports.len(), 1, "{reports:#?}");
}

#[redis_cached(ttl = 300, namespace = "p1-shared", skip(cache), cache = cache)]
async fn pinned_here(cache: &Cache, id: u64) -> u64 {
    id
}

#[redis_cached(ttl = 300, namespace = "p1-shared", skip(cache), cache = cache)]
async fn pinned_there(cache: &Cache, id: u64) -> u64 {
    id
}

#[redis_cached(ttl = 300, namespace = "p1-shared", version = 2, skip(cache), cache = cache)]
async fn pinned_in_another_version(cache: &Cache, id: u64) -> u64 {
    id
}

#[tokio::test]
async fn p1_two_sites_that_pinned_one_namespace_are_both_reported() {
    let (logs, _guard) = Logs::of_this_thread();
    let cache = cache_tests::in_memory();
    for _ in 0..3 {
        pinned_here(&cache, 1).await;
        pinned_there(&cache, 2).await;
        pinned_in_another_version(&cache, 3).await;
    }
    let reports = logs.lines_with("two cached functions have the same namespace");
    assert_eq!(reports.len(), 1, "{reports:#?}");
    assert!(reports[0].contains("ERROR"), "{reports:#?}");
    assert!(
        reports[0].contains("pinned_here (tests/tests/p1_"),
        "{reports:#?}"
    );
    assert!(
        reports[0].contains("pinned_there (tests/tests/p1_"),
        "{reports:#?}"
    );
}

trait Lookup<T> {
    async fn unresolved(&self, cache: &Cache, body: &Body, id: T) -> Result<u64, String>;
}

impl<T: Serialize> Lookup<T> for Cat {
    #[redis_cached(ttl = 300, trait_impl, skip(self, cache, body), cache = cache)]
    async fn unresolved(&self, cache: &Cache, body: &Body, id: T) -> Result<u64, String> {
        body.run().await.map_err(|failed| failed.to_string())
    }
}

#[tokio::test]
async fn p1_a_path_that_does_not_resolve_bypasses_the_cache_with_one_error() {
    let (logs, _guard) = Logs::of_this_thread();
    let stores = Stores::start().await;
    let body = Body::new();
    let mut runs = 0;
    for cache in stores.both() {
        for _ in 0..2 {
            for _ in 0..2 {
                runs += 1;
                let value = Cat.unresolved(cache, &body, 1_u8).await;
                assert_eq!(value, Ok(runs));
            }
            runs += 1;
            assert_eq!(Cat.unresolved(cache, &body, 1_u16).await, Ok(runs));
        }
    }
    let errors = logs.lines_with("calls run without the cache");
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].contains("namespace = "), "{errors:#?}");
    let stats = site("unresolved").stats;
    assert_eq!(stats.bypassed, runs);
    assert_eq!(stats.errors.of(ErrorKind::Key), runs);
    assert_eq!(stores.server.cli(&["DBSIZE"]), "0");
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

#[redis_cached(ttl = 300, key = "p1:{id}", skip(cache, body), cache = cache)]
async fn shared_as_user(cache: &Cache, body: &Body, id: u64) -> User {
    let run = body.run().await.expect("a body that returns");
    let name = format!("run {run}");
    User { id, name }
}

#[redis_cached(ttl = 300, key = "p1:{id}", skip(cache, body), cache = cache)]
async fn shared_as_number(cache: &Cache, body: &Body, id: u64) -> u64 {
    let _ = id;
    body.run().await.expect("a body that returns")
}

#[redis_cached(ttl = 300, key = "p1:{id}", skip(cache, body), cache = cache)]
async fn shared_as_part(cache: &Cache, body: &Body, id: u64) -> Part {
    let _ = (id, body);
    unreachable!("a `User` is stored, which is a `Part`")
}

/// Part of a [`User`], as another service might read it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Part {
    name: String,
}

#[tokio::test]
async fn p1_another_types_value_under_a_shared_key_is_a_miss() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        let decode_errors = || {
            ["shared_as_user", "shared_as_number"]
                .map(|function| site(function).stats.errors.of(ErrorKind::Decode))
        };
        assert_eq!(shared_as_user(cache, &body, 1).await.name, "run 1");
        assert_eq!(shared_as_user(cache, &body, 1).await.name, "run 1");
        let part = shared_as_part(cache, &body, 1).await;
        assert_eq!(part.name, "run 1", "what both types can read is a hit");
        shared_as_number_entry(cache, 1)
            .get()
            .await
            .expect("a cache that works");
        let before = decode_errors();
        assert_eq!(shared_as_number(cache, &body, 1).await, 2);
        assert_eq!(
            shared_as_number(cache, &body, 1).await,
            2,
            "it was overwritten"
        );
        assert_eq!(shared_as_user(cache, &body, 1).await.name, "run 3");
        assert_eq!(shared_as_user(cache, &body, 1).await.name, "run 3");
        let after = decode_errors();
        assert!(
            after[0] > before[0] && after[1] > before[1],
            "{before:?} {after:?}"
        );
    }
}

/// A caller that waits for another function's body, because their keys are the same.
#[tokio::test]
async fn p1_another_types_flight_answers_nobody() {
    for cache in Stores::start().await.both() {
        let (slow, quick) = (Body::gated(), Body::new());
        let user = shared_as_user(cache, &slow, 2);
        let number = async {
            slow.wait_until_running(1).await;
            let waits = shared_as_number(cache, &quick, 2);
            let open = async {
                cache_tests::eventually("a caller to wait", cache_tests::wait::SOON, async || {
                    cache.stats().waiting == 1
                })
                .await;
                slow.open_gate();
            };
            tokio::join!(waits, open).0
        };
        let (user, number) = tokio::join!(user, number);
        assert_eq!((user.id, number), (2, 1));
    }
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn ignoring(cache: &Cache, body: &Body, _: u64, id: u64, _: &str) -> u64 {
    let _ = id;
    body.run().await.expect("a body that returns")
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn of_a_pair(cache: &Cache, body: &Body, (a, mut b): (u64, u64), mut c: u64) -> u64 {
    b += a;
    c += b;
    let _ = c;
    body.run().await.expect("a body that returns")
}

#[tokio::test]
async fn p1_an_underscore_is_no_part_of_the_key_and_a_pattern_is_one_as_a_whole() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        assert_eq!(ignoring(cache, &body, 1, 7, "a").await, 1);
        assert_eq!(ignoring(cache, &body, 2, 7, "b").await, 1);
        assert_eq!(ignoring(cache, &body, 1, 8, "a").await, 2);
        let body = Body::new();
        assert_eq!(of_a_pair(cache, &body, (1, 2), 3).await, 1);
        assert_eq!(of_a_pair(cache, &body, (1, 2), 3).await, 1);
        assert_eq!(of_a_pair(cache, &body, (2, 1), 3).await, 2);
        assert_eq!(of_a_pair(cache, &body, (1, 2), 4).await, 3);
    }
}

#[derive(Debug, Clone, Serialize)]
struct Place {
    name: &'static str,
    height: Option<f64>,
}

#[redis_cached(ttl = 300, skip(cache), cache = cache)]
async fn sign_by_default(cache: &Cache, x: f64) -> bool {
    (1.0 / x).is_sign_negative()
}

#[redis_cached(ttl = 300, skip(cache), cache = cache)]
async fn sign_of_narrow(cache: &Cache, x: f32) -> bool {
    (1.0 / x).is_sign_negative()
}

#[redis_cached(ttl = 300, skip(cache), cache = cache)]
async fn sign_within(cache: &Cache, places: &[(Place, BTreeMap<u8, f64>)]) -> Vec<bool> {
    let heights = places.iter().filter_map(|(place, _)| place.height);
    let others = places.iter().flat_map(|(_, by_number)| by_number.values());
    heights
        .chain(others.copied())
        .map(|x| (1.0 / x).is_sign_negative())
        .collect()
}

#[redis_cached(ttl = 300, skip(cache), cache = cache, key = "sign:{x}:of:{place.height}")]
async fn sign_by_template(cache: &Cache, x: f64, place: &Place) -> [bool; 2] {
    [x, place.height.unwrap_or(1.0)].map(|x| (1.0 / x).is_sign_negative())
}

#[redis_cached(ttl = 300, cache = cache, key_args(place.height))]
async fn sign_of_a_field(cache: &Cache, place: &Place) -> Option<bool> {
    place.height.map(|x| (1.0 / x).is_sign_negative())
}

#[tokio::test]
async fn p1_a_body_that_tells_the_zeros_apart_answers_for_each() {
    let place = |height| Place {
        name: "Ada's",
        height: Some(height),
    };
    // Short, and so long that the key is a digest.
    let all = |x, len| vec![(place(x), BTreeMap::from([(1, x)])); len];
    for cache in Stores::start().await.both() {
        // The second round is answered by the cache.
        for _ in 0..2 {
            for (x, narrow, negative) in [(0.0, 0.0, false), (-0.0, -0.0, true)] {
                assert_eq!(sign_by_default(cache, x).await, negative);
                assert_eq!(sign_of_narrow(cache, narrow).await, negative);
                for len in [1, 50] {
                    let signs = sign_within(cache, &all(x, len)).await;
                    assert_eq!(signs, vec![negative; 2 * len]);
                }
                let signs = sign_by_template(cache, x, &place(x)).await;
                assert_eq!(signs, [negative; 2]);
                let sign = sign_of_a_field(cache, &place(x)).await;
                assert_eq!(sign, Some(negative));
            }
        }
        // Every NaN is one argument.
        let of_nan = sign_by_default(cache, f64::NAN).await;
        assert_eq!(sign_by_default(cache, -f64::NAN).await, of_nan);
        let keys = [f64::NAN, -f64::NAN].map(|x| sign_by_default_entry(cache, x).key());
        let [one, other] = keys.map(|key| key.expect("a key"));
        assert_eq!(one, other);
    }
}

#[redis_cached(ttl = 300, skip(cache), cache = cache)]
async fn described(cache: &Cache, a: &str, b: Option<String>, c: Vec<i64>, d: char) -> String {
    format!("{a:?} {b:?} {c:?} {d:?}")
}

#[tokio::test]
async fn p1_every_call_gets_its_own_arguments_value() {
    const TEXTS: [&str; 16] = [
        "", "a", ":", "a:b", "null", "true", "42", "~42", "%3A", "{a}", "(a)", "[a,b]", "a b",
        "\n", "ä", "%_",
    ];
    for cache in Stores::start().await.both() {
        for round in 0..2 {
            let mut random = fastrand::Rng::with_seed(1);
            for _ in 0..1_000 {
                let text = |random: &mut fastrand::Rng| {
                    [random.choice(TEXTS), random.choice(TEXTS)]
                        .map(Option::unwrap_or_default)
                        .concat()
                };
                let a = text(&mut random);
                let b = random.bool().then(|| text(&mut random));
                let c: Vec<i64> = (0..random.usize(..3)).map(|_| random.i64(-2..2)).collect();
                let d = random.choice(['a', ':', '%', '4']).unwrap_or('x');
                let expected = format!("{a:?} {b:?} {c:?} {d:?}");
                let described = described(cache, &a, b, c, d).await;
                assert_eq!(described, expected, "round {round}");
            }
        }
    }
    let stats = site("described").stats;
    assert!(stats.hits >= 2_000, "{stats:?}");
    assert_eq!(stats.errors.total(), 0, "{stats:?}");
}

macro_rules! echoes {
    ($($name:ident: $type:ty,)*) => {$(
        #[redis_cached(ttl = 300, skip(cache, value), cache = cache)]
        async fn $name(cache: &Cache, id: usize, value: Option<$type>) -> $type {
            let _ = id;
            value.expect("a hit")
        }
    )*};
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Rect { width: u8, height: u8 },
    Pair(i8, String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Wrapper<T>(T);

echoes! {
    echo_bool: bool,
    echo_u64: u64,
    echo_i64: i64,
    echo_u128: u128,
    echo_i128: i128,
    echo_f32: f32,
    echo_f64: f64,
    echo_char: char,
    echo_string: String,
    echo_tuple: (u8, String, [i16; 2]),
    echo_vec: Vec<Vec<u8>>,
    echo_map: BTreeMap<String, Vec<Wrapper<i32>>>,
    echo_number_map: HashMap<u64, char>,
    echo_shapes: Vec<Shape>,
    echo_options: Vec<Option<u8>>,
    echo_json: serde_json::Value,
}

/// Stores each value, and reads it from this cache and from another one on the same store.
macro_rules! comes_back {
    ($caches:expr, $echo:ident, $values:expr) => {
        for (id, value) in $values.into_iter().enumerate() {
            assert_eq!($echo($caches[0], id, Some(value.clone())).await, value);
            for cache in $caches {
                assert_eq!($echo(cache, id, None).await, value, "{}", stringify!($echo));
            }
        }
    };
}

#[tokio::test]
async fn p1_what_serde_preserves_comes_back() {
    let stores = Stores::start().await;
    let other = patient(&stores.server.url());
    let mut random = fastrand::Rng::with_seed(7);
    let finite: Vec<f64> = std::iter::repeat_with(|| f64::from_bits(random.u64(..)))
        .filter(|value| value.is_finite())
        .take(300)
        .chain([0.1, -0.0, f64::MAX, f64::MIN_POSITIVE, 5e-324])
        .collect();
    let floats: Vec<f32> = std::iter::repeat_with(|| f32::from_bits(random.u32(..)))
        .filter(|value| value.is_finite())
        .take(300)
        .collect();
    for caches in [[&stores.memory, &stores.memory], [&stores.redis, &other]] {
        comes_back!(caches, echo_bool, [true, false]);
        comes_back!(caches, echo_u64, [0, u64::MAX]);
        comes_back!(caches, echo_i64, [i64::MIN, -1]);
        comes_back!(caches, echo_u128, [0, u128::MAX]);
        comes_back!(caches, echo_i128, [i128::MIN, i128::MAX]);
        comes_back!(caches, echo_f64, finite.clone());
        comes_back!(caches, echo_f32, floats.clone());
        comes_back!(caches, echo_char, ['\0', '"', 'ä', '🦀']);
        comes_back!(
            caches,
            echo_string,
            ["", "\0\"\\\u{7f}", "ä🦀", "null"].map(str::to_owned)
        );
        comes_back!(caches, echo_tuple, [(1, "a".to_owned(), [-1, 2])]);
        comes_back!(caches, echo_vec, [vec![], vec![vec![]], vec![vec![0, 255]]]);
        let map = BTreeMap::from([
            (String::new(), vec![]),
            ("a:b".to_owned(), vec![Wrapper(-1)]),
        ]);
        comes_back!(caches, echo_map, [map, BTreeMap::new()]);
        comes_back!(
            caches,
            echo_number_map,
            [HashMap::from([(0, 'a'), (u64::MAX, 'b')])]
        );
        let shapes = vec![
            Shape::Point,
            Shape::Circle(0.1),
            Shape::Rect {
                width: 1,
                height: 2,
            },
            Shape::Pair(-1, "x".to_owned()),
        ];
        comes_back!(caches, echo_shapes, [shapes]);
        comes_back!(caches, echo_options, [vec![None, Some(0)]]);
        let json = serde_json::json!({"a": [1, -1, 0.1, null, true, "x"], "b": {}});
        comes_back!(caches, echo_json, [json, serde_json::Value::Null]);
    }
    // -0.0 == 0.0, so the sign is looked at apart.
    let zero = finite
        .iter()
        .position(|value| *value == 0.0)
        .expect("it is in the list");
    assert!(echo_f64(&other, zero, None).await.is_sign_negative());
}

fn assert_prints<T: Debug>(value: &T) {
    assert!(!format!("{value:?}").is_empty());
}

/// One key in two functions of two shapes: the stored `None` of the one is no value of the other.
#[redis_cached(ttl = 300, none_ttl = 300, key = "p1-none:{id}", skip(cache), cache = cache)]
async fn nothing(cache: &Cache, id: u64) -> Option<u64> {
    let _ = id;
    None
}

#[redis_cached(ttl = 300, key = "p1-none:{id}", skip(cache), cache = cache)]
async fn something(cache: &Cache, id: u64) -> u64 {
    id
}

#[tokio::test]
async fn p1_a_stored_none_is_no_value() {
    for cache in Stores::start().await.both() {
        assert_eq!(nothing(cache, 5).await, None);
        assert_eq!(something(cache, 5).await, 5);
        assert_eq!(
            nothing(cache, 5).await,
            Some(5),
            "a value is an `Option`'s value"
        );
        assert_prints(&nothing_entry(cache, 5));
    }
}

/// The log's lines about two functions that can have the same key, each with the names of the two.
fn twins(logs: &Logs) -> Vec<Vec<String>> {
    let reports = logs.lines_with("two cached functions can have the same key");
    let names = |report: &String| {
        assert!(report.contains("ERROR"), "{report}");
        let places = report.match_indices(" (tests/tests/p1_");
        let names = places.map(|(end, _)| report[..end].rsplit('=').next().expect("a name"));
        let mut names: Vec<_> = names.map(str::to_owned).collect();
        names.sort();
        names
    };
    reports.iter().map(names).collect()
}

#[redis_cached(ttl = 300, key = "p1-twin:{id}", skip(cache), cache = cache)]
async fn spelled_here(cache: &Cache, id: u64) -> u64 {
    id
}

#[redis_cached(ttl = 300, key = "p1-twin:{user}", skip(cache), cache = cache)]
async fn spelled_there(cache: &Cache, user: u64) -> u64 {
    user
}

struct Spelled;

impl Spelled {
    #[redis_cached(ttl = 300, key = "p1-twin:{id}", in_impl, skip(cache), cache = cache)]
    async fn spelled_in_an_impl(cache: &Cache, id: u32) -> Option<u32> {
        Some(id)
    }
}

trait Spelling {
    async fn spelled_in_a_trait(&self, cache: &Cache, body: &Body, id: u8) -> Result<u64, String>;
}

impl Spelling for Spelled {
    #[redis_cached(ttl = 300, key = "p1-twin:{id}", trait_impl, skip(self, cache, body), cache = cache)]
    async fn spelled_in_a_trait(&self, cache: &Cache, body: &Body, id: u8) -> Result<u64, String> {
        body.run().await.map_err(|failed| failed.to_string())
    }
}

#[tokio::test]
async fn p1_functions_that_spell_out_one_key_are_both_reported() {
    let (logs, _guard) = Logs::of_this_thread();
    let stores = Stores::start().await;
    for cache in stores.both() {
        for _ in 0..2 {
            spelled_here(cache, 1).await;
            // An entry tells of its function as a call does.
            assert_eq!(&*spelled_there_entry(cache, 2).key().unwrap(), "p1-twin:2");
            spelled_there(cache, 2).await;
        }
    }
    assert_eq!(twins(&logs), [["spelled_here", "spelled_there"]]);

    Spelled::spelled_in_an_impl(&stores.memory, 3).await;
    let one = |names: &Vec<String>| names.contains(&"spelled_in_an_impl".to_owned());
    assert_eq!(twins(&logs).iter().filter(|names| one(names)).count(), 2);
    let value = Spelled
        .spelled_in_a_trait(&stores.memory, &Body::new(), 4)
        .await;
    assert_eq!(value, Ok(1));
    assert_eq!(twins(&logs).len(), 6, "each pair once: {:?}", twins(&logs));
}

#[derive(Debug, Clone, Serialize)]
struct Number(u64);

#[redis_cached(ttl = 300, key = "p1-apart:{id}", skip(cache), cache = cache)]
async fn apart(cache: &Cache, id: Number) -> u64 {
    id.0
}

#[redis_cached(ttl = 300, key = "p1-apart:{id}:{page}", skip(cache), cache = cache)]
async fn apart_by_a_page(cache: &Cache, id: &str, page: u64) -> String {
    format!("{id} {page}")
}

#[redis_cached(ttl = 300, key = "p1-apart:all", skip(cache), cache = cache)]
async fn apart_by_a_word(cache: &Cache) -> u64 {
    7
}

#[redis_cached(ttl = 300, namespace = "p1-apart", version = 2, skip(cache), cache = cache)]
async fn apart_by_a_version(cache: &Cache, id: u64) -> u64 {
    id
}

#[redis_cached(ttl = 300, namespace = "p1-apart", skip(cache), cache = cache)]
async fn twin_by_namespace(cache: &Cache, id: u64) -> u64 {
    id
}

#[redis_cached(ttl = 300, key = "p1-apart:{name}", skip(cache), cache = cache)]
async fn twin_by_a_word(cache: &Cache, name: &str) -> u64 {
    name.len() as u64
}

#[tokio::test]
async fn p1_only_functions_that_can_have_one_key_are_reported() {
    let (logs, _guard) = Logs::of_this_thread();
    let cache = &cache_tests::in_memory();
    apart(cache, Number(1)).await;
    apart_by_a_page(cache, "1", 1).await;
    apart_by_a_word(cache).await;
    apart_by_a_version(cache, 1).await;
    assert_eq!(twins(&logs), Vec::<Vec<String>>::new());

    twin_by_namespace(cache, 1).await;
    assert_eq!(twins(&logs), [["apart", "twin_by_namespace"]]);
    // The key is one, as reported: this is what the other computed.
    assert_eq!(&*apart_entry(cache, Number(1)).key().unwrap(), "p1-apart:1");
    assert_eq!(
        &*twin_by_namespace_entry(cache, 1).key().unwrap(),
        "p1-apart:1"
    );

    twin_by_a_word(cache, "some").await;
    let twins = twins(&logs);
    assert_eq!(twins.len(), 4, "{twins:?}");
    for name in ["apart", "apart_by_a_word", "twin_by_namespace"] {
        let mut pair = ["twin_by_a_word".to_owned(), name.to_owned()];
        pair.sort();
        assert!(twins.contains(&pair.to_vec()), "{name}: {twins:?}");
    }
}

#[derive(Debug, Clone)]
struct Shelf<T> {
    kind: &'static str,
    holds: PhantomData<T>,
}

impl<T: cache_runtime::Cacheable + Clone + Default + Sync> Shelf<T> {
    #[redis_cached(ttl = 300, key = "p1-shelf:{id}", skip(self, cache), cache = cache)]
    async fn mixed(&self, cache: &Cache, id: u64) -> T {
        let _ = (self.kind, id);
        T::default()
    }

    #[redis_cached(ttl = 300, key = "p1-shelf-of-{self.kind}:{id}", skip(cache), cache = cache)]
    async fn sorted(&self, cache: &Cache, id: u64) -> T {
        let _ = id;
        T::default()
    }
}

#[tokio::test]
async fn p1_one_key_for_values_of_two_types_is_reported() {
    let (logs, _guard) = Logs::of_this_thread();
    let cache = &cache_tests::in_memory();
    let numbers = Shelf::<u8> {
        kind: "number",
        holds: PhantomData,
    };
    let texts = Shelf::<String> {
        kind: "text",
        holds: PhantomData,
    };
    let reports = || logs.lines_with("values of two types have the same `key`");
    for id in [1, 2] {
        assert_eq!(numbers.mixed(cache, id).await, 0);
        assert_eq!(numbers.sorted(cache, id).await, 0);
        assert_eq!(texts.sorted(cache, id).await, "");
    }
    assert!(reports().is_empty(), "{:#?}", reports());
    for id in [1, 2] {
        assert_eq!(texts.mixed(cache, id).await, "");
    }
    let reports = reports();
    assert_eq!(reports.len(), 1, "{reports:#?}");
    for part in ["ERROR", "function=mixed (tests/tests/p1_", "u8", "String"] {
        assert!(reports[0].contains(part), "{reports:#?}");
    }
}
