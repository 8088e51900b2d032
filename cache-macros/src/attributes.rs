//! The user's attributes. **An attribute that speaks of the code goes to every item** (`cfg`, lint levels)**, one that speaks
//! of the function stays on it.**

use syn::{Attribute, Ident, Meta};

/// The attributes of a function that has companions.
pub(crate) fn of_function(attrs: &[Attribute]) -> Vec<Attribute> {
    attrs.iter().map(expect_as_allow).collect()
}

/// The attributes of each companion.
pub(crate) fn of_companions(attrs: &[Attribute]) -> Vec<Attribute> {
    let everywhere = attrs.iter().filter(|attr| is_everywhere(attr));
    everywhere.map(expect_as_allow).collect()
}

/// The attributes that the companion with the body has besides: they say how a body is compiled.
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

/// `#[expect]` as `#[allow]`, because a lint that the user's code raises is not raised by each item that is made of it.
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
