//! Options beside each other. **Of two options that say the same thing one is refused, and told to go.**

use proc_macro2::Span;

use crate::diag::Errors;
use crate::options::value::Companions;
use crate::spec::Attributed;

pub(super) fn ttl_is_needed(of: &Attributed<'_>, errors: &mut Errors) {
    if of.options.ttl.is_absent() {
        errors.at(
            Span::call_site(),
            "`ttl` is missing; write how long a value is fresh, such as `ttl = 300`",
        );
    }
}

pub(super) fn key_is_whole(of: &Attributed<'_>, errors: &mut Errors) {
    let options = of.options;
    if !options.key.is_given() {
        return;
    }
    let others = [
        options.namespace.name(),
        options.version.name(),
        options.key_args.name(),
    ];
    for other in others.into_iter().flatten() {
        errors.on(other, format!("`key` is the whole key; remove `{other}`"));
    }
}

pub(super) fn entry_is_another_key(of: &Attributed<'_>, errors: &mut Errors) {
    let options = of.options;
    if !options.entry.is_given() {
        return;
    }
    // Beside a `key`, the rule of `key` speaks of the others.
    let others = match options.key.name() {
        Some(key) => [Some(key), None],
        None => [options.namespace.name(), options.version.name()],
    };
    for other in others.into_iter().flatten() {
        errors.on(
            other,
            format!("`entry` means the keys of another function; remove `{other}`"),
        );
    }
}

pub(super) fn key_args_are_all(of: &Attributed<'_>, errors: &mut Errors) {
    let options = of.options;
    if let Some(skip) = options.skip.name()
        && options.key_args.is_given()
        && !options.key.is_given()
    {
        errors.on(
            skip,
            "`key_args` names all that the key is made of; remove `skip`",
        );
    }
}

pub(super) fn trait_impl_has_no_companions(of: &Attributed<'_>, errors: &mut Errors) {
    if let Some(companions) = of.options.companions.given()
        && of.options.trait_impl.is_given()
        && matches!(companions.value, Companions::Named(_))
    {
        errors.on(
            &companions.name,
            "a trait impl has no place for companions; remove `companions`",
        );
    }
}

/// Refuses a function that shares its own entries. A name alone is never a method; and a trait impl has no companions, so
/// that `Self::name` is an inherent function there.
pub(super) fn entry_is_of_another_function(of: &Attributed<'_>, errors: &mut Errors) {
    let Some(entry) = of.options.entry.value() else {
        return;
    };
    let function = &of.item.sig.ident;
    let segments = &entry.path.segments;
    let is_here = match segments.len() {
        1 => !of.in_impl(),
        2 => segments[0].ident == "Self" && !of.options.trait_impl.is_given(),
        _ => false,
    };
    if is_here
        && entry.qself.is_none()
        && segments.last().is_some_and(|last| last.ident == *function)
    {
        let message =
            format!("`{function}` has its own entries; name another function, or remove `entry`");
        errors.on(entry, message);
    }
}
