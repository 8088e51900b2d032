//! Which of the user's attributes goes where. The rule: what speaks of the code (`cfg`, lint levels) goes to
//! every item, what speaks of the function stays on it.

use syn::{Attribute, Ident, Meta};

/// The attributes of a function that has companions, and of those.
pub(crate) fn split(attrs: &[Attribute]) -> (Vec<Attribute>, Vec<Attribute>) {
    let companions = attrs
        .iter()
        .filter(|attr| is_everywhere(attr))
        .map(expect_as_allow);
    (
        attrs.iter().map(expect_as_allow).collect(),
        companions.collect(),
    )
}

/// Those of the function that say how its body is compiled, for the function that has the body.
pub(crate) fn of_body(attrs: &[Attribute]) -> Vec<Attribute> {
    let of_body = |attr: &&Attribute| attr.path().is_ident("target_feature");
    attrs.iter().filter(of_body).cloned().collect()
}

fn is_everywhere(attr: &Attribute) -> bool {
    let path = attr.path();
    ["cfg", "allow", "warn", "deny", "forbid", "expect"]
        .iter()
        .any(|name| path.is_ident(name))
        || is_doc_hidden(attr)
}

fn is_doc_hidden(attr: &Attribute) -> bool {
    match &attr.meta {
        Meta::List(list) if list.path.is_ident("doc") => list
            .parse_args::<Ident>()
            .is_ok_and(|ident| ident == "hidden"),
        _ => false,
    }
}

/// What is expected of the whole is not to be expected of every part.
fn expect_as_allow(attr: &Attribute) -> Attribute {
    let mut attr = attr.clone();
    if let Meta::List(list) = &mut attr.meta
        && list.path.is_ident("expect")
    {
        let span = list.path.segments[0].ident.span();
        list.path = Ident::new("allow", span).into();
    }
    attr
}
