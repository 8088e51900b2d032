//! From the paths that modules write to the modules that they import.
//!
//! **An import leads to the module that defines what it names**: a re-export is followed, so a door in between hides
//! nothing.

use std::path::PathBuf;

use crate::source::{Crate, Module, Name};

/// A module that writes a path to another one.
#[derive(Debug, Clone)]
pub struct Import {
    /// The module that imports, from the root on.
    pub from: Vec<String>,
    /// The module that defines what the path names.
    pub to: Vec<String>,
    /// The path as it is written.
    pub path: String,
    /// Where it is written.
    pub file: PathBuf,
    /// Where in the file.
    pub line: usize,
}

/// Chains of re-exports that are longer end in themselves, as `pub use redis;` of a crate does.
const LONGEST_CHAIN: usize = 16;

/// Every import between two modules of a crate.
#[must_use]
pub fn imports(of: &Crate) -> Vec<Import> {
    let mut found = Vec::new();
    for (number, module) in of.modules.iter().enumerate() {
        for written in &module.paths {
            let Some(target) = of.defining(number, &written.names, 0) else {
                continue;
            };
            if target != number && !of.is_said_by_use(number, &written.names, target) {
                found.push(Import {
                    from: module.path.clone(),
                    to: of.modules[target].path.clone(),
                    path: written.names.join("::"),
                    file: module.file.clone(),
                    line: written.line,
                });
            }
        }
    }
    found
}

impl Crate {
    /// The module that defines what `path` names where module `from` writes it; `None` for another crate's.
    fn defining(&self, from: usize, path: &[String], depth: usize) -> Option<usize> {
        if depth > LONGEST_CHAIN {
            return None;
        }
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => 0,
            "self" => from,
            "super" => self.above(from),
            name => match self.modules[from].names.get(name)? {
                Name::Child(child) => *child,
                Name::Own => return Some(from),
                Name::Used(path) => self.defining(from, path, depth + 1)?,
            },
        };
        while let Some((name, after)) = rest.split_first() {
            rest = after;
            if name == "super" {
                at = self.above(at);
                continue;
            }
            at = match self.modules[at].names.get(name) {
                Some(Name::Child(child)) => *child,
                // A variant, or an associated item, is its type's.
                Some(Name::Own) => return Some(at),
                Some(Name::Used(path)) => self.defining(at, path, depth + 1)?,
                None => return Some(self.through_globs(at, name, depth)),
            };
        }
        Some(at)
    }

    /// The parent; of the root itself, since a path in a module inside a function has one `super` more than its file.
    fn above(&self, module: usize) -> usize {
        self.modules[module].parent.unwrap_or_default()
    }

    /// Whether a `use` brought the first of these names from the same target, and so has said it.
    fn is_said_by_use(&self, from: usize, names: &[String], target: usize) -> bool {
        match names
            .first()
            .and_then(|first| self.modules[from].names.get(first))
        {
            Some(Name::Used(path)) => path != names && self.defining(from, path, 0) == Some(target),
            _ => false,
        }
    }

    /// The module of which `at` takes all, and so `name`; else `at` itself, since a macro may have made the name.
    fn through_globs(&self, at: usize, name: &str, depth: usize) -> usize {
        let modules = self.modules[at].globs.iter();
        let modules = modules.filter_map(|glob| self.defining(at, glob, depth + 1));
        let has = |module: &Module| module.names.contains_key(name);
        let found = modules
            .into_iter()
            .find(|number| has(&self.modules[*number]));
        let name = [name.to_owned()];
        found
            .and_then(|module| self.defining(module, &name, depth + 1))
            .unwrap_or(at)
    }
}
