//! An option's name, and the forms that its value can have. **A form that does not fit is refused with the one that
//! does.**

use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Token, parenthesized, token};

/// The name of an option, where the user wrote it.
pub(crate) struct Keyword {
    /// As the user wrote it: what other caches call the option, or nearly its name, is told and taken for it.
    pub(crate) name: Ident,
    /// The option's name.
    pub(crate) option: &'static str,
    /// How the option is written.
    pub(crate) example: &'static str,
}

impl Keyword {
    /// `= …`
    pub(crate) fn value(&self, input: ParseStream<'_>) -> syn::Result<Expr> {
        self.equals(input)?;
        input.parse().map(ungroup)
    }

    /// The `=` before a value.
    pub(crate) fn equals(&self, input: ParseStream<'_>) -> syn::Result<()> {
        let equals: Option<Token![=]> = input.parse()?;
        if equals.is_none() || input.is_empty() || input.peek(Token![,]) {
            return self.refuse(format!(
                "`{}` takes a value; write `{}`",
                self.option, self.example
            ));
        }
        Ok(())
    }

    /// Nothing, as the name alone is the value.
    pub(crate) fn flag(&self, input: ParseStream<'_>) -> syn::Result<()> {
        if input.is_empty() || input.peek(Token![,]) || input.peek(Ident::peek_any) {
            return Ok(());
        }
        self.refuse(format!("`{0}` takes no value; write `{0}`", self.option))
    }

    /// `(…, …)`
    pub(crate) fn names(&self, input: ParseStream<'_>) -> syn::Result<Vec<Expr>> {
        if !input.peek(token::Paren) {
            return self.refuse(format!(
                "`{}` takes names in parentheses; write `{}`",
                self.option, self.example
            ));
        }
        let content;
        parenthesized!(content in input);
        let names = Punctuated::<Expr, Token![,]>::parse_terminated(&content)?;
        Ok(names.into_iter().map(ungroup).collect())
    }

    /// `= "…"`
    pub(crate) fn string(&self, input: ParseStream<'_>) -> syn::Result<LitStr> {
        match self.value(input)? {
            Expr::Lit(ExprLit {
                lit: Lit::Str(literal),
                ..
            }) => Ok(literal),
            expr => Err(syn::Error::new_spanned(
                &expr,
                format!(
                    "`{}` takes a string literal; write one, such as `{}`",
                    self.option, self.example
                ),
            )),
        }
    }

    fn refuse<T>(&self, message: String) -> syn::Result<T> {
        Err(syn::Error::new_spanned(&self.name, message))
    }
}

/// The expression inside of parentheses and of a `macro_rules!` fragment, which compilers show as a group.
fn ungroup(expr: Expr) -> Expr {
    match expr {
        Expr::Group(group) => ungroup(*group.expr),
        Expr::Paren(paren) if matches!(*paren.expr, Expr::Closure(_) | Expr::Lit(_)) => {
            ungroup(*paren.expr)
        }
        expr => expr,
    }
}
