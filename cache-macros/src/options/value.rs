//! The forms that an option's value can have. The rule: a form that was not meant is told with the one that was.

use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Expr, ExprClosure, ExprPath, Ident, Lit, LitStr, Token, parenthesized, token};

use crate::diag::{nearest, text};
use crate::options::{Coalesce, Companions, OPTIONS, ShareErrors};

pub(crate) fn example(name: &Ident) -> &'static str {
    let word = name.to_string();
    OPTIONS
        .iter()
        .find(|(option, _)| *option == word)
        .map_or("ttl = 300", |(_, example)| example)
}

pub(crate) fn equals(name: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
    let equals: Option<Token![=]> = input.parse()?;
    if equals.is_none() || input.is_empty() || input.peek(Token![,]) {
        let message = format!("`{name}` takes a value; write `{}`", example(name));
        return Err(syn::Error::new_spanned(name, message));
    }
    Ok(())
}

pub(crate) fn value<T: syn::parse::Parse>(name: &Ident, input: ParseStream<'_>) -> syn::Result<T> {
    equals(name, input)?;
    input.parse()
}

pub(crate) fn flag(name: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
    if input.is_empty() || input.peek(Token![,]) || input.peek(Ident::peek_any) {
        return Ok(());
    }
    Err(syn::Error::new_spanned(
        name,
        format!("`{name}` takes no value; write `{name}`"),
    ))
}

pub(crate) fn names(name: &Ident, input: ParseStream<'_>) -> syn::Result<Vec<Expr>> {
    if !input.peek(token::Paren) {
        let message = format!(
            "`{name}` takes names in parentheses; write `{}`",
            example(name)
        );
        return Err(syn::Error::new_spanned(name, message));
    }
    let content;
    parenthesized!(content in input);
    let names = Punctuated::<Expr, Token![,]>::parse_terminated(&content)?;
    Ok(names.into_iter().map(ungroup).collect())
}

pub(crate) fn string(name: &Ident, input: ParseStream<'_>) -> syn::Result<LitStr> {
    let expr = ungroup(value::<Expr>(name, input)?);
    if let Expr::Lit(syn::ExprLit {
        lit: Lit::Str(literal),
        ..
    }) = expr
    {
        return Ok(literal);
    }
    Err(syn::Error::new_spanned(
        &expr,
        format!(
            "`{name}` takes a string literal; write one, such as `{}`",
            example(name)
        ),
    ))
}

/// The path of a function.
pub(crate) fn function(name: &Ident, expr: Expr) -> syn::Result<ExprPath> {
    let meant = match &expr {
        Expr::Path(path) if path.attrs.is_empty() => return Ok(path.clone()),
        Expr::Call(call) => text(&call.func),
        Expr::Lit(syn::ExprLit {
            lit: Lit::Str(literal),
            ..
        }) => literal.value(),
        _ => "users::get_user".to_owned(),
    };
    Err(syn::Error::new_spanned(
        &expr,
        format!("`{name}` takes the path of a cached function; write `{name} = {meant}`"),
    ))
}

pub(crate) fn version(expr: Expr) -> syn::Result<u64> {
    let expr = ungroup(expr);
    if let Expr::Lit(syn::ExprLit {
        lit: Lit::Int(number),
        ..
    }) = &expr
        && let Ok(version) = number.base10_parse()
    {
        return Ok(version);
    }
    Err(syn::Error::new_spanned(
        &expr,
        format!(
            "`version` is a number, not `{}`; write one, such as `version = 2`",
            text(&expr)
        ),
    ))
}

pub(crate) fn companions(expr: Expr) -> syn::Result<Companions> {
    let expr = ungroup(expr);
    match &expr {
        Expr::Path(path) if path.path.is_ident("none") => return Ok(Companions::None),
        Expr::Lit(syn::ExprLit {
            lit: Lit::Str(stem),
            ..
        }) => {
            // A stem is no name of its own, but what makes names of it makes one of itself.
            if syn::parse_str::<Ident>(&format!("{}_entry", stem.value())).is_ok() {
                return Ok(Companions::Named(stem.clone()));
            }
            return Err(syn::Error::new_spanned(
                stem,
                format!(
                    "`{}` cannot begin a function's name; write letters, digits and `_`",
                    stem.value()
                ),
            ));
        }
        _ => {}
    }
    Err(syn::Error::new_spanned(
        &expr,
        format!(
            "`companions` is `none` or a stem, not `{}`; write `companions = none` or `companions = \"load_user\"`",
            text(&expr)
        ),
    ))
}

pub(crate) fn coalesce(expr: &Expr) -> syn::Result<Coalesce> {
    let refuse = |message: String| Err(syn::Error::new_spanned(expr, message));
    match expr {
        Expr::Lit(syn::ExprLit {
            lit: Lit::Str(word),
            ..
        }) => match word.value().as_str() {
            "process" => Ok(Coalesce::Process),
            "cluster" => Ok(Coalesce::Cluster),
            word => match nearest(&word.to_lowercase(), ["process", "cluster"]) {
                Some(meant) => refuse(format!(
                    "`coalesce` knows no `\"{word}\"`; did you mean `\"{meant}\"`?"
                )),
                None => refuse(format!(
                    "`coalesce` knows no `\"{word}\"`; write `\"process\"` or `\"cluster\"`"
                )),
            },
        },
        Expr::Path(path) if path.path.is_ident("process") || path.path.is_ident("cluster") => {
            let word = text(expr);
            refuse(format!(
                "`{word}` needs quotes; write `coalesce = \"{word}\"`"
            ))
        }
        _ => refuse(format!(
            "`coalesce` is a word in quotes, not `{}`; write `coalesce = \"process\"` or `coalesce = \"cluster\"`",
            text(expr)
        )),
    }
}

pub(crate) fn share_errors(expr: Expr) -> syn::Result<ShareErrors> {
    match &expr {
        Expr::Path(path) if path.path.is_ident("none") => Ok(ShareErrors::None),
        Expr::Closure(closure) => {
            check_closure("share_errors", closure)?;
            Ok(ShareErrors::By(expr))
        }
        Expr::Lit(syn::ExprLit {
            lit: Lit::Str(word),
            ..
        }) if word.value() == "none" => Err(syn::Error::new_spanned(
            &expr,
            "`none` stands without quotes; write `share_errors = none`",
        )),
        Expr::Lit(_) => Err(syn::Error::new_spanned(
            &expr,
            format!(
                "`share_errors` is a closure or `none`, not `{}`; write `share_errors = |error| …` or `share_errors = none`",
                text(&expr)
            ),
        )),
        _ => Ok(ShareErrors::By(expr)),
    }
}

pub(crate) fn check_namespace(literal: &LitStr) -> syn::Result<()> {
    let value = literal.value();
    let refuse = |message: String| Err(syn::Error::new_spanned(literal, message));
    if value.is_empty() {
        return refuse("`namespace` is empty; write a name, such as `\"users\"`".to_owned());
    }
    // `<` and `>` hold the types of a generic function.
    let foreign = |c: char| {
        matches!(c, ':' | '%' | '{' | '}' | '@' | '<' | '>') || c.is_whitespace() || c.is_control()
    };
    match value.chars().find(|c| foreign(*c)) {
        Some(character) => refuse(format!(
            "`namespace` is one part of a key and cannot hold `{}`; write `\"{}\"`",
            character.escape_debug(),
            value.replace(foreign, ".")
        )),
        None => Ok(()),
    }
}

pub(crate) fn check_closure(option: &str, closure: &ExprClosure) -> syn::Result<()> {
    let what = match option {
        "share_errors" => "error",
        _ => "value",
    };
    if let Some(asyncness) = &closure.asyncness {
        return Err(syn::Error::new(
            asyncness.span(),
            format!("`{option}` cannot await; write `|{what}| …`"),
        ));
    }
    if closure.inputs.len() != 1 {
        let message =
            format!("the closure of `{option}` takes the {what} alone; write `|{what}| …`");
        return Err(syn::Error::new(closure.or1_token.span(), message));
    }
    Ok(())
}

/// The expression that a `macro_rules!` fragment or parentheses stand for.
pub(crate) fn ungroup(expr: Expr) -> Expr {
    match expr {
        Expr::Group(group) => ungroup(*group.expr),
        Expr::Paren(paren) if matches!(*paren.expr, Expr::Closure(_) | Expr::Lit(_)) => {
            ungroup(*paren.expr)
        }
        expr => expr,
    }
}
