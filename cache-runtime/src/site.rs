//! One annotated function, as the runtime knows it.
//!
//! The one rule: **a key has one owner.** The default namespace is the compiler's path of the
//! function, which no other function has; where two functions end up with the same (both pinned it,
//! or the compiler spells both alike), both are named in the log, and if nobody pinned it on purpose
//! they stop using the cache. A `key` that somebody spelled out is compared with those of all other
//! functions: where two can write the same, both are named too, unless one says that it shares the
//! other's entries. All of this happens at a function's first call.

mod seen;

use std::{
    any::type_name,
    cell::Cell,
    fmt,
    panic::{AssertUnwindSafe, Location, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::Seldom,
    error::{Error, ErrorKind},
    key::{self, CacheKey, KeyError, KeyPart, KeyText, Namespace, Pattern},
    stats::Counters,
};

pub use seen::{SiteInfo, sites};

use seen::Keys;

/// The facts about one annotated function; a `static` in its expansion.
pub struct Site {
    function: &'static str,
    path: fn() -> &'static str,
    file: &'static str,
    line: u32,
    ttl: &'static str,
    pinned: Option<&'static str>,
    version: Option<u64>,
    stores_none: bool,
    types_in_key: bool,
    namespace: OnceLock<Namespace>,
    head: OnceLock<Head>,
    /// The type of the values that a `key` was first written for.
    value: OnceLock<&'static str>,
    /// The function whose entries this one shares, once it had a key of it.
    owner: OnceLock<&'static Self>,
    /// Two functions have this namespace, and neither pinned it.
    ambiguous: AtomicBool,
    /// The log was told why calls run without the cache.
    refused: AtomicBool,
    /// The log was told that values change on their way through JSON.
    lossy: AtomicBool,
    /// To tell the log that a value is not stored, because it has no JSON that says it.
    unsaid: Seldom,
    /// To tell the log that a value is not stored, because it is too large.
    too_large: Seldom,
    /// To tell the log that Redis refuses to store values.
    refusing: Seldom,
    /// To tell the log that a value is not read back.
    unread: Seldom,
    /// To tell the log that an invalidation failed.
    not_invalidated: Seldom,
    /// The log was told that an option's expression is of no use.
    senseless: AtomicBool,
    /// To tell the log that Redis is too far away.
    distant: Seldom,
    /// The log was told that a body asks for its own key.
    circular: AtomicBool,
    /// To tell the log that calls wait for long.
    waiting: Seldom,
    /// The log was told that one `key` serves several types.
    mixed: AtomicBool,
    counters: Counters,
}

/// The part of a key that does not depend on the cache: namespace and arguments. Or why there is none.
#[derive(Debug, Clone)]
pub struct Key(Result<KeyText, Error>);

/// The key of another function's entry.
pub(crate) struct SharedKey {
    pub(crate) owner: &'static Site,
    /// What the owner says of `None`.
    pub(crate) stores_none: bool,
    pub(crate) key: Key,
}

/// What the keys of calls with these types begin with. Remembered for those that the function was first
/// called with, which for most functions are all.
struct Head {
    types: Box<[&'static str]>,
    /// Namespace and version.
    text: Box<str>,
}

/// The longest chain of functions that each share the next one's entries. A longer one is taken for a circle.
const LONGEST_CHAIN: u32 = 16;

thread_local! {
    /// How long the chain is that this thread follows at the moment, to find the first key of its first function.
    static ASKED: Cell<u32> = const { Cell::new(0) };
}

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
            stores_none: false,
            types_in_key: false,
            namespace: OnceLock::new(),
            head: OnceLock::new(),
            value: OnceLock::new(),
            owner: OnceLock::new(),
            ambiguous: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            lossy: AtomicBool::new(false),
            unsaid: Seldom::new(),
            too_large: Seldom::new(),
            refusing: Seldom::new(),
            unread: Seldom::new(),
            not_invalidated: Seldom::new(),
            senseless: AtomicBool::new(false),
            distant: Seldom::new(),
            circular: AtomicBool::new(false),
            waiting: Seldom::new(),
            mixed: AtomicBool::new(false),
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

    /// `None` is stored too; said of a function that shares entries.
    #[must_use]
    pub const fn stores_none(mut self) -> Self {
        self.stores_none = true;
        self
    }

    /// The pieces of the `key` are of the function's `self`, so they may tell its types apart.
    #[must_use]
    pub const fn types_in_key(mut self) -> Self {
        self.types_in_key = true;
        self
    }

    /// The default key: namespace, version, types and arguments.
    #[must_use]
    pub fn key(&'static self, types: &[&'static str], parts: &[&dyn KeyPart]) -> Key {
        let mut text = KeyText::new();
        if let Err(no_key) = self.begin_key(types, parts, &mut text) {
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
    fn begin_key(
        &'static self,
        types: &[&'static str],
        parts: &[&dyn KeyPart],
        text: &mut KeyText,
    ) -> Result<(), Key> {
        let head = self.head.get().filter(|head| *head.types == *types);
        let namespace = match head {
            Some(_) => None,
            None => Some(self.seen(|namespace| {
                let mut head = String::new();
                let written = self.write_head(namespace, types, &mut head);
                Keys::Default(written.ok().map(|()| Pattern::of_arguments(&head, parts)))
            })),
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
        if let Err(error) = self.write_head(namespace, types, text) {
            if !self.refused.swap(true, Ordering::Relaxed) {
                tracing::error!(function = %self.place(), cause = %error, "calls run without the cache");
            }
            return Err(self.no_key(error));
        }
        self.head.get_or_init(|| Head {
            types: types.into(),
            text: text.as_str().into(),
        });
        Ok(())
    }

    fn write_head(
        &self,
        namespace: &Namespace,
        types: &[&'static str],
        text: &mut String,
    ) -> Result<(), KeyError> {
        namespace.write(types, text)?;
        if let Some(version) = self.version {
            text.push('@');
            text.push_str(&version.to_string());
        }
        Ok(())
    }

    /// A key that the attribute spells out, for a value of the type with this name: a literal before, between and
    /// after the parts.
    #[must_use]
    pub fn template_key(
        &'static self,
        value: &'static str,
        literals: &[&str],
        parts: &[&dyn KeyPart],
    ) -> Key {
        // Nearly always one place has the name of one type.
        if !self
            .value
            .get()
            .is_some_and(|first| std::ptr::eq(*first, value))
        {
            self.begin_template(value, literals, parts);
        }
        let mut text = KeyText::new();
        match key::template(literals, parts, &mut text) {
            Ok(()) => Key(Ok(text)),
            Err(error) => self.no_key(error),
        }
    }

    #[cold]
    fn begin_template(
        &'static self,
        value: &'static str,
        literals: &[&str],
        parts: &[&dyn KeyPart],
    ) {
        self.seen(|_| Keys::Template(Pattern::of_template(literals, parts)));
        let first = *self.value.get_or_init(|| value);
        if first != value && !self.types_in_key && !self.mixed.swap(true, Ordering::Relaxed) {
            tracing::error!(
                function = %self.place(),
                one = first,
                other = value,
                "values of two types have the same `key`; use `key_args(…)`, which adds the types",
            );
        }
    }

    /// The key of an entry that this function shares with the one that `entry` is of.
    pub(crate) fn shared_key(&'static self, entry: impl FnOnce() -> SharedKey) -> Key {
        match self.owner.get() {
            Some(_) => self
                .ask(entry)
                .map_or_else(|no_key| no_key, |asked| asked.key),
            None => self.begin_sharing(entry),
        }
    }

    /// Arguments are cloned for `entry`. That is user code, so a panic of it must not reach the caller.
    fn ask(&self, entry: impl FnOnce() -> SharedKey) -> Result<SharedKey, Key> {
        catch_unwind(AssertUnwindSafe(entry)).map_err(|_| self.no_key(KeyError::panic_in_entry()))
    }

    #[cold]
    fn begin_sharing(&'static self, entry: impl FnOnce() -> SharedKey) -> Key {
        struct Asked;
        impl Drop for Asked {
            fn drop(&mut self) {
                ASKED.set(ASKED.get() - 1);
            }
        }
        self.seen(|_| Keys::Shared);
        if ASKED.get() == LONGEST_CHAIN {
            const WHY: &str = "the functions that `entry` names lead round in a circle";
            if !self.refused.swap(true, Ordering::Relaxed) {
                tracing::error!(function = %self.place(), cause = WHY, "calls run without the cache");
            }
            self.counters.error(ErrorKind::Key);
            return Key(Err(Error::new(ErrorKind::Key, WHY)));
        }
        ASKED.set(ASKED.get() + 1);
        let asked = Asked;
        let answer = self.ask(entry);
        drop(asked);
        let SharedKey {
            owner,
            stores_none,
            key,
        } = match answer {
            Ok(shared) => shared,
            Err(no_key) => return no_key,
        };
        // In a circle there is never a key, so that no call skips the count.
        if key.0.is_ok() {
            let first = self.owner.set(owner).is_ok();
            // What else is stored in an entry that somebody spelled out is not known.
            if first && owner.namespace.get().is_some() && self.stores_none != stores_none {
                tracing::error!(
                    one = %self.place(),
                    other = %owner.place(),
                    "of two cached functions that share entries only one stores `None`; write `none_ttl` at both, or at neither",
                );
            }
        }
        key
    }

    fn no_key(&self, error: KeyError) -> Key {
        self.counters.error(ErrorKind::Key);
        tracing::debug!(function = %self.place(), cause = %error, "this call runs without the cache");
        Key(Err(Error::with_source(
            ErrorKind::Key,
            "the call has no key",
            error,
        )))
    }

    /// Says once that Redis would not give back what the function returned.
    pub(crate) fn warn_of_loss(&self, cause: &'static str) {
        if !self.lossy.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                function = %self.place(),
                cause,
                "values do not survive their own JSON; redis would not give back what was returned",
            );
        }
    }

    /// Says, once a minute at most, that what the function returned is not stored.
    pub(crate) fn warn_not_stored(&self, error: &Error) {
        warn_if_due(&self.unsaid, self, error);
    }

    /// The same of a value that is too large, which others of the function need not be.
    pub(crate) fn warn_too_large(&self, error: &Error) {
        warn_if_due(&self.too_large, self, error);
    }

    /// Says, once a minute at most, that Redis refuses what storing a value takes, and what to type.
    pub(crate) fn warn_refused(&self, error: &Error, remedy: &str) {
        if self.refusing.is_due() {
            tracing::warn!(
                function = %self.place(),
                cause = error.told(),
                "redis refuses what it takes to store a value, so each call runs the body; {remedy}",
            );
        }
    }

    /// Says that an invalidation failed: once a minute at most in a warning, and each time at the level debug.
    pub(crate) fn warn_not_invalidated(&self, error: &Error) {
        const FAILED: &str =
            "an invalidation failed, so other processes may read the old value until it expires";
        let (function, cause) = (self.place(), error.told());
        if self.not_invalidated.is_due() {
            match error.remedy() {
                None => tracing::warn!(%function, cause, "{FAILED}"),
                Some(remedy) => tracing::warn!(%function, cause, "{FAILED}; {remedy}"),
            }
        } else {
            tracing::debug!(%function, cause, "{FAILED}");
        }
    }

    /// Says, once a minute at most, that what the function returned is stored in vain.
    pub(crate) fn warn_unread(&self, error: &Error) {
        if self.unread.is_due() {
            tracing::warn!(
                function = %self.place(),
                cause = error.told(),
                "a value is stored, but its `Deserialize` does not take what its `Serialize` writes, so each call runs the body; \
                 mend one of them",
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

    /// The namespace; lists the function with its `keys` at the first call.
    fn seen(&'static self, keys: impl FnOnce(&Namespace) -> Keys) -> &'static Namespace {
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
            self.list(namespace, keys(namespace));
        }
        namespace
    }

    /// The function, and where it stands, for the log.
    pub(crate) fn place(&self) -> String {
        format!("{} ({}:{})", self.function, self.file, self.line)
    }
}

fn warn_if_due(seldom: &Seldom, site: &Site, error: &Error) {
    if seldom.is_due() {
        tracing::warn!(
            function = %site.place(),
            cause = error.told(),
            "a value cannot be stored, so each call runs the body",
        );
    }
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
