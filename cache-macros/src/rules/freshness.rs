//! The options that decide when a value is recomputed. **Options that contradict each other are refused, whatever their
//! times are**: no rule asks which of two times is the longer.
//!
//! | pair | |
//! |---|---|
//! | `soft_timeout` without a stale window | refused: there is never a stale value to answer with |
//! | `stale_if_error` without a `Result` | refused: nothing says that the body failed; fine beside `soft_timeout`, whose window it is |
//! | a run in the background and `trait_impl` | refused: the body has no function of its own that could be called later |
//! | a run in the background and a bound that names a lifetime of the call | refused: a copied argument is lent for another lifetime |
//! | a run in the background and a parameter that borrows more than once | refused: see [`owned`](crate::facts::owned) |
//! | one stale window and the other | fine: both begin where the ttl ends, and the shorter lies in the longer |
//! | `soft_timeout` and a stale window of any length | fine: a value is judged once, before the wait; its documentation says that no call waits within `stale_while_revalidate` |
//! | `refresh_ahead` and a stale window | fine: one begins before the end of the ttl, the other after it |
//! | `jitter` and all else | fine: it shortens the ttl, which the others count from |
//! | `coalesce` and all else | fine: it says who waits, and not for how long |
//! | a `ttl` closure or `none_ttl`, and all of these | fine: shares and windows are of the ttl that an entry has |
//! | `cache_if` and all of these | fine: a value that it refuses has no entry that could be stale |
//! | `timeout` and `soft_timeout` | fine: one is for the cache, the other for the body |
//! | `in_impl`, `companions = none`, and all of these | fine: for a run in the background the body gets a function even so |

use quote::{ToTokens, quote};
use syn::{Ident, WherePredicate};

use crate::diag::{Errors, text};
use crate::facts::owned::{for_every, passing};
use crate::spec::Attributed;

pub(super) fn soft_timeout_needs_a_window(of: &Attributed<'_>, errors: &mut Errors) {
    let options = of.options;
    if let Some(soft_timeout) = options.soft_timeout.name()
        && options.stale_while_revalidate.is_absent()
        && options.stale_if_error.is_absent()
    {
        errors.on(
            soft_timeout,
            "`soft_timeout` has no stale value to answer with; add `stale_if_error = \"1h\"`, or remove it",
        );
    }
}

/// Refuses a run in the background of a body that cannot outlive its call.
pub(super) fn body_can_run_in_the_background(of: &Attributed<'_>, errors: &mut Errors) {
    let Some(option) = of.background() else {
        return;
    };
    if of.in_trait() {
        errors.on(
            option,
            format!(
                "a trait impl has no place for the function that `{option}` runs in the background; cache an inherent function, and call it here"
            ),
        );
        return;
    }
    if let Some(receiver) = &of.facts.receiver
        && passing(&receiver.ty).is_err()
    {
        refuse(option, receiver, &quote!(&self), errors);
    }
    for param in &of.facts.params {
        if let Err(instead) = passing(&param.ty) {
            refuse(option, &param.ty, &instead, errors);
        }
    }
    let generics = &of.item.sig.generics;
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
