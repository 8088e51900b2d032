//! The imports of this crate. **They point one way**: from a stage to itself or to an earlier one, and never in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, UseTree};

/// A module's path in the crate: `["emit", "key"]`.
type Module = Vec<String>;

/// The modules that a module names.
struct Imports<'a> {
    of: &'a Module,
    all: &'a BTreeSet<Module>,
    found: BTreeSet<Module>,
}

impl Imports<'_> {
    fn add(&mut self, path: &[String]) {
        let (first, rest) = path.split_first().expect("a path has segments");
        let mut module = match first.as_str() {
            "crate" => Module::new(),
            "self" => self.of.clone(),
            "super" => self.of[..self.of.len() - 1].to_vec(),
            _ => return,
        };
        for word in rest {
            module.push(word.clone());
            if !self.all.contains(&module) {
                module.pop();
                break;
            }
        }
        if !module.is_empty() && module != *self.of {
            self.found.insert(module);
        }
    }

    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |word: String| [before, &[word]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(path.ident.to_string()), &path.tree),
            UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| self.add_tree(before, tree)),
            UseTree::Name(name) => self.add(&with(name.ident.to_string())),
            UseTree::Rename(name) => self.add(&with(name.ident.to_string())),
            UseTree::Glob(_) => self.add(before),
        }
    }
}

impl<'ast> Visit<'ast> for Imports<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&[], &item.tree);
    }
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        self.add(&words.collect::<Vec<_>>());
        visit::visit_path(self, path);
    }
    // `pub(super)` names no module that this one uses.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.attrs.iter().any(is_test) {
            return;
        }
        // A door names its folder's files by the word that declares them.
        self.add(&["self".to_owned(), item.ident.to_string()]);
        visit::visit_item_mod(self, item);
    }
}

fn is_test(attr: &Attribute) -> bool {
    attr.path().is_ident("cfg")
        && attr
            .parse_args::<syn::Ident>()
            .is_ok_and(|word| word == "test")
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// Every module but the crate's root and those that are compiled for tests alone, with the modules that it names.
fn imports() -> BTreeMap<Module, BTreeSet<Module>> {
    let mut found = Vec::new();
    files(&source(), &mut found);
    let module = |path: &PathBuf| -> Module {
        let path = path.strip_prefix(source()).unwrap().with_extension("");
        path.iter()
            .map(|word| word.to_string_lossy().into())
            .collect()
    };
    let roots = ["lib", "snapshots", "floors"].map(|name| vec![name.to_owned()]);
    found.retain(|path| !roots.contains(&module(path)));
    let all: BTreeSet<_> = found.iter().map(module).collect();
    let imports = found.iter().map(|path| {
        let of = &module(path);
        let mut imports = Imports {
            of,
            all: &all,
            found: BTreeSet::new(),
        };
        let text = std::fs::read_to_string(path).unwrap();
        imports.visit_file(&syn::parse_file(&text).unwrap());
        (of.clone(), imports.found)
    });
    imports.collect()
}

/// The stage of each module at the crate's root, by the list in the documentation of `expand`.
fn stages() -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(source().join("expand.rs")).unwrap();
    let list = text.split("```").nth(1).expect("a list of stages");
    let rows = list.lines().skip(1).enumerate().flat_map(|(stage, row)| {
        let row = row.trim_start_matches("//!").trim();
        let modules = row
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .nth(1);
        let modules = modules.unwrap_or_default().split(", ");
        modules.map(move |module| (module.trim_end_matches('/').to_owned(), stage))
    });
    let mut stages: BTreeMap<_, _> = rows.collect();
    stages.remove("");
    let last = stages.values().max().expect("a list of stages") + 1;
    stages.extend(["expand", "key"].map(|module| (module.to_owned(), last)));
    stages
}

#[test]
fn an_import_points_to_an_earlier_stage() {
    let stages = stages();
    for (module, imports) in imports() {
        for import in imports {
            let stage = |module: &Module| match stages.get(&module[0]) {
                Some(stage) => *stage,
                None => panic!("`{}` is in no stage of `expand`", module.join("::")),
            };
            assert!(
                stage(&import) <= stage(&module),
                "`{}` imports `{}`, which is of a later stage",
                module.join("::"),
                import.join("::")
            );
        }
    }
}

#[test]
fn no_import_closes_a_circle() {
    let mut imports = imports();
    // A module that imports none of those left, or is imported by none of them, is in no circle.
    loop {
        let left = imports.clone();
        imports.retain(|module, imports| {
            let is_imported = left.values().any(|imports| imports.contains(module));
            is_imported && imports.iter().any(|import| left.contains_key(import))
        });
        if imports.len() == left.len() {
            break;
        }
    }
    let names: Vec<_> = imports.keys().map(|module| module.join("::")).collect();
    assert!(names.is_empty(), "in circles: {names:?}");
}
