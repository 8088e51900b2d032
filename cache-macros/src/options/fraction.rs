//! Shares of the ttl. **A number that could be percent or seconds is refused**, because a number between 0 and 1 can
//! mean one thing only.

use syn::parse::ParseStream;
use syn::{Expr, ExprLit, Lit, UnOp};

use crate::diag::{Errors, nearest, text};
use crate::options::keyword::Keyword;

/// When a fresh value is recomputed.
pub(crate) enum RefreshAhead {
    /// After this share of its ttl.
    Share(f64),
    /// By chance, the sooner the longer the body takes.
    XFetch,
}

pub(super) fn jitter(
    keyword: &Keyword,
    input: ParseStream<'_>,
    _: &mut Errors,
) -> syn::Result<f64> {
    jitter_of(&keyword.value(input)?)
}

pub(super) fn refresh_ahead(
    keyword: &Keyword,
    input: ParseStream<'_>,
    _: &mut Errors,
) -> syn::Result<RefreshAhead> {
    refresh_ahead_of(&keyword.value(input)?)
}

/// The largest share that a ttl is shortened by.
fn jitter_of(expr: &Expr) -> syn::Result<f64> {
    const SUCH_AS: &str = "such as `jitter = 0.1`";
    let refuse = |message: String| Err(syn::Error::new_spanned(expr, message));
    let written = text(expr);
    match Written::of(expr) {
        Written::Share(share) => Ok(share),
        Written::Zero => refuse(format!(
            "`jitter = {written}` would shorten nothing; write a share of the ttl, {SUCH_AS}, or remove it"
        )),
        Written::One => refuse(format!(
            "`jitter = {written}` could leave nothing of the ttl; write a share below 1, {SUCH_AS}"
        )),
        Written::Percent(percent) => refuse(format!(
            "`jitter` is a share of the ttl; write `jitter = {}` for {percent} %",
            percent / 100.0
        )),
        Written::Number => refuse(format!(
            "`jitter` is a share of the ttl, between 0 and 1; write one, {SUCH_AS}"
        )),
        Written::Negative => refuse(format!(
            "`jitter` cannot be negative: it only shortens; write a share of the ttl, {SUCH_AS}"
        )),
        Written::Suffixed(digits) => refuse(format!(
            "`jitter` takes a plain number; write `jitter = {digits}`"
        )),
        Written::Word(_) | Written::Other => refuse(format!(
            "`jitter` is a number that is written out, not `{written}`; write one, {SUCH_AS}"
        )),
    }
}

fn refresh_ahead_of(expr: &Expr) -> syn::Result<RefreshAhead> {
    const SUCH_AS: &str = "such as `refresh_ahead = 0.8`, or `refresh_ahead = \"xfetch\"`";
    let refuse = |message: String| Err(syn::Error::new_spanned(expr, message));
    let written = text(expr);
    match Written::of(expr) {
        Written::Share(share) => Ok(RefreshAhead::Share(share)),
        Written::Word(word) if word == "xfetch" => Ok(RefreshAhead::XFetch),
        Written::Word(word) if nearest(&word.to_lowercase(), ["xfetch"]).is_some() => refuse(
            format!("`refresh_ahead` knows no `\"{word}\"`; did you mean `\"xfetch\"`?"),
        ),
        Written::Zero => refuse(format!(
            "`refresh_ahead = {written}` would recompute at every call; write a share of the ttl, {SUCH_AS}"
        )),
        Written::One => refuse(format!(
            "`refresh_ahead = {written}` would begin where the ttl ends; write a share below 1, {SUCH_AS}"
        )),
        Written::Percent(_) | Written::Number | Written::Suffixed(_) => refuse(format!(
            "`refresh_ahead` is a share of the ttl, not seconds or percent; write one between 0 and 1, {SUCH_AS}"
        )),
        Written::Negative => refuse(format!(
            "`refresh_ahead` cannot be negative; write a share of the ttl, {SUCH_AS}"
        )),
        Written::Word(_) => refuse(format!(
            "`refresh_ahead` is a share of the ttl, not `{written}`; write one, {SUCH_AS}"
        )),
        Written::Other if written.eq_ignore_ascii_case("xfetch") => refuse(format!(
            "`{written}` needs quotes; write `refresh_ahead = \"xfetch\"`"
        )),
        Written::Other => refuse(format!(
            "`refresh_ahead` is a number that is written out, not `{written}`; write a share of the ttl, {SUCH_AS}"
        )),
    }
}

/// The forms that a user may write for a share.
enum Written {
    Share(f64),
    Zero,
    One,
    /// Above 1 and below 100, or a string that says percent.
    Percent(f64),
    /// 100 or more.
    Number,
    Negative,
    /// A number with a type, or with a unit; its digits.
    Suffixed(String),
    /// A string that is no number.
    Word(String),
    Other,
}

impl Written {
    fn of(expr: &Expr) -> Self {
        match expr {
            Expr::Lit(ExprLit { lit, .. }) => match lit {
                Lit::Int(number) if !number.suffix().is_empty() => {
                    Self::Suffixed(number.base10_digits().to_owned())
                }
                Lit::Float(number) if !number.suffix().is_empty() => {
                    Self::Suffixed(number.base10_digits().to_owned())
                }
                Lit::Int(number) => Self::of_number(number.base10_digits()),
                Lit::Float(number) => Self::of_number(number.base10_digits()),
                Lit::Str(words) => {
                    let words = words.value();
                    match words
                        .trim_end()
                        .strip_suffix('%')
                        .map(|share| share.trim().parse())
                    {
                        Some(Ok(percent)) if 0.0 < percent && percent < 100.0 => {
                            Self::Percent(percent)
                        }
                        _ => Self::Word(words),
                    }
                }
                _ => Self::Other,
            },
            Expr::Unary(unary)
                if matches!(unary.op, UnOp::Neg(_))
                    && !matches!(Self::of(&unary.expr), Self::Other) =>
            {
                Self::Negative
            }
            _ => Self::Other,
        }
    }

    fn of_number(digits: &str) -> Self {
        match digits.parse() {
            Ok(0.0) => Self::Zero,
            Ok(1.0) => Self::One,
            Ok(share) if share < 1.0 => Self::Share(share),
            Ok(percent) if percent < 100.0 => Self::Percent(percent),
            Ok(_) => Self::Number,
            // Not reached, because `f64` reads every number that Rust does, if only as infinity.
            Err(_) => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RefreshAhead, jitter_of, refresh_ahead_of};

    fn read_jitter(source: &str) -> Result<f64, String> {
        jitter_of(&syn::parse_str(source).unwrap()).map_err(|error| error.to_string())
    }

    fn read_ahead(source: &str) -> Result<Option<f64>, String> {
        match refresh_ahead_of(&syn::parse_str(source).unwrap()) {
            Ok(RefreshAhead::Share(share)) => Ok(Some(share)),
            Ok(RefreshAhead::XFetch) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_share_is_between_nothing_and_the_whole() {
        assert_eq!(read_jitter("0.1"), Ok(0.1));
        assert_eq!(read_jitter("0.999"), Ok(0.999));
        assert_eq!(read_jitter("1e-3"), Ok(0.001));
        assert_eq!(read_ahead("0.8"), Ok(Some(0.8)));
        assert_eq!(read_ahead("\"xfetch\""), Ok(None));
        for source in [
            "0", "0.0", "1", "1.0", "1.5", "1e999", "-0.1", "0x10", "100",
        ] {
            assert!(read_jitter(source).is_err(), "{source}");
            assert!(read_ahead(source).is_err(), "{source}");
        }
    }

    #[test]
    fn percent_is_told_as_a_share() {
        for (source, share) in [
            ("10", "0.1 for"),
            ("7", "0.07 for"),
            ("\"25%\"", "0.25 for"),
            ("1.5", "0.015 for"),
        ] {
            let message = read_jitter(source).unwrap_err().replace('`', "");
            assert!(message.contains(share), "{message}");
        }
    }
}
