//! The pipeline. **Each stage knows the ones before it and none after it:**
//!
//! ```text
//! parse    item, ident, diag           the function as it is written, names, messages
//! options  options/                    how an option is written
//! facts    facts/                      what is known of the function without its options
//! spec     spec/                       options and facts together: what is to be emitted
//! rules    rules/                      what may not be
//! emit     emit/, attributes, recover  the expansion, or the messages with the user's item
//! ```
//!
//! `expand` and `key`, which is the macro `key!`, name what they like. The first three stages and the rules have errors, which are collected and shown together. What comes after the
//! rules cannot fail.

use proc_macro2::TokenStream;

use crate::diag::Errors;
use crate::facts::Facts;
use crate::item::Item;
use crate::options::Options;
use crate::spec::{Attributed, Spec};
use crate::{emit, recover, rules};

pub(crate) fn redis_cached(attribute: TokenStream, tokens: TokenStream) -> TokenStream {
    let item: Item = match syn::parse2(tokens.clone()) {
        Ok(item) => item,
        Err(error) => return recover::verbatim(&tokens, &error),
    };
    let mut errors = Errors::default();
    let options = Options::parse(attribute, &mut errors);
    let facts = Facts::of(&item, &mut errors);
    let attributed = Attributed::new(&item, &options, &facts);
    let spec = Spec::new(&attributed);
    rules::check(&attributed, spec.as_ref(), &mut errors);
    match (errors.into_error(), spec) {
        (None, Some(spec)) => emit::emit(&spec),
        (Some(errors), spec) => recover::recover(&item, spec.as_ref(), &errors),
        // `Spec::new` is `None` only beside an error.
        (None, None) => tokens,
    }
}
