//! The namespace of a function: the compiler's path of an item inside it, as one segment of the key.
//!
//! The one rule: **two functions have two namespaces, or none at all.**
//!
//! | the compiler's path | namespace |
//! |---|---|
//! | `app::users::__redis_cached_call_get_user_add_in_impl_or_trait_impl::__REDIS_CACHED_SITE::here` | `app.users.get_user` |
//! | `app::users::get_user::__REDIS_CACHED_SITE::here` | `app.users.get_user` |
//! | `app::Repo::get::…`, called with `Self` = `app::Repo` | `app.Repo.get` |
//! | `app::Repo<_>::get::…`, called with `Self` = `app::Repo<u8>` | `app.Repo<u8>.get` |
//! | `<app::Repo as app::Get<u8>>::get::…` | `<app.Repo-as-app.Get<u8>>.get` |
//! | `app::get::…`, called with `T` = `Vec<u8>` | `app.get<alloc.vec.Vec<u8>>` |
//!
//! The compiler writes `_`, or the bare name of a const parameter, for what an impl leaves open. In the impl's own type
//! `Self` fills that in. In the arguments of a trait nothing does, so such a function has no namespace unless the user
//! pins one.

use super::{KeyError, KeyFault, digest};

/// The most bytes that the names of types have together. Longer ones are replaced by their digest.
const LONGEST: usize = 200;

/// A function's namespace, up to the types it is called with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Namespace {
    pinned: Option<String>,
    before: String,
    /// The module, type or function that the function stands in, as the compiler writes it; in an impl, that is its `Self`.
    own: String,
    after: String,
    /// Whether the path leaves something open that no type fills in.
    open: bool,
}

impl Namespace {
    /// The namespace that follows from the path of an item inside `function`, or inside its generated sibling.
    pub(crate) fn of_path(path: &str, function: &str) -> Self {
        let mut around = segments(path);
        around.pop(); // the item that the path is of
        around.retain(|segment| !["{{closure}}", "__REDIS_CACHED_SITE"].contains(segment));
        around.pop(); // the function or its sibling
        let (left, own, right, of) = surroundings(&around);
        let mut before = String::new();
        normalise(&left, &mut before);
        let mut after = String::new();
        normalise(&right, &mut after);
        after.push('.');
        normalise(function.trim_start_matches("r#"), &mut after);
        Self {
            pinned: None,
            before,
            own,
            after,
            open: around.contains(&"_") || idents(of).any(|ident| ident.open),
        }
    }

    /// This namespace under the name that the user pinned. The types that the function's impl leaves open still count.
    pub(crate) fn pinned(self, namespace: &str) -> Self {
        Self {
            pinned: Some(namespace.to_owned()),
            ..self
        }
    }

    /// Appends the namespace for a call with these types: `Self` first, where there is one, then the generic ones.
    ///
    /// # Errors
    ///
    /// If the compiler's names do not tell this function, or these types, from others.
    pub(crate) fn write(&self, types: &[&str], out: &mut String) -> Result<(), KeyError> {
        let unnamed = || Err(KeyError::of(KeyFault::Unnamed));
        // All closures of one function have one name.
        let nameless = |name: &str| {
            name.contains('{') || idents(name).any(|ident| ident.open && ident.text == "_")
        };
        if types.iter().any(|name| nameless(name)) {
            return unnamed();
        }
        let told = types
            .split_first()
            .filter(|(first, _)| fits(&self.own, first));
        let (own, others) = told.map_or((self.own.as_str(), types), |(first, others)| {
            (*first, others)
        });
        let names = match &self.pinned {
            Some(namespace) => {
                out.push_str(namespace);
                if own == self.own { others } else { types }
            }
            None if self.open || told.is_none() && unfilled(own) => return unnamed(),
            None => {
                out.push_str(&self.before);
                normalise(own, out);
                out.push_str(&self.after);
                others
            }
        };
        push_types(names, out);
        Ok(())
    }
}

fn push_types(types: &[&str], out: &mut String) {
    if types.is_empty() {
        return;
    }
    let mut names = String::new();
    for name in types {
        if !names.is_empty() {
            names.push(',');
        }
        normalise(name, &mut names);
    }
    if names.len() > LONGEST {
        // No type's name begins with `#`.
        names = format!("#{}", digest(&names));
    }
    out.extend(["<", &names, ">"]);
}

/// The surroundings of a function, in four parts: the text before the type of its impl, that type, the text after it, and
/// the trait in that text. A path without brackets counts as the type, because it may be a module's or a type's.
fn surroundings<'a>(around: &[&'a str]) -> (String, String, String, &'a str) {
    let Some((last, modules)) = around.split_last() else {
        return Default::default();
    };
    let Some(header) = last
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'))
    else {
        return match modules {
            // Only the crate's root has no path.
            [] => ((*last).to_owned(), String::new(), String::new(), ""),
            _ => (String::new(), around.join("::"), String::new(), ""),
        };
    };
    let modules: String = modules.iter().flat_map(|module| [module, "::"]).collect();
    let (left, own, right, of) = match header.strip_prefix("impl ") {
        Some(header) => match split(header, " for ") {
            Some((of, own)) => (format!("{modules}<impl {of} for "), own, ">".to_owned(), of),
            None => (format!("{modules}<impl "), header, ">".to_owned(), ""),
        },
        None => match split(header, " as ") {
            Some((own, of)) => (format!("{modules}<"), own, format!(" as {of}>"), of),
            None => (format!("{modules}<"), header, ">".to_owned(), ""),
        },
    };
    (left, own.to_owned(), right, of)
}

/// Appends a path or a type's name without `:` `%` `@` `{` `}` and white space, one to one: `::` becomes `.`, a space
/// `-`, the space after a comma goes, and any other character that has no place in a key becomes `~`, its code point and
/// `~`.
fn normalise(name: &str, out: &mut String) {
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let (text, len) = match c {
            _ if rest.starts_with("::") => (".", 2),
            _ if rest.starts_with(" -> ") => ("->", 4),
            _ if rest.starts_with(", ") => (",", 2),
            _ if rest.starts_with("; ") => (";", 2),
            ' ' => ("-", 1),
            _ if c.is_alphanumeric() || "_<>()[],;&*+=#!".contains(c) => {
                (&rest[..c.len_utf8()], c.len_utf8())
            }
            _ => ("", c.len_utf8()),
        };
        if text.is_empty() {
            out.push_str(&format!("~{:x}~", u32::from(c)));
        } else {
            out.push_str(text);
        }
        rest = &rest[len..];
    }
}

/// Whether `name` can be the type that the path calls `pattern`: both are alike up to where the pattern leaves something
/// open. The text after that may differ, because the compiler leaves a default argument out of a type's name but not out
/// of a path.
fn fits(pattern: &str, name: &str) -> bool {
    let Some(open) = idents(pattern).find(|ident| ident.open) else {
        return pattern == name;
    };
    let generic = pattern.find('<').unwrap_or(open.at).min(open.at);
    name.strip_prefix(&pattern[..generic])
        .is_some_and(|rest| generic == open.at || rest.is_empty() || rest.starts_with('<'))
}

/// Whether a function directly in `own` has no namespace without its `Self`. Parts that an outer impl leaves open do not
/// matter, because items inside a function know nothing of them.
fn unfilled(own: &str) -> bool {
    let inner = segments(own).last().map_or(0, |last| last.len());
    idents(own).any(|ident| ident.open && ident.at >= own.len() - inner)
}

/// A word in a path or in a type's name.
struct Ident<'a> {
    at: usize,
    text: &'a str,
    /// Whether it is neither a name with a path nor a word of the language, but a parameter that is left open.
    open: bool,
}

fn idents(text: &str) -> impl Iterator<Item = Ident<'_>> {
    const WORDS: [&str; 31] = [
        "as", "bool", "char", "const", "dyn", "extern", "f128", "f16", "f32", "f64", "false", "fn",
        "for", "i128", "i16", "i32", "i64", "i8", "impl", "isize", "mut", "str", "true", "u128",
        "u16", "u32", "u64", "u8", "unsafe", "usize", "where",
    ];
    let word = |c: char| c.is_alphanumeric() || c == '_';
    text.split(move |c| !word(c))
        .filter(|word| !word.is_empty())
        .map(move |word| {
            // `split` lends parts of `text`, so the distance is an index.
            let at = word.as_ptr() as usize - text.as_ptr() as usize;
            let (before, after) = (&text[..at], &text[at + word.len()..]);
            let named = before.ends_with("::")
                || before.ends_with(['\'', '"'])
                || after.starts_with("::")
                || after.starts_with(" =")
                || word.starts_with(|c: char| c.is_ascii_digit());
            Ident {
                at,
                text: word,
                open: word == "_" && !before.ends_with('\'') || !named && !WORDS.contains(&word),
            }
        })
}

/// Splits a path at the `::` that stand outside all brackets.
fn segments(path: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = path;
    while let Some((segment, after)) = split(rest, "::") {
        found.push(segment);
        rest = after;
    }
    found.push(rest);
    found
}

/// Splits at the first `separator` that stands outside all brackets.
fn split<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    text.match_indices(separator)
        .find(|(at, _)| depth(&text[..*at]) == 0)
        .map(|(at, _)| (&text[..at], &text[at + separator.len()..]))
}

/// How many brackets are open at the end of `text`; the `>` of `->` closes none.
fn depth(text: &str) -> i32 {
    let mut before = ' ';
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '<' | '(' | '[' | '{' => depth += 1,
            '>' if before == '-' => {}
            '>' | ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        before = c;
    }
    depth
}
