//! An error that is not `Clone`, as the callers that waited for it get it.
//!
//! The one rule: **only texts are kept, each as the error itself spells it**, so that a shared error reads as the error
//! that it was made from, and is `Send + Sync` whatever that error was.

use std::{
    error::Error,
    fmt::{self, Display},
    iter::successors,
    sync::Arc,
};

/// How many sources of an error are read, because an error may be its own source.
const MOST_SOURCES: usize = 64;

/// The error of another caller's body, as callers that waited for it get it: its text, and the texts of its sources.
///
/// The caller whose body ran gets the error of the body. Callers that waited for it get clones of the error; where it
/// is not `Clone + Send + Sync`, what `From<SharedError>` makes of its texts. `anyhow::Error`, `eyre::Report`,
/// `Box<dyn Error>` and `Box<dyn Error + Send + Sync>` have that `From` by themselves, and an error type of your own
/// has it with one variant:
///
#[cfg_attr(feature = "macros", doc = "```")]
#[cfg_attr(not(feature = "macros"), doc = "```ignore")]
/// use cache_runtime::{SharedError, redis_cached};
///
/// #[derive(Debug, thiserror::Error)]
/// enum UserError {
///     #[error("the file of user {0} cannot be read")]
///     File(u64, #[source] std::io::Error),
///     /// Another caller ran the body, and it failed.
///     #[error(transparent)]
///     Shared(#[from] SharedError),
/// }
///
/// #[redis_cached(ttl = 300)]
/// async fn name(id: u64) -> Result<String, UserError> {
/// #   tokio::task::yield_now().await;
///     std::fs::read_to_string(format!("/users/{id}")).map_err(|error| UserError::File(id, error))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (ran, waited) = tokio::join!(name(1), name(1));
/// let (ran, waited) = (ran.unwrap_err(), waited.unwrap_err());
/// assert!(matches!(ran, UserError::File(1, _)));
/// assert!(matches!(waited, UserError::Shared(_)));
/// assert_eq!(ran.to_string(), waited.to_string());
/// # }
/// ```
///
/// It is not the original: a caller that waited can read it, and can neither downcast it nor match on a variant other than
/// that of the `SharedError`. Where a caller must, make the error type `Clone`, or say
/// [`share_errors`](macro@crate::redis_cached#share_errors).
///
/// `{:#}` gives what `{:#}` of the error gave. Cloning is cheap. It is never stored, and made only for those who wait.
#[derive(Clone)]
pub struct SharedError(Arc<ErrorText>);

struct ErrorText {
    text: Box<str>,
    /// What `{:#}` gives, where that is another text.
    alternate: Option<Box<str>>,
    source: Option<SharedError>,
}

impl SharedError {
    /// The texts of `error` and of its first 64 sources.
    ///
    /// For a [`share_errors`](macro@crate::redis_cached#share_errors) that keeps the sources of an error which holds
    /// any other: `|error| io::Error::new(error.kind(), SharedError::new(error))`.
    ///
    /// # Panics
    ///
    /// Panics where the `Display` of one of them does.
    pub fn new(error: &dyn Error) -> Self {
        let sources = successors(error.source(), |&error| error.source());
        let sources: Vec<_> = sources.take(MOST_SOURCES).collect();
        let deepest_first = sources.into_iter().rev();
        let source = deepest_first.fold(None, |source, error| Some(Self::link(error, source)));
        Self::link(error, source)
    }

    /// The text of a value that is no `Error`.
    pub(crate) fn of_text(error: &dyn Display) -> Self {
        Self::link(error, None)
    }

    fn link<T: Display + ?Sized>(error: &T, source: Option<Self>) -> Self {
        let text = error.to_string();
        let alternate = Some(format!("{error:#}")).filter(|alternate| *alternate != text);
        Self(Arc::new(ErrorText {
            text: text.into(),
            alternate: alternate.map(Into::into),
            source,
        }))
    }
}

impl Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ErrorText {
            text, alternate, ..
        } = &*self.0;
        match alternate {
            Some(alternate) if f.alternate() => f.write_str(alternate),
            _ => f.write_str(text),
        }
    }
}

impl fmt::Debug for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ErrorText {
            text,
            alternate: _,
            source,
        } = &*self.0;
        let mut debug = f.debug_struct("SharedError");
        debug.field("text", text);
        if let Some(source) = source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl Error for SharedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

/// The type that a box of any error derefs to, be it the standard library's, `anyhow`'s or `eyre`'s.
pub trait LentError {
    /// The error in the box.
    fn lent(&self) -> &(dyn Error + 'static);
}

impl LentError for dyn Error {
    fn lent(&self) -> &(dyn Error + 'static) {
        self
    }
}

impl LentError for dyn Error + Send + Sync {
    fn lent(&self) -> &(dyn Error + 'static) {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error, fmt, io};

    use super::{MOST_SOURCES, SharedError};

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Self>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let Self(text, source) = self;
            match source {
                Some(source) if f.alternate() => write!(f, "{text}, as {source:#}"),
                _ => f.write_str(text),
            }
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|source| source as _)
        }
    }

    #[test]
    fn it_reads_as_the_error_does_and_so_does_each_source() {
        let error = Layer("no page", Some(Box::new(Layer("no database", None))));
        let shared = SharedError::new(&error);
        assert_eq!(shared.to_string(), "no page");
        assert_eq!(format!("{shared:#}"), format!("{error:#}"));
        let source = shared.source().unwrap();
        assert_eq!(source.to_string(), "no database");
        assert!(source.source().is_none());
        assert_eq!(
            format!("{shared:?}"),
            r#"SharedError { text: "no page", source: SharedError { text: "no database" } }"#
        );
    }

    #[test]
    fn it_outlives_an_error_that_borrows() {
        #[derive(Debug)]
        struct Borrows<'a>(&'a str);
        impl fmt::Display for Borrows<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        impl Error for Borrows<'_> {}
        let shared = {
            let text = String::from("gone");
            SharedError::new(&Borrows(&text))
        };
        assert_eq!(shared.to_string(), "gone");
    }

    #[test]
    fn an_error_that_is_its_own_source_ends() {
        #[derive(Debug)]
        struct Circle;
        impl fmt::Display for Circle {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("round")
            }
        }
        impl Error for Circle {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(self)
            }
        }
        let shared = SharedError::new(&Circle);
        let mut sources = 0;
        let mut source = shared.source();
        while let Some(error) = source {
            sources += 1;
            source = error.source();
        }
        assert_eq!(sources, MOST_SOURCES);
    }

    #[test]
    fn a_box_of_any_error_and_an_io_error_can_be_made_from_it() {
        fn is_for_all<T: Send + Sync + Clone + Error + 'static>() {}
        is_for_all::<SharedError>();
        let shared = SharedError::of_text(&"down");
        let boxed: [Box<dyn Error>; 2] = [
            shared.clone().into(),
            Box::<dyn Error + Send + Sync>::from(shared.clone()),
        ];
        assert!(boxed.iter().all(|error| error.to_string() == "down"));
        let io = io::Error::new(io::ErrorKind::NotFound, shared);
        assert_eq!(io.to_string(), "down");
    }
}
