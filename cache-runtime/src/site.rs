//! One annotated function, as the runtime knows it.
//!
//! The one rule: **a namespace has one owner.** The default one is the compiler's path of the
//! function, which no other function has; where two functions end up with the same (both pinned it,
//! or the compiler spells both alike), both are named in the log, and if nobody pinned it on purpose
//! they stop using the cache.

use std::{
    any::type_name,
    fmt,
    panic::Location,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::Seldom,
    codec::CodecError,
    error::{Error, ErrorKind},
    key::{self, CacheKey, KeyError, KeyPart, KeyText, Namespace},
    sharded::lock,
    stats::{Counters, SiteStats},
};

/// The facts about one annotated function; a `static` in its expansion.
pub struct Site {
    function: &'static str,
    path: fn() -> &'static str,
    file: &'static str,
    line: u32,
    ttl: &'static str,
    pinned: Option<&'static str>,
    version: Option<u64>,
    namespace: OnceLock<Namespace>,
    head: OnceLock<Head>,
    /// Two functions have this namespace, and neither pinned it.
    ambiguous: AtomicBool,
    /// The log was told why calls run without the cache.
    refused: AtomicBool,
    /// The log was told that values change on their way through JSON.
    lossy: AtomicBool,
    /// The log was told that a value is not stored, because it has no JSON that says it.
    unsaid: AtomicBool,
    /// The log was told that a value is not stored, because it is too large.
    too_large: AtomicBool,
    /// The log was told that an option's expression is of no use.
    senseless: AtomicBool,
    /// To tell the log that Redis is too far away.
    distant: Seldom,
    /// The log was told that a body asks for its own key.
    circular: AtomicBool,
    /// To tell the log that calls wait for long.
    waiting: Seldom,
    counters: Counters,
}

/// The part of a key that does not depend on the cache: namespace and arguments. Or why there is none.
#[derive(Debug, Clone)]
pub struct Key(Result<KeyText, Error>);

/// What the keys of calls with these types begin with. Remembered for those that the function was first
/// called with, which for most functions are all.
struct Head {
    types: Box<[&'static str]>,
    /// Namespace and version.
    text: Box<str>,
}

/// Every function that was called, with its namespace.
static SEEN: Mutex<Vec<(&'static Site, Namespace)>> = Mutex::new(Vec::new());

impl Site {
    /// A function whose path the compiler tells by an item inside it; it stands where this is called.
    #[must_use]
    #[track_caller]
    pub const fn new<Item>(function: &'static str, _: &Item) -> Self {
        let place = Location::caller();
        Self {
            function,
            path: type_name::<Item>,
            file: place.file(),
            line: place.line(),
            ttl: "",
            pinned: None,
            version: None,
            namespace: OnceLock::new(),
            head: OnceLock::new(),
            ambiguous: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            lossy: AtomicBool::new(false),
            unsaid: AtomicBool::new(false),
            too_large: AtomicBool::new(false),
            senseless: AtomicBool::new(false),
            distant: Seldom::new(),
            circular: AtomicBool::new(false),
            waiting: Seldom::new(),
            counters: Counters::new(),
        }
    }

    /// The ttl, as the attribute says it.
    #[must_use]
    pub const fn ttl(mut self, ttl: &'static str) -> Self {
        self.ttl = ttl;
        self
    }

    /// A namespace that does not follow the path.
    #[must_use]
    pub const fn namespace(mut self, namespace: &'static str) -> Self {
        self.pinned = Some(namespace);
        self
    }

    /// A part of the namespace that forgets every older entry.
    #[must_use]
    pub const fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// The default key: namespace, version, types and arguments.
    #[must_use]
    pub fn key(&'static self, types: &[&'static str], parts: &[&dyn KeyPart]) -> Key {
        let mut text = KeyText::new();
        if let Err(no_key) = self.begin_key(types, &mut text) {
            return no_key;
        }
        if !parts.is_empty() {
            text.push(':');
            if let Err(error) = key::arguments(parts, &mut text) {
                return self.no_key(error);
            }
        }
        Key(Ok(text))
    }

    /// Appends namespace, version and types.
    fn begin_key(&'static self, types: &[&'static str], text: &mut KeyText) -> Result<(), Key> {
        let head = self.head.get().filter(|head| *head.types == *types);
        let namespace = match head {
            Some(_) => None,
            None => Some(self.seen()),
        };
        if self.ambiguous.load(Ordering::Relaxed) {
            return Err(Key(Err(Error::new(
                ErrorKind::Key,
                "another cached function has the same namespace",
            ))));
        }
        let Some(namespace) = namespace else {
            text.extend(head.map(|head| &*head.text));
            return Ok(());
        };
        if let Err(error) = namespace.write(types, text) {
            if !self.refused.swap(true, Ordering::Relaxed) {
                tracing::error!(function = %self.place(), %error, "calls run without the cache");
            }
            return Err(self.no_key(error));
        }
        if let Some(version) = self.version {
            text.push('@');
            text.push_str(&version.to_string());
        }
        self.head.get_or_init(|| Head {
            types: types.into(),
            text: text.as_str().into(),
        });
        Ok(())
    }

    /// A key that the attribute spells out: a literal before, between and after the parts.
    #[must_use]
    pub fn template_key(&'static self, literals: &[&str], parts: &[&dyn KeyPart]) -> Key {
        self.seen();
        let mut text = KeyText::new();
        match key::template(literals, parts, &mut text) {
            Ok(()) => Key(Ok(text)),
            Err(error) => self.no_key(error),
        }
    }

    fn no_key(&self, error: KeyError) -> Key {
        self.counters.error(ErrorKind::Key);
        tracing::debug!(function = %self.place(), %error, "this call runs without the cache");
        Key(Err(Error::with_source(
            ErrorKind::Key,
            "the call has no key",
            error,
        )))
    }

    /// Says once that Redis would not give back what the function returned.
    pub(crate) fn warn_of_loss(&self) {
        if !self.lossy.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                function = %self.place(),
                "values do not survive their own JSON; redis would not give back what was returned",
            );
        }
    }

    /// Says once that what the function returned is not stored; of values that are too large, once as well.
    pub(crate) fn warn_not_stored(&self, error: &CodecError) {
        let told = match error {
            CodecError::TooLarge { .. } => &self.too_large,
            _ => &self.unsaid,
        };
        if !told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                function = %self.place(),
                cause = %error,
                "a value cannot be stored, so each call runs the body",
            );
        }
    }

    /// Says once a minute that nothing can be stored, because reads alone took this long.
    pub(crate) fn warn_of_distance(&self, took: Duration, timeout: Duration) {
        if self.distant.is_due() {
            // A read, the right to store, and the store.
            let enough = (took * 3).as_millis().next_multiple_of(10);
            tracing::warn!(
                function = %self.place(),
                ?timeout,
                ?took,
                "redis is too far away for this timeout: after a read there is no time to ask for the right to store, \
                 so nothing is stored; set `REDIS_TIMEOUT={enough}ms`, or the function's own `timeout`",
            );
        }
    }

    /// Whether a duration that an expression gave can be meant; says once if it cannot. The option is then
    /// as good as not there.
    pub(crate) fn is_sensible(&self, option: &'static str, duration: Duration) -> bool {
        if duration.is_zero() && !self.senseless.swap(true, Ordering::Relaxed) {
            tracing::error!(
                function = %self.place(),
                "`{option}` is zero, so it is as if it were not there; use more, or remove it",
            );
        }
        !duration.is_zero()
    }

    /// Says once that a body asks for its own key.
    pub(crate) fn warn_of_own_key(&self) {
        if !self.circular.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                function = %self.place(),
                "a body asks for its own key; so that it does not wait for itself, the inner call runs its body too",
            );
        }
    }

    /// Says, once a minute at most, that a call waits for another's body, and has for this long.
    pub(crate) fn warn_of_wait(&self, waited: Duration) {
        if self.waiting.is_due() {
            tracing::warn!(
                function = %self.place(),
                ?waited,
                "a call waits for another's body; its source hangs, or its future is kept and not polled",
            );
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The namespace; lists the function at the first call.
    fn seen(&'static self) -> &'static Namespace {
        let mut first = false;
        let namespace = self.namespace.get_or_init(|| {
            first = true;
            let namespace = Namespace::of_path((self.path)(), self.function);
            match self.pinned {
                Some(pinned) => namespace.pinned(pinned),
                None => namespace,
            }
        });
        // Outside of the initialization, for it logs, and a subscriber may call a cached function.
        if first {
            self.list(namespace);
        }
        namespace
    }

    fn list(&'static self, namespace: &Namespace) {
        let mut seen = lock(&SEEN);
        let namesakes: Vec<_> = seen
            .iter()
            .filter(|(other, theirs)| {
                let same = match (self.pinned, other.pinned) {
                    (Some(mine), Some(theirs)) => mine == theirs,
                    (None, None) => *namespace == *theirs,
                    // One pinned what is the other's by default.
                    _ => text(namespace).is_some_and(|mine| Some(mine) == text(theirs)),
                };
                same && self.version == other.version
            })
            .map(|(other, _)| *other)
            .collect();
        seen.push((self, namespace.clone()));
        drop(seen);
        for other in namesakes {
            if self.pinned.is_none() || other.pinned.is_none() {
                self.ambiguous.store(true, Ordering::Relaxed);
                other.ambiguous.store(true, Ordering::Relaxed);
            }
            tracing::error!(
                one = %self.place(),
                other = %other.place(),
                "two cached functions have the same namespace; give each its own with `namespace = \"…\"`",
            );
        }
    }

    fn place(&self) -> String {
        format!("{} ({}:{})", self.function, self.file, self.line)
    }

    fn info(&self, namespace: &Namespace) -> SiteInfo {
        SiteInfo {
            function: self.function,
            namespace: text(namespace),
            ttl: self.ttl,
            file: self.file,
            line: self.line,
            stats: self.counters.snapshot(),
        }
    }
}

/// A namespace that does not depend on the types of a call.
fn text(namespace: &Namespace) -> Option<String> {
    let mut text = String::new();
    namespace.write(&[], &mut text).ok().map(|()| text)
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Site({})", self.place())
    }
}

impl Key {
    /// A key that somebody wrote out.
    pub(crate) fn written(key: CacheKey) -> Self {
        Self(key.into_text())
    }

    /// What `find` says of the key in a cache with this prefix; `None` also if there is no key.
    pub(crate) fn look_up<T>(
        &self,
        prefix: &str,
        find: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.0.as_ref().ok()?;
        match prefix {
            "" => find(text),
            prefix => find(&in_prefix(prefix, text)),
        }
    }

    /// The key in a cache with this prefix.
    pub(crate) fn in_cache(&self, prefix: &str) -> Result<Arc<str>, Error> {
        let text = self.0.as_ref().map_err(Clone::clone)?;
        Ok(match prefix {
            "" => text.as_str().into(),
            prefix => in_prefix(prefix, text).as_str().into(),
        })
    }
}

/// The text of a key behind a prefix.
fn in_prefix(prefix: &str, key: &str) -> KeyText {
    let mut text = KeyText::new();
    text.extend([prefix, ":", key]);
    text
}

/// An annotated function that was called in this process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SiteInfo {
    /// The function's name.
    pub function: &'static str,
    /// What its keys begin with, after the cache's prefix; `None` where that depends on the types that
    /// it is called with.
    pub namespace: Option<String>,
    /// Its ttl, as the attribute says it.
    pub ttl: &'static str,
    /// The file that it stands in.
    pub file: &'static str,
    /// The line that its attribute stands in.
    pub line: u32,
    /// What happened to its calls.
    pub stats: SiteStats,
}

/// Lists every annotated function that was called in this process so far, with its counters.
#[must_use]
pub fn sites() -> Vec<SiteInfo> {
    lock(&SEEN)
        .iter()
        .map(|(site, namespace)| site.info(namespace))
        .collect()
}
