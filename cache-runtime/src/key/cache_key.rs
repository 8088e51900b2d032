//! Keys that a user writes out, and no attribute.
//!
//! The one rule: **values that are inserted into a key are escaped.** [`key!`](crate::key!) does that. A plain text does not
//! tell what was inserted into it, so a text with a character that is always escaped is refused.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use super::{KeyError, KeyPart, KeyText, escape, template_of_no_call};
use crate::error::{Error, ErrorKind};

/// The beginning of a [`CacheKey`]'s text where its key could not be written. It holds white space, so that the text cannot
/// be a key.
const UNWRITTEN: &str = "no key: ";

/// The key of an entry, as [`Cache::entry`](crate::Cache::entry) and the other operations of a cache take it: what
/// [`key!`](crate::key!) returns, or a text.
///
/// The cache's prefix is not in it. A text is taken as it is, and is no key if it shows that something was inserted without
/// an escape: white space, a control character, a `%` that begins no escape, a brace outside one hash tag. Then each
/// operation on the entry is an error, as it is where the `Serialize` of an argument of `key!` fails.
///
/// ```
/// use cache_runtime::{Cache, CacheKey, key};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cache_runtime::Error> {
/// let tenant = "a b";
/// let written: CacheKey = key!("total:{tenant}");
/// assert_eq!(written.as_str(), "total:a%20b");
/// assert_eq!(written, CacheKey::from("total:a%20b"));
///
/// let cache = Cache::builder().in_memory().build()?;
/// cache.delete(&written).await?;
/// assert!(cache.delete(&format!("total:{tenant}")).await.is_err()); // not escaped
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CacheKey {
    text: KeyText,
    /// Why the text is the key of no entry.
    refused: Option<Refused>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Refused {
    Argument(KeyError),
    Text(&'static str),
}

impl CacheKey {
    /// The key of a template: a literal before, between and after the parts.
    pub(crate) fn of_template(literals: &[&str], parts: &[&dyn KeyPart]) -> Self {
        let mut text = KeyText::new();
        match template_of_no_call(literals, parts, &mut text) {
            Ok(()) => Self {
                text,
                refused: None,
            },
            Err(error) => {
                text.clear();
                text.extend([UNWRITTEN, &error.to_string()]);
                Self {
                    text,
                    refused: Some(Refused::Argument(error)),
                }
            }
        }
    }

    /// The text, without the cache's prefix. Where an argument could not be written, it begins with `no key: `, and says
    /// why.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text for an entry.
    ///
    /// # Errors
    ///
    /// Why the text is the key of no entry.
    pub(crate) fn into_text(self) -> Result<KeyText, Error> {
        match self.refused {
            None => Ok(self.text),
            Some(Refused::Text(why)) => Err(Error::new(ErrorKind::Key, why)),
            Some(Refused::Argument(error)) => Err(Error::with_source(
                ErrorKind::Key,
                "the key cannot be written",
                error,
            )),
        }
    }
}

impl<T: AsRef<str> + ?Sized> From<&T> for CacheKey {
    fn from(key: &T) -> Self {
        let mut text = KeyText::new();
        text.push_str(key.as_ref());
        let refused = check_key(&text).err().map(Refused::Text);
        Self { text, refused }
    }
}

impl From<&Self> for CacheKey {
    fn from(key: &Self) -> Self {
        key.clone()
    }
}

impl PartialEq for CacheKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str() && self.refused == other.refused
    }
}

impl Eq for CacheKey {}

impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CacheKey").field(&self.as_str()).finish()
    }
}

/// Writes a key as `#[redis_cached(key = "…")]` does, for what stands outside of the function: an invalidation of a
/// [`trait_impl`](macro@crate::redis_cached#trait_impl), another crate, an admin's tool.
///
/// ```
/// use cache_runtime::{Cache, key, redis_cached};
///
/// trait Products {
///     async fn name(&self, tenant: &str, id: u64) -> String;
/// }
///
/// struct Shop(Cache);
///
/// impl Products for Shop {
///     #[redis_cached(ttl = 300, trait_impl, key = "product:{tenant}:{id}", skip(self), cache = &self.0)]
///     async fn name(&self, tenant: &str, id: u64) -> String {
///         format!("{id} of {tenant}")
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cache_runtime::Error> {
/// let shop = Shop(Cache::builder().in_memory().build()?);
/// let (tenant, id) = ("a:b", 7);
/// shop.name(tenant, id).await;
///
/// let entry = shop.0.entry::<String>(key!("product:{tenant}:{id}"));
/// assert_eq!(&*entry.key()?, "product:a%3Ab:7");
/// assert!(entry.get().await?.is_some());
/// entry.invalidate().await?;
/// # assert!(entry.get().await?.is_none());
/// # Ok(())
/// # }
/// ```
///
/// The template is the attribute's, with the same rules and messages. Between braces stands what is in scope, or a
/// field of it (`{user.id}`, `{self.tenant}`, `{pair.0}`), which is `Serialize`; or what is given a name behind the
/// template. It is borrowed.
///
/// ```
/// # use cache_runtime::key;
/// # struct User { id: u64 }
/// # fn current() -> User { User { id: 7 } }
/// assert_eq!(key!("cart:{user.id}:{page}", user = current(), page = 1 + 1).as_str(), "cart:7:2");
/// ```
///
/// It returns a [`CacheKey`]. The cache's prefix is put before it where it is used.
///
/// # What is inserted
///
/// Text without a separator stands as it is, so that other programs can write the same; what would read as something
/// else is escaped. **A text by `format!` escapes nothing**: for the tenant `a b` it is not the key of the
/// entry, and each operation is an error; for `a:b` it is another entry's key, which nothing can tell.
///
/// | value | in a template | in a default key |
/// |---|---|---|
/// | `42`, `true`, `1.5`, `-0.0`, any NaN | `42`, `true`, `1.5`, `-0.0`, `NaN` | the same |
/// | `"fr"`, `'f'` | `fr`, `f` | the same |
/// | `:` `%` `{` `}` in a string | `%3A` `%25` `%7B` `%7D` | the same |
/// | white space and control characters in a string | `%20`, `%0A`, `%C2%A0`, …: each byte of their UTF-8 | the same |
/// | `"a-b"` before a `-`, as in `{x}-{y}` | `a%2Db`: the first character of the text between two pieces, if that has none of `:` `{` `}` and no white space | |
/// | `""` | `%_` | `%_` |
/// | `"42"`, `"true"`, `"null"`, and others that would read as another value (`".x"`, `"inf"`, `"[x"`) | `42`, `true`, `null`, … | `~42`, `~true`, `~null`, … |
/// | `Lang::Fr` | `Fr` | `.Fr` |
/// | `None`, `Some(x)` | `%null`, as `x` | `null`, as `x` |
/// | `Id(7)`, a newtype | as `7` | as `7` |
/// | `(1, "a")`, `vec!["a"]` | `%(1,a)`, `%[a]` | `(1,a)`, `[a]` |
/// | `Point { x: 1 }`, a map | `%(x=1)`, `%[a=1]` | `(x=1)`, `[a=1]`, ordered by its keys |
/// | `Shape::Circle(5)` | `%.Circle(5)` | `.Circle(5)` |
/// | `()`, bytes | `%()`, `%x0aff` | `()`, `%x0aff` |
/// | strings within brackets | also `(` `)` `[` `]` `,` `=` `~` as `%28` and so on | the same |
/// | arguments of more than 200 bytes | as they are | `%h` and 32 hexadecimal digits of their SHA-256 |
///
/// A field that `Serialize` leaves out (`#[serde(skip)]`) is in no key.
#[cfg(feature = "macros")]
#[macro_export]
macro_rules! key {
    ($($template:tt)*) => {
        $crate::__private::template_key!($crate $($template)*)
    };
}

/// Checks that a template, or a function's default key, can have written a key that was given as text, as far as the text
/// tells.
///
/// # Errors
///
/// What is wrong with it and what to write instead.
pub(crate) fn check_key(key: &str) -> Result<(), &'static str> {
    if key.is_empty() {
        return Err("a key cannot be empty; write a name");
    }
    if key.contains("%t") || key.contains("%l") {
        return Err(
            "a key cannot hold `%t` or `%l`, which name leases and locks; write `key!(\"user:{id}\")`, which escapes what it inserts",
        );
    }
    if key.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(
            "a key that is given as text cannot hold white space or control characters; write `key!(\"user:{id}\")`, which escapes what it inserts",
        );
    }
    if !has_one_hash_tag_at_most(key) {
        return Err(
            "a key that is given as text cannot hold braces but for one hash tag; write `key!(\"user:{id}\")`, which escapes what it inserts",
        );
    }
    // No piece reaches over one of these characters, because every piece escapes them.
    if !key.split([':', '{', '}']).all(is_escaped) {
        return Err(
            "a key that is given as text cannot hold a `%` that begins no escape; write `key!(\"user:{id}\")`, which escapes what it inserts",
        );
    }
    Ok(())
}

fn has_one_hash_tag_at_most(key: &str) -> bool {
    match (key.find('{'), key.find('}')) {
        (None, None) => true,
        (Some(open), Some(close)) => open + 1 < close && key.matches(['{', '}']).count() == 2,
        _ => false,
    }
}

/// Whether each `%` of a text without `:` and braces is one that a key is written with.
fn is_escaped(text: &str) -> bool {
    let mut at = 0;
    while let Some(next) = text[at..].find('%') {
        at += next;
        let (before, from) = text.split_at(at);
        match escape::read(from) {
            Some((c, after)) => {
                let is_written = escape::always(c)
                    || escape::in_brackets(c) && before.contains(['(', '[', '.'])
                    // The character that separates a piece from the next one is escaped in it.
                    || after.find(c).is_some_and(|at| at + c.len_utf8() < after.len());
                if !is_written {
                    return false;
                }
                at = text.len() - after.len();
            }
            None if is_mark(&from[1..]) => at += 1,
            None => return false,
        }
    }
    true
}

/// Whether `text`, which stands behind a `%`, begins with one of the marks of the module above. Their characters may be
/// escaped, as those of any piece may.
fn is_mark(text: &str) -> bool {
    let mut mark = String::new();
    let mut rest = text;
    while mark.len() < "some(".len()
        && let Some(first) = rest.chars().next()
    {
        let (c, after) = escape::read(rest).unwrap_or((first, &rest[first.len_utf8()..]));
        mark.push(c);
        rest = after;
    }
    mark.starts_with(['_', 'x', '(', '[', '.'])
        || mark.starts_with("null")
        || mark.starts_with("some(")
        || is_digest(text)
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix('h').is_some_and(|digits| {
        digits.len() == 32
            && digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}
