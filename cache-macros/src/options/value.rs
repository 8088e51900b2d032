//! The options that have words of their own. **What cannot be read is refused with the literal text to type.**

use syn::parse::ParseStream;
use syn::spanned::Spanned as _;
use syn::{Expr, ExprClosure, ExprLit, ExprPath, Ident, Lit, LitStr, Path};

use crate::diag::{Errors, nearest, text};
use crate::options::duration::Period;
use crate::options::keyword::Keyword;

/// How long a value is fresh.
pub(crate) enum Ttl {
    Fixed(Period),
    /// A closure that asks the value.
    ByValue(Expr),
}

/// Who shares one run of the body.
pub(crate) enum Coalesce {
    Process,
    Cluster,
}

/// What callers get of an error when they waited for the body of another.
pub(crate) enum ShareErrors {
    /// Nothing: they run bodies of their own.
    None,
    /// A copy that this function or closure makes.
    By(Expr),
}

/// The functions beside the cached one.
pub(crate) enum Companions {
    None,
    /// With names that begin so.
    Named(LitStr),
}

pub(super) fn ttl(keyword: &Keyword, input: ParseStream<'_>, _: &mut Errors) -> syn::Result<Ttl> {
    let expr = keyword.value(input)?;
    if let Expr::Closure(closure) = &expr {
        check_closure(keyword, closure)?;
        return Ok(Ttl::ByValue(expr));
    }
    Ok(Ttl::Fixed(Period::parse(keyword.option, expr)?))
}

/// The path of a function.
pub(super) fn entry(
    keyword: &Keyword,
    input: ParseStream<'_>,
    _: &mut Errors,
) -> syn::Result<ExprPath> {
    let expr = keyword.value(input)?;
    let meant = match &expr {
        Expr::Path(path) if path.attrs.is_empty() => return Ok(path.clone()),
        Expr::Call(call) => text(&call.func),
        Expr::Lit(ExprLit {
            lit: Lit::Str(literal),
            ..
        }) => literal.value(),
        _ => "users::get_user".to_owned(),
    };
    Err(syn::Error::new_spanned(
        &expr,
        format!("`entry` takes the path of a cached function; write `entry = {meant}`"),
    ))
}

/// The names of whole parameters.
pub(super) fn skip(
    keyword: &Keyword,
    input: ParseStream<'_>,
    errors: &mut Errors,
) -> syn::Result<Vec<Ident>> {
    let exprs = keyword.names(input)?;
    if exprs.is_empty() {
        errors.on(
            &keyword.name,
            "`skip()` names nothing; write parameters, such as `skip(pool)`, or remove it",
        );
    }
    let skipped = exprs.iter().filter_map(|expr| match expr {
        Expr::Path(path) if path.path.get_ident().is_some() => path.path.get_ident().cloned(),
        _ => {
            errors.on(
                expr,
                format!(
                    "`skip` takes whole parameters, not `{}`; write names, such as `skip(pool)`",
                    text(expr)
                ),
            );
            None
        }
    });
    Ok(skipped.collect())
}

pub(super) fn namespace(
    keyword: &Keyword,
    input: ParseStream<'_>,
    _: &mut Errors,
) -> syn::Result<LitStr> {
    let literal = keyword.string(input)?;
    let value = literal.value();
    let refuse = |message: String| Err(syn::Error::new_spanned(&literal, message));
    if value.is_empty() {
        return refuse("`namespace` is empty; write a name, such as `\"users\"`".to_owned());
    }
    // A key writes the types of a generic function between `<` and `>`.
    let foreign = |c: char| {
        matches!(c, ':' | '%' | '{' | '}' | '@' | '<' | '>') || c.is_whitespace() || c.is_control()
    };
    match value.chars().find(|c| foreign(*c)) {
        Some(character) => refuse(format!(
            "`namespace` is one part of a key and cannot hold `{}`; write `\"{}\"`",
            character.escape_debug(),
            value.replace(foreign, ".")
        )),
        None => Ok(literal),
    }
}

pub(super) fn version(
    keyword: &Keyword,
    input: ParseStream<'_>,
    _: &mut Errors,
) -> syn::Result<u64> {
    let expr = keyword.value(input)?;
    if let Expr::Lit(ExprLit {
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

/// A closure that takes the value, or the name of a function.
pub(super) fn cache_if(
    keyword: &Keyword,
    input: ParseStream<'_>,
    _: &mut Errors,
) -> syn::Result<Expr> {
    let expr = keyword.value(input)?;
    if let Expr::Closure(closure) = &expr {
        check_closure(keyword, closure)?;
    }
    Ok(expr)
}

pub(super) fn coalesce(
    keyword: &Keyword,
    input: ParseStream<'_>,
    _: &mut Errors,
) -> syn::Result<Coalesce> {
    let expr = keyword.value(input)?;
    let refuse = |message: String| Err(syn::Error::new_spanned(&expr, message));
    match &expr {
        Expr::Lit(ExprLit {
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
            let word = text(&expr);
            refuse(format!(
                "`{word}` needs quotes; write `coalesce = \"{word}\"`"
            ))
        }
        _ => refuse(format!(
            "`coalesce` is a word in quotes, not `{}`; write `coalesce = \"process\"` or `coalesce = \"cluster\"`",
            text(&expr)
        )),
    }
}

pub(super) fn share_errors(
    keyword: &Keyword,
    input: ParseStream<'_>,
    _: &mut Errors,
) -> syn::Result<ShareErrors> {
    let expr = keyword.value(input)?;
    match &expr {
        Expr::Path(path) if path.path.is_ident("none") => Ok(ShareErrors::None),
        Expr::Closure(closure) => {
            check_closure(keyword, closure)?;
            Ok(ShareErrors::By(expr))
        }
        Expr::Lit(ExprLit {
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

/// Any expression; the compiler says what it must be.
pub(super) fn expression(
    keyword: &Keyword,
    input: ParseStream<'_>,
    _: &mut Errors,
) -> syn::Result<Expr> {
    keyword.value(input)
}

pub(super) fn flag(keyword: &Keyword, input: ParseStream<'_>, _: &mut Errors) -> syn::Result<()> {
    keyword.flag(input)
}

pub(super) fn companions(
    keyword: &Keyword,
    input: ParseStream<'_>,
    _: &mut Errors,
) -> syn::Result<Companions> {
    let expr = keyword.value(input)?;
    match &expr {
        Expr::Path(path) if path.path.is_ident("none") => return Ok(Companions::None),
        Expr::Lit(ExprLit {
            lit: Lit::Str(stem),
            ..
        }) => {
            // A stem need not be a name of its own: `type` is none, and `type_entry` is one.
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

/// The path of a crate or module.
pub(super) fn krate(
    keyword: &Keyword,
    input: ParseStream<'_>,
    _: &mut Errors,
) -> syn::Result<Path> {
    keyword.equals(input)?;
    match input.parse::<LitStr>() {
        Ok(literal) => Err(syn::Error::new_spanned(
            &literal,
            format!("`crate` takes a path; write `crate = {}`", literal.value()),
        )),
        Err(_) => input.call(Path::parse_mod_style),
    }
}

fn check_closure(keyword: &Keyword, closure: &ExprClosure) -> syn::Result<()> {
    let option = keyword.option;
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
