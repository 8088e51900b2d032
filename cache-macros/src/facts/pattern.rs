//! Parameters that are patterns, such as `State(pool): State<Pool>`. **An option says the names that the pattern binds in
//! the body; where the key is made the parts are borrowed**, so that the parameter goes to the body whole.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::{Ident, Pat};

use crate::ident::same;

/// The names that `pat` binds, each once; no name at all if `pat` holds a macro, or syntax that is not known here.
pub(crate) fn bound(pat: &Pat) -> Vec<Ident> {
    let mut names = Vec::new();
    match collect(pat, &mut names) {
        Some(()) => names,
        None => Vec::new(),
    }
}

fn collect(pat: &Pat, names: &mut Vec<Ident>) -> Option<()> {
    match pat {
        Pat::Ident(pat) => {
            if !names.iter().any(|name| same(name, &pat.ident)) {
                names.push(pat.ident.clone());
            }
            match &pat.subpat {
                Some((_, inner)) => collect(inner, names),
                None => Some(()),
            }
        }
        Pat::Tuple(pat) => pat.elems.iter().try_for_each(|pat| collect(pat, names)),
        Pat::TupleStruct(pat) => pat.elems.iter().try_for_each(|pat| collect(pat, names)),
        Pat::Slice(pat) => pat.elems.iter().try_for_each(|pat| collect(pat, names)),
        Pat::Struct(pat) => {
            let mut fields = pat.fields.iter();
            fields.try_for_each(|field| collect(&field.pat, names))
        }
        Pat::Or(pat) => pat.cases.iter().try_for_each(|pat| collect(pat, names)),
        Pat::Reference(pat) => collect(&pat.pat, names),
        Pat::Paren(pat) => collect(&pat.pat, names),
        Pat::Path(_) | Pat::Rest(_) | Pat::Wild(_) => Some(()),
        _ => None,
    }
}

/// `pat` as a reference to the parameter is taken apart by it: the names in `used` are bound, as references, and no others.
///
/// Input:  `User { mut id, ref name, .. }`, of which `id` is used
/// Output: `User { id, name: _, .. }`
pub(crate) fn borrowing(pat: &Pat, used: &[Ident]) -> TokenStream {
    let inner = |pat: &Pat| borrowing(pat, used);
    let is_used = |name: &Ident| used.iter().any(|used| same(used, name));
    match pat {
        Pat::Ident(pat) => {
            let name = &pat.ident;
            match (is_used(name), &pat.subpat) {
                (true, None) => name.to_token_stream(),
                (true, Some((at, sub))) => {
                    let sub = inner(sub);
                    quote!(#name #at #sub)
                }
                (false, Some((_, sub))) => inner(sub),
                (false, None) => quote!(_),
            }
        }
        Pat::Tuple(pat) => {
            let elems = pat.elems.iter().map(inner);
            quote!((#(#elems,)*))
        }
        Pat::TupleStruct(pat) => {
            let (path, elems) = (&pat.path, pat.elems.iter().map(inner));
            quote!(#path(#(#elems),*))
        }
        Pat::Slice(pat) => {
            let elems = pat.elems.iter().map(inner);
            quote!([#(#elems),*])
        }
        Pat::Struct(pat) => {
            let (path, rest) = (&pat.path, &pat.rest);
            let fields = pat.fields.iter().map(|field| {
                let (member, inner) = (&field.member, inner(&field.pat));
                // A name that stands for its field stays so, because rustc warns of one that is said twice.
                let is_binding = |pat: &Pat| matches!(pat, Pat::Ident(pat) if is_used(&pat.ident));
                match field.colon_token {
                    None if is_binding(&field.pat) => quote!(#inner,),
                    _ => quote!(#member: #inner,),
                }
            });
            quote!(#path { #(#fields)* #rest })
        }
        Pat::Or(pat) => {
            let cases = pat.cases.iter().map(inner);
            quote!((#(#cases)|*))
        }
        // Matching a reference to the parameter makes every binding a reference, also one behind a `&` of the pattern.
        Pat::Reference(pat) => inner(&pat.pat),
        Pat::Paren(pat) => inner(&pat.pat),
        pat => pat.to_token_stream(),
    }
}

#[cfg(test)]
mod tests {
    use syn::Pat;
    use syn::parse::Parser as _;

    use super::{borrowing, bound};
    use crate::diag::text;

    fn read(source: &str) -> Pat {
        Pat::parse_multi.parse_str(source).unwrap()
    }

    #[test]
    fn names_are_what_the_body_can_say() {
        for (source, names) in [
            ("State(pool)", "pool"),
            ("Path((tenant, mut id))", "tenant id"),
            ("User { id, name: ref called, .. }", "id called"),
            ("whole @ [first, .., (second, _)]", "whole first second"),
            ("&(a, b)", "a b"),
            ("(Ok(value) | Err(value))", "value"),
            ("State(_)", ""),
            ("(a, taken!(b))", ""),
        ] {
            let found: Vec<_> = bound(&read(source)).iter().map(text).collect();
            assert_eq!(found.join(" "), names, "{source}");
        }
    }

    #[test]
    fn what_is_not_used_is_not_bound() {
        let used = [syn::parse_str("id").unwrap()];
        for (source, written) in [
            ("State(id)", "State(id)"),
            ("State(pool)", "State(_)"),
            ("Path((tenant, mut id))", "Path((_, id,))"),
            ("User { ref id, name, .. }", "User { id, name: _, .. }"),
            ("User { number: mut id }", "User { number: id, }"),
            ("User { id: Id(id) }", "User { id: Id(id), }"),
            ("whole @ [id, ..]", "[id, ..]"),
            ("&(id, b)", "(id, _,)"),
            ("(Ok(id) | Err(id))", "(Ok(id) | Err(id))"),
        ] {
            let written: proc_macro2::TokenStream = written.parse().unwrap();
            assert_eq!(
                borrowing(&read(source), &used).to_string(),
                written.to_string(),
                "{source}"
            );
        }
    }
}
