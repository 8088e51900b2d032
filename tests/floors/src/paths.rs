//! The paths that a piece of code writes.
//!
//! **Tokens are enough**: a path is names with `::` between them, in an expression, a type, a `use`, or a macro's
//! arguments, where no parser of the whole language can tell what they are.

use proc_macro2::{Delimiter, Literal, TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::{LitStr, Meta, Token, UseTree};

/// A path as it is written, and the line where it begins.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) names: Vec<String>,
    pub(crate) line: usize,
}

/// One name that a `use` brings into scope.
#[derive(Debug)]
pub(crate) struct Used {
    /// The name in scope; `None` for all that a module has (`*`).
    pub(crate) name: Option<String>,
    pub(crate) path: Written,
    /// The path begins with `::`, so that it names another crate.
    pub(crate) is_outside: bool,
}

/// The macros whose arguments are code for another crate.
const QUOTES: [&str; 4] = [
    "quote",
    "quote_spanned",
    "parse_quote",
    "parse_quote_spanned",
];

/// Every path in `tokens`, without what is `#[cfg(test)]`.
pub(crate) fn written(tokens: TokenStream) -> Vec<Written> {
    let mut found = Vec::new();
    walk(tokens, &mut found);
    found
}

/// What a `use` brings into scope.
pub(crate) fn used(tree: &UseTree, line: usize, is_outside: bool) -> Vec<Used> {
    let mut found = Vec::new();
    flatten(tree, &mut Vec::new(), &mut |names, name| {
        let path = Written {
            names: names.to_vec(),
            line,
        };
        found.push(Used {
            name,
            path,
            is_outside,
        });
    });
    found
}

fn flatten(
    tree: &UseTree,
    before: &mut Vec<String>,
    found: &mut impl FnMut(&[String], Option<String>),
) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, found);
            before.pop();
        }
        UseTree::Group(group) => group
            .items
            .iter()
            .for_each(|tree| flatten(tree, before, found)),
        UseTree::Glob(_) => found(before, None),
        UseTree::Name(name) => one(name.ident.to_string(), None, before, found),
        UseTree::Rename(name) => one(
            name.ident.to_string(),
            Some(name.rename.to_string()),
            before,
            found,
        ),
    }
}

/// `a::b`, `a::{self}`, each perhaps `as` another name.
fn one(
    name: String,
    renamed: Option<String>,
    before: &mut Vec<String>,
    found: &mut impl FnMut(&[String], Option<String>),
) {
    let is_self = name == "self" && !before.is_empty();
    if !is_self {
        before.push(name);
    }
    let in_scope = renamed.or_else(|| before.last().cloned());
    found(before, in_scope);
    if !is_self {
        before.pop();
    }
}

fn walk(tokens: TokenStream, found: &mut Vec<Written>) {
    let trees: Vec<_> = tokens.into_iter().collect();
    let mut at = 0;
    while at < trees.len() {
        at = match &trees[at] {
            TokenTree::Punct(punct)
                if punct.as_char() == '#' && is_test_attribute(trees.get(at + 1)) =>
            {
                after_item(&trees, at + 2)
            }
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                attribute(trees.get(at + 1), found);
                at + 1
            }
            TokenTree::Ident(ident) if ident == "use" => match use_item(&trees[at + 1..]) {
                Some((tree, length)) => {
                    let line = ident.span().start().line;
                    found.extend(used(&tree, line, false).into_iter().map(|used| used.path));
                    at + 1 + length
                }
                // `use<'a>` in a bound.
                None => at + 1,
            },
            TokenTree::Ident(ident) if is_quote(&ident.to_string(), &trees, at) => at + 3,
            TokenTree::Ident(_) => path(&trees, at, found),
            TokenTree::Group(group) => {
                walk(group.stream(), found);
                at + 1
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => at + 1,
        };
    }
}

/// Whether this is `[cfg(test)]` or alike.
fn is_test_attribute(tree: Option<&TokenTree>) -> bool {
    matches!(tree, Some(TokenTree::Group(group))
        if group.delimiter() == Delimiter::Bracket && is_test_cfg(&group.stream()))
}

/// Reads the paths that stand in an attribute as text, as in `#[serde(with = "crate::value")]`.
fn attribute(tree: Option<&TokenTree>, found: &mut Vec<Written>) {
    let Some(TokenTree::Group(group)) = tree else {
        return;
    };
    let mut first = group.stream().into_iter();
    let is_comment = matches!(first.next(), Some(TokenTree::Ident(name)) if name == "doc");
    if group.delimiter() == Delimiter::Bracket && !is_comment {
        texts(group.stream(), found);
    }
}

fn texts(tokens: TokenStream, found: &mut Vec<Written>) {
    for tree in tokens {
        match tree {
            TokenTree::Group(group) => texts(group.stream(), found),
            TokenTree::Literal(literal) => text(&literal, found),
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}

fn text(literal: &Literal, found: &mut Vec<Written>) {
    let written: Result<LitStr, _> = syn::parse2(TokenTree::from(literal.clone()).into());
    if let Ok(path) = written
        && ["crate::", "super::", "self::"]
            .iter()
            .any(|first| path.value().starts_with(first))
        && let Ok(path) = path.parse::<TokenStream>()
    {
        walk(path, found);
    }
}

/// Whether an attribute with these tokens leaves an item to tests, as `cfg(test)` and `cfg(all(test, unix))` do: no
/// other build has it.
pub(crate) fn is_test_cfg(attribute: &TokenStream) -> bool {
    let Ok(Meta::List(attribute)) = syn::parse2(attribute.clone()) else {
        return false;
    };
    let condition = attribute.parse_args::<Meta>();
    attribute.path.is_ident("cfg") && condition.is_ok_and(|it| holds(&it) == Some(false))
}

/// Whether a condition holds in a build without tests; `None` where that depends on the build.
fn holds(condition: &Meta) -> Option<bool> {
    let Meta::List(list) = condition else {
        return condition.path().is_ident("test").then_some(false);
    };
    let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
    let parts: Vec<_> = parts.ok()?.iter().map(holds).collect();
    let of_all = |decides: bool| {
        if parts.contains(&Some(decides)) {
            Some(decides)
        } else {
            (!parts.contains(&None)).then_some(!decides)
        }
    };
    match list.path.get_ident()?.to_string().as_str() {
        "not" => parts.first().copied().flatten().map(|holds| !holds),
        "all" => of_all(false),
        "any" => of_all(true),
        _ => None,
    }
}

/// Whether `tokens` take in another file's.
pub(crate) fn includes(tokens: TokenStream) -> bool {
    let mut was_include = false;
    tokens.into_iter().any(|tree| {
        let is_called =
            was_include && matches!(&tree, TokenTree::Punct(punct) if punct.as_char() == '!');
        was_include = matches!(&tree, TokenTree::Ident(name) if name == "include");
        is_called || matches!(tree, TokenTree::Group(group) if includes(group.stream()))
    })
}

/// Where an item ends that an attribute stands before: after its block, or after `;` or `,`.
fn after_item(trees: &[TokenTree], begin: usize) -> usize {
    let ends = |tree: &TokenTree| match tree {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => matches!(punct.as_char(), ';' | ','),
        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
    };
    let length = trees[begin.min(trees.len())..].iter().position(ends);
    length.map_or(trees.len(), |length| begin + length + 1)
}

/// A `use` inside a function, and how many tokens it has after its first word.
fn use_item(trees: &[TokenTree]) -> Option<(UseTree, usize)> {
    let is_end =
        |tree: &TokenTree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ';');
    let end = trees.iter().position(is_end)?;
    let tokens: TokenStream = trees[..end].iter().cloned().collect();
    Some((syn::parse2(tokens).ok()?, end + 1))
}

fn is_quote(name: &str, trees: &[TokenTree], at: usize) -> bool {
    let is_called =
        matches!(trees.get(at + 1), Some(TokenTree::Punct(punct)) if punct.as_char() == '!');
    is_called && QUOTES.contains(&name)
}

/// Reads the path that begins `at`, and returns where it ends.
fn path(trees: &[TokenTree], at: usize, found: &mut Vec<Written>) -> usize {
    let TokenTree::Ident(first) = &trees[at] else {
        return at + 1;
    };
    let mut names = vec![first.to_string()];
    let mut end = at + 1;
    while is_separator(trees, end) {
        let Some(TokenTree::Ident(name)) = trees.get(end + 2) else {
            break;
        };
        names.push(name.to_string());
        end += 3;
    }
    // Of `::name`, `.name` and `#name` the first is another crate's, the others are no paths.
    let before = at.checked_sub(1).map(|before| &trees[before]);
    let continues = matches!(before, Some(TokenTree::Punct(punct)) if matches!(punct.as_char(), ':' | '.' | '#'))
        && !is_type_after_colon(trees, at)
        && !is_after_range(trees, at);
    if names.len() > 1 && !continues {
        found.push(Written {
            names,
            line: first.span().start().line,
        });
    }
    end
}

/// Whether the colon before `at` stands alone, as in `field: Type`.
fn is_type_after_colon(trees: &[TokenTree], at: usize) -> bool {
    let is_colon = |at: Option<usize>| {
        at.is_some_and(|at| matches!(&trees[at], TokenTree::Punct(punct) if punct.as_char() == ':'))
    };
    is_colon(at.checked_sub(1)) && !is_colon(at.checked_sub(2))
}

/// Whether the dot before `at` is the second of a range's or a struct's rest, as in `..Default::default()`.
fn is_after_range(trees: &[TokenTree], at: usize) -> bool {
    let dots = at.checked_sub(2).map(|first| &trees[first..at]);
    dots.is_some_and(|dots| {
        let is_dot =
            |tree: &TokenTree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == '.');
        dots.iter().all(is_dot)
    })
}

fn is_separator(trees: &[TokenTree], at: usize) -> bool {
    let is_colon = |tree: Option<&TokenTree>| matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    is_colon(trees.get(at)) && is_colon(trees.get(at + 1))
}
