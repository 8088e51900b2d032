//! Facts about the function. The rule: all that can be known without the options, and nothing that needs them.

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{
    Block, Expr, FnArg, GenericParam, Ident, Pat, PatType, Receiver, ReturnType, Stmt, Type,
};

use crate::diag::Errors;
use crate::facts::pattern::bound;
use crate::facts::shape::{Shape, boxed_output, ungroup};
use crate::item::{Item, is_ours};

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
    /// What a pattern binds; a name of its own is not among it.
    pub(crate) bound: Vec<Ident>,
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

    /// The names that an option can say: its own, or those that it binds.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Ident> {
        self.name().into_iter().chain(&self.bound)
    }

    /// Whether this is the parameter, or something that it binds.
    pub(crate) fn holds(&self, name: &Ident) -> bool {
        let whole = self.key_name().into_iter();
        whole.chain(&self.bound).any(|own| same(own, name))
    }

    /// What the key calls it; `_` is no part of a key.
    pub(crate) fn key_name(&self) -> Option<&Ident> {
        match &self.pattern {
            Pattern::Named(name) | Pattern::Other(name) => Some(name),
            Pattern::Wild => None,
        }
    }
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
        for input in &sig.inputs {
            let attrs = match input {
                FnArg::Receiver(found) => {
                    receiver = Some(found.clone());
                    &found.attrs
                }
                FnArg::Typed(typed) => {
                    params.push(param(params.len(), typed));
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
    let bound = match &pattern {
        Pattern::Other(_) => bound(&typed.pat),
        Pattern::Named(_) | Pattern::Wild => Vec::new(),
    };
    Param {
        pattern,
        bound,
        ty: (*typed.ty).clone(),
        span: typed.clone(),
    }
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
        fn visit_item(&mut self, item: &'ast syn::Item) {
            // What a `macro_rules!` of the body says, the body says where it calls it.
            if let syn::Item::Macro(rules) = item {
                self.visit_macro(&rules.mac);
            }
        }
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

/// The same of tokens that may be a part of anything.
fn says_self_anywhere(tokens: TokenStream) -> bool {
    let mut tokens = tokens.into_iter().peekable();
    // Between the word that begins an item with a `Self` of its own, and the braces of that item.
    let mut in_item = false;
    while let Some(token) = tokens.next() {
        match &token {
            TokenTree::Ident(ident) => {
                in_item |= ["impl", "trait", "struct", "enum", "union"]
                    .iter()
                    .any(|word| ident == word);
            }
            TokenTree::Group(group) if in_item && group.delimiter() == Delimiter::Brace => {
                in_item = false;
                continue;
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => in_item = false,
            _ => {}
        }
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

#[cfg(test)]
mod tests {
    use super::says_self;

    fn says(body: &str) -> bool {
        let function = format!("async fn get(id: u64) -> u64 {{ {body} }}");
        says_self(&syn::parse_str(&function).unwrap())
    }

    #[test]
    fn a_body_speaks_of_its_impl() {
        for body in [
            "Self::load(id)",
            "<Self as Load>::load(id)",
            "vec![Self::load(id)]",
            "macro_rules! load { ($id:expr) => { Self::load($id) } } load!(id)",
            "try_join!(async { impl_of(id) }, Self::load(id))",
            "m!(impl Load for User { fn of(&self) {} } Self::load(id))",
        ] {
            assert!(says(body), "{body}");
        }
    }

    #[test]
    fn an_item_in_the_body_speaks_of_itself() {
        for body in [
            "load(id)",
            "self::load(id)",
            "vec![self::load(id)]",
            "impl User { fn new() -> Self { Self } } id",
            "macro_rules! user { ($t:ty) => { impl $t { fn new() -> Self { Self } } } } id",
            "m!(struct Node { next: Option<Box<Self>> })",
        ] {
            assert!(!says(body), "{body}");
        }
    }
}
