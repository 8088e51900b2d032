//! Messages. **Every error of an attribute is collected and shown, each on the narrowest token.**

use std::fmt::Write as _;

use proc_macro2::{Delimiter, Spacing, Span, TokenStream, TokenTree};
use quote::ToTokens;

/// Every error of one attribute.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            none => *none = Some(error),
        }
    }

    /// An error under all of `tokens`.
    pub(crate) fn on(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    /// An error at `span`, where there is no token to point at.
    pub(crate) fn at(&mut self, span: Span, message: impl std::fmt::Display) {
        self.push(syn::Error::new(span, message));
    }

    /// The value; an error is pushed.
    pub(crate) fn ok<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    pub(crate) fn len(&self) -> usize {
        self.0
            .as_ref()
            .map_or(0, |errors| errors.into_iter().count())
    }

    pub(crate) fn into_error(self) -> Option<syn::Error> {
        self.0
    }
}

/// The candidate that `word` is most likely a misspelling of, if one is near enough.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The number of insertions, deletions, replacements and swaps of neighbours between two words (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let cost = usize::from(from[i - 1] != to[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

/// Names for a message: `` `id`, `db` ``.
pub(crate) fn list<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for name in names {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}`{name}`");
    }
    text
}

/// Tokens as a person writes them: `Result<User, E>`, and not `Result < User , E >`, as `to_string` may do.
pub(crate) fn text(tokens: impl ToTokens) -> String {
    let mut text = String::new();
    write_text(tokens.to_token_stream(), &mut text);
    text
}

fn write_text(tokens: TokenStream, text: &mut String) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{ ", " }"),
                    Delimiter::None => ("", ""),
                };
                if group.delimiter() == Delimiter::Bracket && text.ends_with(char::is_alphanumeric)
                {
                    text.push(' ');
                }
                text.push_str(open);
                write_text(group.stream(), text);
                text.push_str(close);
            }
            TokenTree::Punct(punct) => {
                let character = punct.as_char();
                let follows_operand = text.ends_with(|last: char| {
                    last.is_alphanumeric() || matches!(last, ')' | ']' | '>')
                });
                let joint = punct.spacing() == Spacing::Joint;
                match character {
                    '+' | '*' | '/' | '-' | '=' if follows_operand && joint => {
                        let _ = write!(text, " {character}");
                    }
                    '+' | '*' | '/' | '-' | '=' if follows_operand => {
                        let _ = write!(text, " {character} ");
                    }
                    ',' | ';' if tokens.peek().is_some() => {
                        let _ = write!(text, "{character} ");
                    }
                    '>' if text.ends_with('-') => text.push_str("> "),
                    _ => text.push(character),
                }
            }
            TokenTree::Ident(_) | TokenTree::Literal(_) => {
                let word = token.to_string();
                if text.ends_with(|last: char| last.is_alphanumeric() || matches!(last, '_' | '>'))
                {
                    text.push(' ');
                }
                text.push_str(&word);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::{distance, nearest, text};

    #[test]
    fn the_nearest_name_is_found() {
        let names = ["ttl", "key", "none_ttl", "namespace"];
        assert_eq!(nearest("tll", names), Some("ttl"));
        assert_eq!(nearest("namespcae", names), Some("namespace"));
        assert_eq!(nearest("none", names), None);
        assert_eq!(distance("ab", "ba"), 1);
    }

    #[test]
    fn tokens_read_as_written() {
        let types = quote!(Result<Vec<&'a str>, Box<dyn Error + Send>>);
        assert_eq!(text(types), "Result<Vec<&'a str>, Box<dyn Error + Send>>");
        assert_eq!(text(quote!(60 * 5 - 1)), "60 * 5 - 1");
        assert_eq!(
            text(quote!(Duration::from_secs(5))),
            "Duration::from_secs(5)"
        );
        assert_eq!(text(quote!(fn(u8) -> (u8, u8))), "fn(u8) -> (u8, u8)");
        assert_eq!(text(quote!(&mut [u8; 4])), "&mut [u8; 4]");
        assert_eq!(text(quote!(for<'a> A<'a>)), "for<'a> A<'a>");
    }
}
