//! One annotated function, as the runtime knows it.
//!
//! The one rule: **a key has one owner.** The default namespace is the compiler's path of the
//! function, which no other function has; where two functions end up with the same (both pinned it,
//! or the compiler spells both alike), both are named in the log, and if nobody pinned it on purpose
//! they stop using the cache. A `key` that somebody spelled out is compared with those of all other
//! functions: where two can write the same, both are named too, unless one says that it shares the
//! other's entries. All of this happens at a function's first call.

mod seen;
mod warnings;

use std::{
    any::type_name,
    cell::Cell,
    fmt,
    panic::{AssertUnwindSafe, Location, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use crate::{
    error::{Error, ErrorKind},
    key::{self, CacheKey, KeyError, KeyPart, KeyText, Namespace, Pattern},
};

pub(crate) use seen::{ListedSite, listed};

use self::{seen::KeyShape, warnings::Warnings};

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
    /// The function whose entries this one shares, since this one first had one of that function's keys.
    owner: OnceLock<&'static Self>,
    /// Whether another function has this namespace, which not both of them pinned.
    ambiguous: AtomicBool,
    warnings: Warnings,
    /// Zero until somebody asks for it.
    number: AtomicU32,
}

/// The part of a key that does not depend on the cache, namespace and arguments; or why there is none.
#[derive(Debug, Clone)]
pub struct Key(Result<KeyText, Error>);

/// The key of another function's entry.
pub(crate) struct SharedKey {
    pub(crate) owner: &'static Site,
    /// Whether the owner stores `None`.
    pub(crate) stores_none: bool,
    pub(crate) key: Key,
}

/// The beginning of the keys of calls with these types. It is kept for the types of the function's first call, because
/// most functions are called with no others.
struct Head {
    types: Box<[&'static str]>,
    /// Namespace and version.
    text: Box<str>,
}

/// The longest chain of functions that each share the next one's entries. A longer one is taken for a circle.
const LONGEST_CHAIN: u32 = 16;

thread_local! {
    /// The length of the chain of functions that this thread follows at the moment, to find the first key of the first
    /// function.
    static CHAIN: Cell<u32> = const { Cell::new(0) };
}

impl Site {
    /// A function that stands where this is called. An item inside it tells its path.
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
            warnings: Warnings::new(),
            number: AtomicU32::new(0),
        }
    }

    /// Tells the ttl, as the attribute says it.
    #[must_use]
    pub const fn ttl(mut self, ttl: &'static str) -> Self {
        self.ttl = ttl;
        self
    }

    /// Pins the namespace, so that it does not follow the path.
    #[must_use]
    pub const fn namespace(mut self, namespace: &'static str) -> Self {
        self.pinned = Some(namespace);
        self
    }

    /// Adds a version to the namespace, so that entries of an older version are not found.
    #[must_use]
    pub const fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Says of a function that shares entries that it stores `None` too.
    #[must_use]
    pub const fn stores_none(mut self) -> Self {
        self.stores_none = true;
        self
    }

    /// Says that the pieces of the `key` come from the function's `self`, so that they may tell its types apart.
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
                return Key::missing(error);
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
                KeyShape::Default(written.ok().map(|()| Pattern::of_arguments(&head, parts)))
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
            self.report_no_key(&tracing::field::display(&error));
            return Err(Key::missing(error));
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
        // The pointers are compared, because the name of a type nearly always lies in one place.
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
            Err(error) => Key::missing(error),
        }
    }

    #[cold]
    fn begin_template(
        &'static self,
        value: &'static str,
        literals: &[&str],
        parts: &[&dyn KeyPart],
    ) {
        self.seen(|_| KeyShape::Template(Pattern::of_template(literals, parts)));
        let first = *self.value.get_or_init(|| value);
        if first != value && !self.types_in_key {
            self.report_mixed_types(first, value);
        }
    }

    /// The key that this function shares with the function of `entry`.
    pub(crate) fn shared_key(&'static self, entry: impl FnOnce() -> SharedKey) -> Key {
        match self.owner.get() {
            Some(_) => self
                .ask(entry)
                .map_or_else(|no_key| no_key, |asked| asked.key),
            None => self.begin_sharing(entry),
        }
    }

    /// Asks `entry` for its key. A panic in it does not reach the caller, because it runs the user's `Clone` of arguments.
    fn ask(&self, entry: impl FnOnce() -> SharedKey) -> Result<SharedKey, Key> {
        catch_unwind(AssertUnwindSafe(entry)).map_err(|_| Key::missing(KeyError::panic_in_entry()))
    }

    #[cold]
    fn begin_sharing(&'static self, entry: impl FnOnce() -> SharedKey) -> Key {
        struct ChainLink;
        impl Drop for ChainLink {
            fn drop(&mut self) {
                CHAIN.set(CHAIN.get() - 1);
            }
        }
        self.seen(|_| KeyShape::Shared);
        if CHAIN.get() == LONGEST_CHAIN {
            const WHY: &str = "the functions that `entry` names lead round in a circle";
            self.report_no_key(&WHY);
            return Key(Err(Error::new(ErrorKind::Key, WHY)));
        }
        CHAIN.set(CHAIN.get() + 1);
        let link = ChainLink;
        let answer = self.ask(entry);
        drop(link);
        let SharedKey {
            owner,
            stores_none,
            key,
        } = match answer {
            Ok(shared) => shared,
            Err(no_key) => return no_key,
        };
        // The owner is kept once there was a key. A circle never gives a key, so each of its calls follows the chain.
        if key.0.is_ok() {
            let first = self.owner.set(owner).is_ok();
            // An owner without a namespace is an entry by its key, of which nobody knows what else is stored there.
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

    /// The function's number among those of the process: a small one, and no other function's.
    #[inline]
    pub(crate) fn number(&self) -> u32 {
        match self.number.load(Ordering::Relaxed) {
            0 => self.take_number(),
            number => number,
        }
    }

    #[cold]
    fn take_number(&self) -> u32 {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        let next = TAKEN.fetch_add(1, Ordering::Relaxed) + 1;
        // Of two threads that ask at once one takes a number that nobody has then.
        let taken = self
            .number
            .compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed);
        taken.map_or_else(|earlier| earlier, |_| next)
    }

    /// The namespace; lists the function with its `keys` at the first call.
    fn seen(&'static self, keys: impl FnOnce(&Namespace) -> KeyShape) -> &'static Namespace {
        let mut first = false;
        let namespace = self.namespace.get_or_init(|| {
            first = true;
            let namespace = Namespace::of_path((self.path)(), self.function);
            match self.pinned {
                Some(pinned) => namespace.pinned(pinned),
                None => namespace,
            }
        });
        // Listed outside of the initialization, because that writes to the log, and a subscriber may call a cached function.
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

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Site({})", self.place())
    }
}

impl Key {
    /// A key that a user wrote out.
    pub(crate) fn written(key: CacheKey) -> Self {
        Self(key.into_text())
    }

    /// No key, and why.
    fn missing(error: KeyError) -> Self {
        Self(Err(Error::with_source(
            ErrorKind::Key,
            "the call has no key",
            error,
        )))
    }

    /// Why there is no key, if there is none.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.0.as_ref().err()
    }

    /// The key without a cache's prefix, if there is one.
    #[inline]
    pub(crate) fn text(&self) -> Option<&str> {
        self.0.as_deref().ok().map(String::as_str)
    }

    /// The key in a cache with this prefix.
    ///
    /// # Errors
    ///
    /// Why the call has no key.
    pub(crate) fn in_cache(&self, prefix: &str) -> Result<Arc<str>, Error> {
        let text = self.0.as_ref().map_err(Clone::clone)?;
        Ok(match prefix {
            "" => text.as_str().into(),
            prefix => {
                let mut whole = KeyText::new();
                whole.extend([prefix, ":", text]);
                whole.as_str().into()
            }
        })
    }
}
