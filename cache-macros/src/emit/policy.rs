//! What the options say of a call. **Each option is one method**, and an option that was not given is none.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote_spanned};
use syn::{Expr, ExprGroup, ExprParen, UnOp};

use super::key::key;
use super::tokens::{at_value, mixed};
use crate::options::Setting;
use crate::options::duration::Period;
use crate::options::fraction::RefreshAhead;
use crate::options::template::FieldPath;
use crate::options::value::{Coalesce, Ttl};
use crate::spec::Spec;

/// The call, with its key and with all that the options say, but for the [`settings`].
pub(super) fn policy(spec: &Spec<'_>, part: impl Fn(&FieldPath) -> TokenStream) -> TokenStream {
    let (options, shape, key) = (spec.options, spec.shape, key(spec, part));
    let value = &shape.value;
    // What the value must be is asked here alone, so that the compiler reports it at the return type, and once.
    let call = quote_spanned!(at_value(spec)=> __REDIS_CACHED_SITE.of::<#value>().#key);
    let ttl = options.ttl.value().and_then(|ttl| match ttl {
        Ttl::Fixed(_) if spec.ttl_of_self => None,
        Ttl::Fixed(period) => Some(with_ttl(period)),
        Ttl::ByValue(closure) => Some(mixed!(.ttl_by(#closure))),
    });
    let methods = [
        shape.optional.then(|| mixed!(.optional())),
        ttl,
        with(&options.cache_if, |condition| mixed!(.cache_if(#condition))),
        with_period(&options.none_ttl, |ttl| mixed!(.none_ttl(#ttl))),
        with_period(&options.timeout, |time| mixed!(.timeout(#time))),
        with_period(
            &options.stale_while_revalidate,
            |window| mixed!(.stale_while_revalidate(#window)),
        ),
        with_period(
            &options.stale_if_error,
            |window| mixed!(.stale_if_error(#window)),
        ),
        with_period(&options.soft_timeout, |time| mixed!(.soft_timeout(#time))),
        with(&options.jitter, |share| mixed!(.jitter(#share))),
        with(&options.refresh_ahead, |when| match when {
            RefreshAhead::Share(share) => mixed!(.refresh_ahead(#share)),
            RefreshAhead::XFetch => mixed!(.refresh_ahead_xfetch()),
        }),
        with(&options.coalesce, |who| match who {
            Coalesce::Process => TokenStream::new(),
            Coalesce::Cluster => mixed!(.coalesce_cluster()),
        }),
    ];
    mixed!(#call #(#methods)*)
}

/// The options that may ask parameters which are not part of the key, so that they stand outside of the hidden function.
pub(super) fn settings(spec: &Spec<'_>) -> TokenStream {
    let cache = with(&spec.options.cache, |cache| match is_place(cache) {
        // A place is not left empty: a `Cache` is a handle, and a reference to one is copied.
        true => mixed!(.cache(::core::clone::Clone::clone(&#cache))),
        false => mixed!(.cache(#cache)),
    });
    let ttl = spec.options.ttl.value().and_then(|ttl| match ttl {
        Ttl::Fixed(period) if spec.ttl_of_self => Some(with_ttl(period)),
        Ttl::Fixed(_) | Ttl::ByValue(_) => None,
    });
    mixed!(#cache #ttl)
}

fn with<T>(setting: &Setting<T>, method: impl Fn(&T) -> TokenStream) -> Option<TokenStream> {
    setting.value().map(method)
}

fn with_period(
    setting: &Setting<Period>,
    method: impl Fn(TokenStream) -> TokenStream,
) -> Option<TokenStream> {
    setting.value().map(|period| method(duration(period)))
}

fn with_ttl(period: &Period) -> TokenStream {
    let period = duration(period);
    mixed!(.ttl(#period))
}

/// Whether an expression names a place, out of which its value would be moved.
fn is_place(expr: &Expr) -> bool {
    match expr {
        Expr::Path(_) | Expr::Field(_) | Expr::Index(_) => true,
        Expr::Unary(unary) => matches!(unary.op, UnOp::Deref(_)),
        Expr::Paren(ExprParen { expr, .. }) | Expr::Group(ExprGroup { expr, .. }) => is_place(expr),
        _ => false,
    }
}

fn duration(period: &Period) -> TokenStream {
    match period {
        Period::Known { duration, .. } if duration.subsec_nanos() == 0 => {
            let seconds = duration.as_secs();
            mixed!(::core::time::Duration::from_secs(#seconds))
        }
        Period::Known { duration, .. } => {
            // No period is longer than 64 bits of milliseconds: `Period::parse` refuses it.
            let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            mixed!(::core::time::Duration::from_millis(#millis))
        }
        Period::Computed(expr) => expr.to_token_stream(),
    }
}
