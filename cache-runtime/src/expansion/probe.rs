//! What a type can do, asked where the type is written, so that nobody has to say that a value is `Clone`.
//!
//! The one rule: **a method call takes the first type along `Deref` that has the method with bounds that hold**, and
//! it does so where the expansion stands. In a generic function that is before the types are known, so only
//! the written bounds count there.
//!
//! The methods have long names, because a method of the same name in a user's blanket trait would come before `Deref`.
//!
//! | call | is found on | for |
//! |---|---|---|
//! | `site.of::<T>().default_key(…)` | [`Cached`] | `Result<_, _>`, `Option<_>`: a message, because an alias hid it from the macro |
//! | | [`CachedByCloneAndEq`], [`CachedByClone`] | `Clone + Send + Sync`: callers get clones |
//! | | [`CachedByBytesAndEq`], [`CachedByBytes`] | every other type: callers get what the bytes decode to |
//! | | [`CachedByCloneAndEq`], [`CachedByBytesAndEq`] | `PartialEq`: a debug build compares what comes back |
//! | `probe::<T>().error_share()` | [`Probe`] | `Result<_, E>`, `E: Clone + Send + Sync`: callers get clones |
//! | | [`ProbeOfError`] | `E: From<SharedError> + Error`: callers get its texts |
//! | | [`ProbeOfBox`] | `E: From<SharedError>` that derefs to a `dyn Error`: callers get the texts of that |
//! | | [`ProbeOfText`] | `E: From<SharedError> + Display`: callers get its text |
//! | | [`ProbeAlone`] | every other `Result<_, E>`: an error reaches one caller |
//! | `probe::<T>().errors_by_hand(…)`, `.errors_alone()` | [`ProbeAlone`] | any `Result<_, E>`, as `share_errors` says |

/// Lets a method call go on from one type to the next.
macro_rules! leads_to {
    ($($probe:ident => $next:ident,)*) => {$(
        impl<T> Deref for $probe<T> {
            type Target = $next<T>;
            fn deref(&self) -> &$next<T> {
                &self.0
            }
        }
    )*};
}

/// Implements `Debug` by a type's name, because it holds no value.
macro_rules! debug_by_name {
    ($($name:ident)*) => {$(
        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}<{}>", stringify!($name), std::any::type_name::<T>())
            }
        }
    )*};
}

mod error;
mod value;

pub use self::error::{
    ErrorForAll, Probe, ProbeAlone, ProbeOfBox, ProbeOfError, ProbeOfText, probe,
};
pub use self::value::{
    Cached, CachedByBytes, CachedByBytesAndEq, CachedByClone, CachedByCloneAndEq, WrittenAsOption,
    WrittenAsResult,
};

#[cfg(test)]
mod tests;
