//! What a value is called in Redis: `{prefix}:{namespace}[@{version}]:{arguments}`.
//!
//! The one rule: **two argument lists that differ, as far as serde can tell, never share a key; two that
//! serde cannot tell apart always do.** Everything below follows from how a value is written:
//!
//! | value | written |
//! |---|---|
//! | `true`, `42`, `-7_i128` | `true`, `42`, `-7`: an integer is its value, whatever its width |
//! | `1.0_f64`, `-0.0`, any NaN | `1.0`, `-0.0` (`1.0 / x` tells it from `0.0`), `NaN` |
//! | `0.1_f32` | `0.1f32`, because it is not the `f64` that is written `0.1`; `0.5_f32` is, so `0.5` |
//! | `"fr"`, `'f'` | `fr`, `f`; `:` `%` `{` `}`, white space and control characters as `%3A` and so on, by UTF-8 bytes |
//! | `"42"`, `"true"`, `"null"`, `".x"`, `"[x"` | `~42`, …: a string that would read as something else is marked |
//! | `""` | `%_`, so that an empty argument can be seen |
//! | `None`, `Some(x)`, `Some(None)` | `null`, as `x`, `some(null)` |
//! | `()`, a unit struct | `()` |
//! | `Id(42)`, a newtype struct | `42`, as its content |
//! | `Lang::Fr` | `.Fr` |
//! | `Shape::Circle(5)`, `Rect(1, 2)`, `At { x: 1 }` | `.Circle(5)`, `.Rect(1,2)`, `.At(x=1)` |
//! | `(1, "a")`, `[1, 2]`, `(1,)`, `[0; 0]` | `(1,a)`, `(1,2)`, `(1,)`, `(,)` |
//! | `Point { x: 1, y: 2 }`, `Empty {}` | `(x=1,y=2)`, `(=)` |
//! | `vec!["a", "b"]`, `vec![]` | `[a,b]`, `[]` |
//! | a map | `[a=1,b=2]`, ordered by the text of its keys; empty: `[=]` |
//! | bytes | `%x0aff` |
//!
//! Inside brackets strings also escape `(` `)` `[` `]` `,` `=` and `~`. The names of types are not written, because serde
//! formats hold them insignificant. A `HashSet` is a sequence to serde, so its order counts: use a `BTreeSet`.
//!
//! Arguments of the default key are joined by `:`. Past 200 bytes they become `%h` and 32 hexadecimal digits of
//! their SHA-256.
//!
//! **In a template**, where another program must be able to write the same, a string is escaped but never marked
//! (`user:42` for `"42"`) and a unit variant is its name alone. A value that is no scalar begins with `%`, so that no string
//! equals it: `%null`, `%(1,2)`, `%[a,b]`, `%.Circle(5)`. Where the text between two pieces holds nothing that is
//! always escaped (`{a}-{b}`), its first character is escaped in the piece before it, because `x-y` and `z` would
//! meet `x` and `y-z` otherwise. A template is never digested.
//!
//! A `%` is followed by two upper-case hexadecimal digits, or by one of the marks named here. `%t` and `%l` are
//! no marks of values, because they belong to leases and locks: see [`lease_key`].

mod cache_key;
mod escape;
mod namespace;
#[cfg(any(test, fuzzing))]
pub(crate) mod oracle;
mod pattern;
mod prefix;
mod serializer;
mod slot;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use sha2::{Digest, Sha256};

pub use cache_key::CacheKey;
pub(crate) use namespace::Namespace;
pub(crate) use pattern::Pattern;
pub(crate) use prefix::{check_prefix, len_in_key};
pub(crate) use slot::{lease_key, lock_key};
pub(crate) use text::KeyText;

use serializer::{Place, Writer};

/// Arguments longer than this are replaced by their digest.
const LONGEST: usize = 200;

/// A value that can be part of a cache key: everything that is `serde::Serialize`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a cache key",
    label = "not `serde::Serialize`",
    note = "derive `serde::Serialize` for it; or, if no answer depends on it, as on a connection, add `skip(…)` with its name to `#[redis_cached]`",
    note = "where answers depend on a part of it, as on the tenant of a context, name that instead: `key_args(id, ctx.tenant)`, or `{{ctx.tenant}}` in a template"
)]
pub trait KeyPart {
    /// Writes the value in the canonical form.
    #[doc(hidden)]
    fn write(&self, writer: &mut KeyWriter<'_>) -> Result<(), KeyError>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> KeyPart for T {
    fn write(&self, writer: &mut KeyWriter<'_>) -> Result<(), KeyError> {
        self.serialize(writer.writer())
    }
}

/// The text that a [`KeyPart`] writes itself into.
#[derive(Debug)]
pub struct KeyWriter<'a> {
    out: &'a mut String,
    place: Place,
}

impl KeyWriter<'_> {
    #[inline]
    fn writer(&mut self) -> Writer<'_> {
        Writer::new(self.out, self.place)
    }
}

/// Why a value could not be written into a key. The call then runs its body without the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError(Box<KeyFault>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum KeyFault {
    Refused(String),
    Panicked,
    PanickedInEntry,
    TooDeep,
    Unnamed,
}

impl KeyError {
    /// In a box, so that a writer that does not fail hands on a pointer and no more.
    #[cold]
    fn of(fault: KeyFault) -> Self {
        Self(Box::new(fault))
    }

    /// The `entry` of a function that shares another one's entries panicked.
    pub(crate) fn panic_in_entry() -> Self {
        Self::of(KeyFault::PanickedInEntry)
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            KeyFault::Refused(message) => write!(f, "an argument cannot be serialized: {message}"),
            KeyFault::Panicked => f.write_str("an argument's `Serialize` panicked"),
            KeyFault::PanickedInEntry => {
                f.write_str("the `Clone` of an argument panicked, or what `entry` names")
            }
            KeyFault::TooDeep => write!(
                f,
                "an argument is nested deeper than {} levels",
                serializer::DEEPEST
            ),
            KeyFault::Unnamed => f.write_str(
                "the compiler does not name this function's types apart; set `namespace = \"…\"`",
            ),
        }
    }
}

impl std::error::Error for KeyError {}

impl serde::ser::Error for KeyError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::of(KeyFault::Refused(message.to_string()))
    }
}

/// Appends the arguments of a default key.
///
/// # Errors
///
/// If an argument's `Serialize` fails or panics, or nests too deep; `out` then holds an unfinished text.
pub(crate) fn arguments(parts: &[&dyn KeyPart], out: &mut String) -> Result<(), KeyError> {
    let start = out.len();
    joined(parts, out)?;
    if out.len() - start > LONGEST {
        let digest = digest(&out[start..]);
        out.truncate(start);
        out.extend(["%h", &digest]);
    }
    Ok(())
}

/// Appends arguments, with a `:` between them.
fn joined(parts: &[&dyn KeyPart], out: &mut String) -> Result<(), KeyError> {
    unless_a_part_panics(|| {
        for (n, part) in parts.iter().enumerate() {
            if n > 0 {
                out.push(':');
            }
            part.write(&mut KeyWriter {
                out,
                place: Place::Argument,
            })?;
        }
        Ok(())
    })
}

/// Appends the text of a `key = "…"` template: a literal before, between and after the parts.
///
/// # Errors
///
/// As [`arguments`].
// Inlined, because most calls of a function with a template do nothing else.
#[inline(always)]
pub(crate) fn template(
    literals: &[&str],
    parts: &[&dyn KeyPart],
    out: &mut String,
) -> Result<(), KeyError> {
    unless_a_part_panics(|| pieces(literals, parts, out))
}

/// As [`template`], for a key that no call writes: with a closure of its own, because one that two functions run is inlined into
/// neither.
///
/// # Errors
///
/// As [`arguments`].
pub(crate) fn template_of_no_call(
    literals: &[&str],
    parts: &[&dyn KeyPart],
    out: &mut String,
) -> Result<(), KeyError> {
    unless_a_part_panics(|| pieces(literals, parts, out))
}

#[inline(always)]
fn pieces(literals: &[&str], parts: &[&dyn KeyPart], out: &mut String) -> Result<(), KeyError> {
    debug_assert!(
        literals.len() == parts.len() + 1
            && literals
                .get(1..parts.len())
                .is_none_or(|between| between.iter().all(|literal| !literal.is_empty())),
        "invariant: the macro refuses two pieces without text between them"
    );
    let mut literals = literals.iter();
    out.push_str(literals.next().copied().unwrap_or_default());
    let mut left = parts.len();
    for (part, literal) in parts.iter().zip(literals) {
        let start = out.len();
        part.write(&mut KeyWriter {
            out,
            place: Place::Template,
        })?;
        left -= 1;
        // Nothing is escaped in the last part, because no other part follows the text after it.
        if left > 0
            && let Some(border) = escape::border(literal)
        {
            escape::keep_apart(start, border, out);
        }
        // Most templates end with a part.
        if !literal.is_empty() {
            out.push_str(literal);
        }
    }
    Ok(())
}

/// Writes one value.
fn write(part: &dyn KeyPart, place: Place, out: &mut String) -> Result<(), KeyError> {
    unless_a_part_panics(|| part.write(&mut KeyWriter { out, place }))
}

/// Writes values. A panic does not reach the caller, because `Serialize` is the user's code.
#[inline(always)]
fn unless_a_part_panics(write: impl FnOnce() -> Result<(), KeyError>) -> Result<(), KeyError> {
    // The text is unfinished after a panic, as the error says; nothing else is shared with the closure.
    let outcome = catch_unwind(AssertUnwindSafe(write));
    outcome.unwrap_or_else(|_| Err(KeyError::of(KeyFault::Panicked)))
}

/// 128 bits of the text's SHA-256, in hexadecimal digits.
fn digest(text: &str) -> String {
    let mut hex = String::with_capacity(32);
    for byte in &Sha256::digest(text)[..16] {
        escape::hex(*byte, b"0123456789abcdef", &mut hex);
    }
    hex
}
