//! The attribute's syntax. The rule: every option ends in a value or in an error, none is dropped, and one
//! that cannot be read does not hide the next.

pub(crate) mod duration;
pub(crate) mod expression;
pub(crate) mod fraction;
pub(crate) mod template;
pub(crate) mod value;

use proc_macro2::{TokenStream, TokenTree};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::{Expr, ExprClosure, ExprPath, Ident, LitInt, LitStr, Path, Token};

use crate::diag::{Errors, nearest, text};
use crate::options::duration::Lifetime;
use crate::options::fraction::{RefreshAhead, jitter, refresh_ahead};
use crate::options::template::{FieldPath, Template};
use crate::options::value::{
    check_closure, check_namespace, coalesce, companions, equals, flag, function, names,
    share_errors, string, ungroup, value, version,
};

/// What the attribute says.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) ttl: Option<Given<Ttl>>,
    pub(crate) key: Option<Given<Template>>,
    pub(crate) entry: Option<Given<ExprPath>>,
    pub(crate) key_args: Option<Given<Vec<FieldPath>>>,
    pub(crate) skip: Option<Given<Vec<Ident>>>,
    pub(crate) namespace: Option<Given<LitStr>>,
    pub(crate) version: Option<Given<u64>>,
    pub(crate) cache_if: Option<Given<Expr>>,
    pub(crate) none_ttl: Option<Given<Lifetime>>,
    pub(crate) timeout: Option<Given<Lifetime>>,
    pub(crate) jitter: Option<Given<f64>>,
    pub(crate) stale_while_revalidate: Option<Given<Lifetime>>,
    pub(crate) stale_if_error: Option<Given<Lifetime>>,
    pub(crate) soft_timeout: Option<Given<Lifetime>>,
    pub(crate) refresh_ahead: Option<Given<RefreshAhead>>,
    pub(crate) coalesce: Option<Given<Coalesce>>,
    pub(crate) share_errors: Option<Given<ShareErrors>>,
    pub(crate) cache: Option<Given<Expr>>,
    pub(crate) in_impl: Option<Given<()>>,
    pub(crate) trait_impl: Option<Given<()>>,
    pub(crate) companions: Option<Given<Companions>>,
    pub(crate) krate: Option<Given<Path>>,
    /// Options that stand there but could not be read: no rule speaks of their absence.
    failed: Vec<&'static str>,
}

/// A value, and the name that it was given under.
pub(crate) struct Given<T> {
    pub(crate) name: Ident,
    pub(crate) value: T,
}

/// How long a value is fresh.
pub(crate) enum Ttl {
    Fixed(Lifetime),
    /// A closure that asks the value.
    ByValue(ExprClosure),
}

/// Who shares one run of the body.
pub(crate) enum Coalesce {
    Process,
    Cluster,
}

/// What those who wait get of an error.
pub(crate) enum ShareErrors {
    None,
    /// A copy that this function or closure makes.
    By(Expr),
}

/// The functions beside the cached one.
pub(crate) enum Companions {
    None,
    Named(LitStr),
}

/// Every option, and how it is written.
pub(crate) const OPTIONS: [(&str, &str); 22] = [
    ("ttl", "ttl = 300"),
    ("key", "key = \"user:{id}\""),
    ("entry", "entry = users::get_user"),
    ("key_args", "key_args(id)"),
    ("skip", "skip(pool)"),
    ("namespace", "namespace = \"users\""),
    ("version", "version = 2"),
    ("cache_if", "cache_if = |value| value.active"),
    ("none_ttl", "none_ttl = 60"),
    ("timeout", "timeout = \"50ms\""),
    ("jitter", "jitter = 0.1"),
    ("stale_while_revalidate", "stale_while_revalidate = \"1m\""),
    ("stale_if_error", "stale_if_error = \"1h\""),
    ("soft_timeout", "soft_timeout = \"100ms\""),
    ("refresh_ahead", "refresh_ahead = 0.8"),
    ("coalesce", "coalesce = \"cluster\""),
    ("share_errors", "share_errors = none"),
    ("cache", "cache = my_cache()"),
    ("in_impl", "in_impl"),
    ("trait_impl", "trait_impl"),
    ("companions", "companions = none"),
    ("crate", "crate = ::cache_runtime"),
];

/// Options to come, so that who read about them is not told of a typing mistake.
const PLANNED: [&str; 4] = ["local", "tags", "codec", "compress"];

/// What other caches call our options.
const ALIASES: [(&str, &str); 17] = [
    ("expire", "ttl"),
    ("expires", "ttl"),
    ("expiry", "ttl"),
    ("time", "ttl"),
    ("time_to_live", "ttl"),
    ("ignore", "skip"),
    ("exclude", "skip"),
    ("condition", "cache_if"),
    ("when", "cache_if"),
    ("prefix", "namespace"),
    ("name", "namespace"),
    ("args", "key_args"),
    ("swr", "stale_while_revalidate"),
    ("stale", "stale_while_revalidate"),
    ("fail_safe", "stale_if_error"),
    ("early_refresh", "refresh_ahead"),
    ("xfetch", "refresh_ahead"),
];

impl Options {
    pub(crate) fn parse(attribute: TokenStream, errors: &mut Errors) -> Self {
        let mut options = Self::default();
        let read = |input: ParseStream<'_>| {
            while !input.is_empty() {
                let read = options.read_one(input, errors);
                if let Err(error) = read {
                    errors.push(error);
                    skip_to_comma(input);
                }
                if input.is_empty() {
                    break;
                }
                if input.peek(Token![,]) {
                    input.parse::<Token![,]>()?;
                } else if input.peek(Ident::peek_any) {
                    errors.at(
                        input.span(),
                        "options are separated by commas; write a `,` before this one",
                    );
                } else {
                    let token = input.cursor().token_tree().map(|(token, _)| token);
                    errors.at(
                        input.span(),
                        format!(
                            "`{}` does not belong here; write a `,`, or remove it",
                            text(token)
                        ),
                    );
                    skip_to_comma(input);
                    let _: Option<Token![,]> = input.parse()?;
                }
            }
            Ok(())
        };
        let read = read.parse2(attribute);
        errors.ok(read);
        options
    }

    /// Whether the option stands there and could not be read.
    pub(crate) fn failed(&self, option: &str) -> bool {
        self.failed.contains(&option)
    }

    fn read_one(&mut self, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
        if !input.peek(Ident::peek_any) {
            let span = input.span();
            let message = match input.parse::<LitInt>() {
                Ok(seconds) => {
                    self.failed.push("ttl");
                    format!("an option has a name; write `ttl = {seconds}`")
                }
                Err(_) => "an option has a name; write one, such as `ttl = 300`".to_owned(),
            };
            return Err(syn::Error::new(span, message));
        }
        let name = input.call(Ident::parse_any)?;
        let word = name.to_string();
        if let Some((option, _)) = OPTIONS.iter().find(|(option, _)| *option == word) {
            let before = errors.len();
            let read = self.read_value(option, name, input, errors);
            if read.is_err() || errors.len() > before {
                self.failed.push(option);
            }
            return read;
        }
        if PLANNED.contains(&word.as_str()) {
            errors.on(&name, format!("`{word}` is not supported yet; remove it"));
            skip_to_comma(input);
            return Ok(());
        }
        let meant = ALIASES
            .iter()
            .find(|(alias, _)| *alias == word)
            .map(|(_, option)| *option)
            .or_else(|| nearest(&word, OPTIONS.iter().map(|(option, _)| *option)));
        let Some(meant) = meant else {
            let known = crate::diag::list(OPTIONS.iter().map(|(option, _)| option));
            errors.on(
                &name,
                format!("unknown option `{word}`; options are {known}"),
            );
            skip_to_comma(input);
            return Ok(());
        };
        errors.on(
            &name,
            format!("unknown option `{word}`; did you mean `{meant}`?"),
        );
        // Taken as what it was meant to be, so that the mistake has no second error. What is wrong with its
        // value is told when it has its name.
        let mut unsaid = Errors::default();
        if self.read_value(meant, name, input, &mut unsaid).is_err() {
            self.failed.push(meant);
            skip_to_comma(input);
        }
        Ok(())
    }

    fn read_value(
        &mut self,
        option: &str,
        name: Ident,
        input: ParseStream<'_>,
        errors: &mut Errors,
    ) -> syn::Result<()> {
        match option {
            "ttl" => {
                let value = match ungroup(value::<Expr>(&name, input)?) {
                    Expr::Closure(closure) => {
                        check_closure(option, &closure)?;
                        Ttl::ByValue(closure)
                    }
                    expr => Ttl::Fixed(Lifetime::parse(option, expr)?),
                };
                set_once(&mut self.ttl, name, value, errors);
            }
            "key" => {
                let literal = string(&name, input)?;
                if let Some(template) = Template::parse(literal, errors) {
                    set_once(&mut self.key, name, template, errors);
                }
            }
            "entry" => {
                let path = function(&name, ungroup(value(&name, input)?))?;
                set_once(&mut self.entry, name, path, errors);
            }
            "key_args" => {
                let paths = names(&name, input)?;
                let paths = paths
                    .iter()
                    .filter_map(|expr| errors.ok(FieldPath::from_expr(expr)));
                let paths = paths.collect();
                set_once(&mut self.key_args, name, paths, errors);
            }
            "skip" => {
                let paths = names(&name, input)?;
                if paths.is_empty() {
                    errors.on(&name, "`skip()` names nothing; write parameters, such as `skip(pool)`, or remove it");
                }
                let skipped = paths.iter().filter_map(|expr| match expr {
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
                let skipped = skipped.collect();
                set_once(&mut self.skip, name, skipped, errors);
            }
            "namespace" => {
                let literal = string(&name, input)?;
                check_namespace(&literal)?;
                set_once(&mut self.namespace, name, literal, errors);
            }
            "version" => {
                let version = version(value(&name, input)?)?;
                set_once(&mut self.version, name, version, errors);
            }
            "cache_if" => {
                let expr = ungroup(value::<Expr>(&name, input)?);
                if let Expr::Closure(closure) = &expr {
                    check_closure(option, closure)?;
                }
                set_once(&mut self.cache_if, name, expr, errors);
            }
            "none_ttl"
            | "timeout"
            | "stale_while_revalidate"
            | "stale_if_error"
            | "soft_timeout" => {
                let lifetime = Lifetime::parse(option, ungroup(value(&name, input)?))?;
                let slot = match option {
                    "none_ttl" => &mut self.none_ttl,
                    "timeout" => &mut self.timeout,
                    "stale_while_revalidate" => &mut self.stale_while_revalidate,
                    "stale_if_error" => &mut self.stale_if_error,
                    _ => &mut self.soft_timeout,
                };
                set_once(slot, name, lifetime, errors);
            }
            "jitter" => {
                let share = jitter(&ungroup(value(&name, input)?))?;
                set_once(&mut self.jitter, name, share, errors);
            }
            "refresh_ahead" => {
                let when = refresh_ahead(&ungroup(value(&name, input)?))?;
                set_once(&mut self.refresh_ahead, name, when, errors);
            }
            "coalesce" => {
                let who = coalesce(&ungroup(value(&name, input)?))?;
                set_once(&mut self.coalesce, name, who, errors);
            }
            "share_errors" => {
                let how = share_errors(ungroup(value(&name, input)?))?;
                set_once(&mut self.share_errors, name, how, errors);
            }
            "cache" => {
                let expr = ungroup(value::<Expr>(&name, input)?);
                set_once(&mut self.cache, name, expr, errors);
            }
            "in_impl" => {
                flag(&name, input)?;
                set_once(&mut self.in_impl, name, (), errors);
            }
            "trait_impl" => {
                flag(&name, input)?;
                set_once(&mut self.trait_impl, name, (), errors);
            }
            "companions" => {
                let companions = companions(value(&name, input)?)?;
                set_once(&mut self.companions, name, companions, errors);
            }
            // `crate`, the last of `OPTIONS`.
            _ => {
                let path = equals(&name, input).and_then(|()| match input.parse::<LitStr>() {
                    Ok(literal) => Err(syn::Error::new_spanned(
                        &literal,
                        format!("`crate` takes a path; write `crate = {}`", literal.value()),
                    )),
                    Err(_) => input.call(Path::parse_mod_style),
                })?;
                set_once(&mut self.krate, name, path, errors);
            }
        }
        Ok(())
    }
}

fn set_once<T>(slot: &mut Option<Given<T>>, name: Ident, value: T, errors: &mut Errors) {
    if slot.is_some() {
        errors.on(&name, format!("`{name}` is set twice; remove this one"));
    } else {
        *slot = Some(Given { name, value });
    }
}

fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        // Not at the end, so there is a token.
        if input.parse::<TokenTree>().is_err() {
            break;
        }
    }
}
