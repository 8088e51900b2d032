//! The options, one row each. **Every option ends in a value or in an error**: none is dropped, and an option that
//! cannot be read does not hide the next.
//!
//! A new option is a row of the table here, with a section of its name in the documentation of `#[redis_cached]`, a rule
//! in [`rules`](crate::rules) if it can contradict something, and what it becomes in [`emit`](crate::emit).

pub(crate) mod duration;
pub(crate) mod expression;
pub(crate) mod fraction;
mod keyword;
pub(crate) mod template;
pub(crate) mod value;

use proc_macro2::{TokenStream, TokenTree};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::{Expr, ExprPath, Ident, Lit, LitStr, Path, Token};

use self::duration::Period;
use self::fraction::RefreshAhead;
use self::keyword::Keyword;
use self::template::{FieldPath, Template};
use self::value::{Coalesce, Companions, ShareErrors, Ttl};
use crate::diag::{Errors, list, nearest, text};

/// Declares [`Options`] and [`ROWS`].
macro_rules! options {
    ($($field:ident: $value:ty = $name:literal, $example:literal, $aliases:expr, $read:path;)*) => {
        /// What the attribute says.
        #[derive(Default)]
        pub(crate) struct Options {
            $(pub(crate) $field: Setting<$value>,)*
        }

        /// Every option, in the order of the documentation.
        static ROWS: &[Row] = &[$(Row {
            name: $name,
            example: $example,
            aliases: &$aliases,
            read: |options, keyword, input, errors| {
                options.$field.read($read, keyword, input, errors)
            },
        },)*];
    };
}

// The option's field and its type; its name, under which it is documented, how it is written, what other caches call
// it, and what reads its value.
options! {
    ttl: Ttl = "ttl", "ttl = 300", ["expire", "expires", "expiry", "time", "time_to_live"], value::ttl;
    key: Template = "key", "key = \"user:{id}\"", [], template::key;
    entry: ExprPath = "entry", "entry = users::get_user", [], value::entry;
    key_args: Vec<FieldPath> = "key_args", "key_args(id)", ["args"], template::key_args;
    skip: Vec<Ident> = "skip", "skip(pool)", ["ignore", "exclude"], value::skip;
    namespace: LitStr = "namespace", "namespace = \"users\"", ["prefix", "name"], value::namespace;
    version: u64 = "version", "version = 2", [], value::version;
    cache_if: Expr = "cache_if", "cache_if = |value| value.active", ["condition", "when"], value::cache_if;
    none_ttl: Period = "none_ttl", "none_ttl = 60", [], duration::period;
    timeout: Period = "timeout", "timeout = \"50ms\"", [], duration::period;
    jitter: f64 = "jitter", "jitter = 0.1", [], fraction::jitter;
    stale_while_revalidate: Period =
        "stale_while_revalidate", "stale_while_revalidate = \"1m\"", ["swr", "stale"], duration::period;
    stale_if_error: Period = "stale_if_error", "stale_if_error = \"1h\"", ["fail_safe"], duration::period;
    soft_timeout: Period = "soft_timeout", "soft_timeout = \"100ms\"", [], duration::period;
    refresh_ahead: RefreshAhead =
        "refresh_ahead", "refresh_ahead = 0.8", ["early_refresh", "xfetch"], fraction::refresh_ahead;
    coalesce: Coalesce = "coalesce", "coalesce = \"cluster\"", [], value::coalesce;
    share_errors: ShareErrors = "share_errors", "share_errors = none", [], value::share_errors;
    cache: Expr = "cache", "cache = my_cache()", [], value::expression;
    in_impl: () = "in_impl", "in_impl", [], value::flag;
    trait_impl: () = "trait_impl", "trait_impl", [], value::flag;
    companions: Companions = "companions", "companions = none", [], value::companions;
    krate: Path = "crate", "crate = ::cache_runtime", [], value::krate;
}

/// Options to come, so that nobody who read of them is told of a typing mistake.
const PLANNED: [&str; 8] = [
    "near",
    "local",
    "tags",
    "clearable",
    "batch",
    "codec",
    "compress",
    "encrypt",
];

/// What is known of an option before it is read.
struct Row {
    name: &'static str,
    example: &'static str,
    aliases: &'static [&'static str],
    read: fn(&mut Options, Keyword, ParseStream<'_>, &mut Errors) -> syn::Result<()>,
}

/// Reads the value of an option. What is wrong with all of it is returned, what is wrong with a part is pushed.
type Read<T> = fn(&Keyword, ParseStream<'_>, &mut Errors) -> syn::Result<T>;

/// What the attribute says of one option.
pub(crate) struct Setting<T> {
    given: Option<Given<T>>,
    has_failed: bool,
}

/// A value, and the name that it was given under.
pub(crate) struct Given<T> {
    pub(crate) name: Ident,
    pub(crate) value: T,
}

impl<T> Default for Setting<T> {
    fn default() -> Self {
        Self {
            given: None,
            has_failed: false,
        }
    }
}

impl<T> Setting<T> {
    pub(crate) fn given(&self) -> Option<&Given<T>> {
        self.given.as_ref()
    }

    pub(crate) fn value(&self) -> Option<&T> {
        self.given().map(|given| &given.value)
    }

    /// The option's name, where it stands.
    pub(crate) fn name(&self) -> Option<&Ident> {
        self.given().map(|given| &given.name)
    }

    pub(crate) fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// Whether the option stands there and could not be read, or not all of it. No rule speaks of its absence then.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Whether the option does not stand there at all.
    pub(crate) fn is_absent(&self) -> bool {
        !self.is_given() && !self.has_failed
    }

    fn read(
        &mut self,
        read: Read<T>,
        keyword: Keyword,
        input: ParseStream<'_>,
        errors: &mut Errors,
    ) -> syn::Result<()> {
        let before = errors.len();
        let value = read(&keyword, input, errors);
        let result = value.map(|value| self.set_once(keyword.name, value, errors));
        self.has_failed |= result.is_err() || errors.len() > before;
        result
    }

    fn set_once(&mut self, name: Ident, value: T, errors: &mut Errors) {
        match &self.given {
            Some(_) => errors.on(&name, format!("`{name}` is set twice; remove this one")),
            None => self.given = Some(Given { name, value }),
        }
    }
}

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

    fn read_one(&mut self, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
        if !input.peek(Ident::peek_any) {
            return Err(self.nameless(input));
        }
        let name = input.call(Ident::parse_any)?;
        let word = name.to_string();
        if let Some(row) = ROWS.iter().find(|row| row.name == word) {
            return self.read_row(row, name, input, errors);
        }
        if PLANNED.contains(&word.as_str()) {
            errors.on(&name, format!("`{word}` is not supported yet; remove it"));
            skip_to_comma(input);
            return Ok(());
        }
        let Some(row) = meant(&word) else {
            let known = list(ROWS.iter().map(|row| row.name));
            errors.on(
                &name,
                format!("unknown option `{word}`; options are {known}"),
            );
            skip_to_comma(input);
            return Ok(());
        };
        errors.on(
            &name,
            format!("unknown option `{word}`; did you mean `{}`?", row.name),
        );
        // The option is read as the one that was meant, so that the mistake has no second error. Errors in its value
        // are not told before it has its name.
        let mut unsaid = Errors::default();
        if self.read_row(row, name, input, &mut unsaid).is_err() {
            skip_to_comma(input);
        }
        Ok(())
    }

    fn read_row(
        &mut self,
        row: &Row,
        name: Ident,
        input: ParseStream<'_>,
        errors: &mut Errors,
    ) -> syn::Result<()> {
        let keyword = Keyword {
            name,
            option: row.name,
            example: row.example,
        };
        (row.read)(self, keyword, input, errors)
    }

    /// The error of what is no option, as it has no name. A number, and a string that begins with one, are taken for the
    /// ttl.
    fn nameless(&mut self, input: ParseStream<'_>) -> syn::Error {
        let span = input.span();
        let is_period = |literal: &Lit| match literal {
            Lit::Int(_) => true,
            Lit::Str(text) => text.value().starts_with(|c: char| c.is_ascii_digit()),
            _ => false,
        };
        let message = match input.parse::<Lit>() {
            Ok(period) if is_period(&period) => {
                self.ttl.has_failed = true;
                format!("an option has a name; write `ttl = {}`", text(&period))
            }
            _ => "an option has a name; write one, such as `ttl = 300`".to_owned(),
        };
        syn::Error::new(span, message)
    }
}

/// The option that `word` was meant to be.
fn meant(word: &str) -> Option<&'static Row> {
    let aliased = ROWS.iter().find(|row| row.aliases.contains(&word));
    aliased.or_else(|| {
        let name = nearest(word, ROWS.iter().map(|row| row.name))?;
        ROWS.iter().find(|row| row.name == name)
    })
}

fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        // Not at the end, so there is a token.
        if input.parse::<TokenTree>().is_err() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ROWS;

    #[test]
    fn every_option_is_documented_under_its_name() {
        let documented: Vec<_> = include_str!("lib.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("/// ## `")?.strip_suffix('`'))
            .collect();
        let options: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(documented, options);
    }

    #[test]
    fn a_word_means_one_option() {
        let mut words: Vec<_> = ROWS
            .iter()
            .flat_map(|row| row.aliases.iter().chain([&row.name]))
            .collect();
        words.sort_unstable();
        let all = words.len();
        words.dedup();
        assert_eq!(words.len(), all, "{words:?}");
    }
}
