//! Key templates, such as `"user:{id}:{self.tenant}"`. **A template that is accepted spells a different key for
//! different values, and never a key of the cache's own**, because those hold a `%`.

use proc_macro2::Span;
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::{Expr, Ident, Index, LitStr, Member};

use crate::diag::{Errors, text};
use crate::ident::{is_keyword, same};
use crate::options::keyword::Keyword;

/// A whole key, over parameters and their fields.
pub(crate) struct Template {
    pub(crate) literal: LitStr,
    pub(crate) pieces: Vec<Piece>,
}

pub(crate) enum Piece {
    Literal(String),
    Field(FieldPath),
}

/// A parameter, or a field of one: `id`, `self.tenant`, `pair.0`.
#[derive(Clone)]
pub(crate) struct FieldPath {
    pub(crate) base: Ident,
    pub(crate) fields: Vec<Member>,
}

pub(super) fn key(
    keyword: &Keyword,
    input: ParseStream<'_>,
    _: &mut Errors,
) -> syn::Result<Template> {
    Template::parse(keyword.string(input)?)
}

/// Parameters, or fields of them.
pub(super) fn key_args(
    keyword: &Keyword,
    input: ParseStream<'_>,
    errors: &mut Errors,
) -> syn::Result<Vec<FieldPath>> {
    let exprs = keyword.names(input)?;
    let paths = exprs
        .iter()
        .filter_map(|expr| errors.ok(FieldPath::from_expr(expr)));
    Ok(paths.collect())
}

impl FieldPath {
    /// Reads the form of `key_args(…)`, an expression.
    pub(crate) fn from_expr(expr: &Expr) -> syn::Result<Self> {
        match expr {
            Expr::Path(path) if path.attrs.is_empty() && path.qself.is_none() => {
                if let Some(base) = path.path.get_ident() {
                    return Ok(Self {
                        base: base.clone(),
                        fields: Vec::new(),
                    });
                }
            }
            Expr::Field(field) => {
                let mut path = Self::from_expr(&field.base)?;
                path.fields.push(field.member.clone());
                return Ok(path);
            }
            _ => {}
        }
        Err(syn::Error::new_spanned(
            expr,
            format!(
                "`{}` is not a parameter or a field of one; write names, such as `key_args(id, user.name)`",
                text(expr)
            ),
        ))
    }

    /// Reads the form of a template, text between braces.
    fn from_text(name: &str, span: Span) -> Result<Self, String> {
        let mut segments = name.split('.');
        // `split` yields at least one segment.
        let base = segments.next().unwrap_or_default();
        if name.is_empty() {
            return Err("`{}` names nothing; write a parameter, such as `{id}`".to_owned());
        }
        if base.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(format!(
                "`{{{name}}}` counts parameters; write the parameter's name, such as `{{id}}`"
            ));
        }
        if let Some((path, _)) = name.split_once(':') {
            return Err(format!(
                "`{{{name}}}` has a format spec, which a key cannot have; write `{{{path}}}`"
            ));
        }
        let unreadable = || {
            format!(
                "`{{{name}}}` is not a parameter or a field of one; write `{{id}}` or `{{user.name}}`"
            )
        };
        let base = ident(base, span).ok_or_else(unreadable)?;
        let fields = segments
            .map(|field| match field.parse::<u32>() {
                Ok(index) if !field.starts_with('+') => {
                    Some(Member::Unnamed(Index { index, span }))
                }
                _ => field_ident(field, span).map(Member::Named),
            })
            .collect::<Option<_>>()
            .ok_or_else(unreadable)?;
        Ok(Self { base, fields })
    }
}

impl From<Ident> for FieldPath {
    fn from(base: Ident) -> Self {
        Self {
            base,
            fields: Vec::new(),
        }
    }
}

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.base)?;
        for field in &self.fields {
            match field {
                Member::Named(name) => write!(f, ".{name}")?,
                Member::Unnamed(index) => write!(f, ".{}", index.index)?,
            }
        }
        Ok(())
    }
}

impl PartialEq for FieldPath {
    fn eq(&self, other: &Self) -> bool {
        same(&self.base, &other.base) && self.fields == other.fields
    }
}

fn ident(word: &str, span: Span) -> Option<Ident> {
    let mut ident = Ident::parse_any.parse_str(word).ok()?;
    ident.set_span(span);
    Some(ident)
}

/// The name of a field; raw if it is a keyword, because nothing but a field can be meant in a template.
fn field_ident(word: &str, span: Span) -> Option<Ident> {
    let ident = ident(word, span)?;
    // `gen` is a keyword in some editions; raw, it is the same name in all of them.
    match word == "gen" || is_keyword(&ident) {
        // The first five have no raw form, and `.await` is no field.
        true => (!["self", "Self", "super", "crate", "_", "await"].contains(&word))
            .then(|| Ident::new_raw(word, span)),
        false => Some(ident),
    }
}

impl Template {
    /// Reads the value of `key`. The error has all that is wrong with it.
    pub(crate) fn parse(literal: LitStr) -> syn::Result<Self> {
        let mut refused: Vec<String> = Vec::new();
        let value = literal.value();
        if value.is_empty() {
            refused.push("`key` is empty; write a template, such as `\"user:{id}\"`".to_owned());
        }
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = value.chars().peekable();
        while let Some(character) = rest.next() {
            match character {
                '{' | '}' if rest.next_if_eq(&character).is_some() => plain.push(character),
                '{' => {
                    let mut name = String::new();
                    let closed = loop {
                        match rest.next() {
                            Some('}') => break true,
                            Some(character) => name.push(character),
                            None => break false,
                        }
                    };
                    if !closed {
                        refused.push(format!(
                            "`{{{name}` has no closing brace; write `{{{name}}}`, or `{{{{` for a literal `{{`"
                        ));
                        break;
                    }
                    if !plain.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut plain)));
                    }
                    match FieldPath::from_text(&name, literal.span()) {
                        Ok(path) => pieces.push(Piece::Field(path)),
                        Err(message) => refused.push(message),
                    }
                }
                '}' => refused
                    .push("a `}` in `key` closes nothing; write `}}` for a literal `}`".to_owned()),
                '%' => refused.push(
                    "`key` cannot hold a `%`, which marks escapes; write another character"
                        .to_owned(),
                ),
                _ => plain.push(character),
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Literal(plain));
        }
        // The next two rules speak of neighbours, and pieces have others where one between them could not be read.
        if refused.is_empty() {
            if let Some(message) = unseparated(&pieces) {
                refused.push(message);
            }
            if !is_one_hash_tag(&pieces) {
                refused.push(
                    "literal braces in `key` must be one hash tag that holds something; write `{{user:{id}}}`, or no literal braces"
                        .to_owned(),
                );
            }
        }
        let mut errors = Errors::default();
        for message in &refused {
            errors.on(&literal, message);
        }
        match errors.into_error() {
            Some(errors) => Err(errors),
            None => Ok(Self { literal, pieces }),
        }
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = &FieldPath> {
        fields(&self.pieces)
    }
}

/// The parameters and fields of a template.
pub(crate) fn fields(pieces: &[Piece]) -> impl Iterator<Item = &FieldPath> {
    pieces.iter().filter_map(|piece| match piece {
        Piece::Field(path) => Some(path),
        Piece::Literal(_) => None,
    })
}

/// A literal before, between and after the fields, as in a format string.
pub(crate) fn literals_and_fields(pieces: &[Piece]) -> (Vec<String>, Vec<&FieldPath>) {
    let mut literals = Vec::new();
    let mut fields = Vec::new();
    let mut last = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(plain) => last.push_str(plain),
            Piece::Field(path) => {
                literals.push(std::mem::take(&mut last));
                fields.push(path);
            }
        }
    }
    literals.push(last);
    (literals, fields)
}

/// Refuses two fields with nothing between them: `{a}{b}` spells `12` for 1 and 2, and for 12 and "".
fn unseparated(pieces: &[Piece]) -> Option<String> {
    pieces.windows(2).find_map(|window| match window {
        [Piece::Field(one), Piece::Field(two)] => Some(format!(
            "`{{{one}}}` and `{{{two}}}` have no text between them; write `{{{one}}}:{{{two}}}`"
        )),
        _ => None,
    })
}

/// Whether there are no literal braces, or one pair with something between.
fn is_one_hash_tag(pieces: &[Piece]) -> bool {
    // A piece is never empty, so any character can stand for it.
    let text = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Literal(plain) => plain.as_str(),
            Piece::Field(_) => "x",
        })
        .collect::<String>();
    let braces = text.matches(['{', '}']).count();
    match (text.find('{'), text.find('}')) {
        (None, None) => true,
        (Some(open), Some(close)) => braces == 2 && open + 1 < close,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;
    use syn::LitStr;

    use super::{Piece, Template};

    fn read(template: &str) -> Result<Vec<String>, Vec<String>> {
        match Template::parse(LitStr::new(template, Span::call_site())) {
            Err(errors) => Err(errors.into_iter().map(|error| error.to_string()).collect()),
            Ok(template) => Ok(template
                .pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Literal(plain) => plain.clone(),
                    Piece::Field(path) => format!("<{path}>"),
                })
                .collect()),
        }
    }

    #[test]
    fn templates_are_read() {
        for (template, pieces) in [
            ("user:{id}", &["user:", "<id>"][..]),
            (
                "{self.tenant}:{pair.0.1}",
                &["<self.tenant>", ":", "<pair.0.1>"],
            ),
            ("{{user:{id}}}:x", &["{user:", "<id>", "}:x"]),
            ("{{{id}}}", &["{", "<id>", "}"]),
            ("{a}-{b}", &["<a>", "-", "<b>"]),
            ("{r#type}", &["<r#type>"]),
            ("{a.r#type}", &["<a.r#type>"]),
            ("{a.type}", &["<a.r#type>"]),
        ] {
            let pieces = pieces.iter().map(ToString::to_string).collect();
            assert_eq!(read(template), Ok(pieces), "{template}");
        }
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        for template in [
            "",
            "{}",
            "{0}",
            "{id:?}",
            "{id",
            "id}",
            "{a}{b}",
            "{{}}",
            "}}{{",
            "{{a",
            "{{a}}{{b}}",
            "100%",
            "{a b}",
            "{a.}",
            "{.a}",
            "{a.await}",
            "{a.self}",
            "{a.+1}",
            "{ id }:{}",
        ] {
            assert!(read(template).is_err(), "{template}");
        }
    }

    #[test]
    fn every_mistake_is_told() {
        assert_eq!(read("{}:{0}:{id:?}").unwrap_err().len(), 3);
    }
}
