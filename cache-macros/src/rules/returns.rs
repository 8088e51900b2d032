//! Options beside the return type. **An option that could never do anything for this type is refused.**

use quote::ToTokens as _;
use syn::{GenericParam, Ident};

use crate::diag::{Errors, text};
use crate::facts::generics::names;
use crate::spec::Spec;

pub(super) fn stale_if_error_needs_a_result(spec: &Spec<'_>, errors: &mut Errors) {
    let options = spec.options;
    // `soft_timeout` answers with the value that it keeps, also where the body cannot fail.
    if let Some(option) = options.stale_if_error.name()
        && options.soft_timeout.is_absent()
        && !spec.shape.fallible
    {
        refuse(spec, option, "`stale_if_error` needs a `Result`", errors);
    }
}

pub(super) fn none_ttl_needs_an_option(spec: &Spec<'_>, errors: &mut Errors) {
    if let Some(option) = spec.options.none_ttl.name()
        && !spec.shape.optional
    {
        refuse(spec, option, "`none_ttl` needs an `Option`", errors);
    }
}

pub(super) fn share_errors_needs_a_result(spec: &Spec<'_>, errors: &mut Errors) {
    if let Some(option) = spec.options.share_errors.name()
        && !spec.shape.fallible
    {
        refuse(spec, option, "`share_errors` needs a `Result`", errors);
    }
}

fn refuse(spec: &Spec<'_>, option: &Ident, needed: &str, errors: &mut Errors) {
    let message = format!(
        "{needed}, but `{}` returns `{}`; remove it",
        spec.item.sig.ident,
        text(&spec.shape.output)
    );
    errors.on(option, message);
}

/// Refuses a template for a generic function whose types it does not tell apart: it spells values and not types, so that
/// two types would share an entry.
pub(super) fn template_tells_types_apart(spec: &Spec<'_>, errors: &mut Errors) {
    let Some(template) = spec.options.key.value() else {
        return;
    };
    for param in &spec.entry.generics.params {
        let name = match param {
            GenericParam::Type(param) => &param.ident,
            GenericParam::Const(param) => &param.ident,
            GenericParam::Lifetime(_) => continue,
        };
        let mut params = spec.entry.params.iter();
        let by_value = params.any(|(_, param)| names(param.ty.to_token_stream(), name));
        if !by_value || names(spec.shape.entry.to_token_stream(), name) {
            let message = format!(
                "`key` cannot tell one `{name}` from another; use `key_args(…)`, which adds the types"
            );
            errors.on(&template.literal, message);
        }
    }
}
