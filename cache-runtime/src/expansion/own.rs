//! Arguments that outlive their call, for a body that runs in the background.
//!
//! The one rule: **an argument behind a reference is copied only when a run in the background begins**; a hit, and a body
//! that runs for its caller, copy nothing.

use std::{borrow::Borrow, fmt, marker::PhantomData, ops::Deref};

/// A type that can be copied from behind a reference, for a run that outlives the call.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be copied for a run in the background; derive `Clone` for it, or take it by value, such as in an `Arc`",
    label = "goes on behind the call as a copy",
    note = "a copy is `Clone + Send + Sync + 'static`, or what a `str` or a slice of such becomes"
)]
pub trait OwnArgument: Sync {
    /// The copy.
    type Copy: Borrow<Self> + Send + 'static;

    /// Makes the copy.
    fn copy(&self) -> Self::Copy;
}

#[diagnostic::do_not_recommend]
impl<T: ?Sized + ToOwned + Sync> OwnArgument for T
where
    T::Owned: Send + 'static,
{
    type Copy = T::Owned;

    fn copy(&self) -> T::Owned {
        self.to_owned()
    }
}

/// A copy of what an argument points to. It lends a `T` and no type like `T`, so that the body is called as the caller
/// called the function.
///
/// The type of the copy is a parameter, so that the compiler says once, and not at each use, that there is none.
pub struct Own<T: ?Sized, C> {
    copy: C,
    lends: PhantomData<fn() -> Box<T>>,
}

/// Copies what `argument` points to. Expansions call it by its full path, because `.to_owned()` may copy the reference.
pub fn own<T: ?Sized + OwnArgument>(argument: &T) -> Own<T, T::Copy> {
    Own {
        copy: argument.copy(),
        lends: PhantomData,
    }
}

impl<T: ?Sized, C: Borrow<T>> Deref for Own<T, C> {
    type Target = T;

    fn deref(&self) -> &T {
        self.copy.borrow()
    }
}

impl<T: ?Sized, C> fmt::Debug for Own<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Own, own};

    #[test]
    fn a_copy_lends_what_the_argument_was() {
        let text: Own<str, String> = own("a");
        let list: Own<[u8], Vec<u8>> = own(&[1, 2][..]);
        let shared = Arc::new(5);
        let copy: Own<Arc<u8>, Arc<u8>> = own(&shared);
        assert_eq!((&*text, &*list), ("a", &[1, 2][..]));
        assert!(Arc::ptr_eq(&copy, &shared));
    }
}
