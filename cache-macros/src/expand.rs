//! The pipeline: parse, know the facts, put both together, emit. Nothing after `Spec::new` can fail.

use proc_macro2::TokenStream;

use crate::diag::Errors;
use crate::facts::Facts;
use crate::item::Item;
use crate::options::Options;
use crate::spec::Spec;
use crate::{emit, recover};

pub(crate) fn redis_cached(attribute: TokenStream, tokens: TokenStream) -> TokenStream {
    let item: Item = match syn::parse2(tokens.clone()) {
        Ok(item) => item,
        Err(error) => return recover::verbatim(&tokens, &error),
    };
    let mut errors = Errors::default();
    let options = Options::parse(attribute, &mut errors);
    let facts = Facts::of(&item, &mut errors);
    let spec = Spec::new(&item, facts, options, &mut errors);
    match (errors.into_error(), spec) {
        (None, Some(spec)) => emit::emit(&item, &spec),
        (Some(errors), spec) => recover::recover(&item, spec.as_ref(), &errors),
        // `Spec::new` is `None` only beside an error.
        (None, None) => tokens,
    }
}
