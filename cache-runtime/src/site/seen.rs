//! Every function that was called, and what two of them must not have in common.
//!
//! The one rule: **a function is compared with all others at its first call**, and each pair that has a namespace or a
//! key in common is named in the log, once the lock is free, because a subscriber may call a cached function.

use std::sync::{Mutex, atomic::Ordering};

use super::Site;
use crate::{
    base::sharded::lock,
    key::{Namespace, Pattern},
};

/// A function that was called, as it is compared with others.
struct SeenSite {
    site: &'static Site,
    namespace: Namespace,
    keys: KeyShape,
}

/// A function that was called, as users are told of it.
pub(crate) struct ListedSite {
    pub(crate) site: &'static Site,
    pub(crate) function: &'static str,
    pub(crate) namespace: Option<String>,
    pub(crate) shares: Option<&'static str>,
    pub(crate) ttl: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
}

/// Which keys a function writes.
pub(super) enum KeyShape {
    /// Keys of its namespace, for the types of its first call; `None` if these have no key.
    Default(Option<Pattern>),
    /// Keys that the attribute spells out.
    Template(Pattern),
    /// Keys of another function, which is listed too.
    Shared,
}

/// What two functions have in common, and must not have.
enum Common {
    Namespace,
    Key,
}

/// Every function that was called.
static SEEN: Mutex<Vec<SeenSite>> = Mutex::new(Vec::new());

impl Site {
    /// Adds the function to those that were called, and names it in the log beside each with which it has a namespace or a
    /// key in common.
    pub(super) fn list(&'static self, namespace: &Namespace, keys: KeyShape) {
        let listed = SeenSite {
            site: self,
            namespace: namespace.clone(),
            keys,
        };
        let mut seen = lock(&SEEN);
        let twins: Vec<_> = seen
            .iter()
            .filter_map(|other| Some((other.site, listed.in_common(other)?)))
            .collect();
        seen.push(listed);
        drop(seen);
        for (other, common) in twins {
            match common {
                Common::Namespace => {
                    if self.pinned.is_none() || other.pinned.is_none() {
                        self.ambiguous.store(true, Ordering::Relaxed);
                        other.ambiguous.store(true, Ordering::Relaxed);
                    }
                    tracing::error!(
                        one = %self.place(),
                        other = %other.place(),
                        "two cached functions have the same namespace; give each its own with `namespace = \"…\"`",
                    );
                }
                Common::Key => tracing::error!(
                    one = %self.place(),
                    other = %other.place(),
                    "two cached functions can have the same key; give each a `key` of its own, or let one say `entry = …` with the other's path",
                ),
            }
        }
    }
}

impl SeenSite {
    /// What the two functions have in common that they must not.
    fn in_common(&self, other: &Self) -> Option<Common> {
        match (&self.keys, &other.keys) {
            // A function that shares entries has its owner's keys on purpose, and the owner is compared with the others.
            (KeyShape::Shared, _) | (_, KeyShape::Shared) => None,
            (KeyShape::Default(_), KeyShape::Default(_)) => {
                self.has_namespace_of(other).then_some(Common::Namespace)
            }
            (KeyShape::Default(None), _) | (_, KeyShape::Default(None)) => None,
            (
                KeyShape::Template(ours) | KeyShape::Default(Some(ours)),
                KeyShape::Template(theirs) | KeyShape::Default(Some(theirs)),
            ) => ours.meets(theirs).then_some(Common::Key),
        }
    }

    fn has_namespace_of(&self, other: &Self) -> bool {
        let same = match (self.site.pinned, other.site.pinned) {
            (Some(mine), Some(theirs)) => mine == theirs,
            (None, None) => self.namespace == other.namespace,
            // One of them pinned the default namespace of the other.
            _ => text(&self.namespace).is_some_and(|mine| Some(mine) == text(&other.namespace)),
        };
        same && self.site.version == other.site.version
    }

    fn listed(&self) -> ListedSite {
        let site = self.site;
        ListedSite {
            site,
            function: site.function,
            namespace: match self.keys {
                KeyShape::Default(_) => text(&self.namespace),
                KeyShape::Template(_) | KeyShape::Shared => None,
            },
            shares: site.owner.get().map(|owner| owner.function),
            ttl: site.ttl,
            file: site.file,
            line: site.line,
        }
    }
}

/// A namespace that does not depend on the types of a call.
fn text(namespace: &Namespace) -> Option<String> {
    let mut text = String::new();
    namespace.write(&[], &mut text).ok().map(|()| text)
}

/// Every annotated function that was called in this process so far, in the order of their first calls.
pub(crate) fn listed() -> Vec<ListedSite> {
    lock(&SEEN).iter().map(SeenSite::listed).collect()
}
