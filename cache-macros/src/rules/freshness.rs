//! The rules of the options that decide when a value is recomputed. The rule of the rules: options that contradict
//! each other are refused, and which of two times is the longer is nobody's business here.
//!
//! | pair | |
//! |---|---|
//! | `soft_timeout` without a stale window | refused: there is never a stale value to answer with |
//! | `stale_if_error` without a `Result` | refused: nothing says that the body failed; fine beside `soft_timeout`, whose window it is |
//! | a run behind the call and `trait_impl` | refused: the body has no function of its own that could be called later |
//! | a run behind the call and a bound that names a lifetime of the call | refused: what is copied is lent for another |
//! | a run behind the call and a parameter that borrows more than once | refused: see [`owned`](crate::owned) |
//! | one stale window and the other | fine: both begin where the ttl ends, and the shorter lies in the longer |
//! | `soft_timeout` and a stale window of any length | fine: a value is judged once, before the wait; that it waits for nothing within `stale_while_revalidate` is for its documentation to say |
//! | `refresh_ahead` and a stale window | fine: one begins before the end of the ttl, the other after it |
//! | `jitter` and all else | fine: it shortens the ttl, which the others count from |
//! | `coalesce` and all else | fine: it says who waits, and not for how long |
//! | a `ttl` closure or `none_ttl`, and all of these | fine: shares and windows are of the ttl that an entry has |
//! | `cache_if` and all of these | fine: what it refuses has no entry that could be stale |
//! | `timeout` and `soft_timeout` | fine: one is for the cache, the other for the body |
//! | `in_impl`, `companions = none`, and all of these | fine: for a run behind the call the body gets a function even so |

use quote::{ToTokens, quote};
use syn::{Generics, Ident, WherePredicate};

use crate::diag::{Errors, text};
use crate::facts::owned::{for_every, passing};
use crate::facts::shape::Shape;
use crate::options::Options;
use crate::rules::Call;

/// The option that lets a body run behind the call, if there is one.
pub(crate) fn behind(options: &Options) -> Option<&Ident> {
    let options = [
        options
            .stale_while_revalidate
            .as_ref()
            .map(|given| &given.name),
        options.refresh_ahead.as_ref().map(|given| &given.name),
        options.soft_timeout.as_ref().map(|given| &given.name),
    ];
    options.into_iter().flatten().next()
}

/// Options that need others beside them.
pub(crate) fn check_windows(options: &Options, errors: &mut Errors) {
    let windows = ["stale_while_revalidate", "stale_if_error"];
    let has_window = options.stale_while_revalidate.is_some()
        || options.stale_if_error.is_some()
        || windows.iter().any(|window| options.failed(window));
    if let Some(soft_timeout) = options.soft_timeout.as_ref().filter(|_| !has_window) {
        errors.on(
            &soft_timeout.name,
            "`soft_timeout` has no stale value to answer with; add `stale_if_error = \"1h\"`, or remove it",
        );
    }
}

/// Options that need a certain return type.
pub(crate) fn check_shape(function: &str, options: &Options, shape: &Shape, errors: &mut Errors) {
    let useless =
        !shape.fallible && options.soft_timeout.is_none() && !options.failed("soft_timeout");
    if let Some(stale_if_error) = options.stale_if_error.as_ref().filter(|_| useless) {
        let message = format!(
            "`stale_if_error` needs a `Result`, but `{function}` returns `{}`; remove it",
            text(&shape.output)
        );
        errors.on(&stale_if_error.name, message);
    }
}

/// Whether the function stands where no other can stand beside it.
pub(crate) fn in_trait(options: &Options, generics: &Generics) -> bool {
    // `#[async_trait]` is for traits alone.
    let mut lifetimes = generics.lifetimes();
    options.trait_impl.is_some() || lifetimes.any(|param| param.lifetime.ident == "async_trait")
}

/// What a run behind the call asks of the function; `option` lets one happen.
pub(crate) fn check_behind(
    option: &Ident,
    call: &Call<'_>,
    generics: &Generics,
    options: &Options,
    errors: &mut Errors,
) {
    if in_trait(options, generics) {
        errors.on(
            option,
            format!(
                "a trait impl has no place for the function that `{option}` runs in the background; cache an inherent function, and call it here"
            ),
        );
        return;
    }
    if let Some(receiver) = call.receiver
        && passing(&receiver.ty).is_err()
    {
        refuse(option, receiver, &quote!(&self), errors);
    }
    for param in call.params {
        if let Err(instead) = passing(&param.ty) {
            refuse(option, &param.ty, &instead, errors);
        }
    }
    let of_params = generics.type_params().flat_map(|param| &param.bounds);
    let predicates = generics
        .where_clause
        .iter()
        .flat_map(|clause| &clause.predicates);
    let of_clause = predicates.filter_map(|predicate| match predicate {
        WherePredicate::Type(predicate) if predicate.lifetimes.is_none() => Some(&predicate.bounds),
        _ => None,
    });
    for bound in of_params.chain(of_clause.flatten()) {
        if let Some(every) = for_every(bound) {
            let message = format!(
                "`{}` holds for one call, which `{option}` goes on behind; write `{}`",
                text(bound),
                text(every)
            );
            errors.on(bound, message);
        }
    }
}

fn refuse(option: &Ident, written: &dyn ToTokens, instead: &dyn ToTokens, errors: &mut Errors) {
    let (written_text, instead) = (text(written), text(instead));
    let instead = match instead == written_text {
        true => "a type that owns what it holds".to_owned(),
        false => format!("`{instead}`"),
    };
    errors.on(
        written,
        format!(
            "`{written_text}` cannot be copied for `{option}`, which goes on behind the call; write {instead}"
        ),
    );
}
