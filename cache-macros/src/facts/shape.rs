//! The return type, taken apart. **A type that is not written as a `Result` or an `Option` is a value**; that it is not
//! one of them under another name is for the compiler to prove.

use proc_macro2::TokenStream;
use quote::ToTokens as _;
use syn::visit::Visit;
use syn::{
    Expr, ExprLit, GenericArgument, Lifetime, Lit, PathArguments, Type, TypeParamBound, TypePath,
};

use crate::diag::{Errors, text};

/// What a function returns.
pub(crate) struct Shape {
    /// The return type as it is written; that of a boxed future is the future's output.
    pub(crate) output: Type,
    /// The output without its `Result`: an entry holds it.
    pub(crate) entry: Type,
    /// The output without its `Result` and its `Option`: it is stored.
    pub(crate) value: Type,
    pub(crate) fallible: bool,
    pub(crate) optional: bool,
}

impl Shape {
    pub(crate) fn of(output: Type, errors: &mut Errors) -> Option<Self> {
        let before = errors.len();
        let shape = Self::read(output, errors)?;
        if let Type::Tuple(tuple) = &shape.value
            && tuple.elems.is_empty()
            && !shape.fallible
            && !shape.optional
        {
            errors.on(
                &shape.output,
                "`()` is nothing that could be cached; return a value, or remove the attribute",
            );
        }
        match &shape.value {
            Type::Never(never) => {
                errors.on(
                    never,
                    "`!` is nothing that could be cached; remove the attribute",
                );
            }
            Type::ImplTrait(unnamed) => errors.on(
                unnamed,
                format!(
                    "`{}` has no name to decode; write the type that is returned",
                    text(unnamed)
                ),
            ),
            Type::Infer(infer) => errors.on(
                infer,
                "the cached type must be written out; write it in place of `_`",
            ),
            value => {
                check_owned(value, errors);
                check_arrays(value, errors);
            }
        }
        if shape.fallible
            && let Some(error) =
                arguments(&shape.output).and_then(|arguments| arguments.get(1).copied())
            && let Some(borrow) = borrow_in(error, Statics::Fine)
        {
            errors.on(
                borrow,
                format!("the error `{}` borrows, but other callers may get it; return one that owns what it holds", text(error)),
            );
        }
        (errors.len() == before).then_some(shape)
    }

    fn read(output: Type, errors: &mut Errors) -> Option<Self> {
        let (entry, fallible) = match peel(&output, "Result") {
            Peeled::Inner(inner) => (inner.clone(), true),
            Peeled::Other => (output.clone(), false),
            Peeled::Bare => {
                errors.on(
                    &output,
                    format!("`{}` hides what it holds; write `Result<User, E>`, so that errors are never stored", text(&output)),
                );
                return None;
            }
        };
        let (value, optional) = match peel(&entry, "Option") {
            Peeled::Inner(inner) => (inner.clone(), true),
            Peeled::Other => (entry.clone(), false),
            Peeled::Bare => {
                errors.on(&entry, "`Option` hides what it holds; write `Option<User>`");
                return None;
            }
        };
        match (peel(&value, "Result"), peel(&value, "Option"), optional) {
            (Peeled::Inner(inner), _, true) => {
                errors.on(
                    &output,
                    format!(
                        "an `Err` in an `Option` would be stored; write `Result<Option<{}>, E>`",
                        text(inner)
                    ),
                );
                None
            }
            (Peeled::Inner(_), _, false) => {
                errors.on(&output, "an `Err` in a `Result` would be stored; write one `Result`, with one error type");
                None
            }
            (_, Peeled::Inner(inner), true) => {
                errors.on(
                    &output,
                    format!("`Some(None)` and `None` are stored alike; write `Option<{}>`, or a type of your own", text(inner)),
                );
                None
            }
            _ => Some(Self {
                output,
                entry,
                value,
                fallible,
                optional,
            }),
        }
    }
}

/// A type of which the name of a wrapper is taken off.
enum Peeled<'a> {
    /// The wrapper's first type argument.
    Inner(&'a Type),
    /// The wrapper, without arguments.
    Bare,
    /// Another type.
    Other,
}

/// Takes off a wrapper, which is a type whose last segment is `name`.
fn peel<'a>(ty: &'a Type, name: &str) -> Peeled<'a> {
    let Type::Path(path) = ungroup(ty) else {
        return Peeled::Other;
    };
    if path
        .path
        .segments
        .last()
        .is_none_or(|last| last.ident != name)
    {
        return Peeled::Other;
    }
    match arguments(ty).and_then(|arguments| arguments.first().copied()) {
        Some(inner) => Peeled::Inner(ungroup(inner)),
        // `Self::Result` and `<T as Service>::Result` may be anything.
        None if path.qself.is_some() || is_associated(path) => Peeled::Other,
        None => Peeled::Bare,
    }
}

fn is_associated(path: &TypePath) -> bool {
    let first = path.path.segments.first();
    first.is_some_and(|first| {
        first.ident == "Self" || first.ident.to_string().starts_with(char::is_uppercase)
    }) && path.path.segments.len() > 1
}

/// The type arguments of the last segment.
fn arguments(ty: &Type) -> Option<Vec<&Type>> {
    let Type::Path(path) = ungroup(ty) else {
        return None;
    };
    let PathArguments::AngleBracketed(arguments) = &path.path.segments.last()?.arguments else {
        return None;
    };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    Some(types.collect())
}

/// The type inside of parentheses and of a `macro_rules!` fragment, which compilers show as a group.
pub(crate) fn ungroup(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungroup(&group.elem),
        Type::Paren(paren) => ungroup(&paren.elem),
        ty => ty,
    }
}

fn check_owned(value: &Type, errors: &mut Errors) {
    let Some(borrow) = borrow_in(value, Statics::Refused) else {
        return;
    };
    let owned = match value {
        Type::Reference(reference) => match ungroup(&reference.elem) {
            Type::Path(path) if path.path.is_ident("str") => "`String`".to_owned(),
            Type::Slice(slice) => format!("`Vec<{}>`", text(&slice.elem)),
            inner => format!("`{}`", text(inner)),
        },
        _ => "a type that owns what it holds".to_owned(),
    };
    errors.on(
        borrow,
        format!(
            "`{}` borrows, and a cached value outlives the call; return {owned}",
            text(value)
        ),
    );
}

/// Refuses arrays that are too long for serde, as far as the type shows them.
fn check_arrays(value: &Type, errors: &mut Errors) {
    match ungroup(value) {
        Type::Array(array) => {
            if let Expr::Lit(ExprLit {
                lit: Lit::Int(length),
                ..
            }) = &array.len
                && length
                    .base10_parse::<usize>()
                    .is_ok_and(|length| length > 32)
            {
                let (written, elem) = (text(array), text(&array.elem));
                errors.on(
                    array,
                    format!(
                        "serde knows no `{written}`, since it is longer than 32; return `Vec<{elem}>`, or a type of your own with a field `#[serde(with = \"serde_big_array::BigArray\")]`"
                    ),
                );
                return;
            }
            check_arrays(&array.elem, errors);
        }
        Type::Tuple(tuple) => {
            tuple
                .elems
                .iter()
                .for_each(|elem| check_arrays(elem, errors));
        }
        // Another type may have a `Serialize` of its own that writes its elements.
        ty @ Type::Path(path)
            if path.path.segments.last().is_some_and(|last| {
                ["Vec", "Option", "Box", "Arc"]
                    .iter()
                    .any(|name| last.ident == name)
            }) =>
        {
            let inner = arguments(ty).unwrap_or_default();
            inner.into_iter().for_each(|ty| check_arrays(ty, errors));
        }
        _ => {}
    }
}

/// Whether a `&'static T` counts as a borrow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Statics {
    /// It does not, because it outlives every call.
    Fine,
    /// It does, because nothing can be decoded to a reference.
    Refused,
}

/// Where a type borrows: a reference, or a lifetime other than `'static`.
fn borrow_in(ty: &Type, statics: Statics) -> Option<TokenStream> {
    struct BorrowFinder {
        statics: Statics,
        found: Option<TokenStream>,
    }
    impl<'ast> Visit<'ast> for BorrowFinder {
        fn visit_type_reference(&mut self, reference: &'ast syn::TypeReference) {
            let lifetime = reference.lifetime.as_ref();
            match lifetime.is_some_and(|lifetime| lifetime.ident == "static") {
                true if self.statics == Statics::Fine => self.visit_type(&reference.elem),
                _ => {
                    self.found
                        .get_or_insert_with(|| reference.to_token_stream());
                }
            }
        }
        fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
            if lifetime.ident != "static" {
                self.found.get_or_insert_with(|| lifetime.to_token_stream());
            }
        }
        // The lifetimes in the type of a function pointer are its own.
        fn visit_type_bare_fn(&mut self, _: &'ast syn::TypeBareFn) {}
    }
    let mut finder = BorrowFinder {
        statics,
        found: None,
    };
    finder.visit_type(ty);
    finder.found
}

/// `R` of `Pin<Box<dyn Future<Output = R> + …>>`.
pub(crate) fn boxed_output(ty: &Type) -> Option<Type> {
    let last = |ty: &Type, name: &str| match ungroup(ty) {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == name),
        _ => false,
    };
    if !last(ty, "Pin") {
        return None;
    }
    let boxed = *arguments(ty)?.first()?;
    if !last(boxed, "Box") {
        return None;
    }
    let Type::TraitObject(object) = ungroup(arguments(boxed)?.first()?) else {
        return None;
    };
    object.bounds.iter().find_map(|bound| {
        let TypeParamBound::Trait(bound) = bound else {
            return None;
        };
        let last = bound
            .path
            .segments
            .last()
            .filter(|last| last.ident == "Future")?;
        let PathArguments::AngleBracketed(arguments) = &last.arguments else {
            return None;
        };
        arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(assoc) if assoc.ident == "Output" => {
                Some(ungroup(&assoc.ty).clone())
            }
            _ => None,
        })
    })
}
