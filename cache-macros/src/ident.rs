//! Names. **A name is the same whether it is written raw or not.**

use quote::ToTokens as _;
use syn::Ident;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, Parser as _};

/// Whether `one` and `two` name the same thing: `id` and `r#id` do.
pub(crate) fn same(one: &Ident, two: &Ident) -> bool {
    one.unraw() == two.unraw()
}

/// Whether no value can have this name, as it is written: `type` is a keyword, `r#type` is none.
pub(crate) fn is_keyword(name: &Ident) -> bool {
    <Ident as Parse>::parse
        .parse2(name.to_token_stream())
        .is_err()
}
