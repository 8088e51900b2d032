//! What `cargo expand` shows for representative functions, in `snapshots/`. **It is shorter than its user fears.**

use expect_test::{ExpectFile, expect_file};
use proc_macro2::TokenStream;
use quote::quote;

use crate::expand::redis_cached;

/// Lines of an expansion beyond the body of the function that it expands.
const MAX_LINES: usize = 41;

/// Lines beyond the body of a function that has every option of freshness, each with a line of its own.
const MAX_LINES_OF_FRESHNESS: usize = 44;

/// Lines beyond the body of a method that has every option.
const MAX_LINES_OF_ALL: usize = 66;

fn print(tokens: TokenStream) -> String {
    let file = syn::parse2(quote!(#tokens)).expect("an expansion is a file of items");
    prettyplease::unparse(&file)
}

fn check(attribute: TokenStream, function: TokenStream, expected: ExpectFile) {
    check_in(|tokens| tokens, attribute, function, expected);
}

fn check_in(
    place: impl Fn(TokenStream) -> TokenStream,
    attribute: TokenStream,
    function: TokenStream,
    expected: ExpectFile,
) {
    check_lines(MAX_LINES, place, attribute, function, expected);
}

/// Prints the expansion in the impl that `place` puts it in.
fn check_lines(
    limit: usize,
    place: impl Fn(TokenStream) -> TokenStream,
    attribute: TokenStream,
    function: TokenStream,
    expected: ExpectFile,
) {
    let body = function
        .clone()
        .into_iter()
        .last()
        .expect("a function ends with its body");
    let body = print(quote!(fn body() #body)).lines().count() - 2;
    let expansion = print(place(redis_cached(attribute, function)));
    let frame = print(place(TokenStream::new())).lines().count();
    let beyond = expansion.lines().count() - frame - body;
    assert!(
        beyond <= limit,
        "{beyond} lines beyond the body:\n{expansion}"
    );
    expected.assert_eq(&expansion);
}

fn in_impl(method: TokenStream) -> TokenStream {
    quote!(impl Users { #method })
}

#[test]
fn a_free_function() {
    check(
        quote!(ttl = 300, skip(pool)),
        quote! {
            /// Loads a user.
            #[tracing::instrument(skip_all)]
            pub async fn get_user(pool: &Pool, id: u64) -> Result<User, DbError> {
                query(pool, id).await
            }
        },
        expect_file!["../snapshots/free_function.rs"],
    );
}

#[test]
fn an_option_and_every_value() {
    check(
        quote!(
            ttl = |user| user.lifetime,
            none_ttl = "30s",
            cache_if = |user| user.active,
            cache = cache,
            skip(cache)
        ),
        quote! {
            async fn find(cache: &Cache, name: &str) -> Option<User> {
                lookup(name).await
            }
        },
        expect_file!["../snapshots/all_values.rs"],
    );
}

#[test]
fn a_template() {
    check_in(
        in_impl,
        quote!(ttl = "1h 30m", key = "{{user:{id}}}:{self.tenant}"),
        quote! {
            pub(crate) async fn name(&self, id: u64) -> io::Result<Option<String>> {
                self.load(id).await
            }
        },
        expect_file!["../snapshots/template.rs"],
    );
}

#[test]
fn a_method() {
    check_in(
        in_impl,
        quote!(
            ttl = Self::TTL,
            timeout = "50ms",
            key_args(self.tenant, user.id)
        ),
        quote! {
            pub async fn rights(&self, user: &User) -> Vec<Right> {
                self.load(user).await
            }
        },
        expect_file!["../snapshots/method.rs"],
    );
}

#[test]
fn a_shared_entry() {
    check(
        quote!(ttl = 300, entry = users::get_user, skip(pool)),
        quote! {
            pub async fn require_user(pool: &Pool, id: &str) -> Result<User, NotFound> {
                query(pool, id).await
            }
        },
        expect_file!["../snapshots/shared_entry.rs"],
    );
}

#[test]
fn a_shared_entry_of_methods() {
    check_in(
        in_impl,
        quote!(ttl = 300, entry = Self::user, key_args(self, at.id)),
        quote! {
            async fn user_at(self: Arc<Self>, at: &Place) -> User {
                self.load(at).await
            }
        },
        expect_file!["../snapshots/shared_entry_method.rs"],
    );
}

#[test]
fn a_shared_entry_of_a_trait_method() {
    check_in(
        |method| quote!(impl Repository for Users { #method }),
        quote!(
            ttl = 60,
            trait_impl,
            entry = Self::user,
            cache = self.cache,
            skip(self)
        ),
        quote! {
            async fn get(&self, id: u64) -> User {
                self.load(id).await
            }
        },
        expect_file!["../snapshots/shared_entry_trait_method.rs"],
    );
}

#[test]
fn a_generic_function() {
    check(
        quote!(ttl = 60, skip(db)),
        quote! {
            pub async fn load<D: Db, T: Id, const N: usize>(db: &D, id: T) -> Result<[T; N], Error>
            {
                db.load(id).await
            }
        },
        expect_file!["../snapshots/generic.rs"],
    );
}

#[test]
fn patterns() {
    check(
        quote!(ttl = 60, namespace = "sums"),
        quote! {
            async fn sum(mut a: u64, (b, c): (u64, u64), _: &str) -> u64 {
                a += b;
                a + c
            }
        },
        expect_file!["../snapshots/patterns.rs"],
    );
}

#[test]
fn a_run_in_the_background() {
    check(
        quote!(ttl = 300, stale_while_revalidate = "1m", skip(pool)),
        quote! {
            pub async fn get_user(pool: &Pool, id: u64) -> Result<User, DbError> {
                query(pool, id).await
            }
        },
        expect_file!["../snapshots/background.rs"],
    );
}

#[test]
fn every_option_of_freshness() {
    check_lines(
        MAX_LINES_OF_FRESHNESS,
        |function| function,
        quote!(
            ttl = 300,
            stale_while_revalidate = "1m",
            stale_if_error = "1h",
            soft_timeout = "100ms",
            refresh_ahead = 0.8,
            jitter = 0.1,
            coalesce = "cluster",
            skip(pool)
        ),
        quote! {
            pub async fn get_user(pool: &Pool, id: u64) -> Result<User, DbError> {
                query(pool, id).await
            }
        },
        expect_file!["../snapshots/freshness.rs"],
    );
}

#[test]
fn errors_that_are_copied_by_hand() {
    check(
        quote!(
            ttl = 300,
            share_errors = |error| io::Error::new(error.kind(), error.to_string())
        ),
        quote! {
            pub async fn page(name: &str) -> io::Result<String> {
                read(name).await
            }
        },
        expect_file!["../snapshots/share_errors.rs"],
    );
}

#[test]
fn every_option_at_once() {
    check_lines(
        MAX_LINES_OF_ALL,
        in_impl,
        quote!(
            ttl = Self::TTL,
            none_ttl = "30s",
            cache_if = |user| user.active,
            stale_while_revalidate = "1m",
            stale_if_error = "1h",
            soft_timeout = "100ms",
            refresh_ahead = 0.8,
            jitter = 0.1,
            coalesce = "cluster",
            share_errors = none,
            timeout = "50ms",
            namespace = "users",
            version = 2,
            cache = self.cache.clone(),
            skip(self, pool)
        ),
        quote! {
            pub async fn get_user(&self, pool: &Pool, id: u64) -> Result<Option<User>, DbError> {
                query(pool, id).await
            }
        },
        expect_file!["../snapshots/everything.rs"],
    );
}

#[test]
fn a_method_in_the_background() {
    check_in(
        in_impl,
        quote!(ttl = 300, refresh_ahead = "xfetch", skip(self)),
        quote! {
            pub async fn rights(&self, mut names: Names) -> Rights {
                names.sort();
                self.load(names).await
            }
        },
        expect_file!["../snapshots/background_method.rs"],
    );
}

#[test]
fn nothing_to_copy_and_no_companions() {
    check(
        quote!(
            ttl = 300,
            stale_while_revalidate = Duration::ZERO,
            coalesce = "process",
            companions = none
        ),
        quote! {
            async fn answer(id: u64, lang: &'static str) -> u64 {
                id
            }
        },
        expect_file!["../snapshots/background_alone.rs"],
    );
}

#[test]
fn a_trait_method() {
    check_in(
        |method| quote!(impl Repository for Users { #method }),
        quote!(ttl = 60, trait_impl),
        quote! {
            async fn get(&self, mut id: u64) -> Result<User, Error> {
                id += 1;
                self.load(id).await
            }
        },
        expect_file!["../snapshots/trait_method.rs"],
    );
}

#[test]
fn a_method_that_async_trait_wrote() {
    check_in(
        |method| quote!(impl Repository for Users { #method }),
        quote!(ttl = 60, trait_impl),
        quote! {
            fn get<'life0, 'async_trait>(
                &'life0 self,
                id: u64,
            ) -> ::core::pin::Pin<Box<dyn ::core::future::Future<Output = Result<User, Error>> + Send + 'async_trait>>
            where
                'life0: 'async_trait,
                Self: 'async_trait,
            {
                Box::pin(async move {
                    let __self = self;
                    __self.load(id).await
                })
            }
        },
        expect_file!["../snapshots/async_trait.rs"],
    );
}

#[test]
fn without_companions() {
    check(
        quote!(
            ttl = 60,
            companions = none,
            crate = crate::deps::cache_runtime
        ),
        quote! {
            async fn answer() -> u64 {
                42
            }
        },
        expect_file!["../snapshots/without_companions.rs"],
    );
}

#[test]
fn a_mistake_leaves_the_function_and_stubs() {
    check(
        quote!(tll = 60, skip(dbb), timeout = 0),
        quote! {
            pub async fn get_user(db: &Db, id: u64) -> Result<User, DbError> {
                query(db, id).await
            }
        },
        expect_file!["../snapshots/recovery.rs"],
    );
}

#[test]
fn a_key_outside_of_a_function() {
    let shown = |tokens| {
        let key = crate::key::template_key(tokens);
        print(quote!(const KEY: () = #key;))
    };
    let of_names = shown(quote!(cache_runtime "product:{tenant}:{self.ids.0}"));
    let of_values = shown(quote!(cache_runtime "{user.id}:{page}", user = current()));
    expect_file!["../snapshots/key.rs"].assert_eq(&format!("{of_names}{of_values}"));
}
