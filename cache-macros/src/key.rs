//! `key!("product:{tenant}:{id}")`: the key that an attribute with this template writes. **A template is read as that of an
//! attribute is**, so that both refuse a template in the same words.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote_spanned};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::{Expr, Ident, LitStr, Token};

use crate::diag::{Errors, text};
use crate::emit::part;
use crate::ident::{is_keyword, same};
use crate::options::template::{FieldPath, Template, literals_and_fields};

/// What the user wrote: `key!("…", name = expr, …)`.
struct Invocation {
    template: LitStr,
    values: Vec<NamedValue>,
}

/// `name = expr`, or an expression that should have a name.
struct NamedValue {
    name: Option<Ident>,
    expr: Expr,
}

impl Parse for Invocation {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        const MESSAGE: &str = "`key!` takes a string literal; write `key!(\"user:{id}\")`";
        if input.is_empty() {
            return Err(syn::Error::new(Span::call_site(), MESSAGE));
        }
        let template = input
            .parse()
            .map_err(|error| syn::Error::new(error.span(), MESSAGE))?;
        let mut values = Vec::new();
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if !input.is_empty() {
                values.push(input.parse()?);
            }
        }
        Ok(Self { template, values })
    }
}

impl Parse for NamedValue {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let is_named =
            input.peek(Ident::peek_any) && input.peek2(Token![=]) && !input.peek2(Token![==]);
        let name = match is_named {
            true => {
                let name = input.parse()?;
                input.parse::<Token![=]>()?;
                Some(name)
            }
            false => None,
        };
        let expr = input.parse()?;
        Ok(Self { name, expr })
    }
}

/// Input:  `cache_runtime "product:{tenant}:{user.id}", user = current()`
/// Output: `{ let key = match (&(current()),) { (value,) => cache_runtime::__private::key(&["product:", ":", ""], &[&tenant, &value.id]) }; key }`
pub(crate) fn template_key(tokens: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let parser = |input: ParseStream<'_>| {
        // The declarative macro around this one writes its `$crate`.
        let root: Ident = input.parse()?;
        Ok((
            root,
            errors.ok(input.parse::<Invocation>()),
            input.parse::<TokenStream>()?,
        ))
    };
    let (root, given, _) = match parser.parse2(tokens) {
        Ok(read) => read,
        Err(error) => return error.to_compile_error(),
    };
    let key = given.and_then(|given| {
        let template = errors.ok(Template::parse(given.template))?;
        Some(written(&root, &template, &given.values, &mut errors))
    });
    match (errors.into_error(), key) {
        (None, Some(key)) => key,
        (errors, _) => {
            // With a value beside it, the mistake is the only error.
            let messages = errors.map(|errors| errors.to_compile_error());
            quote_spanned!(Span::mixed_site()=> { #messages #root::__private::key(&[], &[]) })
        }
    }
}

fn written(
    root: &Ident,
    template: &Template,
    values: &[NamedValue],
    errors: &mut Errors,
) -> TokenStream {
    let (literals, fields) = literals_and_fields(&template.pieces);
    let names = named(values, &fields, errors);
    let parts = fields.into_iter().map(|path| {
        let base = &path.base;
        let value = names.iter().position(|name| same(name, base));
        if value.is_none() && base != "self" && is_keyword(base) {
            // A keyword of the first arm has no raw form.
            let message = match base.to_string().as_str() {
                "_" | "Self" | "super" | "crate" => {
                    format!(
                        "`{base}` is no value's name; write `{{name}}`, and `key!(…, name = …)`"
                    )
                }
                _ => format!("`{base}` is a keyword; write `{{r#{base}}}`, or `key!(…, name = …)`"),
            };
            errors.on(&template.literal, message);
        }
        part(&match value {
            Some(index) => FieldPath {
                base: local(index, base.span()),
                fields: path.fields.clone(),
            },
            None => path.clone(),
        })
    });
    let parts: Vec<_> = parts.collect();
    let key = quote_spanned!(Span::mixed_site()=> #root::__private::key(&[#(#literals),*], &[#(#parts),*]));
    let key = match values {
        [] => key,
        values => {
            // The parentheses keep `&` from taking the first operand alone.
            let exprs = values.iter().map(|value| &value.expr);
            let locals = (0..values.len()).map(|index| local(index, Span::mixed_site()));
            quote_spanned!(Span::mixed_site()=> match (#(&(#exprs),)*) { (#(#locals,)*) => #key })
        }
    };
    // The parts need not be `Sync`. They are dropped at the end of this statement, because temporaries that live until the
    // end of the user's statement would be held across an `.await` in it.
    quote_spanned!(Span::mixed_site()=> { let __redis_cached_key = #key; __redis_cached_key })
}

/// The names that are given behind the template. A name that the template does not use is refused.
fn named<'a>(
    values: &'a [NamedValue],
    fields: &[&FieldPath],
    errors: &mut Errors,
) -> Vec<&'a Ident> {
    let mut names: Vec<&Ident> = Vec::new();
    for NamedValue { name, expr } in values {
        let Some(name) = name else {
            let written = text(expr);
            let message = format!(
                "`{written}` has no name; write `name = {written}`, and `{{name}}` in the template"
            );
            errors.on(expr, message);
            continue;
        };
        if names.iter().any(|earlier| same(earlier, name)) {
            errors.on(name, format!("`{name}` is given twice; remove this one"));
        } else if !fields.iter().any(|path| same(&path.base, name)) {
            errors.on(
                name,
                format!(
                    "`{name}` is not in the template; write `{{{name}}}` there, or remove it here"
                ),
            );
        }
        names.push(name);
    }
    names
}

/// The name that a value behind the template has in the expansion.
fn local(index: usize, place: Span) -> Ident {
    format_ident!(
        "__redis_cached_value{index}",
        span = Span::mixed_site().located_at(place)
    )
}
