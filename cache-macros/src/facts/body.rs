//! What a body says. **In doubt it uses a parameter, and stands in an impl.**

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};
use quote::quote;
use syn::ext::IdentExt as _;
use syn::visit::{self, Visit};
use syn::{Block, Expr, Ident, Receiver, Stmt};

use crate::item::Item;

/// `Box::pin(async move { … })`, as `#[async_trait]` leaves a method.
pub(crate) struct Boxed {
    /// `Box::pin`.
    pub(crate) pin: Expr,
    /// What stands in the `async` block.
    pub(crate) body: TokenStream,
}

/// Whether `body` may use the parameter `name`.
pub(crate) fn may_use(body: TokenStream, name: &Ident) -> bool {
    mentions(body, &name.unraw().to_string(), false)
}

/// Whether `name` stands in `tokens`, and not as a field or a module. In a macro's tokens these count too, because the
/// macro may make anything of them.
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

/// The parts of a body that is `Box::pin(async move { … })` and nothing else.
pub(super) fn boxed(body: &Group) -> Option<Boxed> {
    let block: Block = syn::parse2(TokenTree::from(body.clone()).into()).ok()?;
    let [Stmt::Expr(Expr::Call(call), None)] = block.stmts.as_slice() else {
        return None;
    };
    let pins = match &*call.func {
        Expr::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == "pin"),
        _ => false,
    };
    let mut arguments = call.args.iter();
    match (pins, arguments.next(), arguments.next()) {
        (true, Some(Expr::Async(future)), None) => {
            let statements = &future.block.stmts;
            Some(Boxed {
                pin: (*call.func).clone(),
                body: quote!(#(#statements)*),
            })
        }
        _ => None,
    }
}

/// Whether the signature or the body says `self` or `Self`, which tells that the function stands in an impl. Items
/// inside of the body have a `Self` of their own.
pub(super) fn says_self(item: &Item) -> bool {
    struct Selves(bool);
    impl<'ast> Visit<'ast> for Selves {
        fn visit_path(&mut self, path: &'ast syn::Path) {
            // `self::users` is a module.
            if let Some(first) = path.segments.first() {
                self.0 |= first.ident == "Self" || path.is_ident("self");
            }
            visit::visit_path(self, path);
        }
        fn visit_receiver(&mut self, _: &'ast Receiver) {
            self.0 = true;
        }
        fn visit_item(&mut self, item: &'ast syn::Item) {
            // The tokens of a `macro_rules!` become the body's own where the body calls it.
            if let syn::Item::Macro(rules) = item {
                self.visit_macro(&rules.mac);
            }
        }
        fn visit_macro(&mut self, call: &'ast syn::Macro) {
            self.0 |= says_self_anywhere(call.tokens.clone());
        }
    }
    let mut selves = Selves(false);
    selves.visit_signature(&item.sig);
    // A body whose syntax is newer than `syn` is searched as tokens.
    match syn::parse2::<Block>(TokenTree::from(item.body.clone()).into()) {
        Ok(block) => selves.visit_block(&block),
        Err(_) => selves.0 |= says_self_anywhere(item.body.stream()),
    }
    selves.0
}

/// Whether tokens that may be any part of the language say `self` or `Self`.
fn says_self_anywhere(tokens: TokenStream) -> bool {
    let mut tokens = tokens.into_iter().peekable();
    // From the word that begins an item with a `Self` of its own, to the braces of that item.
    let mut in_item = false;
    while let Some(token) = tokens.next() {
        match &token {
            TokenTree::Ident(ident) => {
                in_item |= ["impl", "trait", "struct", "enum", "union"]
                    .iter()
                    .any(|word| ident == word);
            }
            TokenTree::Group(group) if in_item && group.delimiter() == Delimiter::Brace => {
                in_item = false;
                continue;
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => in_item = false,
            _ => {}
        }
        let path_follows =
            matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
        let says = match token {
            TokenTree::Ident(ident) => ident == "Self" || ident == "self" && !path_follows,
            TokenTree::Group(group) => says_self_anywhere(group.stream()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        };
        if says {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;
    use syn::Ident;

    use super::{may_use, says_self};

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

    fn says(body: &str) -> bool {
        let function = format!("async fn get(id: u64) -> u64 {{ {body} }}");
        says_self(&syn::parse_str(&function).unwrap())
    }

    #[test]
    fn a_body_speaks_of_its_impl() {
        for body in [
            "Self::load(id)",
            "<Self as Load>::load(id)",
            "vec![Self::load(id)]",
            "macro_rules! load { ($id:expr) => { Self::load($id) } } load!(id)",
            "try_join!(async { impl_of(id) }, Self::load(id))",
            "m!(impl Load for User { fn of(&self) {} } Self::load(id))",
        ] {
            assert!(says(body), "{body}");
        }
    }

    #[test]
    fn an_item_in_the_body_speaks_of_itself() {
        for body in [
            "load(id)",
            "self::load(id)",
            "vec![self::load(id)]",
            "impl User { fn new() -> Self { Self } } id",
            "macro_rules! user { ($t:ty) => { impl $t { fn new() -> Self { Self } } } } id",
            "m!(struct Node { next: Option<Box<Self>> })",
        ] {
            assert!(!says(body), "{body}");
        }
    }
}
