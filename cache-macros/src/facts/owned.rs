//! How an argument outlives its call. **It is moved; or it is one reference, and what that points to is copied**; a borrow
//! anywhere else is refused, with the type to write instead.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::visit::{self, Visit};
use syn::{
    GenericArgument, Lifetime, PathArguments, Type, TypeParamBound, TypeReference, parse_quote,
};

use crate::facts::shape::ungroup;

/// How a run in the background gets an argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    Moved,
    /// What the reference points to is copied, and lent again.
    Copied,
}

/// How an argument of this type outlives its call. The error is the type to write instead.
pub(crate) fn passing(ty: &Type) -> Result<Passing, Box<Type>> {
    let borrows = borrows(ty);
    if borrows.mutable {
        return Err(owned(ty).into());
    }
    if !borrows.any {
        return Ok(Passing::Moved);
    }
    match ungroup(ty) {
        Type::Reference(reference) if !is_static(reference) => match ungroup(&reference.elem) {
            Type::TraitObject(_) => Err(owned(ty).into()),
            inner if self::borrows(inner).any => {
                let inner = match inner {
                    // `&&str` needs one of its references.
                    Type::Reference(reference) => without_borrows(&reference.elem),
                    inner => without_borrows(inner),
                };
                Err(Box::new(parse_quote!(&#inner)))
            }
            _ => Ok(Passing::Copied),
        },
        ty => Err(owned(ty).into()),
    }
}

/// What a type borrows.
#[derive(Default)]
struct Borrows {
    any: bool,
    /// A `&mut` stands in the type.
    mutable: bool,
    /// Lifetimes that a `for<…>` around the place introduces.
    bound: Vec<Ident>,
}

/// What a type borrows, as far as it says so.
fn borrows(ty: &Type) -> Borrows {
    let mut borrows = Borrows::default();
    borrows.visit_type(ty);
    borrows
}

fn is_static(reference: &TypeReference) -> bool {
    let lifetime = reference.lifetime.as_ref();
    lifetime.is_some_and(|lifetime| lifetime.ident == "static")
}

impl<'ast> Visit<'ast> for Borrows {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        self.any |= reference.lifetime.is_none();
        self.mutable |= reference.mutability.is_some();
        visit::visit_type_reference(self, reference);
    }
    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        self.any |= lifetime.ident != "static" && !self.bound.contains(&lifetime.ident);
    }
    fn visit_trait_bound(&mut self, bound: &'ast syn::TraitBound) {
        let outside = self.bound.len();
        let lifetimes = bound.lifetimes.iter().flat_map(|bound| &bound.lifetimes);
        self.bound.extend(lifetimes.filter_map(|param| match param {
            syn::GenericParam::Lifetime(param) => Some(param.lifetime.ident.clone()),
            _ => None,
        }));
        self.visit_path(&bound.path);
        self.bound.truncate(outside);
    }
    // The lifetimes in the type of a function pointer, and in `Fn(&str)`, are its own.
    fn visit_type_bare_fn(&mut self, _: &'ast syn::TypeBareFn) {}
    fn visit_parenthesized_generic_arguments(
        &mut self,
        _: &'ast syn::ParenthesizedGenericArguments,
    ) {
    }
}

/// `ty` with all that it borrows owned: `String` for `&str`, `Option<String>` for `Option<&str>`.
fn owned(ty: &Type) -> Type {
    match ungroup(ty) {
        Type::Reference(reference) if !is_static(reference) => owned_target(&reference.elem),
        ty => without_borrows(ty),
    }
}

/// The type that owns a `target` which stands behind a reference.
fn owned_target(target: &Type) -> Type {
    match ungroup(target) {
        Type::Path(path) if path.path.is_ident("str") => parse_quote!(String),
        Type::Slice(slice) => {
            let elem = owned(&slice.elem);
            parse_quote!(Vec<#elem>)
        }
        object @ Type::TraitObject(_) => {
            let object = without_borrows(object);
            parse_quote!(Arc<#object>)
        }
        target => owned(target),
    }
}

/// `ty`, which is no reference, with all that it holds owned.
fn without_borrows(ty: &Type) -> Type {
    match ungroup(ty) {
        Type::Slice(slice) => {
            let mut slice = slice.clone();
            *slice.elem = owned(&slice.elem);
            Type::Slice(slice)
        }
        Type::Array(array) => {
            let mut array = array.clone();
            *array.elem = owned(&array.elem);
            Type::Array(array)
        }
        Type::Tuple(tuple) => {
            let mut tuple = tuple.clone();
            tuple.elems.iter_mut().for_each(|elem| *elem = owned(elem));
            Type::Tuple(tuple)
        }
        Type::Path(path) => {
            let mut path = path.clone();
            let Some(last) = path.path.segments.last_mut() else {
                return Type::Path(path);
            };
            let PathArguments::AngleBracketed(arguments) = &mut last.arguments else {
                return Type::Path(path);
            };
            let mut lent = false;
            for argument in &mut arguments.args {
                match argument {
                    GenericArgument::Type(ty) => *ty = owned(ty),
                    GenericArgument::Lifetime(lifetime) => {
                        lent |= lifetime.ident != "static";
                        *lifetime = parse_quote!('static);
                    }
                    _ => {}
                }
            }
            match arguments.args.last() {
                Some(GenericArgument::Type(inner)) if lent && last.ident == "Cow" => {
                    owned_target(inner)
                }
                _ => Type::Path(path),
            }
        }
        Type::TraitObject(object) => {
            let mut object = object.clone();
            object.bounds.iter_mut().for_each(lengthen);
            Type::TraitObject(object)
        }
        Type::ImplTrait(unnamed) => {
            let mut unnamed = unnamed.clone();
            unnamed.bounds.iter_mut().for_each(lengthen);
            Type::ImplTrait(unnamed)
        }
        ty => ty.clone(),
    }
}

/// Makes a bound hold when the call is over.
fn lengthen(bound: &mut TypeParamBound) {
    if let TypeParamBound::Lifetime(lifetime) = bound {
        *lifetime = parse_quote!('static);
    } else if let Some(lengthened) = for_every(bound) {
        *bound = lengthened;
    }
}

/// `for<'a> Reads<'a>`, if `bound` is a trait bound that holds for the lifetimes of one call alone, as `Reads<'a>` does.
pub(crate) fn for_every(bound: &TypeParamBound) -> Option<TypeParamBound> {
    let TypeParamBound::Trait(one) = bound else {
        return None;
    };
    let mut borrows = Borrows::default();
    borrows.visit_trait_bound(one);
    let mut lifetimes = Vec::new();
    let path = named(one.path.to_token_stream(), &mut lifetimes);
    let every = lifetimes
        .iter()
        .map(|name| Lifetime::new(&format!("'{name}"), Span::call_site()));
    let modifier = &one.modifier;
    let is_simple = borrows.any && one.lifetimes.is_none() && !lifetimes.is_empty();
    is_simple.then(|| parse_quote!(#modifier for<#(#every),*> #path))
}

/// `tokens` with a name for each lifetime but `'static`, and those names, each once.
fn named(tokens: TokenStream, names: &mut Vec<Ident>) -> TokenStream {
    let mut after_quote = false;
    let tokens = tokens.into_iter().map(|token| match token {
        TokenTree::Ident(ident) if after_quote => {
            after_quote = false;
            let name = match ident == "_" {
                true => Ident::new("a", ident.span()),
                false => ident,
            };
            if name != "static" && !names.contains(&name) {
                names.push(name.clone());
            }
            name.into()
        }
        TokenTree::Group(group) => {
            Group::new(group.delimiter(), named(group.stream(), names)).into()
        }
        token => {
            after_quote = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '\'');
            token
        }
    });
    tokens.collect()
}

#[cfg(test)]
mod tests {
    use super::{Passing, passing};
    use crate::diag::text;

    fn read(source: &str) -> String {
        match passing(&syn::parse_str(source).unwrap()) {
            Ok(Passing::Moved) => "moved".to_owned(),
            Ok(Passing::Copied) => "copied".to_owned(),
            Err(instead) => text(instead),
        }
    }

    #[test]
    fn what_owns_all_that_it_holds_is_moved() {
        for source in [
            "u64",
            "Self",
            "Arc<Self>",
            "(u64, Vec<String>)",
            "&'static str",
            "Option<&'static [&'static str]>",
            "Cow<'static, str>",
            "fn(&str) -> &str",
            "Box<dyn Fn(&str) -> &str + Send>",
            "Box<dyn for<'a> Visit<'a> + Send>",
            "impl Fn(&str) -> u64",
            "impl for<'a> Visit<'a> + 'static",
        ] {
            assert_eq!(read(source), "moved", "{source}");
        }
    }

    #[test]
    fn what_one_reference_points_to_is_copied() {
        for source in [
            "&str",
            "&'a [u64]",
            "&Arc<Self>",
            "&Self",
            "&impl Display",
            "&(String, [&'static str; 2])",
            "&Box<dyn Fn(&str)>",
        ] {
            assert_eq!(read(source), "copied", "{source}");
        }
    }

    #[test]
    fn other_borrows_are_refused_with_what_to_write() {
        for (source, instead) in [
            ("&[&str]", "&[String]"),
            ("&'a [&'a str; 2]", "&[String; 2]"),
            ("Option<&str>", "Option<String>"),
            ("&Option<&[u8]>", "&Option<Vec<u8>>"),
            ("&&str", "&str"),
            ("&&[&str]", "&[String]"),
            ("(&str, u64)", "(String, u64)"),
            ("Cow<'_, str>", "String"),
            ("&std::borrow::Cow<'a, [u8]>", "&Vec<u8>"),
            ("Context<'_>", "Context<'static>"),
            ("&'a Context<'b>", "&Context<'static>"),
            ("Map<&str, Context<'_>>", "Map<String, Context<'static>>"),
            ("&'static [&str]", "&'static [&str]"),
            ("impl Display + '_", "impl Display + 'static"),
            ("Box<dyn Display + 'a>", "Box<dyn Display + 'static>"),
            ("impl Reads<'_>", "impl for<'a> Reads<'a>"),
            (
                "Box<dyn Reads<'b> + Send>",
                "Box<dyn for<'b> Reads<'b> + Send>",
            ),
            ("Box<[&str]>", "Box<[String]>"),
            ("(Box<str>, &str)", "(Box<str>, String)"),
            ("&dyn Display", "Arc<dyn Display>"),
            (
                "&(dyn Display + Send + 'a)",
                "Arc<dyn Display + Send + 'static>",
            ),
            ("Pin<&Self>", "Pin<Self>"),
            ("&mut Vec<u64>", "Vec<u64>"),
            ("Option<&mut u64>", "Option<u64>"),
        ] {
            assert_eq!(read(source), instead, "{source}");
        }
    }
}
