//! Parameters, and what options say of them. **Each parameter is in the key or is skipped by name**, because a parameter
//! that was forgotten would mix up entries.

use quote::ToTokens;
use syn::Ident;
use syn::ext::IdentExt as _;

use crate::diag::{Errors, list, text};
use crate::facts::Facts;
use crate::facts::param::{Param, Pattern, has_mut};
use crate::ident::same;
use crate::options::template::FieldPath;
use crate::spec::{Attributed, Spec};

pub(super) fn of_skip(of: &Attributed<'_>, errors: &mut Errors) {
    let mut skipped: Vec<Ident> = Vec::new();
    for name in of.options.skip.value().into_iter().flatten() {
        if skipped.iter().any(|earlier| same(earlier, name)) {
            errors.on(name, format!("`{name}` is skipped twice; remove this one"));
        } else {
            check_known(of, name, name, errors);
            skipped.extend(of.facts.meant(name));
        }
    }
}

pub(super) fn of_key(of: &Attributed<'_>, errors: &mut Errors) {
    let Some(template) = of.options.key.value() else {
        return;
    };
    for path in template.fields() {
        check_known(of, &path.base, &template.literal, errors);
        if let Some(base) = of.facts.meant(&path.base)
            && of.selection.skips(&base)
        {
            let message = format!(
                "`key` names `{base}`, which is skipped; remove it from `skip`, or from `key`"
            );
            errors.on(&template.literal, message);
        }
    }
}

pub(super) fn of_key_args(of: &Attributed<'_>, errors: &mut Errors) {
    if of.options.key.is_given() {
        return;
    }
    let mut seen: Vec<&FieldPath> = Vec::new();
    for path in of.options.key_args.value().into_iter().flatten() {
        if seen.contains(&path) {
            errors.on(
                &path.base,
                format!("`{path}` is named twice; remove this one"),
            );
        }
        seen.push(path);
        check_known(of, &path.base, &path.base, errors);
    }
}

/// Refuses a name that is no parameter's, at `at`.
fn check_known(of: &Attributed<'_>, name: &Ident, at: &dyn ToTokens, errors: &mut Errors) {
    let names = of.facts.names();
    if names.iter().any(|known| same(known, name)) {
        return;
    }
    let known = match names.as_slice() {
        [] => format!("`{}` has none that could be named", of.item.sig.ident),
        [one] => format!("the only one is `{one}`"),
        names => format!("parameters are {}", list(names)),
    };
    errors.on(at, format!("no parameter named `{name}`; {known}"));
}

pub(super) fn template_covers_all(of: &Attributed<'_>, errors: &mut Errors) {
    let options = of.options;
    if !options.key.is_given() || options.key.has_failed() || options.skip.has_failed() {
        return;
    }
    for name in of.facts.names() {
        if !of.selection.skips(&name) && !of.selection.keys(&name) {
            let message = format!(
                "`{name}` is neither in `key` nor skipped; write `{{{name}}}`, or the field of it that counts, in `key`; or `skip({name})`, if no answer depends on it"
            );
            errors.on(&name, message);
        }
    }
    for param in &of.facts.params {
        if let Pattern::Other(_) = param.pattern
            && param.bound.is_empty()
        {
            let pattern = &param.written.pat;
            let message = format!(
                "`{}` has no name for `key`; write `name: {}`, and take it apart in the body",
                text(pattern),
                text(&param.ty)
            );
            errors.on(pattern, message);
        }
    }
}

/// Refuses a `&mut` in the key: a hit would skip what the body does to it. For a run in the background there is a stricter
/// rule.
pub(super) fn no_change_is_skipped(of: &Attributed<'_>, errors: &mut Errors) {
    let options = of.options;
    let is_unknown =
        options.skip.has_failed() || options.key_args.has_failed() || options.key.has_failed();
    if is_unknown || of.background().is_some() {
        return;
    }
    let Facts {
        receiver, params, ..
    } = of.facts;
    if let Some(receiver) = receiver
        && receiver.reference.is_some()
        && receiver.mutability.is_some()
        && of.facts.this().is_some_and(|this| of.selection.keys(&this))
    {
        errors.on(
            receiver,
            "a cached function cannot take `&mut self`: a hit would skip the change; take `&self`, or add `skip(self)` if it is only scratch space",
        );
    }
    let is_keyed = |param: &Param| {
        let mut keyed = of.selection.keyed.iter();
        keyed.any(|path| param.holds(&path.base))
    };
    for param in params {
        if has_mut(&param.ty) && is_keyed(param) {
            let names: Vec<_> = param.names().map(ToString::to_string).collect();
            let name = match names.as_slice() {
                [] => "…".to_owned(),
                names => names.join(", "),
            };
            let message = format!(
                "a cached function cannot take `&mut`: a hit would skip the change; take a value, or add `skip({name})` if it is only scratch space"
            );
            errors.on(&param.ty, message);
        }
    }
}

/// Refuses a parameter that has the name of the body, which it would shadow. In an impl the body is `Self::name`.
pub(super) fn body_has_its_name_alone(spec: &Spec<'_>, errors: &mut Errors) {
    let Some(names) = spec.names.as_ref().filter(|_| !spec.in_impl) else {
        return;
    };
    let params = spec.facts.names();
    if let Some(param) = params.iter().find(|param| **param == names.uncached) {
        let message = format!(
            "`{param}` is what the function's body is called; name the parameter otherwise, or the companions: `companions = \"{}_cached\"`",
            spec.item.sig.ident.unraw()
        );
        errors.on(param, message);
    }
}
