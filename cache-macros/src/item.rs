//! The item under the attribute. **The body is kept as tokens and goes back as it came**, because it is the user's.

use proc_macro2::{Delimiter, Group, TokenTree};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Token, Visibility};

/// An async function, wherever it stands.
pub(crate) struct Item {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) defaultness: Option<Token![default]>,
    pub(crate) sig: syn::Signature,
    /// With its braces.
    pub(crate) body: Group,
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis: Visibility = input.parse()?;
        for (word, article) in [
            ("struct", "a"),
            ("enum", "an"),
            ("union", "a"),
            ("trait", "a"),
            ("impl", "an"),
            ("mod", "a"),
            ("type", "a"),
            ("static", "a"),
            ("use", "a"),
            ("macro_rules", "a"),
        ] {
            let here = input.cursor().ident().filter(|(ident, _)| ident == word);
            if let Some((ident, _)) = here
                && !(word == "union" && input.peek2(Token![fn]))
            {
                return Err(syn::Error::new_spanned(
                    ident,
                    format!(
                        "`#[redis_cached]` caches functions, not {article} `{word}`; put it on an `async fn`"
                    ),
                ));
            }
        }
        let defaultness = input.parse()?;
        let constant = input.peek(Token![const])
            && ![
                input.peek2(Token![fn]),
                input.peek2(Token![async]),
                input.peek2(Token![unsafe]),
                input.peek2(Token![extern]),
            ]
            .contains(&true);
        if constant {
            return Err(input.error(
                "`#[redis_cached]` caches functions, not a `const`; put it on an `async fn`",
            ));
        }
        let sig: syn::Signature = input.parse()?;
        match block(input.parse()?) {
            Some(body) => Ok(Self {
                attrs,
                vis,
                defaultness,
                sig,
                body,
            }),
            None => Err(syn::Error::new_spanned(
                &sig.ident,
                format!(
                    "`{}` has no body to cache; put `#[redis_cached(…, trait_impl)]` on the method of the impl",
                    sig.ident
                ),
            )),
        }
    }
}

/// A group in braces, also inside of a `macro_rules!` fragment, which compilers show as a group.
fn block(token: TokenTree) -> Option<Group> {
    let TokenTree::Group(group) = token else {
        return None;
    };
    match group.delimiter() {
        Delimiter::Brace => Some(group),
        Delimiter::None => {
            let mut tokens = group.stream().into_iter();
            let first = tokens.next()?;
            block(first).filter(|_| tokens.next().is_none())
        }
        Delimiter::Parenthesis | Delimiter::Bracket => None,
    }
}

/// Whether an attribute is another `#[redis_cached]`.
pub(crate) fn is_ours(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|segment| segment.ident == "redis_cached")
}
