//! Expressions of options. **An expression is evaluated in the cached function and in its `_entry`**, so that it can use
//! neither the call's parameters nor its control flow.

use syn::Expr;
use syn::visit::Visit;

use crate::diag::Errors;
use crate::options::Setting;
use crate::options::duration::Period;
use crate::options::expression::params_in;
use crate::options::value::{ShareErrors, Ttl};
use crate::spec::Attributed;

pub(super) fn use_no_parameters(of: &Attributed<'_>, errors: &mut Errors) {
    const A_CONSTANT: &str = "use a constant, or a function";
    let options = of.options;
    let ttl = options.ttl.value().and_then(|ttl| match ttl {
        Ttl::Fixed(period) => period.computed(),
        Ttl::ByValue(closure) => Some(closure),
    });
    let share_errors = options.share_errors.value().and_then(|how| match how {
        ShareErrors::By(expr) => Some(expr),
        ShareErrors::None => None,
    });
    let names = of.facts.names();
    for (option, expr, mend) in [
        (
            "ttl",
            ttl,
            "use the value, as in `ttl = |value| …`, or a constant",
        ),
        (
            "cache_if",
            options.cache_if.value(),
            "use the value, as in `cache_if = |value| …`",
        ),
        (
            "share_errors",
            share_errors,
            "use the error, as in `share_errors = |error| …`",
        ),
        ("none_ttl", computed(&options.none_ttl), A_CONSTANT),
        ("timeout", computed(&options.timeout), A_CONSTANT),
        (
            "stale_while_revalidate",
            computed(&options.stale_while_revalidate),
            A_CONSTANT,
        ),
        (
            "stale_if_error",
            computed(&options.stale_if_error),
            A_CONSTANT,
        ),
        ("soft_timeout", computed(&options.soft_timeout), A_CONSTANT),
    ] {
        let Some(expr) = expr else { continue };
        check_flow(option, expr, errors);
        let is_fixed_ttl = option == "ttl" && !matches!(expr, Expr::Closure(_));
        for name in params_in(expr, &names) {
            // Settings live in `self`, so that a fixed ttl may ask it; `_entry` takes it then.
            if is_fixed_ttl && name == "self" {
                continue;
            }
            let what = if name == "self" { "" } else { "the parameter " };
            errors.on(
                &name,
                format!("`{option}` cannot use {what}`{name}`; {mend}"),
            );
        }
    }
    // What `cache` uses is a parameter of `_entry`.
    if let Some(cache) = options.cache.value() {
        check_flow("cache", cache, errors);
    }
}

fn computed(setting: &Setting<Period>) -> Option<&Expr> {
    setting.value().and_then(Period::computed)
}

/// Refuses `.await`, `?` and `return`, because they would act on the cached function.
fn check_flow(option: &str, expr: &Expr, errors: &mut Errors) {
    Flow { option, errors }.visit_expr(expr);
}

struct Flow<'a> {
    option: &'a str,
    errors: &'a mut Errors,
}

impl<'ast> Visit<'ast> for Flow<'_> {
    fn visit_expr_await(&mut self, expr: &'ast syn::ExprAwait) {
        let message = format!(
            "`{}` cannot await; write an expression that has its value at once",
            self.option
        );
        self.errors.on(expr.await_token, message);
    }
    fn visit_expr_try(&mut self, expr: &'ast syn::ExprTry) {
        let message = format!(
            "`?` in `{}` would leave the cached function; write an expression that cannot fail",
            self.option
        );
        self.errors.on(expr.question_token, message);
    }
    fn visit_expr_return(&mut self, expr: &'ast syn::ExprReturn) {
        let message = format!(
            "`return` in `{}` would leave the cached function; write the value alone",
            self.option
        );
        self.errors.on(expr.return_token, message);
    }
    // Closures, `async` blocks and items have a control flow of their own.
    fn visit_expr_closure(&mut self, _: &'ast syn::ExprClosure) {}
    fn visit_expr_async(&mut self, _: &'ast syn::ExprAsync) {}
    fn visit_item(&mut self, _: &'ast syn::Item) {}
}
