//! The modules of a crate, as its files have them.
//!
//! **A module is what `mod` declares**, so a file that no `mod` names is not read, and one for tests alone is not either.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use quote::ToTokens;
use syn::{Attribute, Item, ItemMod, Signature, spanned::Spanned};

use crate::paths::{Written, includes, is_test_cfg, used, written};

/// What a name in a module stands for.
#[derive(Debug, Clone)]
pub(crate) enum Name {
    /// A type, a function, a macro, … of this module.
    Own,
    /// A child, by its number.
    Child(usize),
    /// What a `use` names.
    Used(Vec<String>),
}

/// One module.
#[derive(Debug)]
pub(crate) struct Module {
    /// From the root on: `["store", "redis"]`.
    pub(crate) path: Vec<String>,
    pub(crate) file: PathBuf,
    pub(crate) parent: Option<usize>,
    pub(crate) names: BTreeMap<String, Name>,
    /// The modules of which a `use` takes all.
    pub(crate) globs: Vec<Vec<String>>,
    pub(crate) paths: Vec<Written>,
}

/// A crate's modules; the first is its root.
#[derive(Debug)]
pub struct Crate {
    pub(crate) modules: Vec<Module>,
}

/// Why a crate cannot be read.
#[derive(Debug)]
pub struct Unread(String);

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unread {}

impl Crate {
    /// Reads the crate whose `lib.rs` is in `directory`.
    ///
    /// # Errors
    ///
    /// Where a file is missing, is not Rust, or has what would hide an import: a `#[path]`, a `#[macro_use]`, an
    /// `include!`, or another name for the crate itself.
    pub fn read(directory: &Path) -> Result<Self, Unread> {
        let mut read = Self {
            modules: Vec::new(),
        };
        read.file(&directory.join("lib.rs"), directory, Vec::new(), None)?;
        Ok(read)
    }

    /// The names of the root's children.
    #[must_use]
    pub fn top(&self) -> Vec<&str> {
        let modules = self.modules.iter().filter(|module| module.path.len() == 1);
        modules.map(|module| module.path[0].as_str()).collect()
    }

    /// Reads a module from its own file; its children's are in `directory`.
    fn file(
        &mut self,
        file: &Path,
        directory: &Path,
        path: Vec<String>,
        parent: Option<usize>,
    ) -> Result<usize, Unread> {
        let text = fs::read_to_string(file)
            .map_err(|error| Unread(format!("{}: {error}", file.display())))?;
        let parsed = syn::parse_file(&text).map_err(|error| {
            let line = error.span().start().line;
            Unread(format!("{}:{line}: {error}", file.display()))
        })?;
        self.module(parsed.items, file, directory, path, parent)
    }

    fn module(
        &mut self,
        items: Vec<Item>,
        file: &Path,
        directory: &Path,
        path: Vec<String>,
        parent: Option<usize>,
    ) -> Result<usize, Unread> {
        let number = self.modules.len();
        self.modules.push(Module {
            path,
            file: file.to_owned(),
            parent,
            names: BTreeMap::new(),
            globs: Vec::new(),
            paths: Vec::new(),
        });
        for item in items {
            if !attributes(&item).iter().any(is_for_tests) {
                self.item(number, item, directory)?;
            }
        }
        Ok(number)
    }

    fn item(&mut self, number: usize, item: Item, directory: &Path) -> Result<(), Unread> {
        match item {
            Item::ExternCrate(item) if item.ident == "self" => {
                let why = "another name for this crate is not followed; write `crate`";
                return Err(self.unread(number, &item, why));
            }
            Item::Mod(child) => return self.child(number, child, directory),
            Item::Use(item) => {
                let line = item.span().start().line;
                let module = &mut self.modules[number];
                for used in used(&item.tree, line, item.leading_colon.is_some()) {
                    if used.is_outside {
                        continue;
                    }
                    match used.name {
                        Some(name) => drop(
                            module
                                .names
                                .insert(name, Name::Used(used.path.names.clone())),
                        ),
                        None => module.globs.push(used.path.names.clone()),
                    }
                    module.paths.push(used.path);
                }
                return Ok(());
            }
            // It is expanded where it is used, in another crate.
            Item::Macro(item)
                if item
                    .attrs
                    .iter()
                    .any(|attribute| attribute.path().is_ident("macro_export")) =>
            {
                return Ok(());
            }
            _ => {}
        }
        let module = &mut self.modules[number];
        if let Some(name) = name(&item) {
            module.names.insert(name, Name::Own);
        }
        let tokens = item.to_token_stream();
        if includes(tokens.clone()) {
            let why = "an `include!` is not followed; make the file a module";
            return Err(self.unread(number, &item, why));
        }
        self.modules[number].paths.extend(written(tokens));
        Ok(())
    }

    fn unread(&self, module: usize, item: &impl Spanned, why: &str) -> Unread {
        let (place, line) = (
            self.modules[module].file.display(),
            item.span().start().line,
        );
        Unread(format!("{place}:{line}: {why}"))
    }

    fn child(&mut self, number: usize, child: ItemMod, directory: &Path) -> Result<(), Unread> {
        let name = child.ident.to_string();
        for (name, why) in [
            (
                "path",
                "a `#[path]` is not followed; put the file where `mod` looks",
            ),
            (
                "macro_use",
                "where a `#[macro_use]` reaches is not followed; import the macros by `use`",
            ),
        ] {
            let is_it = |attribute: &Attribute| attribute.path().is_ident(name);
            if child.attrs.iter().any(is_it) {
                return Err(self.unread(number, &child, why));
            }
        }
        let mut path = self.modules[number].path.clone();
        path.push(name.clone());
        let below = directory.join(&name);
        let id = match child.content {
            Some((_, items)) => {
                let file = self.modules[number].file.clone();
                self.module(items, &file, &below, path, Some(number))?
            }
            None => {
                let beside = directory.join(format!("{name}.rs"));
                let inside = below.join("mod.rs");
                let file = if beside.exists() { beside } else { inside };
                self.file(&file, &below, path, Some(number))?
            }
        };
        self.modules[number].names.insert(name, Name::Child(id));
        Ok(())
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    is_test_cfg(&attribute.meta.to_token_stream())
}

fn name(item: &Item) -> Option<String> {
    let of = |signature: &Signature| signature.ident.to_string();
    match item {
        Item::Const(item) => Some(item.ident.to_string()),
        Item::Enum(item) => Some(item.ident.to_string()),
        Item::Fn(item) => Some(of(&item.sig)),
        Item::Macro(item) => item.ident.as_ref().map(ToString::to_string),
        Item::Static(item) => Some(item.ident.to_string()),
        Item::Struct(item) => Some(item.ident.to_string()),
        Item::Trait(item) => Some(item.ident.to_string()),
        Item::Type(item) => Some(item.ident.to_string()),
        Item::Union(item) => Some(item.ident.to_string()),
        _ => None,
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
