//! What is asked of a type, and what it answers.

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;
use std::{fmt, io};

use super::probe;
use crate::{
    error::shared::SharedError,
    value::share::{ErrorShare, ValueShare},
};

#[derive(Debug, Clone, PartialEq)]
struct Plain(u8);

type Aliased<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn is_copy_send_sync<T: Copy + Send + Sync>(_: &T) {}

#[test]
fn shares_can_be_sent_whatever_they_share() {
    is_copy_send_sync(&ValueShare::<Rc<Cell<u8>>>::alone());
    is_copy_send_sync(&probe::<Result<(), Rc<u8>>>().error_share());
}

#[test]
fn in_a_generic_function_only_the_written_bounds_count() {
    fn unbounded<E>(error: &E) -> bool {
        probe::<Result<(), E>>().error_share().keep(error).is_some()
    }
    fn bounded<E: Clone + Send + Sync + 'static>(error: &E) -> bool {
        probe::<Result<(), E>>().error_share().keep(error).is_some()
    }
    fn nested<E: Clone + Send + Sync + 'static>(error: &Vec<E>) -> bool {
        probe::<Result<(), Vec<E>>>()
            .error_share()
            .keep(error)
            .is_some()
    }
    fn associated<I: Iterator>(error: &I::Item) -> bool
    where
        I::Item: Clone + Send + Sync + 'static,
    {
        probe::<Result<(), I::Item>>()
            .error_share()
            .keep(error)
            .is_some()
    }
    assert!(!unbounded(&1));
    assert!(bounded(&1));
    assert!(nested(&vec![1]));
    assert!(associated::<std::vec::IntoIter<u8>>(&1));
}

#[test]
fn an_error_is_kept_if_it_can_be() {
    let share: ErrorShare<Plain> = probe::<Result<Rc<u8>, Plain>>().error_share();
    let kept = share.keep(&Plain(3)).unwrap();
    assert_eq!(share.take(&*kept), Some(Plain(3)));
    let io: ErrorShare<io::Error> = probe::<io::Result<u8>>().error_share();
    assert!(io.keep(&io::ErrorKind::Other.into()).is_none());
}

/// What who waits gets of `error`, as the error's own texts.
fn waits<E: fmt::Display>(share: ErrorShare<E>, error: &E) -> Option<String> {
    let kept = share.keep(error)?;
    share.take(&*kept).map(|error| error.to_string())
}

#[test]
fn an_error_that_can_be_made_of_texts_is_kept_as_texts() {
    let boxed = probe::<Result<u8, Box<dyn Error>>>().error_share();
    assert_eq!(waits(boxed, &"no".into()).unwrap(), "no");
    let aliased = probe::<Aliased<Option<u8>>>().error_share();
    assert_eq!(waits(aliased, &"no".into()).unwrap(), "no");
    let error = Own(Err(io::Error::other("no disk")));
    let own = probe::<Result<u8, Own>>().error_share();
    let waited = own.take(&*own.keep(&error).unwrap()).unwrap();
    assert_eq!(waited.to_string(), "own");
    assert_eq!(waited.source().unwrap().to_string(), "no disk");
    assert!(Result::is_ok(&waited.0), "made of the texts");
    let text = probe::<Result<u8, Text>>().error_share();
    assert_eq!(waits(text, &Text("no".into())).unwrap(), "no");
}

#[test]
fn texts_of_another_type_are_not_taken() {
    let kept = probe::<Result<u8, Text>>()
        .error_share()
        .keep(&Text("no".into()));
    let kept = kept.unwrap();
    let boxed = probe::<Result<u8, Box<dyn Error>>>().error_share();
    assert!(boxed.take(&*kept).is_none());
}

#[test]
fn the_attribute_has_the_first_word() {
    let asked = probe::<Result<u8, Plain>>();
    assert!(asked.errors_alone().keep(&Plain(3)).is_none());
    let by_hand = asked.errors_by_hand(|error| Plain(error.0 + 1));
    let kept = by_hand.keep(&Plain(3)).unwrap();
    assert_eq!(by_hand.take(&*kept), Some(Plain(5)), "copied twice");
    let io = probe::<io::Result<u8>>().errors_by_hand(|error| error.kind().into());
    let kept = io.keep(&io::ErrorKind::NotFound.into()).unwrap();
    let waited = io.take(&*kept).unwrap();
    assert_eq!(waited.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_panic_of_the_errors_own_code_is_an_error_that_is_not_shared() {
    struct NoText;
    impl fmt::Display for NoText {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("no text")
        }
    }
    impl From<SharedError> for NoText {
        fn from(_: SharedError) -> Self {
            Self
        }
    }
    struct NoFrom;
    impl fmt::Display for NoFrom {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }
    }
    impl From<SharedError> for NoFrom {
        fn from(_: SharedError) -> Self {
            panic!("no error")
        }
    }
    let no_text = probe::<Result<u8, NoText>>().error_share();
    assert!(no_text.keep(&NoText).is_none());
    let no_from = probe::<Result<u8, NoFrom>>().error_share();
    let kept = no_from.keep(&NoFrom).unwrap();
    assert!(no_from.take(&*kept).is_none());
    let no_copy = probe::<Result<u8, Plain>>().errors_by_hand(|_| panic!("no copy"));
    assert!(no_copy.keep(&Plain(1)).is_none());
}

#[test]
fn in_a_generic_function_only_the_written_bounds_of_an_error_count() {
    fn unbounded<E: 'static>(error: &E) -> bool {
        probe::<Result<(), E>>().error_share().keep(error).is_some()
    }
    fn from_another<E: From<io::Error> + fmt::Display + 'static>(error: &E) -> bool {
        probe::<Result<(), E>>().error_share().keep(error).is_some()
    }
    fn no_text<E: From<SharedError> + 'static>(error: &E) -> bool {
        probe::<Result<(), E>>().error_share().keep(error).is_some()
    }
    fn text<E: From<SharedError> + fmt::Display + 'static>(error: &E) -> bool {
        probe::<Result<(), E>>().error_share().keep(error).is_some()
    }
    fn error<E: From<SharedError> + Error + 'static>(error: &E) -> bool {
        probe::<Result<(), E>>().error_share().keep(error).is_some()
    }
    let own = Own(Err(io::Error::other("no disk")));
    assert!(!unbounded(&own));
    assert!(!from_another::<Box<dyn Error>>(&"no".into()));
    assert!(!no_text(&own));
    assert!(text(&own));
    assert!(error(&own));
}

/// An error that is an `Error`, not `Clone`, and can be made of a [`SharedError`].
#[derive(Debug)]
struct Own(Result<SharedError, io::Error>);

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(shared) => shared.fmt(f),
            Err(_) => f.write_str("own"),
        }
    }
}

impl Error for Own {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Ok(shared) => shared.source(),
            Err(error) => Some(error),
        }
    }
}

impl From<SharedError> for Own {
    fn from(shared: SharedError) -> Self {
        Self(Ok(shared))
    }
}

/// The same of one that is no `Error`.
struct Text(String);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<SharedError> for Text {
    fn from(shared: SharedError) -> Self {
        Self(shared.to_string())
    }
}
