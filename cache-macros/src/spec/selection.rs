//! Which parameters the options mean. **A name that is nearly a parameter's is taken for it**, because a rule tells the
//! user of it, and the mistake is to have no second error.

use syn::Ident;

use crate::facts::Facts;
use crate::ident::same;
use crate::options::Options;
use crate::options::template::FieldPath;

/// Parameters as the function spells them.
pub(crate) struct Selection {
    /// What `skip` names.
    pub(crate) skipped: Vec<Ident>,
    /// What the key is made of, in its order.
    pub(crate) keyed: Vec<FieldPath>,
}

impl Selection {
    pub(super) fn of(options: &Options, facts: &Facts) -> Self {
        let skip = options.skip.value().into_iter().flatten();
        let skipped: Vec<Ident> = skip.filter_map(|name| facts.meant(name)).collect();
        let spelled = |path: &FieldPath| {
            Some(FieldPath {
                base: facts.meant(&path.base)?,
                fields: path.fields.clone(),
            })
        };
        let keyed = match (options.key.value(), options.key_args.value()) {
            (Some(template), _) => template.fields().filter_map(spelled).collect(),
            (None, Some(paths)) => paths.iter().filter_map(spelled).collect(),
            (None, None) => all_but(&skipped, facts),
        };
        Self { skipped, keyed }
    }

    pub(crate) fn skips(&self, name: &Ident) -> bool {
        self.skipped.iter().any(|skipped| same(skipped, name))
    }

    /// Whether the key holds the parameter, or a field of it.
    pub(crate) fn keys(&self, name: &Ident) -> bool {
        self.keyed.iter().any(|path| same(&path.base, name))
    }
}

/// Every parameter that is not skipped.
fn all_but(skipped: &[Ident], facts: &Facts) -> Vec<FieldPath> {
    let is_skipped = |name: &Ident| skipped.iter().any(|skipped| same(skipped, name));
    let params = facts.params.iter().flat_map(|param| {
        // A pattern of which nothing is skipped is keyed whole.
        let is_whole = !param.bound.iter().any(is_skipped);
        let whole = param.key_name().filter(|_| is_whole).into_iter();
        let bound = param.bound.iter().filter(move |_| !is_whole);
        whole.chain(bound).cloned()
    });
    let names = facts.this().into_iter().chain(params);
    names
        .filter(|name| !is_skipped(name))
        .map(FieldPath::from)
        .collect()
}
