//! The attribute on every kind of function: each is called twice with equal arguments, and its body runs once.

#![deny(warnings)]
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)]
// Futures that only have to compile, and signatures as users write them.
#![allow(
    clippy::let_underscore_future,
    clippy::non_minimal_cfg,
    clippy::needless_lifetimes
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cache_runtime::{Cache, redis_cached};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// How often each body ran.
static RUNS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

fn ran(body: impl Display) {
    *RUNS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(body.to_string())
        .or_default() += 1;
}

fn runs(body: impl Display) -> u64 {
    let runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
    runs.get(&body.to_string()).copied().unwrap_or(0)
}

fn is_send<T: Send>(future: T) -> T {
    future
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    id: u64,
    name: String,
}

fn user(id: u64) -> User {
    User {
        id,
        name: format!("user {id}"),
    }
}

/// Cannot be a key, nor be cloned.
pub struct Pool;

mod shapes {
    use super::*;

    #[redis_cached(ttl = 60)]
    async fn value(id: u64) -> User {
        ran(format!("shapes::value {id}"));
        user(id)
    }

    #[redis_cached(ttl = "1m")]
    async fn option(id: u64) -> Option<User> {
        ran(format!("shapes::option {id}"));
        (id < 10).then(|| user(id))
    }

    #[redis_cached(ttl = Duration::from_secs(60))]
    async fn result(id: u64) -> Result<User, String> {
        ran(format!("shapes::result {id}"));
        if id < 10 {
            Ok(user(id))
        } else {
            Err("no such user".to_owned())
        }
    }

    #[redis_cached(ttl = |user| Duration::from_secs(user.id))]
    async fn result_option(id: u64) -> Result<Option<User>, Box<dyn Error>> {
        ran(format!("shapes::result_option {id}"));
        Ok((id < 10).then(|| user(id)))
    }

    #[redis_cached(ttl = 60, none_ttl = 30)]
    async fn none(id: u64) -> std::io::Result<Option<User>> {
        ran(format!("shapes::none {id}"));
        Ok(None)
    }

    type Fallible<T, E = Box<dyn Error + Send + Sync>> = Result<T, E>;
    use Fallible as Result2;

    mod anyhow {
        pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> =
            std::result::Result<T, E>;
    }

    #[redis_cached(ttl = 60)]
    async fn alias(id: u64) -> anyhow::Result<User> {
        ran(format!("shapes::alias {id}"));
        let _: Result2<u8> = Ok(1);
        Ok(user(id))
    }

    #[tokio::test]
    async fn all_four_shapes_are_stored_without_their_wrapping() {
        for _ in 0..2 {
            assert_eq!(value(1).await, user(1));
            assert_eq!(option(1).await, Some(user(1)));
            assert_eq!(result(1).await, Ok(user(1)));
            assert_eq!(result_option(1).await.unwrap(), Some(user(1)));
            assert_eq!(alias(1).await.unwrap(), user(1));
        }
        for shape in ["value", "option", "result", "result_option", "alias"] {
            assert_eq!(runs(format!("shapes::{shape} 1")), 1, "{shape}");
        }
        assert_eq!(result_entry(1).get().await.unwrap(), Some(user(1)));
        assert_eq!(option_entry(1).get().await.unwrap(), Some(Some(user(1))));
    }

    #[tokio::test]
    async fn errors_are_not_stored_and_none_only_if_told() {
        for _ in 0..2 {
            assert_eq!(result(11).await, Err("no such user".to_owned()));
            assert_eq!(option(11).await, None);
            assert_eq!(none(11).await.unwrap(), None);
        }
        assert_eq!(runs("shapes::none 11"), 1);
        assert_eq!(none_entry(11).get().await.unwrap(), Some(None));
        assert_eq!(option_entry(11).get().await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_body_alone_has_a_name() {
        assert_eq!(value_uncached(7).await, user(7));
        assert_eq!(value_entry(7).get().await.unwrap(), None);
        value_entry(7).put(&user(8)).await.unwrap();
        assert_eq!(value(7).await, user(8));
        value_entry(7).invalidate().await.unwrap();
        assert_eq!(value(7).await, user(7));
    }

    #[test]
    fn futures_are_send() {
        let _ = is_send(value(1));
        let _ = is_send(result(1));
        // `Box<dyn Error>` is not `Send`; it is in the future's output, never across an await.
        let _ = is_send(result_option(1));
        let _ = is_send(result_option_entry(1).get());
    }
}

mod parameters {
    use super::*;

    #[redis_cached(ttl = 60, skip(_pool))]
    async fn skipped(_pool: &Pool, id: u64) -> u64 {
        ran("parameters::skipped");
        id
    }

    #[redis_cached(ttl = 60)]
    async fn patterns(mut a: u64, (b, c): (u64, u64), _: &Pool, [d, ..]: [u64; 3]) -> u64 {
        ran(format!("parameters::patterns {b}"));
        a += b + c + d;
        a
    }

    #[redis_cached(ttl = 60)]
    async fn references<'a>(
        name: &str,
        list: &'a [u64],
        user: &User,
        opt: Option<&'a str>,
    ) -> String {
        ran("parameters::references");
        format!("{name} {list:?} {} {opt:?}", user.id)
    }

    #[redis_cached(ttl = 60, skip(what))]
    async fn impl_trait(id: impl Into<u64> + Serialize + Copy, what: impl Display) -> String {
        ran("parameters::impl_trait");
        format!("{what} {}", id.into())
    }

    #[redis_cached(ttl = 60, skip(scratch))]
    async fn scratch_space(id: u64, scratch: &mut Vec<u64>) -> u64 {
        ran("parameters::scratch_space");
        scratch.push(id);
        scratch.len() as u64
    }

    #[redis_cached(ttl = 60, key_args(user.id, pair.0))]
    async fn fields(user: &User, pair: (u64, Vec<u64>), _pool: Option<&Pool>) -> u64 {
        ran("parameters::fields");
        user.id + pair.0
    }

    #[redis_cached(
        ttl = 60,
        key = "test:{{pair-{pair.0}}}-{user.name}!{r#type}",
        skip(_pool)
    )]
    async fn template(pair: (u64, u64), user: User, r#type: &str, _pool: &Pool) -> u64 {
        ran(format!("parameters::template {type}", type = r#type));
        pair.1 + user.id
    }

    #[redis_cached(ttl = 60)]
    async fn nothing() -> u64 {
        ran("parameters::nothing");
        5
    }

    #[tokio::test]
    async fn equal_arguments_share_an_entry() {
        for n in 0..2 {
            assert_eq!(skipped(&Pool, 1).await, 1);
            assert_eq!(patterns(1, (2, 3), &Pool, [4, n / 2, 0]).await, 10);
            assert_eq!(
                references("a", &[1], &user(1), Some("x")).await,
                "a [1] 1 Some(\"x\")"
            );
            assert_eq!(impl_trait(5_u8, n).await, "0 5");
            assert_eq!(scratch_space(1, &mut vec![]).await, 1);
            assert_eq!(fields(&user(1), (2, vec![n]), None).await, 3);
            assert_eq!(template((1, 2), user(3), "x", &Pool).await, 5);
            assert_eq!(nothing().await, 5);
        }
        let bodies = [
            "skipped",
            "patterns 2",
            "references",
            "impl_trait",
            "scratch_space",
            "fields",
            "template x",
            "nothing",
        ];
        for body in bodies {
            assert_eq!(runs(format!("parameters::{body}")), 1, "{body}");
        }
    }

    #[tokio::test]
    async fn other_arguments_have_another_entry() {
        assert_eq!(patterns(1, (9, 3), &Pool, [0, 0, 0]).await, 13);
        assert_eq!(patterns(2, (9, 3), &Pool, [0, 0, 0]).await, 14);
        assert_eq!(runs("parameters::patterns 9"), 2);
        let _: cache_runtime::Entry<u64> = patterns_entry(1, (2, 3), [0, 0, 0]);
        let _: cache_runtime::Entry<u64> = skipped_entry(1);
        let _: cache_runtime::Entry<u64> = scratch_space_entry(1);
        let _: cache_runtime::Entry<String> = impl_trait_entry(5_u8);
        let _: cache_runtime::Entry<u64> = fields_entry(&user(1), (1, vec![]));
    }

    #[tokio::test]
    async fn a_template_is_the_whole_key() {
        assert_eq!(
            &*template_entry((1, 2), user(3), "y").key().unwrap(),
            "test:{pair-1}-user%203!y"
        );
    }

    #[redis_cached(ttl = 60, key = "test-words:{a}-{b}")]
    async fn no_escaped_separator(a: &str, b: &str) -> String {
        format!("{a}, {b}")
    }

    #[tokio::test]
    async fn any_text_between_two_pieces_tells_them_apart() {
        let key = |a, b| no_escaped_separator_entry(a, b).key().unwrap().to_string();
        assert_eq!(key("x", "y"), "test-words:x-y");
        assert_ne!(key("x-y", "z"), key("x", "y-z"));
        assert_eq!(no_escaped_separator("x-y", "z").await, "x-y, z");
        assert_eq!(no_escaped_separator("x", "y-z").await, "x, y-z");
    }

    #[tokio::test]
    async fn types_are_part_of_the_key() {
        let (small, large) = (impl_trait_entry(5_u8), impl_trait_entry(5_u16));
        assert_ne!(small.key().unwrap(), large.key().unwrap());
    }
}

mod methods {
    use super::*;

    #[derive(Clone, Serialize)]
    pub struct Service {
        tenant: String,
        #[serde(skip)]
        ttl: Duration,
        #[serde(skip)]
        limit: u64,
    }

    fn service(tenant: &str) -> Service {
        Service {
            tenant: tenant.to_owned(),
            ttl: Duration::from_secs(1),
            limit: 3,
        }
    }

    impl Service {
        const TTL: Duration = Duration::from_secs(60);

        #[redis_cached(ttl = Self::TTL)]
        async fn by_ref(&self, id: u64) -> Option<Self> {
            ran(format!("methods::by_ref {}", self.tenant));
            (id == 1).then(|| self.clone())
        }

        #[redis_cached(ttl = 60, skip(self))]
        pub(crate) async fn without_self(&self, id: u64) -> u64 {
            ran("methods::without_self");
            id * self.limit
        }

        #[redis_cached(ttl = 60, key_args(self.tenant))]
        async fn by_value(mut self, id: u64) -> u64 {
            ran("methods::by_value");
            self.limit += id;
            self.limit
        }

        #[redis_cached(ttl = 60, key = "{self.tenant}:by_arc:{id}")]
        async fn by_arc(self: std::sync::Arc<Self>, id: u64) -> u64 {
            ran("methods::by_arc");
            self.limit + id
        }

        #[redis_cached(ttl = 60)]
        async fn associated(id: u64) -> Self {
            ran("methods::associated");
            service(&id.to_string())
        }

        #[redis_cached(ttl = 60, in_impl)]
        async fn told_by_option(id: u64) -> u64 {
            ran("methods::told_by_option");
            id
        }

        #[redis_cached(ttl = 60, skip(self))]
        async fn scratch(&mut self, id: u64) -> u64 {
            ran("methods::scratch");
            self.limit += id;
            id
        }
    }

    impl<'de> Deserialize<'de> for Service {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            #[derive(Deserialize)]
            struct Stored {
                tenant: String,
            }
            let stored = Stored::deserialize(deserializer)?;
            Ok(service(&stored.tenant))
        }
    }

    #[tokio::test]
    async fn methods_are_cached() {
        let one = service("one");
        let arc = std::sync::Arc::new(service("one"));
        for _ in 0..2 {
            assert_eq!(one.by_ref(1).await.unwrap().tenant, "one");
            assert_eq!(one.without_self(2).await, 6);
            assert_eq!(one.clone().by_value(2).await, 5);
            assert_eq!(arc.clone().by_arc(2).await, 5);
            assert_eq!(Service::associated(2).await.tenant, "2");
            assert_eq!(Service::told_by_option(2).await, 2);
            assert_eq!(one.clone().scratch(2).await, 2);
        }
        for body in [
            "by_ref one",
            "without_self",
            "by_value",
            "by_arc",
            "associated",
            "told_by_option",
            "scratch",
        ] {
            assert_eq!(runs(format!("methods::{body}")), 1, "{body}");
        }
        assert!(one.ttl < Service::TTL);
    }

    #[tokio::test]
    async fn self_is_part_of_the_key() {
        let two = service("two");
        two.by_ref(1).await.unwrap();
        service("three").by_ref(1).await.unwrap();
        assert_eq!(runs("methods::by_ref two"), 1);
        assert_eq!(runs("methods::by_ref three"), 1);
        assert_eq!(
            Service::without_self_entry(2).key().unwrap(),
            Service::without_self_entry(2).key().unwrap()
        );
        assert_ne!(
            two.by_ref_entry(1).key().unwrap(),
            service("three").by_ref_entry(1).key().unwrap()
        );
        assert_eq!(
            &*std::sync::Arc::new(two).by_arc_entry(5).key().unwrap(),
            "two:by_arc:5"
        );
    }
}

mod generics {
    use super::*;

    pub trait Model: Serialize + DeserializeOwned + Send + Sync + Clone + 'static {
        fn load(id: u64) -> Self;
    }

    impl Model for u64 {
        fn load(id: u64) -> Self {
            id
        }
    }

    impl Model for String {
        fn load(id: u64) -> Self {
            id.to_string()
        }
    }

    #[redis_cached(ttl = 60)]
    async fn load<T: Model>(id: u64) -> T {
        ran(format!("generics::load {}", std::any::type_name::<T>()));
        T::load(id)
    }

    #[redis_cached(ttl = 60)]
    async fn array<const N: usize>(id: u64) -> Vec<u64> {
        ran(format!("generics::array {N}"));
        vec![id; N]
    }

    // Only the written bounds: the value cannot be cloned here.
    #[redis_cached(ttl = 60, skip(_db))]
    async fn by_bytes<'a, D, T, E>(_db: &'a D, id: T) -> Result<T, E>
    where
        D: Display + ?Sized,
        T: Serialize + DeserializeOwned + Send + 'static,
        E: From<D::Owned> + 'static,
        D: ToOwned,
    {
        ran("generics::by_bytes");
        Ok(id)
    }

    pub struct Repo<T, const N: usize = 1> {
        tenant: T,
    }

    impl<T: Display + Serialize + Send + Sync, const N: usize> Repo<T, N> {
        #[redis_cached(ttl = 60, key_args(self.tenant, id))]
        async fn get(&self, id: u64) -> String {
            ran(format!("generics::Repo {} {N}", std::any::type_name::<T>()));
            format!("{} {id} {N}", self.tenant)
        }

        #[redis_cached(ttl = 60)]
        async fn count() -> usize {
            ran("generics::count");
            let _ = size_of::<Self>();
            N
        }
    }

    #[tokio::test]
    async fn types_and_const_parameters_are_told_apart() {
        for _ in 0..2 {
            assert_eq!(load::<u64>(1).await, 1);
            assert_eq!(load::<String>(1).await, "1");
            assert_eq!(array::<1>(1).await, [1]);
            assert_eq!(array::<2>(1).await, [1, 1]);
            assert_eq!(by_bytes::<str, u64, String>("db", 1).await, Ok(1));
            assert_eq!(Repo::<_, 1> { tenant: "1" }.get(1).await, "1 1 1");
            assert_eq!(Repo::<_, 2> { tenant: "1" }.get(1).await, "1 1 2");
            assert_eq!(Repo::<_, 2> { tenant: 1 }.get(1).await, "1 1 2");
            assert_eq!(Repo::<u8, 2>::count().await, 2);
            assert_eq!(Repo::<u8, 3>::count().await, 3);
        }
        assert_eq!(runs("generics::load u64"), 1);
        assert_eq!(runs("generics::load alloc::string::String"), 1);
        assert_eq!(runs("generics::array 1"), 1);
        assert_eq!(runs("generics::array 2"), 1);
        assert_eq!(runs("generics::by_bytes"), 1);
        assert_eq!(runs("generics::Repo &str 1"), 1);
        assert_eq!(runs("generics::Repo &str 2"), 1);
        assert_eq!(runs("generics::Repo i32 2"), 1);
        assert_eq!(runs("generics::count"), 2);
    }

    #[tokio::test]
    async fn an_entry_names_only_the_types_that_it_needs() {
        let _: cache_runtime::Entry<u64> = load_entry::<u64>(1);
        let _: cache_runtime::Entry<Vec<u64>> = array_entry::<2>(1);
        let _: cache_runtime::Entry<u64> = by_bytes_entry::<u64, String>(1);
    }
}

mod traits {
    use super::*;

    trait Repository {
        async fn native(&self, id: u64) -> Result<User, Box<dyn Error>>;
        async fn pattern(&self, id: u64, pair: (u64, u64)) -> u64;
    }

    #[async_trait::async_trait]
    trait Dynamic: Send + Sync {
        async fn get(&self, id: u64) -> Result<User, Box<dyn Error + Send + Sync>>;
        async fn borrowed(&self, name: &str, list: &[u64]) -> Option<String>;
        async fn associated(id: u64) -> u64
        where
            Self: Sized;
    }

    #[derive(Serialize)]
    struct Repo(u64);

    #[derive(Serialize)]
    struct Other(u64);

    impl Repository for Repo {
        #[redis_cached(ttl = 60, trait_impl)]
        async fn native(&self, id: u64) -> Result<User, Box<dyn Error>> {
            ran("traits::native");
            let id: u64 = id.to_string().parse()?;
            if id == 0 {
                return Err("no id".into());
            }
            Ok(user(id + self.0))
        }

        #[redis_cached(ttl = 60, trait_impl)]
        async fn pattern(&self, mut id: u64, (a, b): (u64, u64)) -> u64 {
            ran("traits::pattern");
            id += a + b + self.0;
            id
        }
    }

    #[async_trait::async_trait]
    impl Dynamic for Repo {
        #[redis_cached(ttl = 60, trait_impl)]
        async fn get(&self, id: u64) -> Result<User, Box<dyn Error + Send + Sync>> {
            ran("traits::get");
            let id: u64 = id.to_string().parse()?;
            Ok(user(id + self.0))
        }

        #[redis_cached(ttl = 60, trait_impl, none_ttl = 60)]
        async fn borrowed(&self, name: &str, mut list: &[u64]) -> Option<String> {
            ran("traits::borrowed");
            list = &list[1..];
            Some(format!("{name} {}", list.len()))
        }

        #[redis_cached(ttl = 60, trait_impl)]
        async fn associated(id: u64) -> u64 {
            ran("traits::associated");
            id
        }
    }

    #[async_trait::async_trait]
    impl Dynamic for Other {
        #[redis_cached(ttl = 60, trait_impl)]
        async fn get(&self, id: u64) -> Result<User, Box<dyn Error + Send + Sync>> {
            ran("traits::get other");
            Ok(user(id))
        }

        async fn borrowed(&self, _: &str, _: &[u64]) -> Option<String> {
            None
        }

        async fn associated(id: u64) -> u64 {
            id
        }
    }

    #[tokio::test]
    async fn methods_of_traits_are_cached() {
        for _ in 0..2 {
            assert_eq!(Repo(0).native(1).await.unwrap(), user(1));
            assert_eq!(Repo(0).pattern(1, (2, 3)).await, 6);
            assert_eq!(Repo(0).get(1).await.unwrap(), user(1));
            assert_eq!(Other(0).get(1).await.unwrap(), user(1));
            assert_eq!(Repo(0).borrowed("a", &[1]).await.unwrap(), "a 0");
            assert_eq!(Repo::associated(1).await, 1);
        }
        for body in [
            "native",
            "pattern",
            "get",
            "get other",
            "borrowed",
            "associated",
        ] {
            assert_eq!(runs(format!("traits::{body}")), 1, "{body}");
        }
        let _ = is_send(Repo(0).native(1));
        let _: Pin<Box<dyn Future<Output = _> + Send>> = Repo(0).get(1);
    }
}

mod places {
    use super::*;

    #[redis_cached(ttl = 60)]
    async fn fibonacci(n: u64) -> u64 {
        ran("places::fibonacci");
        if n < 2 {
            n
        } else {
            Box::pin(fibonacci(n - 1)).await + Box::pin(fibonacci(n - 2)).await
        }
    }

    #[redis_cached(ttl = 60)]
    fn boxed(n: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
        Box::pin(async move {
            ran("places::boxed");
            if n < 2 {
                n
            } else {
                boxed(n - 1).await + boxed(n - 2).await
            }
        })
    }

    #[redis_cached(ttl = 60, companions = none)]
    async fn alone(mut n: u64) -> Result<u64, Box<dyn Error>> {
        ran("places::alone");
        n = n.to_string().parse()?;
        Ok(n)
    }

    #[redis_cached(ttl = 60, companions = "stem")]
    async fn renamed(n: u64) -> u64 {
        ran("places::renamed");
        n
    }

    async fn first(n: u64) -> u64 {
        #[redis_cached(ttl = 60)]
        async fn inner(n: u64) -> u64 {
            ran("places::inner 1");
            n + 1
        }
        inner(n).await
    }

    async fn second(n: u64) -> u64 {
        #[redis_cached(ttl = 60)]
        async fn inner(n: u64) -> u64 {
            struct Inner;
            impl Inner {
                fn n(&self, n: u64) -> Self {
                    ran(format!("places::inner 2 {n}"));
                    Self
                }
            }
            Inner.n(n);
            n + 2
        }
        inner(n).await
    }

    macro_rules! cached {
        ($name:ident($arg:ident: $ty:ty) -> $ret:ty, $ttl:expr, $body:expr) => {
            #[redis_cached(ttl = $ttl)]
            async fn $name($arg: $ty) -> $ret {
                ran("places::from_macro");
                $body
            }
        };
    }
    cached!(from_macro(id: u64) -> Option<u64>, 60, Some(id));

    macro_rules! cached_block {
        ($vis:vis fn $name:ident($arg:pat_param, $id:ident: $ty:ty) -> $ret:ty, $namespace:literal, $key:expr, $body:block) => {
            #[redis_cached(ttl = 60, namespace = $namespace, key_args($key))]
            $vis async fn $name($arg: $ty, $id: $ty) -> $ret $body
        };
    }
    cached_block!(pub(crate) fn from_block(_, id: u64) -> Option<u64>, "from_block", id, {
        ran("places::from_block");
        Some(id)
    });

    #[redis_cached(ttl = 60)]
    #[cfg(any())]
    async fn absent(_: DoesNotExist) -> u64 {
        1
    }

    #[redis_cached(ttl = 60)]
    #[cfg(all())]
    async fn present() -> u64 {
        1
    }

    /// It says what it does.
    #[redis_cached(ttl = 60)]
    #[must_use = "or why call it"]
    #[allow(clippy::needless_return)]
    #[expect(unused_variables)]
    #[tracing::instrument(skip(pair), fields(id))]
    pub(crate) async fn decorated(id: u64, pair: (u64, u64)) -> u64 {
        ran("places::decorated");
        let unused = 1;
        return id;
    }

    #[tokio::test]
    async fn functions_are_cached_wherever_they_stand() {
        assert_eq!(is_send(fibonacci(30)).await, 832_040);
        assert_eq!(runs("places::fibonacci"), 31);
        assert_eq!(boxed(30).await, 832_040);
        assert_eq!(runs("places::boxed"), 31);
        for _ in 0..2 {
            assert_eq!(alone(1).await.unwrap(), 1);
            assert_eq!(renamed(1).await, 1);
            assert_eq!(first(1).await, 2);
            assert_eq!(second(1).await, 3);
            assert_eq!(from_macro(1).await, Some(1));
            assert_eq!(from_block(2, 1).await, Some(1));
            assert_eq!(decorated(1, (2, 3)).await, 1);
            assert_eq!(present().await, 1);
        }
        for body in [
            "alone",
            "renamed",
            "inner 1",
            "inner 2 1",
            "from_macro",
            "from_block",
            "decorated",
        ] {
            assert_eq!(runs(format!("places::{body}")), 1, "{body}");
        }
        assert_eq!(stem_uncached(1).await, 1);
        assert_eq!(stem_entry(1).get().await.unwrap(), Some(1));
    }
}

mod options {
    use super::*;

    fn in_memory() -> Cache {
        Cache::builder().in_memory().build().unwrap()
    }

    static CALLS: AtomicU64 = AtomicU64::new(0);

    fn ttl() -> Duration {
        CALLS.fetch_add(1, SeqCst);
        Duration::from_secs(60)
    }

    #[redis_cached(ttl = ttl())]
    async fn evaluated(id: u64) -> u64 {
        id
    }

    #[redis_cached(ttl = 60, cache_if = |user| user.id < 10, timeout = "1s")]
    async fn only_some(id: u64) -> User {
        ran(format!("options::only_some {id}"));
        user(id)
    }

    fn small(value: &u64) -> bool {
        *value < 10
    }

    #[redis_cached(ttl = 60, cache_if = small, namespace = "pinned", version = 3)]
    async fn pinned(id: u64) -> u64 {
        id
    }

    #[redis_cached(ttl = 60, cache = cache, skip(cache))]
    async fn elsewhere(cache: &Cache, id: u64) -> u64 {
        ran("options::elsewhere");
        let _ = cache;
        id
    }

    #[derive(Serialize)]
    struct Holder {
        #[serde(skip)]
        cache: Cache,
    }

    impl Holder {
        #[redis_cached(ttl = 60, cache = &self.cache, skip(self))]
        async fn held(&self, id: u64) -> u64 {
            ran("options::held");
            let _ = &self.cache;
            id
        }
    }

    #[tokio::test]
    async fn options_do_what_they_say() {
        for _ in 0..2 {
            assert_eq!(evaluated(1).await, 1);
            assert_eq!(only_some(1).await, user(1));
            assert_eq!(only_some(11).await, user(11));
        }
        assert_eq!(CALLS.load(SeqCst), 2);
        assert_eq!(runs("options::only_some 1"), 1);
        assert_eq!(runs("options::only_some 11"), 2);
        assert_eq!(pinned(5).await, 5);
        assert_eq!(&*pinned_entry(5).key().unwrap(), "pinned@3:5");
    }

    const LISTED: u32 = line!() + 1;
    #[redis_cached(ttl = "1h 30m", namespace = "listed", version = 2)]
    async fn listed(id: u64) -> u64 {
        id
    }

    const LISTED_INLINE: u32 = line!() + 3;
    impl Holder {
        // The attribute's line, not the function's.
        #[redis_cached(ttl = Duration::from_secs(60), companions = none, in_impl)]
        #[allow(clippy::unused_async)]
        async fn listed_inline(id: u64) -> u64 {
            id
        }
    }

    #[tokio::test]
    async fn sites_tell_where_the_attribute_stands() {
        let find = |function: &str| {
            cache_runtime::sites()
                .into_iter()
                .find(|site| site.function == function)
        };
        assert!(find("listed").is_none());
        listed(1).await;
        Holder::listed_inline(1).await;

        let site = find("listed").unwrap();
        assert_eq!((site.file, site.line), (file!(), LISTED));
        assert_eq!(
            (site.ttl, site.namespace.as_deref()),
            ("1h 30m", Some("listed"))
        );

        let site = find("listed_inline").unwrap();
        assert_eq!((site.file, site.line), (file!(), LISTED_INLINE));
        let namespace = site.namespace.unwrap();
        assert_eq!(
            (site.ttl, namespace.as_str()),
            ("per call", "attribute.options.Holder.listed_inline")
        );
    }

    #[tokio::test]
    async fn a_cache_of_the_callers_choice() {
        let (one, two) = (in_memory(), in_memory());
        for cache in [&one, &two, &one, &two] {
            assert_eq!(elsewhere(cache, 1).await, 1);
            assert_eq!(
                Holder {
                    cache: cache.clone()
                }
                .held(1)
                .await,
                1
            );
        }
        assert_eq!(runs("options::elsewhere"), 2);
        assert_eq!(runs("options::held"), 2);
        assert_eq!(elsewhere_entry(&one, 1).get().await.unwrap(), Some(1));
        assert_eq!(
            Holder { cache: in_memory() }
                .held_entry(1)
                .get()
                .await
                .unwrap(),
            None
        );
    }
}

mod what_options_say {
    use super::*;

    fn own_cache() -> Cache {
        Cache::builder().in_memory().build().unwrap()
    }

    /// As an extractor of axum is.
    pub struct State<T>(T);
    #[derive(Clone, Serialize)]
    pub struct Path<T>(T);

    pub struct App {
        cache: Cache,
    }

    #[redis_cached(ttl = 60, skip(_pool))]
    async fn skipped(State(_pool): State<&Pool>, Path(id): Path<u64>) -> u64 {
        ran(format!("what_options_say::skipped {id}"));
        id
    }

    #[redis_cached(ttl = 60, skip(_page, _pool))]
    async fn skipped_in_part(
        Path((tenant, _page)): Path<(&str, u64)>,
        State(_pool): State<Pool>,
    ) -> String {
        ran(format!("what_options_say::skipped_in_part {tenant}"));
        tenant.to_owned()
    }

    #[redis_cached(ttl = 60, key_args(user.id, b))]
    async fn chosen(Path(user): Path<&User>, [_a, mut b]: [u64; 2]) -> u64 {
        ran("what_options_say::chosen");
        b += user.id;
        b
    }

    #[redis_cached(
        ttl = 60,
        key = "test-words:{tenant}:{user.name}",
        skip(id, _cache),
        cache = _cache.cache
    )]
    async fn template(
        Path((tenant, id)): Path<(String, u64)>,
        user: &User,
        State(_cache): State<&App>,
    ) -> String {
        ran(format!("what_options_say::template {id}"));
        format!("{tenant} {}", user.name)
    }

    pub struct Users {
        cache: Cache,
        ttl: Duration,
        seconds: u64,
    }

    const TTL: u64 = 60;

    impl Users {
        #[redis_cached(ttl = self.ttl, cache = self.cache, skip(self))]
        async fn get(&self, id: u64) -> u64 {
            ran(format!("what_options_say::get {}", self.seconds));
            id
        }

        #[redis_cached(ttl = self.seconds * 2, timeout = TTL, cache = (self.cache), skip(self))]
        async fn by_value(self, id: u64) -> Option<u64> {
            Some(id + self.seconds)
        }
    }

    pub trait Repository {
        fn find(&self, at: Path<(u64, u64)>) -> impl Future<Output = u64>;
    }

    impl Repository for Users {
        #[redis_cached(trait_impl, ttl = self.ttl, cache = self.cache, skip(self, _page))]
        async fn find(&self, Path((id, _page)): Path<(u64, u64)>) -> u64 {
            ran(format!("what_options_say::find {id}"));
            id
        }
    }

    #[tokio::test]
    async fn names_in_a_pattern_can_be_said() {
        let app = App { cache: own_cache() };
        for n in 0..2 {
            assert_eq!(skipped(State(&Pool), Path(1)).await, 1);
            assert_eq!(skipped_in_part(Path(("a", n)), State(Pool)).await, "a");
            assert_eq!(chosen(Path(&user(1)), [n, 2]).await, 3);
            let at = Path(("b".to_owned(), 7 + n));
            assert_eq!(template(at, &user(1), State(&app)).await, "b user 1");
        }
        for body in ["skipped 1", "skipped_in_part a", "chosen", "template 7"] {
            assert_eq!(runs(format!("what_options_say::{body}")), 1, "{body}");
        }
        assert_eq!(runs("what_options_say::template 8"), 0);
        // Of a pattern of which something is skipped, the rest tells calls apart.
        assert_eq!(skipped_in_part(Path(("c", 0)), State(Pool)).await, "c");
        assert_eq!(runs("what_options_say::skipped_in_part c"), 1);
        assert_eq!(chosen(Path(&user(1)), [0, 3]).await, 4);

        assert_eq!(skipped_entry(Path(1)).get().await.unwrap(), Some(1));
        let entry = template_entry(Path(("b".to_owned(), 1)), &user(1), State(&app));
        assert_eq!(&*entry.key().unwrap(), "test-words:b:user%201");
        assert_eq!(entry.get().await.unwrap().as_deref(), Some("b user 1"));
    }

    #[tokio::test]
    async fn settings_live_in_self_and_stay_there() {
        let users = |seconds| Users {
            cache: own_cache(),
            ttl: Duration::from_secs(seconds),
            seconds,
        };
        let (short, long) = (users(5), users(500));
        for users in [&short, &long] {
            for n in 0..2 {
                assert_eq!(users.get(1).await, 1);
                assert_eq!(users.find(Path((3, n))).await, 3);
            }
            let ttl = users.get_entry(1).ttl().await.unwrap().unwrap();
            let limit = Duration::from_secs(users.seconds);
            assert!(ttl <= limit && ttl * 2 > limit, "{ttl:?} of {limit:?}");
            let seconds = users.seconds;
            assert_eq!(runs(format!("what_options_say::get {seconds}")), 1);
        }
        // Each has a cache of its own.
        assert_eq!(runs("what_options_say::find 3"), 2);

        let cache = long.cache.clone();
        assert_eq!(long.by_value(1).await, Some(501));
        let again = Users {
            cache,
            ..users(500)
        };
        let ttl = again.by_value_entry(1).ttl().await.unwrap().unwrap();
        assert!(ttl > Duration::from_secs(500), "{ttl:?}");
    }

    #[redis_cached(ttl = TTL, none_ttl = TTL / 2)]
    async fn unit(id: u64) -> Option<()> {
        ran(format!("what_options_say::unit {id}"));
        (id == 1).then_some(())
    }

    #[redis_cached(ttl = 2 * TTL)]
    async fn fallible_unit(id: u64) -> Result<Option<()>, &'static str> {
        ran(format!("what_options_say::fallible_unit {id}"));
        match id {
            1 => Ok(Some(())),
            2 => Ok(None),
            _ => Err("unknown"),
        }
    }

    #[tokio::test]
    async fn that_there_is_something_is_a_value() {
        for _ in 0..2 {
            assert_eq!(unit(1).await, Some(()));
            assert_eq!(unit(2).await, None);
            assert_eq!(fallible_unit(1).await, Ok(Some(())));
            assert_eq!(fallible_unit(2).await, Ok(None));
            assert_eq!(fallible_unit(3).await, Err("unknown"));
        }
        assert_eq!(runs("what_options_say::unit 1"), 1);
        assert_eq!(runs("what_options_say::unit 2"), 1);
        assert_eq!(runs("what_options_say::fallible_unit 1"), 1);
        assert_eq!(runs("what_options_say::fallible_unit 2"), 2);
        assert_eq!(runs("what_options_say::fallible_unit 3"), 2);
        let ttl = fallible_unit_entry(1).ttl().await.unwrap().unwrap();
        assert!(ttl > Duration::from_secs(TTL), "{ttl:?}");
    }

    type Causes = Vec<Option<&'static str>>;

    #[redis_cached(ttl = 60)]
    async fn two_causes(id: u64) -> Result<u64, (&'static str, Vec<&'static [&'static str]>)> {
        (id == 1).then_some(id).ok_or(("none", vec![&["at all"]]))
    }

    #[redis_cached(ttl = 60)]
    async fn causes(id: u64) -> Result<Option<u64>, Causes> {
        (id == 1)
            .then_some(Some(id))
            .ok_or_else(|| vec![None, Some("none")])
    }

    #[tokio::test]
    async fn an_error_may_hold_what_lives_for_ever() {
        assert_eq!(two_causes(1).await, Ok(1));
        assert_eq!(two_causes(2).await.unwrap_err().0, "none");
        assert_eq!(causes(1).await, Ok(Some(1)));
        assert_eq!(causes(2).await.unwrap_err().len(), 2);
    }

    // That it compiles is the test: without `unsafe` one such function can only be called from another.
    #[cfg(target_arch = "x86_64")]
    #[allow(dead_code)]
    mod target_features {
        use super::*;

        #[target_feature(enable = "avx2")]
        fn twice(id: u64) -> u64 {
            id * 2
        }

        #[redis_cached(ttl = 60)]
        #[target_feature(enable = "avx2")]
        async fn cached(id: u64) -> u64 {
            twice(id)
        }

        #[redis_cached(ttl = 60, refresh_ahead = 0.8)]
        #[target_feature(enable = "avx2")]
        async fn behind(name: &str) -> Result<u64, String> {
            name.parse()
                .map(|id| twice(id))
                .map_err(|_| name.to_owned())
        }

        #[target_feature(enable = "avx2")]
        async fn caller() -> u64 {
            behind("1").await.unwrap_or_default() + cached(1).await
        }
    }

    struct Groups;

    impl Groups {
        const FACTOR: u64 = 3;

        #[redis_cached(ttl = 60)]
        async fn by_macro(id: u64) -> u64 {
            macro_rules! factor {
                () => {
                    Self::FACTOR
                };
            }
            id * factor!()
        }
    }

    #[redis_cached(ttl = 60)]
    async fn no_method(id: u64) -> u64 {
        macro_rules! wrapper {
            ($name:ident) => {
                struct $name(u64);
                impl $name {
                    fn new(id: u64) -> Self {
                        Self(id)
                    }
                }
            };
        }
        wrapper!(Id);
        Id::new(id).0
    }

    #[tokio::test]
    async fn self_in_a_macro_of_the_body_is_said() {
        assert_eq!(Groups::by_macro(2).await, 6);
        assert_eq!(Groups::by_macro_entry(2).get().await.unwrap(), Some(6));
        assert_eq!(no_method(2).await, 2);
    }
}

/// Names that an expansion could trip over, if it had any of its own.
#[allow(non_upper_case_globals, non_camel_case_types, dead_code)]
mod hostile {
    use super::*;

    const site: u8 = 1;
    const key: u8 = 1;
    static call: u8 = 2;
    struct value;
    struct cache;
    struct Result2;
    mod core {}
    mod std {}
    #[allow(unused_macros)]
    macro_rules! line {
        () => {
            compile_error!("not ours")
        };
    }
    fn drop() {}
    enum Option {}
    struct Some;
    struct None;
    struct Box;
    struct Duration;
    trait Shadow {
        fn of(&self) {}
        fn ttl(&self) {}
        fn run(&self) {}
        fn optional(&self) {}
        fn cache_if(&self) {}
        fn entry(&self) {}
    }
    impl<T> Shadow for T {}
    trait ShadowByValue: Sized {
        fn at_hand(self) {}
        fn run<F>(self, _: F) {}
        fn run_result<E, F>(self, _: E, _: F) {}
    }
    impl<T> ShadowByValue for T {}

    #[redis_cached(ttl = "1500ms", cache_if = |v| *v > 0)]
    #[allow(clippy::too_many_arguments)]
    async fn names(
        redis: u64,
        result: u64,
        types: u64,
        parts: u64,
        __redis_cached: u64,
        __redis_cached_site: u64,
        __redis_cached_arg9: u64,
        error: u64,
        _: &str,
        (a, b): (u64, u64),
    ) -> u64 {
        ran("hostile::names");
        redis
            + result
            + types
            + parts
            + __redis_cached
            + __redis_cached_site
            + __redis_cached_arg9
            + error
            + a
            + b
    }

    struct Inline;
    impl hostile_trait::Hostile for Inline {
        #[redis_cached(ttl = 60, trait_impl, skip(self))]
        async fn inline(
            &self,
            site2: u64,
            __redis_cached_type: u64,
        ) -> ::core::result::Result<u64, String> {
            ran("hostile::inline");
            Ok(site2 + __redis_cached_type)
        }
    }

    #[tokio::test]
    async fn hostile_names_are_nobodys_problem() {
        use hostile_trait::Hostile as _;
        for _ in 0..2 {
            assert_eq!(names(1, 1, 1, 1, 1, 1, 1, 1, "", (1, 1)).await, 10);
            assert_eq!(Inline.inline(1, 2).await, Ok(3));
        }
        assert_eq!(runs("hostile::names"), 1);
        assert_eq!(runs("hostile::inline"), 1);
    }
}

mod hostile_trait {
    pub trait Hostile {
        async fn inline(&self, a: u64, b: u64) -> Result<u64, String>;
    }
}
