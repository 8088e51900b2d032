//! The attribute `#[redis_cached]` and the macro `key!`; they are used through the crate `cache-runtime`, which re-exports it.

mod attributes;
mod diag;
mod emit;
mod expand;
mod facts;
mod ident;
mod item;
mod key;
mod options;
mod recover;
mod rules;
#[cfg(test)]
mod snapshots;
mod spec;

use proc_macro::TokenStream;

/// Caches an async function in Redis.
///
/// ```
/// use cache_runtime::redis_cached;
///
/// #[redis_cached(ttl = 300, skip(shop))]
/// async fn price(shop: &str, article: u64) -> Result<u64, std::num::ParseIntError> {
///     // Ask the database. All who ask for one article at once wait for one run, and share its value for five minutes.
///     format!("{article}99").parse()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(price("corner", 4).await?, 499);
/// assert_eq!(price("corner", 4).await?, 499); // from the cache
///
/// price_entry(4).invalidate().await?;
/// assert_eq!(price_uncached("corner", 4).await?, 499);
/// # Ok(())
/// # }
/// ```
///
/// The function keeps its signature. The cache never makes it fail: when Redis is down or slow, the body runs.
///
/// # What is stored
///
/// The value is the return type with its `Result` and `Option` taken off: `V`, `Option<V>`, `Result<V, E>` and
/// `Result<Option<V>, E>` all store a `V`, as JSON. `Err` is never stored, `None` only with [`none_ttl`](#none_ttl). `V` is
/// `Serialize + DeserializeOwned + Send + 'static`, and `E` is `'static`. Write `Result` and `Option` out: an alias that
/// hides one is a compile error.
///
/// A value that its JSON would not give back is returned and not stored, and the log names the function once a minute. JSON has one
/// `null` for `None`, NaN, the infinities and a `Some` of nothing (`Some(None)`, `Some(())`), so a type that holds such
/// needs a `Deserialize` that tells them apart, for example by `#[serde(with = "…")]`.
///
/// # How often the body runs
///
/// Once for a key at a time in a process, for all who wait. It runs again, or beside another run, where it fails with an error that
/// [cannot be shared](#share_errors), panics, or its caller is gone; where an invalidation comes between; where it asks for its
/// own key; where a wait reaches `CacheBuilder::run_wait`; and at the next call where nothing was stored. Processes run
/// theirs apart, unless [`coalesce`](#coalesce) says otherwise.
///
/// # What the key is made of
///
/// The path of the function, the generic types, and every parameter but those that are [skipped](#skip). A parameter
/// is a key part if it is `Serialize`, and so is `self`. `_` is none; a pattern such as `State(pool)` is one as a whole, and the options
/// can say the names that it binds: `skip(pool)`. Where some of them are skipped, the others are the key parts. A parameter that is
/// `&mut` must be skipped, and none can have a `#[cfg]`.
///
/// What is not in the key is shared by all callers: what is skipped, and what a `Serialize` leaves out. Two arguments that differ in nothing but
/// a field with `#[serde(skip)]` share an entry. How values are written is told at `cache_runtime::key!`, which writes keys outside of
/// the function.
///
/// # Companions
///
/// With the function's visibility, and beside it:
///
/// - `price_uncached(…)`: the body.
/// - `price_entry(…)`, with the parameters of the key alone: its entry, to look at and to change.
///
/// In a trait impl there is no place for them; see [`trait_impl`](#trait_impl).
///
/// # In the background
///
/// `stale_while_revalidate`, `refresh_ahead` and `soft_timeout` let the body go on when its caller is gone. Then its arguments are its own: what is taken by
/// value is moved, and what stands behind one `&` is copied, and lent again (`&str`, `&[T]`, `&T` and `&self` where that is `Clone`). A call that is
/// answered from the cache, or waits for its body, copies nothing. So with one of these options
///
/// - no parameter is `&mut`, and none borrows more than once: `&[String]` for `&[&str]`, `Option<String>` for `Option<&str>`;
/// - arguments, value and future are `Send`, and the types of a generic function are `'static`;
/// - a function that calls itself returns `Pin<Box<dyn Future<Output = …> + Send>>`;
/// - the method of a trait impl calls a cached function instead of being one.
///
/// There is one such run for a key at a time, among all processes on the same Redis, and `CacheBuilder::background_runs` in a process (`background_runs_per_function` of one function). A panic there is logged, and
/// `Cache::shutdown` ends them. Such a run is a task of its own. It has none of its caller's task-locals, so what it needs is an argument; and for `tracing` it is a
/// root span `run_behind`, which follows from the caller's.
///
/// # Other attributes
///
/// One that stands above `#[redis_cached]` is expanded first, so that it changes the body which is cached; one below stays on the function
/// that is called. So `#[tracing::instrument]` above is a span around each run of the body, and below around each call, hits too.
///
/// # Options
///
/// A duration is whole seconds (`300`), a string of numbers and units (`"5m"`, `"1h 30m"`, `"250ms"`; units are `ms`, `s`,
/// `m`, `h`, `d`), or an expression of type `Duration`, or of type `u64`, which is seconds. Expressions are evaluated at each call, cannot
/// await, and cannot use the function's parameters, but for `cache = …` and `ttl = self.…`, where `_entry` takes them too; they can
/// say `Self::X`. Closures get a `&V` and capture nothing.
///
/// ## `ttl`
///
/// How long a value is fresh. Required. Also a closure, for a lifetime that the value decides.
///
/// ```
/// # use cache_runtime::redis_cached;
/// # #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// # struct User { id: u64, active: bool, lifetime: std::time::Duration }
/// # impl User { fn new(id: u64) -> Self { Self { id, active: id != 0, lifetime: std::time::Duration::from_secs(id + 1) } } }
/// #[redis_cached(ttl = "1h 30m")]
/// async fn by_text(id: u64) -> User { User::new(id) }
///
/// #[redis_cached(ttl = std::time::Duration::from_millis(1500))]
/// async fn by_expression(id: u64) -> User { User::new(id) }
///
/// #[redis_cached(ttl = |user| user.lifetime)]
/// async fn by_value(id: u64) -> User { User::new(id) }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # by_text(1).await;
/// # by_expression(1).await;
/// # by_value(1).await;
/// let ttl = by_text_entry(1).ttl().await?;
/// assert!(ttl.is_some_and(|ttl| ttl <= std::time::Duration::from_secs(5400)));
/// # Ok(())
/// # }
/// ```
///
/// ## `key`
///
/// The whole key after the prefix, over parameters and their fields, so that other programs can share it. Default: the namespace
/// and the arguments.
///
/// Each parameter stands in `key`, whole or by a field, or in `skip`, and there is text between two of them. `{{` and `}}` are literal braces, for
/// one hash tag. Excludes `namespace`, `version` and `key_args`.
///
/// Two functions that can write one key answer each other's values, so both are named in the log when the second is first called; so is a
/// function of a generic impl whose `key` serves values of two types. Functions that are to have the same entries say [`entry`](#entry).
///
/// ```
/// # use cache_runtime::redis_cached;
/// #[redis_cached(ttl = 60, key = "user:{id}:{lang.0}", skip(verbose))]
/// async fn greeting(id: u64, lang: (String, u8), verbose: bool) -> String {
///     format!("hello {id}")
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lang = ("fr".to_owned(), 1);
/// assert_eq!(&*greeting_entry(42, lang).key()?, "user:42:fr");
/// # greeting(42, ("fr".to_owned(), 1), false).await;
/// # Ok(())
/// # }
/// ```
///
/// ## `entry`
///
/// The path of another cached function whose entries this one shares: its keys, and its values. Default: entries of its own.
///
/// The key comes from that function's `_entry`, which this one calls with those of its parameters that are not skipped, in their order (and those that
/// `cache` uses), or with what `key_args(…)` says. So their types and that of the value agree, or do not compile. Write the path as if it were that of `_entry`: for `entry = users::price` the
/// compiler looks for `users::price_entry`, and where it says that it cannot find it, import it too, or take away the other's `companions`. For the
/// method of a trait's impl, which has none, a function of that name can be written; beside `cache = cache` it is called with `cache` too:
/// `fn price_entry(cache: &Cache, id: u64) -> Entry<u64> { cache.entry(key!("price:{id}")) }`.
///
/// All else is each function's own: `ttl`, `cache`, what waits and what is stale, and the error. `none_ttl` stands at both or at neither, which is
/// reported at the first call. Arguments are cloned for `_entry`. Excludes `key`, `namespace` and `version`.
///
/// ```
/// # use cache_runtime::redis_cached;
/// #[redis_cached(ttl = 300)]
/// async fn price(article: u64) -> Option<u64> {
///     Some(article * 100)
/// }
///
/// struct Order { article: u64 }
///
/// #[redis_cached(ttl = 60, entry = price, key_args(order.article))]
/// async fn price_of(order: &Order) -> Result<Option<u64>, String> {
///     Err(format!("no price for {}", order.article))
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let order = Order { article: 4 };
/// assert_eq!(price(4).await, Some(400));
/// assert_eq!(price_of(&order).await, Ok(Some(400))); // from the cache
///
/// price_entry(4).invalidate().await?;
/// assert!(price_of(&order).await.is_err());
/// # Ok(())
/// # }
/// ```
///
/// ## `key_args`
///
/// What the default key is made of, instead of all parameters: parameters, or fields of them. So the tenant of a context counts, though the
/// context is not `Serialize`: `key_args(id, ctx.tenant)`. Default: every parameter that is not skipped. Excludes `skip`.
///
/// ```
/// # use cache_runtime::redis_cached;
/// # #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// # struct User { id: u64, active: bool, lifetime: std::time::Duration }
/// # impl User { fn new(id: u64) -> Self { Self { id, active: id != 0, lifetime: std::time::Duration::from_secs(id + 1) } } }
/// #[redis_cached(ttl = 60, key_args(user.id))]
/// async fn rights(user: &User, _at: std::time::Instant) -> Vec<String> {
///     vec![format!("read {}", user.id)]
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let user = User::new(7);
/// # rights(&user, std::time::Instant::now()).await;
/// assert!(rights_entry(&user).get().await?.is_some());
/// # Ok(())
/// # }
/// ```
///
/// ## `skip`
///
/// Parameters that are not part of the key, as no answer depends on them: connections. Callers who differ in these alone share an entry, so
/// of a context with a tenant or a user the field is named instead, by [`key_args`](#key_args) or in [`key`](#key). Also
/// `skip(self)`. Default: none.
///
/// ```
/// # use cache_runtime::redis_cached;
/// struct Pool;
///
/// #[redis_cached(ttl = 60, skip(pool))]
/// async fn name(pool: &Pool, id: u64) -> String {
///     format!("user {id}")
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(name(&Pool, 1).await, "user 1");
/// assert!(name_entry(1).get().await?.is_some());
/// # Ok(())
/// # }
/// ```
///
/// ## `namespace`
///
/// Pins the first part of the key; it cannot hold white space or one of `:%{}@<>`. Default: the path of the function, so that moving it forgets its entries.
///
/// ```
/// # use cache_runtime::redis_cached;
/// #[redis_cached(ttl = 60, namespace = "users")]
/// async fn name(id: u64) -> String {
///     format!("user {id}")
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(&*name_entry(1).key()?, "users:1");
/// # name(1).await;
/// # Ok(())
/// # }
/// ```
///
/// ## `version`
///
/// A number that is part of the namespace: another one forgets every old entry, as after a change of the value's type. Default: none.
///
/// ```
/// # use cache_runtime::redis_cached;
/// #[redis_cached(ttl = 60, namespace = "users", version = 2)]
/// async fn name(id: u64) -> String {
///     format!("user {id}")
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(&*name_entry(1).key()?, "users@2:1");
/// # name(1).await;
/// # Ok(())
/// # }
/// ```
///
/// ## `cache_if`
///
/// Stores only what this says: a closure or function from `&V` to `bool`. Default: every value.
///
/// ```
/// # use cache_runtime::redis_cached;
/// # #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// # struct User { id: u64, active: bool, lifetime: std::time::Duration }
/// # impl User { fn new(id: u64) -> Self { Self { id, active: id != 0, lifetime: std::time::Duration::from_secs(id + 1) } } }
/// #[redis_cached(ttl = 60, cache_if = |user| user.active)]
/// async fn find(id: u64) -> Option<User> {
///     Some(User::new(id))
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// find(0).await;
/// assert!(find_entry(0).get().await?.is_none()); // not active
/// # find(1).await;
/// # assert!(find_entry(1).get().await?.is_some());
/// # Ok(())
/// # }
/// ```
///
/// ## `none_ttl`
///
/// Stores `None` too, for this long. Default: `None` is not stored, and the next call asks again.
///
/// ```
/// # use cache_runtime::redis_cached;
/// #[redis_cached(ttl = 300, none_ttl = 5)]
/// async fn find(id: u64) -> Option<String> {
///     None
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// find(1).await;
/// assert_eq!(find_entry(1).get().await?, Some(None));
/// # Ok(())
/// # }
/// ```
///
/// ## `timeout`
///
/// What one cache operation may cost a call before it is given up as a miss. Default: the cache's, 250 ms.
///
/// ```
/// # use cache_runtime::redis_cached;
/// #[redis_cached(ttl = 60, timeout = "20ms")]
/// async fn name(id: u64) -> String {
///     format!("user {id}")
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # name(1).await;
/// # Ok(())
/// # }
/// ```
///
/// ## `jitter`
///
/// Shortens each ttl by a random share of up to this, so that entries which were stored together do not end together; a number
/// between 0 and 1. It never lengthens one. Default: none.
///
/// ```
/// # use cache_runtime::redis_cached;
/// # use std::time::Duration;
/// #[redis_cached(ttl = 3600, jitter = 0.1)]
/// async fn name(id: u64) -> String {
///     format!("user {id}")
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # name(1).await;
/// let ttl = name_entry(1).ttl().await?;
/// assert!(ttl.is_some_and(|ttl| ttl > Duration::from_secs(3200) && ttl <= Duration::from_secs(3600)));
/// # Ok(())
/// # }
/// ```
///
/// ## `stale_while_revalidate`
///
/// For this long after the ttl, the old value is answered at once, and one run [in the background](#in-the-background) replaces it
/// (RFC 5861, section 3). When that fails the old value stays, and the key is left alone for a while: `CacheBuilder::refresh_pause`.
/// Default: no time; past its ttl a value is not answered.
///
/// ```
/// # use cache_runtime::redis_cached;
/// # use std::{sync::atomic::{AtomicU64, Ordering::Relaxed}, time::Duration};
/// use cache_runtime::{Cache, ManualClock};
/// # static VISITS: AtomicU64 = AtomicU64::new(0);
///
/// #[redis_cached(ttl = "1m", stale_while_revalidate = "10m", cache = cache, skip(cache))]
/// async fn visits(cache: &Cache) -> u64 {
///     VISITS.fetch_add(1, Relaxed)
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::new();
/// let cache = Cache::builder().in_memory().clock(&clock).build()?;
/// assert_eq!(visits(&cache).await, 0);
///
/// clock.advance(Duration::from_secs(90));
/// assert_eq!(visits(&cache).await, 0); // at once
/// while visits(&cache).await == 0 {
///     tokio::task::yield_now().await; // the refresh is on its way
/// }
/// # Ok(())
/// # }
/// ```
///
/// ## `stale_if_error`
///
/// For this long after the ttl, the old value is answered where the body returns `Err` (RFC 5861, section 4), and while the key is left
/// alone after that. It begins where the ttl ends, as `stale_while_revalidate` does, so it is of use where it is the longer of the two.
/// Default: no time; the error is returned.
///
/// ```
/// # use cache_runtime::redis_cached;
/// # use std::{sync::atomic::{AtomicBool, Ordering::Relaxed}, time::Duration};
/// use cache_runtime::{Cache, ManualClock};
/// # static IS_DOWN: AtomicBool = AtomicBool::new(false);
///
/// #[redis_cached(ttl = "1m", stale_if_error = "1d", cache = cache, skip(cache))]
/// async fn name(cache: &Cache, id: u64) -> Result<String, String> {
///     if IS_DOWN.load(Relaxed) { Err("down".to_owned()) } else { Ok(format!("user {id}")) }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::new();
/// let cache = Cache::builder().in_memory().clock(&clock).build()?;
/// name(&cache, 1).await?;
///
/// IS_DOWN.store(true, Relaxed);
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(name(&cache, 1).await?, "user 1");
/// assert_eq!(name(&cache, 2).await, Err("down".to_owned()));
/// # Ok(())
/// # }
/// ```
///
/// ## `soft_timeout`
///
/// With an old value at hand that [`stale_if_error`](#stale_if_error) keeps, how long a call waits for the body before it is answered with
/// that; the body goes on [in the background](#in-the-background), and its value is stored. Within `stale_while_revalidate` no call waits, so
/// there it has nothing to do. Needs one of the two. Default: a call waits for as long as the body takes.
///
/// ```
/// # use cache_runtime::redis_cached;
/// # use std::{sync::atomic::{AtomicBool, Ordering::Relaxed}, time::Duration};
/// use cache_runtime::{Cache, ManualClock};
/// # static IS_SLOW: AtomicBool = AtomicBool::new(false);
///
/// #[redis_cached(ttl = "1m", stale_if_error = "1d", soft_timeout = "50ms", cache = cache, skip(cache))]
/// async fn name(cache: &Cache, id: u64) -> Result<String, String> {
///     if IS_SLOW.load(Relaxed) {
///         tokio::time::sleep(Duration::from_secs(3600)).await;
///     }
///     Ok(format!("user {id}"))
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::new();
/// let cache = Cache::builder().in_memory().clock(&clock).build()?;
/// name(&cache, 1).await?;
///
/// IS_SLOW.store(true, Relaxed);
/// clock.advance(Duration::from_secs(90));
/// assert_eq!(name(&cache, 1).await?, "user 1"); // after 50 ms
/// # Ok(())
/// # }
/// ```
///
/// ## `refresh_ahead`
///
/// Recomputes a value [in the background](#in-the-background) while it is fresh, so that a key which is asked for often never ends. A number between 0 and 1
/// is the share of the ttl after which the next call begins it. `"xfetch"` leaves that to chance, the likelier the longer the body takes and
/// the nearer the end is, and never before half the ttl (Vattani et al., VLDB 2015). Default: a value is recomputed when it has ended.
///
/// ```
/// # use cache_runtime::redis_cached;
/// # use std::{sync::atomic::{AtomicU64, Ordering::Relaxed}, time::Duration};
/// use cache_runtime::{Cache, ManualClock};
/// # static VISITS: AtomicU64 = AtomicU64::new(0);
///
/// #[redis_cached(ttl = 60, refresh_ahead = 0.8, cache = cache, skip(cache))]
/// async fn visits(cache: &Cache) -> u64 {
///     VISITS.fetch_add(1, Relaxed)
/// }
///
/// #[redis_cached(ttl = 60, refresh_ahead = "xfetch")]
/// async fn by_chance(id: u64) -> u64 { id }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # by_chance(1).await;
/// let clock = ManualClock::new();
/// let cache = Cache::builder().in_memory().clock(&clock).build()?;
/// assert_eq!(visits(&cache).await, 0);
///
/// clock.advance(Duration::from_secs(50));
/// assert_eq!(visits(&cache).await, 0); // fresh
/// while visits(&cache).await == 0 {
///     tokio::task::yield_now().await; // the refresh is on its way
/// }
/// # Ok(())
/// # }
/// ```
///
/// ## `coalesce`
///
/// Who shares one run of the body: `"process"`, the callers in this process, or `"cluster"`, those of every process on the same Redis. There
/// the others wait for the value of the one that computes it, or are answered with an old value where an option allows that. One that
/// is killed meanwhile delays them by at most 2 seconds and a round trip; `CacheBuilder::cluster_wait` bounds the wait for one that lives. Costs
/// nothing on a hit. Runs in the background are shared by the cluster in any case. Default: `"process"`.
///
/// ```
/// # use cache_runtime::redis_cached;
/// #[redis_cached(ttl = 60, coalesce = "cluster")]
/// async fn report(month: u32) -> Vec<u64> {
///     vec![0; month as usize]
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # report(1).await;
/// # Ok(())
/// # }
/// ```
///
/// ## `share_errors`
///
/// What those who wait for a body get when it fails; the caller whose body ran gets its error untouched in any case. A closure or a
/// function makes an error for another caller of a `&E`, which is `Send + Sync`; an error passes it twice on its way. `none`: they run their
/// own bodies, side by side. Default: the first of these that the type of the error allows, as it is written in the return type:
///
/// | the error is | those who wait |
/// |---|---|
/// | `Clone + Send + Sync` | get clones |
/// | `From<SharedError>`, with a `Display` | get its texts in a `SharedError`, which cannot be downcast to what it was |
/// | any other, such as `io::Error`, `sqlx::Error`, `reqwest::Error` | run their own bodies |
///
/// `anyhow::Error`, `eyre::Report` and boxed errors have that `From` by themselves, an error of your own by one `#[from]` (see `SharedError`).
/// In a generic function only the written bounds count. Errors are shared within a process, and never stored.
///
/// ```
/// # use cache_runtime::redis_cached;
/// use cache_runtime::SharedError;
/// use std::io;
///
/// #[redis_cached(ttl = 60, share_errors = |error| io::Error::new(error.kind(), SharedError::new(error)))]
/// async fn page(name: &str) -> io::Result<String> {
/// #   tokio::task::yield_now().await;
///     std::fs::read_to_string(name)
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (ran, waited) = tokio::join!(page("none.html"), page("none.html")); // one look at the disk
/// let (ran, waited) = (ran.unwrap_err(), waited.unwrap_err());
/// assert_eq!(waited.kind(), io::ErrorKind::NotFound);
/// assert_eq!(waited.to_string(), ran.to_string());
/// assert!(waited.get_ref().unwrap().is::<SharedError>());
/// # }
/// ```
///
/// ## `cache`
///
/// A `Cache`, or a reference to one, in the place of that of the scope, of the runtime, or the global one. It is lent: `self.cache`, which is the same as `&self.cache`, stays where it is. It can use parameters; what it uses is a parameter of
/// `_entry` too. Default: `get_cache()`'s.
///
/// ```
/// # use cache_runtime::redis_cached;
/// use cache_runtime::Cache;
///
/// #[redis_cached(ttl = 60, cache = cache, skip(cache))]
/// async fn name(cache: &Cache, id: u64) -> String {
///     format!("user {id}")
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = Cache::builder().in_memory().build()?;
/// name(&cache, 1).await;
/// assert!(name_entry(&cache, 1).get().await?.is_some());
/// # Ok(())
/// # }
/// ```
///
/// ## `in_impl`
///
/// The function stands in an impl. Default: told by a `self` or `Self` in the signature or the body, so that only an associated function
/// that says neither needs it. There the compiler, which looks for the companions outside the impl, says that it cannot find
/// a function whose name ends in `add_in_impl_or_trait_impl`.
///
/// ```
/// # use cache_runtime::redis_cached;
/// struct Users;
///
/// impl Users {
///     #[redis_cached(ttl = 60, in_impl)]
///     async fn name(id: u64) -> String {
///         format!("user {id}")
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(Users::name(1).await, "user 1");
/// # Ok(())
/// # }
/// ```
///
/// ## `trait_impl`
///
/// The method stands in a trait impl: the body stays in it, and there are no companions. With a [`key`](#key), `Cache::entry` reaches its
/// entries by `key!`. Below `#[async_trait]` too. Default: no.
///
/// ```
/// use cache_runtime::{get_cache, key, redis_cached};
///
/// trait Names {
///     async fn name(&self, id: u64) -> String;
/// }
///
/// struct Users;
///
/// impl Names for Users {
///     #[redis_cached(ttl = 60, trait_impl, key = "user:{id}", skip(self))]
///     async fn name(&self, id: u64) -> String {
///         format!("user {id}")
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let id = 1;
/// assert_eq!(Users.name(id).await, "user 1");
///
/// let entry = get_cache().await?.entry::<String>(key!("user:{id}"));
/// assert!(entry.get().await?.is_some());
/// entry.invalidate().await?;
/// # Ok(())
/// # }
/// ```
///
/// ## `companions`
///
/// `none` for none, or another stem for their names. Default: the function's name.
///
/// ```
/// # use cache_runtime::redis_cached;
/// #[redis_cached(ttl = 60, companions = none)]
/// async fn alone(id: u64) -> u64 { id }
///
/// #[redis_cached(ttl = 60, companions = "load_name")]
/// async fn name(id: u64) -> String {
///     format!("user {id}")
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(load_name_uncached(1).await, "user 1");
/// # name(1).await;
/// # alone(1).await;
/// # load_name_entry(1).invalidate().await?;
/// # Ok(())
/// # }
/// ```
///
/// ## `crate`
///
/// Where the crate is, if it is renamed or re-exported. Default: `::cache_runtime`.
///
/// ```
/// # use cache_runtime::redis_cached;
/// mod deps {
///     pub use cache_runtime;
/// }
///
/// #[redis_cached(ttl = 60, crate = crate::deps::cache_runtime)]
/// async fn name(id: u64) -> String {
///     format!("user {id}")
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # name(1).await;
/// # Ok(())
/// # }
/// ```
#[proc_macro_attribute]
pub fn redis_cached(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::redis_cached(attribute.into(), item.into()).into()
}

/// What `cache_runtime::key!` expands to: the path of that crate, then what `key!` was given.
#[doc(hidden)]
#[proc_macro]
pub fn template_key(tokens: TokenStream) -> TokenStream {
    key::template_key(tokens.into()).into()
}
