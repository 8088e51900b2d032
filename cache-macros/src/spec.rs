//! Options and facts together. **It decides, and says nothing**: errors are for the rules, which look at what was decided.

mod attributed;
mod background;
mod entry;
mod key;
mod names;
mod selection;

use syn::{Ident, Path, parse_quote};

pub(crate) use self::attributed::Attributed;
pub(crate) use self::background::{Argument, Background};
pub(crate) use self::entry::Entry;
pub(crate) use self::key::{Key, KeyType};
pub(crate) use self::names::Names;
use crate::facts::Facts;
use crate::facts::body::may_use;
use crate::facts::param::Param;
use crate::facts::shape::Shape;
use crate::item::Item;
use crate::options::Options;

/// All that the expansion is made of.
pub(crate) struct Spec<'a> {
    pub(crate) item: &'a Item,
    pub(crate) options: &'a Options,
    pub(crate) facts: &'a Facts,
    pub(crate) shape: &'a Shape,
    /// Where `cache_runtime` is.
    pub(crate) root: Path,
    /// The function stands in an impl.
    pub(crate) in_impl: bool,
    /// `None`: the body stands in the function itself.
    pub(crate) names: Option<Names>,
    pub(crate) entry: Entry<'a>,
    pub(crate) key: Key,
    /// The `ttl` is an expression that asks `self`.
    pub(crate) ttl_of_self: bool,
    /// `None`: the body never runs in the background.
    pub(crate) background: Option<Background>,
    /// Parameters that only the attribute uses.
    pub(crate) not_in_body: Vec<&'a Ident>,
}

impl<'a> Spec<'a> {
    /// `None` if the return type was refused.
    pub(crate) fn new(of: &Attributed<'a>) -> Option<Self> {
        let (item, options, facts) = (of.item, of.options, of.facts);
        let shape = facts.shape.as_ref()?;
        let entry = Entry::new(of, shape);
        let in_body = |name: &Ident| may_use(item.body.stream(), name);
        let used = entry.params.iter().filter_map(|(_, param)| param.name());
        let root = options.krate.value().cloned();
        Some(Self {
            item,
            options,
            facts,
            shape,
            root: root.unwrap_or_else(|| parse_quote!(::cache_runtime)),
            in_impl: of.in_impl(),
            names: Names::new(of),
            key: Key::new(of, &entry),
            ttl_of_self: of.ttl_of_self(),
            background: Background::new(of),
            not_in_body: used.filter(|name| !in_body(name)).collect(),
            entry,
        })
    }

    pub(crate) fn params(&self) -> &'a [Param] {
        &self.facts.params
    }
}
