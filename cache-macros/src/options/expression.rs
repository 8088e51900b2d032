//! What an option's expression uses of a function. **In doubt it uses a parameter**: within a macro every name counts
//! that is no field, no path and no macro's.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Expr, Ident};

use crate::ident::same;

/// The names among `params` that `expr` uses, each once.
pub(crate) fn params_in(expr: &Expr, params: &[Ident]) -> Vec<Ident> {
    let mut uses = Uses {
        params,
        bound: Vec::new(),
        found: Vec::new(),
    };
    uses.visit_expr(expr);
    uses.found
}

/// Whether `expr` uses the parameter `name`.
pub(crate) fn uses(expr: &Expr, name: &Ident) -> bool {
    !params_in(expr, std::slice::from_ref(name)).is_empty()
}

struct Uses<'a> {
    params: &'a [Ident],
    /// Names that the expression binds itself, so far.
    bound: Vec<Ident>,
    found: Vec<Ident>,
}

impl Uses<'_> {
    fn uses(&mut self, ident: &Ident) {
        let is_param = self.params.iter().any(|param| same(param, ident));
        let is_bound = self.bound.iter().any(|bound| same(bound, ident));
        if is_param && !is_bound && !self.found.iter().any(|found| same(found, ident)) {
            self.found.push(ident.clone());
        }
    }

    fn uses_in_tokens(&mut self, tokens: TokenStream) {
        let mut after_dot = false;
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            let named = matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if matches!(punct.as_char(), ':' | '!'));
            match &token {
                TokenTree::Ident(ident) if !after_dot && !named => self.uses(ident),
                TokenTree::Group(group) => self.uses_in_tokens(group.stream()),
                _ => {}
            }
            after_dot = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '.');
        }
    }
}

impl<'ast> Visit<'ast> for Uses<'_> {
    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        if let (None, Some(ident)) = (&path.qself, path.path.get_ident()) {
            self.uses(ident);
        }
    }
    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        let outside = self.bound.len();
        visit::visit_expr_closure(self, closure);
        self.bound.truncate(outside);
    }
    fn visit_block(&mut self, block: &'ast syn::Block) {
        let outside = self.bound.len();
        visit::visit_block(self, block);
        self.bound.truncate(outside);
    }
    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let outside = self.bound.len();
        visit::visit_arm(self, arm);
        self.bound.truncate(outside);
    }
    fn visit_local(&mut self, local: &'ast syn::Local) {
        // In `let id = id;` the second `id` is not yet the first.
        if let Some(init) = &local.init {
            self.visit_expr(&init.expr);
            if let Some((_, diverge)) = &init.diverge {
                self.visit_expr(diverge);
            }
        }
        self.visit_pat(&local.pat);
    }
    fn visit_pat_ident(&mut self, pat: &'ast syn::PatIdent) {
        self.bound.push(pat.ident.clone());
    }
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.uses_in_tokens(call.tokens.clone());
    }
    fn visit_item(&mut self, _: &'ast syn::Item) {}
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;
    use syn::Ident;

    use super::params_in;

    fn found(source: &str) -> String {
        let params = ["id", "self", "value"].map(|name| Ident::new(name, Span::call_site()));
        let found = params_in(&syn::parse_str(source).unwrap(), &params);
        let names: Vec<_> = found.iter().map(ToString::to_string).collect();
        names.join(" ")
    }

    #[test]
    fn parameters_are_found() {
        for (source, names) in [
            ("lookup(id, &self.cache, id)", "id self"),
            ("pick!(a, id)", "id"),
            ("|other| other + id", "id"),
            ("{ let id = id; id }", "id"),
        ] {
            assert_eq!(found(source), names, "{source}");
        }
    }

    #[test]
    fn what_is_named_alike_is_no_parameter() {
        for source in [
            "|value| value.id",
            "Self::value",
            "id::TTL",
            "pick!(row.id, id::A, id!())",
            "{ let id = 1; id }",
            "match x { Some(id) => id, None => 1 }",
            "Duration::from_secs(5)",
        ] {
            assert_eq!(found(source), "", "{source}");
        }
    }
}
