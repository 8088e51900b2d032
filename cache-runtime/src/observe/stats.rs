//! What users see of what was counted, and of the state of a cache.
//!
//! The one rule: **these are numbers of one moment**: nothing in them goes on counting, and nothing in them is a key.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::error::ErrorKind;

/// What happened to one annotated function's calls: in one cache, as [`Stats`] has it, or in all of this process, as
/// [`sites`](crate::sites) has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SiteStats {
    /// Calls that the cache answered with a fresh value.
    pub hits: u64,
    /// Calls that the cache answered with a value past its ttl.
    pub stale: u64,
    /// Calls that found nothing in the cache that could be the answer.
    pub misses: u64,
    /// Misses that another call's body answered.
    pub coalesced: u64,
    /// Calls that did not use the cache: none is configured, it is off, or the key could not be written.
    pub bypassed: u64,
    /// How often the body ran.
    pub body_runs: u64,
    /// How many of these runs were behind their calls: refreshes, and those that a soft timeout could have
    /// left behind, whether it did or not.
    pub background_runs: u64,
    /// How often a call had waited as long as [`run_wait`](crate::CacheBuilder::run_wait) for another's body,
    /// and went on to run its own beside it.
    pub overtook: u64,
    /// What went wrong in the cache, by kind; no call failed because of it.
    pub errors: Errors,
    /// The time that calls waited for Redis, all calls together.
    pub time_in_store: Duration,
    /// The time that bodies took, in the background as well, all together.
    pub time_in_body: Duration,
}

/// The errors of the cache, counted by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Errors(BTreeMap<ErrorKind, u64>);

impl Errors {
    /// Those of `counts`, none of which is zero.
    pub(super) fn new(counts: BTreeMap<ErrorKind, u64>) -> Self {
        Self(counts)
    }

    /// How many errors of this kind there were.
    #[must_use]
    pub fn of(&self, kind: ErrorKind) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0)
    }

    /// How many errors there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The kinds that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (ErrorKind, u64)> + '_ {
        self.0.iter().map(|(kind, count)| (*kind, *count))
    }
}

impl fmt::Display for Errors {
    /// For example `2 timeout, 1 server`, or `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, (kind, count)) in self.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{count} {kind}")?;
        }
        Ok(())
    }
}

/// An annotated function that was called in this process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SiteInfo {
    /// The function's name.
    pub function: &'static str,
    /// What its keys begin with, after the cache's prefix; `None` where that depends on the types that
    /// it is called with, and where the attribute says `key` or `entry`.
    pub namespace: Option<String>,
    /// The name of the function whose entries it shares, as the attribute's `entry` says.
    pub shares: Option<&'static str>,
    /// Its ttl, as the attribute says it.
    pub ttl: &'static str,
    /// The file that it stands in.
    pub file: &'static str,
    /// The line that its attribute stands in.
    pub line: u32,
    /// What happened to its calls.
    pub stats: SiteStats,
}

/// A cache's state, and what happened since it was made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stats {
    /// Where values are kept.
    pub store: StoreStats,
    /// Keys whose bodies run right now.
    pub flights: usize,
    /// Callers whose value is being read from Redis right now.
    pub reads: usize,
    /// Calls that wait for one of these bodies.
    pub waiting: usize,
    /// Bodies that run in the background of this process, whichever cache began them.
    pub background_runs: usize,
    /// Keys whose invalidation has not reached Redis yet.
    pub unfinished_invalidations: usize,
    /// Every annotated function that this cache served, with what happened to its calls here.
    /// [`sites`](crate::sites) sums up all caches, and lists the functions that none served as well.
    pub sites: Vec<SiteInfo>,
}

impl Stats {
    /// What happened to the calls of one function in this cache, as a test asks for it.
    ///
    /// `name`: the function's namespace, as in `"shop.products.product"`; or the last parts of it, as in `"product"` and
    /// `"products.product"`, where no other function's ends like this; or, where no namespace ends like this, the function's own
    /// name. A function without a namespace, as [`SiteInfo::namespace`] has it, goes by its own name alone.
    ///
    #[cfg_attr(feature = "macros", doc = "```")]
    #[cfg_attr(not(feature = "macros"), doc = "```ignore")]
    /// use cache_runtime::{Cache, redis_cached};
    ///
    /// #[redis_cached(ttl = 60, cache = cache, skip(cache))]
    /// async fn product(cache: &Cache, id: u64) -> String {
    ///     format!("product {id}")
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = Cache::builder().in_memory().build()?;
    /// product(&cache, 7).await;
    /// product(&cache, 7).await;
    /// assert_eq!(cache.stats().of("product")?.hits, 1);
    /// assert!(cache.stats().of("prodcut").is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If no function of this name was called on this cache, or several were: the message lists those that were.
    pub fn of(&self, name: &str) -> Result<&SiteStats, NotOneSite> {
        let whole = |site: &&SiteInfo| site.name() == name;
        let end = |site: &&SiteInfo| {
            let rest = site.name().strip_suffix(name);
            rest.is_some_and(|rest| rest.ends_with('.'))
        };
        let mut found: Vec<_> = self.sites.iter().filter(whole).collect();
        if found.is_empty() && !name.is_empty() {
            found = self.sites.iter().filter(end).collect();
        }
        // Of a function whose attribute names its namespace, a test knows the own name.
        if found.is_empty() {
            let own = |site: &&SiteInfo| site.function == name;
            found = self.sites.iter().filter(own).collect();
        }
        if let [one] = found[..] {
            return Ok(&one.stats);
        }
        let mut called: Vec<_> = match found[..] {
            [] => self.sites.iter().collect(),
            _ => found.clone(),
        };
        called.sort_by_key(|site| (site.name(), site.file, site.line));
        let place = |site: &SiteInfo| format!("`{}` ({}:{})", site.name(), site.file, site.line);
        Err(NotOneSite {
            name: name.to_owned(),
            is_known: !found.is_empty(),
            called: called.into_iter().map(place).collect(),
        })
    }
}

impl SiteInfo {
    /// What [`Stats::of`] calls it.
    fn name(&self) -> &str {
        self.namespace.as_deref().unwrap_or(self.function)
    }
}

/// Why [`Stats::of`] has no answer.
#[derive(Clone, PartialEq, Eq)]
pub struct NotOneSite {
    name: String,
    /// Several functions have this name, and not none.
    is_known: bool,
    /// Those, or all.
    called: Vec<String>,
}

impl fmt::Display for NotOneSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            is_known,
            called,
        } = self;
        let called = called.join(", ");
        match (is_known, called.as_str()) {
            (true, called) => write!(
                f,
                "`{name}` is what several functions go by; write more of a name, or find one in `sites` by its place: {called}"
            ),
            (false, "") => write!(
                f,
                "`{name}` was not called on this cache, and nothing else was"
            ),
            (false, called) => write!(
                f,
                "`{name}` was not called on this cache; called were {called}"
            ),
        }
    }
}

/// As [`Display`](fmt::Display), because it is what `unwrap` shows.
impl fmt::Debug for NotOneSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for NotOneSite {}

/// The state of a cache's store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StoreStats {
    /// None: the cache is [off](crate::Cache::off).
    Off,
    /// The in-process store.
    #[non_exhaustive]
    Memory {
        /// Entries that it holds.
        entries: u64,
    },
    /// Redis.
    #[non_exhaustive]
    Redis {
        /// The server's host and port.
        endpoint: String,
        /// Whether connections are TLS.
        tls: bool,
        /// Connections that stand: for each tokio runtime that uses the cache one for the annotated
        /// functions, one for every [`Connection`](crate::Connection), and one to hear of locks that other
        /// processes hold, each made when it is first needed.
        connections: usize,
        /// Connections that were made or tried since the cache was built.
        connections_tried: u64,
        /// Whether Redis is asked at present.
        breaker: BreakerState,
        /// How often the breaker opened.
        breaker_opened: u64,
        /// The Entra ID token in use; `None` where the login is another.
        token: Option<TokenStats>,
    },
}

/// Whether Redis is asked, and how it comes to be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerState {
    /// Redis is asked.
    Closed,
    /// Redis is not asked; a background probe looks whether it is back.
    Open,
    /// Redis came back; a few calls at a time ask it.
    HalfOpen,
}

/// The state of an Entra ID login; the token itself is nowhere in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenStats {
    /// The credential that gives the tokens, as the Azure SDKs name it; `None` until one did.
    pub credential: Option<&'static str>,
    /// The Redis user that connections log in as; `None` before the first token.
    pub user: Option<String>,
    /// How long ago the token came; `None` before the first.
    pub age: Option<Duration>,
    /// What is left of its life, zero once it has expired; `None` before the first.
    pub expires_in: Option<Duration>,
    /// How often a new token came.
    pub refreshes: u64,
    /// How often none came, or the server refused one.
    pub failures: u64,
    /// What the last failure was.
    pub last_error: Option<ErrorKind>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tally::Sums;

    fn site(function: &'static str, namespace: Option<&str>, hits: u64) -> SiteInfo {
        SiteInfo {
            function,
            namespace: namespace.map(str::to_owned),
            shares: None,
            ttl: "60 s",
            file: "shop.rs",
            line: u32::try_from(hits).unwrap(),
            stats: Sums::of_hits(hits).stats(),
        }
    }

    fn stats(sites: Vec<SiteInfo>) -> Stats {
        Stats {
            store: StoreStats::Memory { entries: 0 },
            flights: 0,
            reads: 0,
            waiting: 0,
            background_runs: 0,
            unfinished_invalidations: 0,
            sites,
        }
    }

    #[test]
    fn a_function_goes_by_its_namespace_or_the_end_of_it() {
        let stats = stats(vec![
            site("user", Some("shop.web.user"), 1),
            site("user", Some("shop.user"), 2),
            site("by_name", None, 3),
            site("super_user", Some("shop.super_user"), 4),
            site("by_name", Some("shop.by_name"), 5),
        ]);
        let hits = |name| {
            stats
                .of(name)
                .map(|stats| stats.hits)
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            hits("shop.user"),
            Ok(2),
            "a whole one, which is no other's end"
        );
        assert_eq!(hits("web.user"), Ok(1));
        assert_eq!(hits("super_user"), Ok(4));
        assert_eq!(hits("by_name"), Ok(3), "a whole one before an end");
        assert_eq!(
            hits("user").unwrap_err(),
            "`user` is what several functions go by; write more of a name, or find one in `sites` by its place: \
             `shop.user` (shop.rs:2), `shop.web.user` (shop.rs:1)"
        );
        assert_eq!(
            hits("uper_user").unwrap_err(),
            "`uper_user` was not called on this cache; called were `by_name` (shop.rs:3), `shop.by_name` (shop.rs:5), \
             `shop.super_user` (shop.rs:4), `shop.user` (shop.rs:2), `shop.web.user` (shop.rs:1)"
        );
        assert!(hits("").is_err());
    }

    #[test]
    fn a_function_whose_attribute_names_a_namespace_goes_by_its_own_name_as_well() {
        let stats = stats(vec![
            site("member", Some("team"), 1),
            site("leader", Some("team"), 2),
            site("get", None, 3),
            site("get", None, 4),
        ]);
        let hits = |name| stats.of(name).map(|stats| stats.hits);
        assert_eq!((hits("member"), hits("leader")), (Ok(1), Ok(2)));
        assert_eq!(
            hits("get").unwrap_err().to_string(),
            "`get` is what several functions go by; write more of a name, or find one in `sites` by its place: \
             `get` (shop.rs:3), `get` (shop.rs:4)"
        );
    }

    #[test]
    fn a_cache_that_nobody_called_says_so() {
        let error = stats(Vec::new()).of("user").unwrap_err();
        assert_eq!(
            format!("{error:?}"),
            "`user` was not called on this cache, and nothing else was"
        );
    }
}
