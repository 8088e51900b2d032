//! What may not be. **Each rule looks at what was decided and at nothing that another rule did**, so that their order
//! decides the order of the messages and nothing else. A rule tells the user the text to type, and does not speak of an
//! option that could not be read.

mod conflicts;
mod expressions;
mod freshness;
mod parameters;
mod returns;

use crate::diag::Errors;
use crate::spec::{Attributed, Spec};

/// Rules that hold whatever the function returns.
const OF_THE_ATTRIBUTE: [fn(&Attributed<'_>, &mut Errors); 14] = [
    conflicts::ttl_is_needed,
    conflicts::key_is_whole,
    conflicts::entry_is_another_key,
    conflicts::key_args_are_all,
    conflicts::trait_impl_has_no_companions,
    freshness::soft_timeout_needs_a_window,
    conflicts::entry_is_of_another_function,
    expressions::use_no_parameters,
    parameters::of_skip,
    parameters::of_key,
    parameters::of_key_args,
    parameters::template_covers_all,
    freshness::body_can_run_in_the_background,
    parameters::no_change_is_skipped,
];

/// Rules that ask what the function returns.
const OF_THE_SPEC: [fn(&Spec<'_>, &mut Errors); 5] = [
    returns::stale_if_error_needs_a_result,
    returns::none_ttl_needs_an_option,
    returns::share_errors_needs_a_result,
    returns::template_tells_types_apart,
    parameters::body_has_its_name_alone,
];

/// Pushes what is wrong. `spec` is `None` where the return type was refused.
pub(crate) fn check(of: &Attributed<'_>, spec: Option<&Spec<'_>>, errors: &mut Errors) {
    for rule in OF_THE_ATTRIBUTE {
        rule(of, errors);
    }
    if let Some(spec) = spec {
        for rule in OF_THE_SPEC {
            rule(spec, errors);
        }
    }
}
