//! Durations. **Every form ends in a duration or in an error, and never in a duration that was not meant.**

use std::time::Duration;

use syn::parse::ParseStream;
use syn::{BinOp, Expr, Lit, LitInt, LitStr, UnOp};

use crate::diag::{Errors, text};
use crate::options::keyword::Keyword;

/// Redis counts a time to live in milliseconds, in a signed 64-bit number.
const MAX_MILLIS: u64 = i64::MAX as u64;

/// How long something lasts.
pub(crate) enum Period {
    Known {
        duration: Duration,
        /// As a person reads it.
        text: String,
    },
    /// An expression of type `Duration`, or of type `u64`, which counts seconds.
    Computed(Expr),
}

pub(super) fn period(
    keyword: &Keyword,
    input: ParseStream<'_>,
    _: &mut Errors,
) -> syn::Result<Period> {
    Period::parse(keyword.option, keyword.value(input)?)
}

impl Period {
    /// The expression that computes it, if one does.
    pub(crate) fn computed(&self) -> Option<&Expr> {
        match self {
            Self::Known { .. } => None,
            Self::Computed(expr) => Some(expr),
        }
    }

    /// Reads the value of the option `name`.
    pub(crate) fn parse(name: &str, expr: Expr) -> syn::Result<Self> {
        let refuse = |message: String| Err(syn::Error::new_spanned(&expr, message));
        let duration = match &expr {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Int(seconds) => from_seconds(name, seconds)?,
                Lit::Str(words) => from_words(name, words)?,
                Lit::Float(_) => {
                    return refuse(format!(
                        "`{name}` counts whole seconds; write a string, such as `{name} = \"1500ms\"`"
                    ));
                }
                _ => {
                    return refuse(format!(
                        "`{}` is not a duration; write seconds, such as `{name} = 300`, or `{name} = \"5m\"`",
                        text(&expr)
                    ));
                }
            },
            Expr::Unary(unary)
                if matches!(unary.op, UnOp::Neg(_)) && fold(&unary.expr).is_some() =>
            {
                return refuse(format!(
                    "`{name}` cannot be negative; write seconds, such as `{name} = 300`"
                ));
            }
            Expr::Closure(_) => {
                return refuse(format!(
                    "`{name}` takes no closure; write seconds, such as `{name} = 60`, or an expression of type `Duration`"
                ));
            }
            _ => {
                return match fold(&expr) {
                    Some(seconds) => refuse(format!(
                        "`{}` is a number and not a `Duration`; write `{seconds}`",
                        text(&expr)
                    )),
                    None => Ok(Self::Computed(expr)),
                };
            }
        };
        if duration.is_zero() {
            return refuse(match name {
                "ttl" => "`ttl = 0` would store nothing; use 1 or more, or remove the attribute"
                    .to_owned(),
                "timeout" => {
                    "`timeout = 0` would give up every operation; use `\"1ms\"` or more".to_owned()
                }
                "soft_timeout" => {
                    "`soft_timeout = 0` would not wait for the body; use `\"1ms\"` or more"
                        .to_owned()
                }
                "stale_while_revalidate" | "stale_if_error" => {
                    format!("`{name} = 0` would never answer; use 1 or more, or remove `{name}`")
                }
                _ => format!("`{name} = 0` would store nothing; use 1 or more, or remove `{name}`"),
            });
        }
        if duration.as_millis() > u128::from(MAX_MILLIS) {
            return refuse(too_long(name));
        }
        let text = match &expr {
            Expr::Lit(syn::ExprLit {
                lit: Lit::Str(words),
                ..
            }) => words.value(),
            _ => format!("{} s", duration.as_secs()),
        };
        Ok(Self::Known { duration, text })
    }
}

fn too_long(name: &str) -> String {
    format!(
        "`{name}` is longer than Redis can keep a key; use at most {} seconds",
        MAX_MILLIS / 1000
    )
}

fn from_seconds(name: &str, literal: &LitInt) -> syn::Result<Duration> {
    let refuse = |message: String| Err(syn::Error::new_spanned(literal, message));
    let digits = literal.base10_digits();
    match literal.suffix() {
        "" => match digits.parse() {
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
            Err(_) => refuse(too_long(name)),
        },
        unit @ ("ms" | "s" | "m" | "h" | "d") => refuse(format!(
            "`{literal}` needs quotes; write `\"{digits}{unit}\"`"
        )),
        _ => refuse(format!("`{name}` takes plain seconds; write `{digits}`")),
    }
}

/// Reads `5m`, `1h 30m`, `250ms`.
fn from_words(name: &str, literal: &LitStr) -> syn::Result<Duration> {
    let refuse = |message: String| Err(syn::Error::new_spanned(literal, message));
    let value = literal.value();
    let mut rest = value.trim();
    if rest.is_empty() {
        return refuse(format!(
            "`{name}` is empty; write a duration, such as `\"5m\"`"
        ));
    }
    let mut millis = 0_u64;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.len() - after.trim_start_matches(char::is_alphabetic).len();
        let (unit, after) = after.split_at(letters);
        rest = after.trim_start();
        if number.is_empty() {
            return refuse(format!(
                "`\"{value}\"` is not a duration; write numbers with units, such as `\"5m\"` or `\"1h 30m\"`"
            ));
        }
        let factor = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" if rest.starts_with(['.', ',']) => {
                return refuse(format!(
                    "`\"{value}\"` is not a duration; write whole numbers with units, such as `\"90m\"` or `\"1h 30m\"`"
                ));
            }
            "" => {
                return refuse(format!(
                    "`{number}` has no unit in `\"{value}\"`; write `{name} = {number}` for seconds, or `\"{number}s\"`"
                ));
            }
            _ => {
                return refuse(format!(
                    "unknown unit `{unit}` in `\"{value}\"`; units are `ms`, `s`, `m`, `h`, `d`"
                ));
            }
        };
        let Some(sum) = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor))
            .and_then(|part| part.checked_add(millis))
        else {
            return refuse(too_long(name));
        };
        millis = sum;
    }
    Ok(Duration::from_millis(millis))
}

/// The value of arithmetic on literals alone, such as `60 * 5`.
fn fold(expr: &Expr) -> Option<u64> {
    match expr {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(number) => number.base10_parse().ok(),
            _ => None,
        },
        Expr::Paren(inner) => fold(&inner.expr),
        Expr::Group(inner) => fold(&inner.expr),
        Expr::Binary(binary) => {
            let (left, right) = (fold(&binary.left)?, fold(&binary.right)?);
            match binary.op {
                BinOp::Add(_) => left.checked_add(right),
                BinOp::Sub(_) => left.checked_sub(right),
                BinOp::Mul(_) => left.checked_mul(right),
                BinOp::Div(_) => left.checked_div(right),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Period;

    fn read(source: &str) -> Result<Duration, String> {
        let expr = syn::parse_str(source).unwrap();
        match Period::parse("ttl", expr) {
            Ok(Period::Known { duration, .. }) => Ok(duration),
            Ok(Period::Computed(_)) => Err("computed".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn all_forms_are_read() {
        for (source, millis) in [
            ("300", 300_000),
            ("3_600", 3_600_000),
            ("\"5m\"", 300_000),
            ("\"1h 30m\"", 5_400_000),
            ("\"5 m\"", 300_000),
            ("\"1d2h3m4s5ms\"", 93_784_005),
        ] {
            assert_eq!(read(source), Ok(Duration::from_millis(millis)), "{source}");
        }
        for (source, message) in [
            ("Duration::from_secs(5)", "computed"),
            ("5 * MINUTE", "computed"),
            (
                "(60 * 5)",
                "`(60 * 5)` is a number and not a `Duration`; write `300`",
            ),
        ] {
            assert_eq!(read(source).unwrap_err(), message, "{source}");
        }
    }

    #[test]
    fn the_longest_ttl_is_what_redis_keeps() {
        for source in ["9223372036854775", "\"9223372036854775807ms\""] {
            assert!(read(source).is_ok(), "{source}");
        }
        for source in [
            "9223372036854776",
            "99999999999999999999",
            "\"106751991168d\"",
            "\"9223372036854775808ms\"",
        ] {
            let message = read(source).unwrap_err();
            assert!(
                message.contains("at most 9223372036854775 seconds"),
                "{source}: {message}"
            );
        }
    }
}
