//! What a body says of a parameter. The rule: in doubt it uses it.

use proc_macro2::{Spacing, TokenStream, TokenTree};
use syn::Ident;
use syn::ext::IdentExt as _;

/// Whether `body` may use the parameter `name`.
pub(crate) fn may_use(body: TokenStream, name: &Ident) -> bool {
    mentions(body, &name.unraw().to_string(), false)
}

/// Whether `name` stands in `tokens` other than as a field or a module; in a macro it can always be more.
fn mentions(tokens: TokenStream, name: &str, in_macro: bool) -> bool {
    let mut tokens = tokens.into_iter().peekable();
    let (mut dots, mut bang) = (0, false);
    while let Some(token) = tokens.next() {
        let colon = matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':');
        let found = match &token {
            TokenTree::Ident(ident) => {
                let is_part = dots == 1 || colon;
                ident.unraw() == name && (in_macro || !is_part)
            }
            TokenTree::Group(group) => mentions(group.stream(), name, in_macro || bang),
            TokenTree::Literal(literal) if in_macro => {
                // `format!("{id:width$}")`
                let text = literal.to_string();
                text.contains('{') && text.contains(name)
            }
            TokenTree::Literal(_) => false,
            TokenTree::Punct(_) => false,
        };
        if found {
            return true;
        }
        (dots, bang) = match &token {
            TokenTree::Punct(punct) if punct.as_char() == '.' => (dots + 1, false),
            TokenTree::Punct(punct) => (
                0,
                punct.as_char() == '!' && punct.spacing() == Spacing::Alone,
            ),
            // The name of `macro_rules! name { … }` stands between.
            TokenTree::Ident(_) => (0, bang),
            TokenTree::Group(_) | TokenTree::Literal(_) => (0, false),
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;
    use syn::Ident;

    use super::may_use;

    fn uses(body: &str) -> bool {
        may_use(body.parse().unwrap(), &Ident::new("id", Span::call_site()))
    }

    #[test]
    fn what_may_be_a_use_is_one() {
        for body in [
            "id",
            "r#id",
            "row.id == id",
            "0..id",
            "..=id",
            "User { id }",
            "User { id: id }",
            "move || async { id }",
            "format!(\"{id:?}\")",
            "format!(\"{:.id$}\", 1.0)",
            "if !(row.id) {}",
            "m!(row.id)",
            "m!([id: 1])",
            "macro_rules! get { () => { a.id } } get!()",
        ] {
            assert!(uses(body), "{body}");
        }
    }

    #[test]
    fn what_is_part_of_another_name_is_none() {
        for body in [
            "",
            "row.id",
            "row.id().id",
            "id::load(1)",
            "User { id: 1 }",
            "valid(idle)",
            "get(\"{id}\")",
            "println!(\"id\")",
        ] {
            assert!(!uses(body), "{body}");
        }
    }
}
