//! Facts about the function. The rule: all that can be known without the options, and nothing that needs them.
//!
//! The body is kept as tokens: it is the user's, and goes back as it came.

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Block, Expr, FnArg, GenericArgument, GenericParam, Ident, Lifetime, Pat, PatType,
    PathArguments, Receiver, ReturnType, Stmt, Token, Type, TypeParamBound, TypePath, Visibility,
};

use crate::diag::{Errors, text};

/// The item under the attribute.
pub(crate) struct Item {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) defaultness: Option<Token![default]>,
    pub(crate) sig: syn::Signature,
    /// With its braces.
    pub(crate) body: Group,
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis: Visibility = input.parse()?;
        for (word, article) in [
            ("struct", "a"),
            ("enum", "an"),
            ("union", "a"),
            ("trait", "a"),
            ("impl", "an"),
            ("mod", "a"),
            ("type", "a"),
            ("static", "a"),
            ("use", "a"),
            ("macro_rules", "a"),
        ] {
            let here = input.cursor().ident().filter(|(ident, _)| ident == word);
            if let Some((ident, _)) = here
                && !(word == "union" && input.peek2(Token![fn]))
            {
                return Err(syn::Error::new_spanned(
                    ident,
                    format!(
                        "`#[redis_cached]` caches functions, not {article} `{word}`; put it on an `async fn`"
                    ),
                ));
            }
        }
        let defaultness = input.parse()?;
        let constant = input.peek(Token![const])
            && ![
                input.peek2(Token![fn]),
                input.peek2(Token![async]),
                input.peek2(Token![unsafe]),
                input.peek2(Token![extern]),
            ]
            .contains(&true);
        if constant {
            return Err(input.error(
                "`#[redis_cached]` caches functions, not a `const`; put it on an `async fn`",
            ));
        }
        let sig: syn::Signature = input.parse()?;
        match input.parse()? {
            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => Ok(Self {
                attrs,
                vis,
                defaultness,
                sig,
                body,
            }),
            _ => Err(syn::Error::new_spanned(
                &sig.ident,
                format!(
                    "`{}` has no body to cache; put `#[redis_cached(…, trait_impl)]` on the method of the impl",
                    sig.ident
                ),
            )),
        }
    }
}

/// Whether an attribute is another `#[redis_cached]`.
pub(crate) fn is_ours(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|segment| segment.ident == "redis_cached")
}

/// What is known of a function.
pub(crate) struct Facts {
    pub(crate) receiver: Option<Receiver>,
    pub(crate) params: Vec<Param>,
    /// `None` if the return type was refused.
    pub(crate) shape: Option<Shape>,
    /// The function is not `async`, but returns a boxed future.
    pub(crate) boxed: Option<Boxed>,
    /// The signature or the body says `self` or `Self`.
    pub(crate) says_self: bool,
}

/// A parameter other than `self`.
pub(crate) struct Param {
    pub(crate) pattern: Pattern,
    pub(crate) ty: Type,
    /// The whole of it, for messages.
    pub(crate) span: PatType,
}

pub(crate) enum Pattern {
    /// `id` or `mut id`.
    Named(Ident),
    /// `_`.
    Wild,
    /// `(a, b)` and all else; a name of our own stands for it.
    Other(Ident),
}

impl Param {
    /// The name that a user can write.
    pub(crate) fn name(&self) -> Option<&Ident> {
        match &self.pattern {
            Pattern::Named(name) => Some(name),
            Pattern::Wild | Pattern::Other(_) => None,
        }
    }
}

/// The return type, taken apart.
pub(crate) struct Shape {
    /// As written, or the future's output.
    pub(crate) output: Type,
    /// Without its `Result`: what an entry holds.
    pub(crate) entry: Type,
    /// Without its `Option` too: what is stored.
    pub(crate) value: Type,
    pub(crate) fallible: bool,
    pub(crate) optional: bool,
}

/// `Box::pin(async move { … })`, as `#[async_trait]` leaves a method.
pub(crate) struct Boxed {
    /// `Box::pin`.
    pub(crate) pin: Expr,
    /// What stands in the `async` block.
    pub(crate) body: TokenStream,
}

impl Facts {
    pub(crate) fn of(item: &Item, errors: &mut Errors) -> Self {
        let sig = &item.sig;
        if let Some(token) = &sig.constness {
            errors.on(token, "a cached function cannot be `const`; remove `const`");
        }
        if let Some(token) = &sig.unsafety {
            errors.on(
                token,
                "a cached function cannot be `unsafe`: a hit would not run what its caller vouched for; cache a safe function that it calls",
            );
        }
        if let Some(abi) = &sig.abi {
            errors.on(abi, "a cached function cannot be `extern`; remove the ABI");
        }
        for attribute in &item.attrs {
            if is_ours(attribute) {
                errors.on(
                    attribute,
                    "`#[redis_cached]` stands here twice; remove this one",
                );
            }
        }
        let future = match &sig.output {
            ReturnType::Type(_, ty) if sig.asyncness.is_none() => boxed_output(ty),
            _ => None,
        };
        let boxed = future.as_ref().and_then(|_| boxed_body(&item.body));
        match (&sig.asyncness, &future, &boxed) {
            (Some(_), _, _) | (None, Some(_), Some(_)) => {}
            (None, Some(_), None) => errors.at(
                sig.fn_token.span(),
                "a function that returns a boxed future must be `Box::pin(async move { … })` and nothing else; write so, or `async fn`",
            ),
            (None, None, _) => errors.at(
                sig.fn_token.span(),
                "`#[redis_cached]` needs an async function; write `async fn`",
            ),
        }
        let mut receiver = None;
        let mut params = Vec::new();
        for (index, input) in sig.inputs.iter().enumerate() {
            let attrs = match input {
                FnArg::Receiver(found) => {
                    receiver = Some(found.clone());
                    &found.attrs
                }
                FnArg::Typed(typed) => {
                    params.push(param(index, typed));
                    &typed.attrs
                }
            };
            for attribute in attrs {
                if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
                    errors.on(
                        attribute,
                        "a parameter of a cached function cannot have `#[cfg]`; put it on two functions instead",
                    );
                }
            }
        }
        let output = match (future, &sig.output) {
            (Some(output), _) => Some(output),
            (None, ReturnType::Type(_, ty)) => Some(ungroup(ty).clone()),
            (None, ReturnType::Default) => None,
        };
        let shape = match output {
            Some(output) => Shape::of(output, errors),
            None => {
                errors.on(&sig.ident, nothing(&sig.ident.to_string()));
                None
            }
        };
        Self {
            receiver,
            params,
            shape,
            boxed,
            says_self: says_self(item),
        }
    }
}

fn nothing(function: &str) -> String {
    format!(
        "`{function}` returns nothing that could be cached; return a value, or remove the attribute"
    )
}

fn param(index: usize, typed: &PatType) -> Param {
    let pattern = match &*typed.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {
            Pattern::Named(pat.ident.clone())
        }
        Pat::Wild(_) => Pattern::Wild,
        _ => Pattern::Other(Ident::new(
            &format!("__redis_cached_arg{index}"),
            Span::mixed_site(),
        )),
    };
    Param {
        pattern,
        ty: (*typed.ty).clone(),
        span: typed.clone(),
    }
}

impl Shape {
    fn of(output: Type, errors: &mut Errors) -> Option<Self> {
        let before = errors.len();
        let shape = Self::read(output, errors)?;
        if let Type::Tuple(tuple) = &shape.value
            && tuple.elems.is_empty()
            && !shape.fallible
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
            value => check_owned(value, errors),
        }
        if shape.fallible
            && let Some(error) =
                arguments(&shape.output).and_then(|arguments| arguments.get(1).copied())
            && let Some(borrow) = borrow_in(error)
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

enum Peeled<'a> {
    /// The first type argument.
    Inner(&'a Type),
    /// The name without arguments.
    Bare,
    Other,
}

/// The first type argument of a type whose last segment is `name`.
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

/// The type that a `macro_rules!` fragment or parentheses stand for.
fn ungroup(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungroup(&group.elem),
        Type::Paren(paren) => ungroup(&paren.elem),
        ty => ty,
    }
}

fn check_owned(value: &Type, errors: &mut Errors) {
    let Some(borrow) = borrow_in(value) else {
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

/// Where a type borrows: a reference, or a lifetime other than `'static`.
fn borrow_in(ty: &Type) -> Option<TokenStream> {
    struct Borrows(Option<TokenStream>);
    impl<'ast> Visit<'ast> for Borrows {
        fn visit_type_reference(&mut self, reference: &'ast syn::TypeReference) {
            self.0.get_or_insert_with(|| reference.to_token_stream());
        }
        fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
            if lifetime.ident != "static" {
                self.0.get_or_insert_with(|| lifetime.to_token_stream());
            }
        }
        // Its lifetimes are its own.
        fn visit_type_bare_fn(&mut self, _: &'ast syn::TypeBareFn) {}
    }
    let mut borrows = Borrows(None);
    borrows.visit_type(ty);
    borrows.0
}

/// Whether a type holds a `&mut`.
pub(crate) fn has_mut(ty: &Type) -> bool {
    struct Muts(bool);
    impl<'ast> Visit<'ast> for Muts {
        fn visit_type_reference(&mut self, reference: &'ast syn::TypeReference) {
            self.0 |= reference.mutability.is_some();
            visit::visit_type_reference(self, reference);
        }
    }
    let mut muts = Muts(false);
    muts.visit_type(ty);
    muts.0
}

/// `R` of `Pin<Box<dyn Future<Output = R> + …>>`.
fn boxed_output(ty: &Type) -> Option<Type> {
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

fn boxed_body(body: &Group) -> Option<Boxed> {
    let block: Block = syn::parse2(TokenTree::from(body.clone()).into()).ok()?;
    let [Stmt::Expr(Expr::Call(call), None)] = block.stmts.as_slice() else {
        return None;
    };
    let pins = match &*call.func {
        Expr::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == "pin"),
        _ => false,
    };
    let mut arguments = call.args.iter();
    match (pins, arguments.next(), arguments.next()) {
        (true, Some(Expr::Async(future)), None) => {
            let statements = &future.block.stmts;
            Some(Boxed {
                pin: (*call.func).clone(),
                body: quote::quote!(#(#statements)*),
            })
        }
        _ => None,
    }
}

/// Whether the function speaks of the impl that it stands in. Items inside the body have a `Self` of their own.
fn says_self(item: &Item) -> bool {
    struct Selves(bool);
    impl<'ast> Visit<'ast> for Selves {
        fn visit_path(&mut self, path: &'ast syn::Path) {
            // `self::users` is a module.
            if let Some(first) = path.segments.first() {
                self.0 |= first.ident == "Self" || path.is_ident("self");
            }
            visit::visit_path(self, path);
        }
        fn visit_receiver(&mut self, _: &'ast Receiver) {
            self.0 = true;
        }
        fn visit_item(&mut self, _: &'ast syn::Item) {}
        fn visit_macro(&mut self, call: &'ast syn::Macro) {
            self.0 |= says_self_anywhere(call.tokens.clone());
        }
    }
    let mut selves = Selves(false);
    selves.visit_signature(&item.sig);
    // A body that this syn cannot read is searched as tokens.
    match syn::parse2::<Block>(TokenTree::from(item.body.clone()).into()) {
        Ok(block) => selves.visit_block(&block),
        Err(_) => selves.0 |= says_self_anywhere(item.body.stream()),
    }
    selves.0
}

fn says_self_anywhere(tokens: TokenStream) -> bool {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let path_follows =
            matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
        let says = match token {
            TokenTree::Ident(ident) => ident == "Self" || ident == "self" && !path_follows,
            TokenTree::Group(group) => says_self_anywhere(group.stream()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        };
        if says {
            return true;
        }
    }
    false
}

/// Whether two names are one, raw or not.
pub(crate) fn same(one: &Ident, two: &Ident) -> bool {
    one.unraw() == two.unraw()
}

/// Const and type parameters, in order: what a turbofish names.
pub(crate) fn turbofish(generics: &syn::Generics) -> Vec<&Ident> {
    let names = generics.params.iter().filter_map(|param| match param {
        GenericParam::Type(param) => Some(&param.ident),
        GenericParam::Const(param) => Some(&param.ident),
        GenericParam::Lifetime(_) => None,
    });
    names.collect()
}
